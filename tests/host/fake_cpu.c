/* SPDX-License-Identifier: GPL-2.0-only */
/* The hosted processor; see fake_cpu.h.  EPT: SDM vol. 3C, 29.3; NPT: APM vol. 2, 15.25. */
#include "fake_cpu.h"

#include <string.h>

#include "hosted.h"
#include "mm/port.h"

#define ENTRY_ADDRESS 0x000ffffffffff000ul
#define ENTRY_HUGE    (1ul << 7)

#define EPT_PERMISSIONS 0x7ul
#define EPT_TYPE_SHIFT  3
#define EPT_ACCESSED    (1ul << 8)
#define EPT_DIRTY       (1ul << 9)

#define NPT_PRESENT  (1ul << 0)
#define NPT_WRITE    (1ul << 1)
#define NPT_USER     (1ul << 2)
#define NPT_TYPE     (3ul << 3) /* PWT, PCD: PAT entry 3 is uncached */
#define NPT_ACCESSED (1ul << 5)
#define NPT_DIRTY    (1ul << 6)
#define NPT_NX       (1ul << 63)

static void kick(struct mmu_vcpu *vcpu)
{
	atomic_store_explicit(&((struct fake_cpu *)vcpu)->kicked, true, memory_order_relaxed);
}

static void flush(struct fake_cpu *cpu)
{
	memset(cpu->tlb, 0, sizeof(cpu->tlb));
	for (unsigned i = 0; i <= PG_LEVEL_256T; i++)
		cpu->walk_table[i] = HPA_INVALID;
	cpu->flushes++;
}

void fake_cpu_init(struct fake_cpu *cpu, struct mmu_vm *vm, const struct mmu_config *cfg,
		   unsigned id)
{
	memset(cpu, 0, sizeof(*cpu));
	cpu->cfg = *cfg;
	hosted_hooks.kick = kick;
	/* What an earlier guest left behind: only the flush of the first entry removes it. */
	for (unsigned i = 0; i < FAKE_TLB_ENTRIES; i++)
		cpu->tlb[i] = (struct fake_tlb_entry){ .valid = true, .level = PG_LEVEL_256T,
						       .access = ACC_RWX, .dirty = true };
	mmu_vcpu_init(vm, &cpu->mmu, id);
}

void fake_cpu_destroy(struct fake_cpu *cpu)
{
	mmu_vcpu_destroy(&cpu->mmu);
}

bool fake_cpu_enter(struct fake_cpu *cpu)
{
	enum mmu_enter enter = MMU_ENTER_RELOAD;

	/* A kick that comes after the entry must stay. */
	atomic_store_explicit(&cpu->kicked, false, memory_order_relaxed);
	if (cpu->mmu.root != HPA_INVALID)
		enter = mmu_vcpu_enter(&cpu->mmu);
	while (enter == MMU_ENTER_RELOAD) {
		if (mmu_vcpu_load_root(&cpu->mmu) == HPA_INVALID)
			return false;
		enter = mmu_vcpu_enter(&cpu->mmu);
	}
	if (enter == MMU_ENTER_FLUSH)
		flush(cpu);
	cpu->pml_on = cpu->cfg.pml && mmu_dirty_pml_wanted(cpu->mmu.vm);
	return true;
}

void fake_cpu_exit(struct fake_cpu *cpu)
{
	mmu_vcpu_exit(&cpu->mmu);
	while (cpu->pml_count)
		mmu_dirty_logged(&cpu->mmu, cpu->pml[--cpu->pml_count]);
}

bool fake_cpu_kicked(struct fake_cpu *cpu)
{
	return atomic_load_explicit(&cpu->kicked, memory_order_relaxed);
}

/* ---- what an entry means ---------------------------------------------------- */

struct decoded {
	bool present, leaf, reserved, uncached;
	unsigned access;
	hpa_t hpa;
};

static void require(bool ok, const char *what)
{
	if (!ok)
		port_bug(__FILE__, __LINE__, what);
}

static void decode_ept(uint64_t e, unsigned level, struct decoded *d)
{
	unsigned type = (e >> EPT_TYPE_SHIFT) & 7;

	d->present = e & EPT_PERMISSIONS;
	if (!d->present)
		return;
	/* The permission bits are in the order of ACC_R, ACC_W, ACC_X. */
	d->access = e & EPT_PERMISSIONS;
	d->reserved = (d->access & ACC_W) && !(d->access & ACC_R);
	if (d->reserved)
		return;
	d->leaf = level == PG_LEVEL_4K || (e & ENTRY_HUGE);
	d->uncached = type == 0;
	if (d->leaf)
		require(type == 6 || type == 0, "EPT: a leaf neither write-back nor uncached");
	else
		require(!(e & 0xf8), "EPT: reserved bits in a table entry");
}

static void decode_npt(uint64_t e, unsigned level, unsigned maxphyaddr, struct decoded *d)
{
	d->present = e & NPT_PRESENT;
	if (!d->present)
		return;
	d->access = ACC_R | (e & NPT_WRITE ? ACC_W : 0) | (e & NPT_NX ? 0 : ACC_X);
	d->reserved = (d->hpa >> maxphyaddr) != 0;
	if (d->reserved)
		return;
	d->uncached = (e & NPT_TYPE) == NPT_TYPE;
	require(e & NPT_USER, "NPT: an entry that a user access may not use");
	d->leaf = level == PG_LEVEL_4K || (e & ENTRY_HUGE);
}

static struct decoded decode(const struct fake_cpu *cpu, uint64_t e, unsigned level)
{
	struct decoded d = { .hpa = e & ENTRY_ADDRESS };

