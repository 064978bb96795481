/* SPDX-License-Identifier: GPL-2.0-only */
/* The memory calls of the hypervisor; see mmu.h. */
#include "tests/guest/lib/mmu.h"

#include "tests/guest/lib/x86.h"

#define VE_IST 2

static uint8_t ve_info[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t ve_stack[8192] __attribute__((aligned(16)));

struct phyllo_ve *ve_page = (struct phyllo_ve *)ve_info;
struct phyllo_ve ve_last;
unsigned long ve_count;
bool (*ve_hook)(struct trap_frame *f);

static long call_struct(unsigned long nr, void *args, unsigned long size)
{
	return hypercall(nr, (uintptr_t)args, size, 0, 0);
}

long slot_create(uint64_t id, uint64_t gpa, uint64_t bytes, uint64_t flags)
{
	struct phyllo_slot args = { id, gpa, bytes, flags };

	return call_struct(PHYLLO_HC_SLOT_CREATE, &args, sizeof(args));
}

long slot_info(uint64_t id, struct phyllo_slot *out)
{
	*out = (struct phyllo_slot){ .id = id };
	return call_struct(PHYLLO_HC_SLOT_INFO, out, sizeof(*out));
}

long age_bitmap(uint64_t gpa, uint64_t bytes, uint64_t *bitmap, uint64_t flags)
{
	struct phyllo_age_bitmap args = { gpa, bytes, (uintptr_t)bitmap, flags };

	return call_struct(PHYLLO_HC_AGE_BITMAP, &args, sizeof(args));
}

long dirty_get(uint64_t slot, uint64_t first, uint64_t pages, uint64_t *bitmap, uint64_t flags)
{
	struct phyllo_dirty args = { slot, first, pages, (uintptr_t)bitmap, flags };

	return call_struct(PHYLLO_HC_DIRTY_GET, &args, sizeof(args));
}

long dirty_clear(uint64_t slot, uint64_t first, uint64_t pages, uint64_t *bitmap)
{
	struct phyllo_dirty args = { slot, first, pages, (uintptr_t)bitmap, 0 };

	return call_struct(PHYLLO_HC_DIRTY_CLEAR, &args, sizeof(args));
}

unsigned bit_count(const uint64_t *bitmap, unsigned bits)
{
	unsigned n = 0;

	for (unsigned i = 0; i < bits; i++)
		n += bit_get(bitmap, i);
	return n;
}

void mmu_mode(struct phyllo_mmu_mode *out)
{
	long ret = call_struct(PHYLLO_HC_MMU_MODE, out, sizeof(*out));

	if (ret)
		guest_die("the MMU mode cannot be read: %ld", ret);
}

bool mmu_is_shadow(void)
{
	struct phyllo_mmu_mode mode;

	mmu_mode(&mode);
	return !strcmp(mode.format, "shadow");
}

bool work_wait(bool (*done)(void), unsigned calls)
{
	for (unsigned i = 0; i < calls; i++) {
		if (done())
			return true;
		hypercall(PHYLLO_HC_VERSION, 0, 0, 0, 0);
	}
	return done();
}

void tlb_flush(void)
{
	write_cr3(read_cr3());
}

/* ---- #VE ------------------------------------------------------------------------------- */

static bool ve_trap(struct trap_frame *f)
{
	if (f->vector != VEC_VE)
		return false;
	ve_count++;
	ve_last = *ve_page;
	ve_page->busy = 0;
	return ve_hook && ve_hook(f);
}

void ve_start(void)
{
	long ret = hypercall(PHYLLO_HC_VE_SETUP, (uintptr_t)ve_page, 0, 0, 0);

	if (ret)
		guest_die("#VE cannot be set up: %ld", ret);
	trap_hook = ve_trap;
	trap_tss.ist[VE_IST - 1] = (uintptr_t)ve_stack + sizeof(ve_stack);
	trap_idt[VEC_VE].ist = VE_IST;
}
