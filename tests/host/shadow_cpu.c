/* SPDX-License-Identifier: GPL-2.0-only */
/* The hosted processor without nested paging; see shadow_cpu.h.  SDM vol. 3A, 4.4 to 4.7. */
#include "shadow_cpu.h"

#include <string.h>

#include "hosted.h"
#include "mm/port.h"

#define X_P    (1ul << 0)
#define X_W    (1ul << 1)
#define X_U    (1ul << 2)
#define X_A    (1ul << 5)
#define X_D    (1ul << 6)
#define X_PS   (1ul << 7)
#define X_NX   (1ul << 63)
#define X_ADDR 0x000ffffffffff000ul
#define X_HIGH 0x7ff0000000000000ul /* 62:52 */

#define R_CR0_PG   (1ul << 31)
#define R_CR4_PAE  (1ul << 5)
#define R_CR4_SMEP (1ul << 20)
#define R_CR4_SMAP (1ul << 21)
#define R_EFER_LMA (1ul << 10)

#define TOUCH_LIMIT 10000u

static void require(bool ok, const char *what)
{
	if (!ok)
		port_bug(__FILE__, __LINE__, what);
}

static void kick(struct mmu_vcpu *vcpu)
{
	atomic_store_explicit(&((struct shadow_cpu *)vcpu)->kicked, true, memory_order_relaxed);
}

static void flush(struct shadow_cpu *cpu)
{
	memset(cpu->tlb, 0, sizeof(cpu->tlb));
	for (unsigned i = 0; i <= PG_LEVEL_256T; i++)
		cpu->walk_table[i] = HPA_INVALID;
	cpu->flushes++;
}

void shadow_cpu_init(struct shadow_cpu *cpu, struct mmu_vm *vm, unsigned maxphyaddr, unsigned id)
{
	memset(cpu, 0, sizeof(*cpu));
	cpu->maxphyaddr = (uint8_t)maxphyaddr;
	hosted_hooks.kick = kick;
	/* What an earlier guest left behind: only the flush of the first entry removes it. */
	for (unsigned i = 0; i < SHADOW_TLB_ENTRIES; i++)
		cpu->tlb[i] = (struct shadow_tlb_entry){ true, true, 0xf, i, 0 };
	require(mmu_vcpu_init(vm, &cpu->mmu, id) == 0, "no memory for a vCPU");
	shadow_cpu_load(cpu, CR0_PE, 0, 0, 0);
}

void shadow_cpu_destroy(struct shadow_cpu *cpu)
{
	mmu_vcpu_destroy(&cpu->mmu);
}

/* ---- what the guest does to its registers ---------------------------------------------- */

static bool is_long(const struct shadow_cpu *cpu)
{
	return (cpu->regs.cr0 & R_CR0_PG) && (cpu->regs.efer & R_EFER_LMA);
}

void shadow_cpu_load(struct shadow_cpu *cpu, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
	cpu->regs = (struct mmu_paging_regs){ .cr0 = cr0, .cr3 = cr3, .cr4 = cr4, .efer = efer };
	if ((cr0 & R_CR0_PG) && (cr4 & R_CR4_PAE) && !is_long(cpu))
		(void)mmu_read_guest(cpu->mmu.vm, cr3 & 0xffffffe0ul, cpu->regs.pdpte,
				     sizeof(cpu->regs.pdpte));
	mmu_vcpu_set_paging(&cpu->mmu, &cpu->regs);
}

void shadow_cpu_flush(struct shadow_cpu *cpu)
{
	shadow_cpu_load(cpu, cpu->regs.cr0, cpu->regs.cr3, cpu->regs.cr4, cpu->regs.efer);
}

void shadow_cpu_invlpg(struct shadow_cpu *cpu, gva_t gva)
{
	mmu_vcpu_invlpg(&cpu->mmu, gva);
}

/* ---- entry ------------------------------------------------------------------------------- */

static void load_pdptes(struct shadow_cpu *cpu)
{
	_Atomic uint64_t *table = port_hpa_to_va(cpu->mmu.root);

	for (unsigned i = 0; i < 4; i++) {
		cpu->pdpte[i] = atomic_load(&table[i]);
		require(!(cpu->pdpte[i] & X_P) || !(cpu->pdpte[i] & ~(X_ADDR | X_P)),
			"PAE: reserved bits in a PDPTE");
	}
}