	if (cpu->cfg.format == MMU_FORMAT_EPT)
		decode_ept(e, level, &d);
	else
		decode_npt(e, level, cpu->cfg.maxphyaddr, &d);
	if (!d.present || d.reserved)
		return d;
	require(!(d.hpa >> cpu->cfg.maxphyaddr), "an address beyond physical memory");
	require(!d.leaf || level <= PG_LEVEL_1G, "a leaf above 1G");
	require(!d.leaf || !(d.hpa & (level_pages(level) * PAGE_SIZE - 1)),
		"a leaf that is not aligned");
	return d;
}

/* ---- the walk ------------------------------------------------------------------- */

/* Set A and, in a leaf for a write, D; false: the entry changed meanwhile. */
static bool mark_used(struct fake_cpu *cpu, _Atomic uint64_t *cell, uint64_t e, gpa_t gpa,
		      bool dirty)
{
	bool ept = cpu->cfg.format == MMU_FORMAT_EPT;
	uint64_t dirty_bit = ept ? EPT_DIRTY : NPT_DIRTY;
	uint64_t bits = (ept ? EPT_ACCESSED : NPT_ACCESSED) | (dirty ? dirty_bit : 0);
	uint64_t new = e | bits;

	if (!cpu->cfg.hw_ad || new == e)
		return true;
	if (!atomic_compare_exchange_strong(cell, &e, new))
		return false;
	if (cpu->pml_on && (new & ~e & dirty_bit)) {
		require(cpu->pml_count < FAKE_PML_ENTRIES, "the log is full: leave guest mode");
		cpu->pml[cpu->pml_count++] = gpa & PAGE_MASK;
	}
	return true;
}

/* The lowest level whose table is known without a walk. */
static unsigned start_level(struct fake_cpu *cpu, gfn_t gfn)
{
	unsigned top = cpu->cfg.root_level;

	cpu->walk_table[top] = cpu->mmu.root;
	for (unsigned level = PG_LEVEL_4K; level < top; level++)
		if (cpu->walk_table[level] != HPA_INVALID &&
		    level_gfn_base(gfn, level + 1) == level_gfn_base(cpu->walk_gfn, level + 1))
			return level;
	return top;
}

static void fill_fault(struct page_fault *pf, gpa_t gpa, unsigned access, const struct decoded *d)
{
	*pf = (struct page_fault){ .gpa = gpa, .access = (uint8_t)access, .present = d->present,
				   .reserved = d->reserved };
}

/* False: a fault. */
static bool walk(struct fake_cpu *cpu, gpa_t gpa, unsigned access, struct fake_tlb_entry *out,
		 struct page_fault *pf)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	unsigned level = start_level(cpu, gfn), allowed = ACC_RWX;

	for (unsigned l = PG_LEVEL_4K; l < level; l++)
		cpu->walk_table[l] = HPA_INVALID;
	cpu->walk_gfn = gfn;
	cpu->walks++;
	for (;;) {
		_Atomic uint64_t *table = port_hpa_to_va(cpu->walk_table[level]);
		_Atomic uint64_t *cell = &table[level_index(gfn, level)];
		uint64_t e = atomic_load_explicit(cell, memory_order_acquire);
		struct decoded d = decode(cpu, e, level);

		allowed &= d.access;
		if (!d.present || d.reserved || (access & ~allowed)) {
			fill_fault(pf, gpa, access, &d);
			return false;
		}
		if (!mark_used(cpu, cell, e, gpa, d.leaf && (access & ACC_W)))
			continue;
		if (d.leaf) {
			*out = (struct fake_tlb_entry){ true, access & ACC_W, (uint8_t)level, allowed,
							level_gfn_base(gfn, level), d.hpa,
							d.uncached };
			return true;
		}
		cpu->walk_table[--level] = d.hpa;
	}
}

static bool tlb_hit(const struct fake_cpu *cpu, const struct fake_tlb_entry *e, gfn_t gfn,
		    unsigned access)
{
	return e->valid && e->gfn == level_gfn_base(gfn, e->level) && !(access & ~e->access) &&
	       (!(access & ACC_W) || e->dirty || !cpu->cfg.hw_ad);
}

bool fake_cpu_access(struct fake_cpu *cpu, gpa_t gpa, unsigned access, uint64_t *value,
		     struct page_fault *pf)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	struct fake_tlb_entry *e = &cpu->tlb[gfn % FAKE_TLB_ENTRIES];

	cpu->accesses++;
	if (!tlb_hit(cpu, e, gfn, access)) {
		/* A translation that faulted is dropped, as processors do. */
		e->valid = false;
		if (!walk(cpu, gpa, access, e, pf)) {
			cpu->faults++;
			return false;
		}
	}
	hpa_t hpa = e->hpa + (gpa & (level_pages(e->level) * PAGE_SIZE - 1));
	_Atomic uint64_t *p = port_hpa_to_va(hpa);

	if (access & ACC_W) {
		atomic_store_explicit(p, *value, memory_order_relaxed);
		return true;
	}
	*value = atomic_load_explicit(p, memory_order_relaxed);
	require(*value != HOSTED_POISON, "the guest read a page that was freed");
	return true;
}

enum mmu_pf_result fake_cpu_touch(struct fake_cpu *cpu, gpa_t gpa, unsigned access,
				  uint64_t *value)
{
	struct page_fault pf;

	for (;;) {
		if (!fake_cpu_enter(cpu))
			return MMU_PF_NOMEM;
		bool done = fake_cpu_access(cpu, gpa, access, value, &pf);

		fake_cpu_exit(cpu);
		if (done)
			return MMU_PF_FIXED;
		enum mmu_pf_result result = mmu_page_fault(&cpu->mmu, &pf);

		if (result == MMU_PF_EMULATE || result == MMU_PF_PROTECTED ||
		    result == MMU_PF_NOMEM)
			return result;
	}
}
