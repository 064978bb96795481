/* SPDX-License-Identifier: GPL-2.0-only */
/* See emulate_world.h. */
#include "tests/host/emulate_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/ve.h"
#include "vmm/virt.h"

/* ---- a vCPU without a processor ------------------------------------------------- */

struct emulate_world ew;

static uint64_t fake_get_cr(struct vcpu *v, unsigned cr)
{
	return cr == 0 ? ew.cr0 : cr == 3 ? TABLE(4) : ew.cr4;
}

static uint64_t fake_get_efer(struct vcpu *v)
{
	return ew.efer;
}

static unsigned fake_get_cpl(struct vcpu *v)
{
	return ew.cpl;
}

static void fake_get_segment(struct vcpu *v, enum vm_seg seg, struct vm_segment *out)
{
	*out = ew.segments[seg];
}

static void fake_get_code(struct vcpu *v, struct vm_code *out)
{
	const struct vm_segment *cs = &ew.segments[SEG_CS];
	bool long_mode = (cs->attr & SEG_ATTR_L) && (ew.efer & EFER_LMA);

	*out = (struct vm_code){
		.cr0 = fake_get_cr(v, 0),
		.cr3 = fake_get_cr(v, 3),
		.cr4 = fake_get_cr(v, 4),
		.efer = ew.efer,
		.gva = long_mode ? v->regs.rip : (uint32_t)(cs->base + v->regs.rip),
		.size = long_mode ? 8 : cs->attr & SEG_ATTR_DB ? 4 : 2,
		.cpl = (uint8_t)ew.cpl,
	};
}

static void fake_pend_single_step(struct vcpu *v)
{
	ew.single_steps++;
}

static const struct virt_ops fake_ops = {
	.get_cr = fake_get_cr,
	.get_efer = fake_get_efer,
	.get_cpl = fake_get_cpl,
	.get_segment = fake_get_segment,
	.get_code = fake_get_code,
	.pend_single_step = fake_pend_single_step,
};
const struct virt_ops *virt = &fake_ops;

void vm_stop_report(struct vcpu *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ew.stopped, sizeof(ew.stopped), fmt, ap);
	va_end(ap);
}

void ve_deliver(struct vcpu *v)
{
	ew.ves++;
}

const char *exit_reason_name(enum exit_reason reason)
{
	return "fault";
}

void vcpu_skip(struct vcpu *v, unsigned len)
{
	v->regs.rip += len;
}

/* ---- a device that is memory --------------------------------------------------------- */

static bool device_read(struct vcpu *v, uint64_t offset, unsigned size, uint64_t *value)
{
	CHECK(offset + size <= sizeof(ew.device) && (size & (size - 1)) == 0 && size <= 8);
	*value = 0;
	memcpy(value, ew.device + offset, size);
	ew.reads++;
	return !ew.refuse;
}

static bool device_write(struct vcpu *v, uint64_t offset, unsigned size, uint64_t value)
{
	CHECK(offset + size <= sizeof(ew.device) && (size & (size - 1)) == 0 && size <= 8);
	CHECK_EQ(value & ~insn_mask(size), 0);
	memcpy(ew.device + offset, &value, size);
	ew.writes++;
	return !ew.refuse;
}

static const struct mmio_device the_device = {
	.base = DEVICE_GPA,
	.size = sizeof(ew.device),
	.read = device_read,
	.write = device_write,
};

const struct mmio_device *mmio_find(struct vcpu *v, gpa_t gpa)
{
	return gpa - DEVICE_GPA < sizeof(ew.device) ? &the_device : NULL;
}

/* ---- guest ------------------------------------------------------------------------------ */

void emulate_put(gpa_t gpa, const void *data, unsigned size)
{
	CHECK_EQ(mmu_write_guest(ew.world.vm, gpa, data, size), 0);
}

void emulate_map(gva_t gva, gpa_t gpa, uint64_t bits)
{
	uint64_t entry = gpa | bits;

	emulate_put(TABLE(1) + (gva >> 12 & 511) * 8, &entry, 8);
}

void emulate_open(void)
{
	world_open(&ew.world, &world_variants[0], 64);
	for (unsigned level = 4; level > 1; level--) {
		uint64_t entry = TABLE(level - 1) | PTE;
		unsigned index = BASE >> (12 + 9 * (level - 1)) & 511;

		emulate_put(TABLE(level) + index * 8, &entry, 8);
	}
	emulate_map(CODE, CODE_GPA, PTE);
	for (unsigned i = 0; i < 2; i++) {
		emulate_map(DEVICE + i * 0x1000, DEVICE_GPA + i * 0x1000, PTE);
		emulate_map(MEMORY + i * 0x1000, MEMORY_GPA + i * 0x1000, PTE);
	}
	memset(&ew.vcpu, 0, sizeof(ew.vcpu));
	memset(ew.segments, 0, sizeof(ew.segments));
	for (unsigned i = 0; i < SEG_COUNT; i++)
		ew.segments[i] = (struct vm_segment){ .attr = 0xc093, .limit = ~0u };
	ew.segments[SEG_CS].attr = 0xa09b;
	ew.vcpu.vm = &ew.vm;
	ew.vcpu.mmu.vm = ew.world.vm;
	ew.vcpu.regs.rip = CODE;
	ew.vcpu.regs.rflags = RFLAGS_FIXED;
	ew.cr0 = CR0_PE | CR0_PG | CR0_WP;
	ew.cr4 = CR4_PAE;
	ew.efer = EFER_LME | EFER_LMA | EFER_NXE;
	ew.cpl = ew.single_steps = ew.reads = ew.writes = 0;
	ew.refuse = false;
	ew.stopped[0] = '\0';
}

void emulate_code(const uint8_t *bytes, unsigned n)
{
	uint8_t page_end[INSN_MAX];

	memset(page_end, 0xcc, sizeof(page_end));
	memcpy(page_end, bytes, n);
	emulate_put(CODE_GPA, page_end, sizeof(page_end));
}

void emulate_touch(gpa_t gpa, unsigned access)
{
	struct page_fault pf = { .gpa = gpa, .access = (uint8_t)access };

	emulate_mmio(&ew.vcpu, &pf);
}

void emulate_write(gpa_t gpa)
{
	struct page_fault pf = { .gpa = gpa, .access = ACC_W, .present = true };

	CHECK(emulate_memory_write(&ew.vcpu, &pf));
}

void emulate_close(void)
{
	world_close(&ew.world);
}