bool shadow_cpu_enter(struct shadow_cpu *cpu)
{
	enum mmu_enter enter = MMU_ENTER_RELOAD;

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
	if (mmu_vcpu_root_level(&cpu->mmu) == 3)
		load_pdptes(cpu);
	return true;
}

void shadow_cpu_exit(struct shadow_cpu *cpu)
{
	mmu_vcpu_exit(&cpu->mmu);
}

/* ---- the walk ------------------------------------------------------------------------------- */

static bool permits(const struct shadow_cpu *cpu, unsigned can, unsigned access)
{
	bool paged = cpu->regs.cr0 & R_CR0_PG;
	bool smep = paged && (cpu->regs.cr4 & R_CR4_SMEP), smap = paged && (cpu->regs.cr4 & R_CR4_SMAP);

	/* With CR0.WP set, which the hypervisor does, a write needs W from everybody. */
	if ((access & ACC_W) && !(can & ACC_W))
		return false;
	if ((access & ACC_X) && !(can & ACC_X))
		return false;
	if (cpu->user)
		return can & ACC_USER;
	if (!(can & ACC_USER))
		return true;
	return access & ACC_X ? !smep : !smap || cpu->ac;
}

static uint64_t checked(const struct shadow_cpu *cpu, uint64_t e, unsigned level)
{
	bool leaf = level == PG_LEVEL_4K || (e & X_PS);

	if (!(e & X_P))
		return e;
	require(!((e & X_ADDR) >> cpu->maxphyaddr), "an address beyond physical memory");
	require(is_long(cpu) || !(e & X_HIGH), "PAE: reserved bits in an entry");
	require(!leaf || level <= (is_long(cpu) ? PG_LEVEL_1G : PG_LEVEL_2M), "a leaf too large");
	require(!leaf || !(e & X_ADDR & (level_pages(level) * PAGE_SIZE - 1)),
		"a leaf that is not aligned");
	return e;
}

static unsigned access_of(uint64_t e)
{
	return ACC_R | (e & X_W ? ACC_W : 0) | (e & X_U ? ACC_USER : 0) | (e & X_NX ? 0 : ACC_X);
}

/* Where the walk begins: below what the caches know. */
static unsigned start_level(struct shadow_cpu *cpu, gva_t gva)
{
	unsigned top = mmu_vcpu_root_level(&cpu->mmu);

	if (top == 3) {
		uint64_t pdpte = cpu->pdpte[(gva >> 30) & 3];

		top = PG_LEVEL_2M;
		cpu->walk_table[top] = pdpte & X_P ? pdpte & X_ADDR : HPA_INVALID;
	} else {
		cpu->walk_table[top] = cpu->mmu.root;
	}
	cpu->walk_access[top] = ACC_RWX | ACC_USER;
	for (unsigned level = PG_LEVEL_4K; level < top; level++)
		if (cpu->walk_table[level] != HPA_INVALID &&
		    gva >> level_shift(level + 1) == cpu->walk_gva >> level_shift(level + 1))
			return level;
	return top;
}

static uint32_t error_code(const struct shadow_cpu *cpu, unsigned access, bool present)
{
	return (present ? 1u : 0) | (access & ACC_W ? 2u : 0) | (cpu->user ? 4u : 0) |
	       (access & ACC_X ? 16u : 0);
}

