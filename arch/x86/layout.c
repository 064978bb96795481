/* SPDX-License-Identifier: GPL-2.0-only */
/* See layout.h. */
#include "arch/x86/layout.h"

#include "arch/x86/machine_init.h"
#include "arch/x86/paging.h"
#include "arch/x86/stack.h"
#include "boot/boot_info.h"
#include "boot/image.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/pages.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "mm/sync.h"
#include "mm/types.h"

#define DEVICE_BASE 0xffffc00000000000ul
#define DEVICE_END 0xffffd00000000000ul
#define DIRECT_MAP_SIZE (DEVICE_BASE - DIRECT_MAP_BASE)

/* The legacy video memory is no RAM whatever is said; the BIOS area above it holds tables. */
#define VGA_START 0xa0000ul
#define VGA_END 0xc0000ul
#define LOW_END 0x100000ul

/* Guards whatever changes the tables and the bump pointer; taken with interrupts off. */
static spinlock_t lock = SPINLOCK_INIT;
static uint64_t device_next = DEVICE_BASE;

/* Each with its guard page, which is the lowest page of the array. */
static char boot_ist[IST_COUNT][PAGE_SIZE + STACK_SIZE] __attribute__((aligned(4096)));

/* ---- the image ----------------------------------------------------------------- */

struct section {
	const char *start, *end;
	unsigned flags;
};

static const struct section sections[] = {
	{ text_start, text_end, PAGING_X },
	{ data_start, bss_end, PAGING_W },
	{ rodata_start, rodata_end, 0 },
};

static bool is_guard(const char *va)
{
	if (va == boot_stack)
		return true;
	for (unsigned i = 0; i < IST_COUNT; i++)
		if (va == boot_ist[i])
			return true;
	return false;
}

static int map_section(const struct section *s)
{
	int err = 0;

	for (const char *va = s->start; va < s->end && !err; va += PAGE_SIZE) {
		uint64_t pa = image_virt_to_phys(va);
		/* The direct map's view of it: never executable, writable only where it is data. */
		unsigned alias = (s->flags & PAGING_W) | PAGING_4K;

		if (!is_guard(va))
			err = paging_map((uint64_t)va, pa, PAGE_SIZE, s->flags | PAGING_4K);
		if (!err)
			err = paging_map(DIRECT_MAP_BASE + pa, pa, PAGE_SIZE, alias);
	}
	return err;
}

void layout_boot_stacks(struct percpu *p)
{
	p->stack = (struct stack){ (uint64_t)boot_stack, (uint64_t)boot_stack_top };
	for (unsigned i = 0; i < IST_COUNT; i++)
		p->ist[i] = (struct stack){ (uint64_t)boot_ist[i],
					    (uint64_t)boot_ist[i] + sizeof(boot_ist[i]) };
}

/* ---- the direct map -------------------------------------------------------------- */

static int map_direct(uint64_t start, uint64_t end, unsigned flags)
{
	if (end > DIRECT_MAP_SIZE)
		end = DIRECT_MAP_SIZE;
	if (start >= end)
		return 0;
	return paging_map(DIRECT_MAP_BASE + start, start, end - start, flags);
}

/* RAM by whole pages; firmware tables with the pages that they touch. */
static int map_entry(const struct boot_mmap_entry *e)
{
	uint64_t end = e->base + e->size;

	if (end < e->base)
		end = ~0ul & PAGE_MASK;
	switch (e->type) {
	case BOOT_MEM_RAM:
		return map_direct(MAX(ALIGN_UP(e->base, PAGE_SIZE), LOW_END),
				  ALIGN_DOWN(end, PAGE_SIZE), PAGING_W);
	case BOOT_MEM_ACPI:
	case BOOT_MEM_NVS:
		if (end > DIRECT_MAP_SIZE)
			return 0;
		return map_direct(MAX(ALIGN_DOWN(e->base, PAGE_SIZE), LOW_END),
				  ALIGN_UP(end, PAGE_SIZE), PAGING_W);
	default:
		return 0;
	}
}