/* False: #PF. */
static bool walk(struct shadow_cpu *cpu, gva_t gva, unsigned access, struct shadow_tlb_entry *out,
		 uint32_t *error)
{
	unsigned level = start_level(cpu, gva);

	for (unsigned l = PG_LEVEL_4K; l < level; l++)
		cpu->walk_table[l] = HPA_INVALID;
	cpu->walk_gva = gva;
	cpu->walks++;
	*error = error_code(cpu, access, false);
	while (cpu->walk_table[level] != HPA_INVALID) {
		_Atomic uint64_t *table = port_hpa_to_va(cpu->walk_table[level]);
		_Atomic uint64_t *cell = &table[(gva >> level_shift(level)) % PT_ENTRIES];
		uint64_t e = checked(cpu, atomic_load_explicit(cell, memory_order_acquire), level);
		unsigned can = cpu->walk_access[level] & access_of(e);
		bool leaf = level == PG_LEVEL_4K || (e & X_PS);
		uint64_t marks = X_A | (leaf && (access & ACC_W) ? X_D : 0);

		if (!(e & X_P))
			return false;
		if (leaf && !permits(cpu, can, access)) {
			*error = error_code(cpu, access, true);
			return false;
		}
		if ((e & marks) != marks && !atomic_compare_exchange_strong(cell, &e, e | marks))
			continue;
		if (leaf) {
			hpa_t offset = gva & (level_pages(level) * PAGE_SIZE - 1) & PAGE_MASK;

			*out = (struct shadow_tlb_entry){ true, access & ACC_W, (uint8_t)can,
							  gva >> PAGE_SHIFT, (e & X_ADDR) + offset };
			return true;
		}
		cpu->walk_table[--level] = e & X_ADDR;
		cpu->walk_access[level] = (uint8_t)can;
	}
	return false;
}

static void move(void *p, unsigned access, unsigned size, uint64_t *value)
{
	if (size == 4 && (access & ACC_W))
		atomic_store_explicit((_Atomic uint32_t *)p, (uint32_t)*value, memory_order_relaxed);
	else if (size == 4)
		*value = atomic_load_explicit((_Atomic uint32_t *)p, memory_order_relaxed);
	else if (access & ACC_W)
		atomic_store_explicit((_Atomic uint64_t *)p, *value, memory_order_relaxed);
	else
		*value = atomic_load_explicit((_Atomic uint64_t *)p, memory_order_relaxed);
}

bool shadow_cpu_access(struct shadow_cpu *cpu, gva_t gva, unsigned access, unsigned size,
		       uint64_t *value, uint32_t *error)
{
	struct shadow_tlb_entry *e = &cpu->tlb[(gva >> PAGE_SHIFT) % SHADOW_TLB_ENTRIES];

	if (!is_long(cpu))
		gva &= 0xfffffffful;
	if (!e->valid || e->page != gva >> PAGE_SHIFT || !permits(cpu, e->access, access) ||
	    ((access & ACC_W) && !e->dirty)) {
		/* A translation that faulted is dropped, as processors do. */
		e->valid = false;
		if (!walk(cpu, gva, access, e, error)) {
			cpu->faults++;
			return false;
		}
	}
	move((unsigned char *)port_hpa_to_va(e->hpa) + (gva & ~PAGE_MASK), access, size, value);
	require((access & ACC_W) || *value != HOSTED_POISON, "the guest read a page that was freed");
	return true;
}

/* The instruction's access to gpa as the hypervisor does it; false: there is no memory. */
static bool emulate(struct shadow_cpu *cpu, gpa_t gpa, unsigned access, unsigned size,
		    uint64_t *value)
{
	cpu->emulated++;
	if (access & ACC_W)
		return !mmu_write_guest(cpu->mmu.vm, gpa, value, size);
	*value = 0;
	return !mmu_read_guest(cpu->mmu.vm, gpa, value, size);
}

struct shadow_outcome shadow_cpu_touch(struct shadow_cpu *cpu, gva_t gva, unsigned access,
				       unsigned size, uint64_t *value)
{
	struct shadow_outcome out = { .result = MMU_PF_NOMEM };

	for (unsigned n = 0; n < TOUCH_LIMIT; n++) {
		struct shadow_fault f = { .gva = gva, .ac = cpu->ac };

		if (!shadow_cpu_enter(cpu))
			return out;
		bool done = shadow_cpu_access(cpu, gva, access, size, value, &f.error);

		shadow_cpu_exit(cpu);
		if (done) {
			out.result = MMU_PF_FIXED;
			return out;
		}
		out.result = mmu_shadow_fault(&cpu->mmu, &f);
		out.gpa = f.gpa;
		out.error = f.inject;
		if (out.result == MMU_PF_EMULATE && emulate(cpu, f.gpa, access, size, value))
			out.result = MMU_PF_FIXED;
		else if (out.result == MMU_PF_FIXED || out.result == MMU_PF_SPURIOUS ||
			 out.result == MMU_PF_RETRY)
			continue;
		return out;
	}
	port_bug(__FILE__, __LINE__, "an access faults for ever");
}