static int map_memory(const struct boot_info *bi)
{
	int err = map_direct(0, VGA_START, PAGING_W);

	if (!err)
		err = map_direct(VGA_END, LOW_END, 0);
	for (unsigned i = 0; i < bi->mmap_count && !err; i++)
		err = map_entry(&bi->mmap[i]);
	return err;
}

int machine_init_paging(const struct boot_info *bi)
{
	int err = paging_init();

	/* The image first: what is mapped stays, so its alias keeps its permissions. */
	for (unsigned i = 0; i < ARRAY_SIZE(sections) && !err; i++)
		err = map_section(&sections[i]);
	if (!err)
		err = map_memory(bi);
	if (!err)
		paging_load();
	return err;
}

/* ---- later additions ------------------------------------------------------------------ */

static bool is_in_memory_map(const struct boot_info *bi, uint64_t pa, uint64_t size)
{
	for (unsigned i = 0; i < bi->mmap_count; i++) {
		const struct boot_mmap_entry *e = &bi->mmap[i];

		if (pa >= e->base && size <= e->size && pa - e->base <= e->size - size)
			return true;
	}
	return false;
}

const void *layout_map_firmware(void *boot_info, uint64_t pa, uint64_t size)
{
	bool low = pa + size <= LOW_END && (pa >= VGA_END || pa + size <= VGA_START);
	uint64_t start = ALIGN_DOWN(pa, PAGE_SIZE), end = ALIGN_UP(pa + size, PAGE_SIZE);

	if (!size || pa + size < pa || end > DIRECT_MAP_SIZE)
		return NULL;
	if (!low && !is_in_memory_map(boot_info, pa, size))
		return NULL;

	uint64_t flags = machine_irq_save();

	spin_lock(&lock);
	int err = map_direct(start, end, PAGING_4K);
	spin_unlock(&lock);
	machine_irq_restore(flags);
	return err ? NULL : machine_phys_to_virt(pa);
}

static void *map_device(uint64_t pa, uint64_t size, unsigned type)
{
	uint64_t offset = pa & (PAGE_SIZE - 1);
	uint64_t span = ALIGN_UP(offset + size, PAGE_SIZE);
	void *va = NULL;

	if (!size || offset + size < size || span > DEVICE_END - DEVICE_BASE)
		return NULL;
	uint64_t flags = machine_irq_save();

	spin_lock(&lock);
	if (span <= DEVICE_END - device_next &&
	    !paging_map(device_next, pa - offset, span, PAGING_W | PAGING_4K | type)) {
		va = (void *)(device_next + offset);
		device_next += span + PAGE_SIZE; /* a gap, where overruns fault */
	}
	spin_unlock(&lock);
	machine_irq_restore(flags);
	return va;
}

void *machine_map_device(uint64_t pa, uint64_t size)
{
	return map_device(pa, size, PAGING_UC);
}

void *layout_map_framebuffer(uint64_t pa, uint64_t size)
{
	return map_device(pa, size, PAGING_WC);
}

int layout_map(uint64_t va, uint64_t pa, uint64_t size)
{
	uint64_t flags = machine_irq_save();

	spin_lock(&lock);
	int err = paging_map(va, pa, size, PAGING_W | PAGING_4K);
	spin_unlock(&lock);
	machine_irq_restore(flags);
	return err;
}

void layout_unmap(uint64_t va, uint64_t size)
{
	uint64_t flags = machine_irq_save();

	spin_lock(&lock);
	paging_unmap(va, size);
	spin_unlock(&lock);
	machine_irq_restore(flags);
}

uint64_t machine_virt_to_phys(const void *va)
{
	uint64_t v = (uint64_t)va;

	if (v >= (uint64_t)image_start && v < (uint64_t)image_end)
		return image_virt_to_phys(va);
	if (v >= DIRECT_MAP_BASE && v < DIRECT_MAP_BASE + DIRECT_MAP_SIZE)
		return v - DIRECT_MAP_BASE;

	uint64_t pa = paging_translate(v, NULL);

	BUG_ON(pa == PAGING_NONE);
	return pa;
}
