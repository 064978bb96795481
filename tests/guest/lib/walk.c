/* SPDX-License-Identifier: GPL-2.0-only */
/* See walk.h. */
#include "tests/guest/lib/walk.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/x86.h"

#define CPUID_80000001_EDX_1G (1u << 26)
#define ADDRESS_END 52 /* bits 62:52 are the software's with 4 levels, and reserved in PAE */

/* What the entries of the path allow together. */
struct rights {
	bool user, write, no_execute;
};

unsigned walk_physical_bits(void)
{
	static unsigned bits;

	if (!bits)
		bits = cpuid(0x80000000, 0).eax >= 0x80000008
			       ? cpuid(0x80000008, 0).eax & 0xff : 36;
	return bits;
}

uint64_t walk_reserved_bit(void)
{
	unsigned bits = walk_physical_bits();

	return bits < ADDRESS_END ? 1ull << bits : 0;
}

bool walk_has_1g(void)
{
	return cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_1G;
}

void walk_load_pdptes(struct walk_cpu *cpu)
{
	memcpy(cpu->pdpte, (void *)(uintptr_t)(cpu->cr3 & 0xffffffe0), sizeof(cpu->pdpte));
}

void walk_cpu_now(struct walk_cpu *cpu)
{
	*cpu = (struct walk_cpu){
		.cr0 = read_cr0(), .cr3 = read_cr3(), .cr4 = read_cr4(), .efer = rdmsr(MSR_EFER),
		.ac = read_flags() & RFLAGS_AC,
	};
}

static bool is_long(const struct walk_cpu *cpu)
{
	return cpu->efer & EFER_LME;
}

static bool is_64bit_entry(const struct walk_cpu *cpu)
{
	return cpu->cr4 & CR4_PAE;
}

static bool has_nx(const struct walk_cpu *cpu)
{
	return is_64bit_entry(cpu) && (cpu->efer & EFER_NXE);
}

static void fault(const struct walk_cpu *cpu, struct walk *w, uint32_t why)
{
	w->fault = true;
	w->error = why | (w->kind == ACCESS_WRITE ? PF_W : 0) | (w->user ? PF_U : 0);
	if (w->kind == ACCESS_FETCH && (has_nx(cpu) || (cpu->cr4 & CR4_SMEP)))
		w->error |= PF_I;
}

static uint64_t bits(unsigned high, unsigned low)
{
	return high < low ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

static bool is_leaf(const struct walk_cpu *cpu, unsigned level, uint64_t e)
{
	if (level == 1)
		return true;
	if (!(e & PTE_PS) || level == 4)
		return false;
	if (is_64bit_entry(cpu))
		return level == 2 || walk_has_1g();
	return cpu->cr4 & CR4_PSE;
}

static uint64_t reserved_bits(const struct walk_cpu *cpu, unsigned level, bool leaf)
{
	uint64_t mask = 0;

	if (!is_64bit_entry(cpu))
		return leaf && level == 2 ? 1ull << 21 : 0;
	mask |= bits(51, walk_physical_bits());
	if (!is_long(cpu))
		mask |= bits(62, 52);
	if (!has_nx(cpu))
		mask |= PTE_NX;
	if (level == 4 || (level == 3 && !leaf))
		mask |= PTE_PS;
	if (leaf && level > 1)
		mask |= level == 2 ? bits(20, 13) : bits(29, 13);
	return mask;
}

static bool is_allowed(const struct walk_cpu *cpu, const struct walk *w, const struct rights *r)
{
	if (w->kind == ACCESS_FETCH && r->no_execute && has_nx(cpu))
		return false;
	if (w->user)
		return r->user && (w->kind != ACCESS_WRITE || r->write);
	if (w->kind == ACCESS_WRITE && !r->write && (cpu->cr0 & CR0_WP))
		return false;
	if (!r->user)
		return true;
	if (w->kind == ACCESS_FETCH)
		return !(cpu->cr4 & CR4_SMEP);
	return !(cpu->cr4 & CR4_SMAP) || cpu->ac;
}

static unsigned shift_of(const struct walk_cpu *cpu, unsigned level)
{
	return 12 + (level - 1) * (is_64bit_entry(cpu) ? 9 : 10);
}

static uint64_t load(const struct walk_cpu *cpu, uint64_t at)
{
	return is_64bit_entry(cpu) ? *(volatile uint64_t *)at : *(volatile uint32_t *)at;
}

/* From the table at `table` of level `level` down. */
static void descend(const struct walk_cpu *cpu, struct walk *w, uint64_t table, unsigned level)
{
	struct rights r = { .user = true, .write = true };

	for (;; level--) {
		unsigned shift = shift_of(cpu, level);
		unsigned index = w->va >> shift & (is_64bit_entry(cpu) ? 511 : 1023);
		uint64_t at = table + index * w->entry_size, e = load(cpu, at);
		bool leaf = is_leaf(cpu, level, e);

		w->level = level;
		w->entry[w->steps++] = at;
		if (!(e & PTE_P)) {
			fault(cpu, w, 0);
			return;
		}
		if (e & reserved_bits(cpu, level, leaf)) {
			fault(cpu, w, PF_P | PF_RSVD);
			return;
		}
		r.user &= !!(e & PTE_U);
		r.write &= !!(e & PTE_W);
		r.no_execute |= is_64bit_entry(cpu) && (e & PTE_NX);
		if (leaf) {
			uint64_t inside = (1ull << shift) - 1;

			if (!is_allowed(cpu, w, &r))
				fault(cpu, w, PF_P);
			w->pa = (e & PTE_ADDR & ~inside) | (w->va & inside);
			return;
		}
		table = e & PTE_ADDR;
	}
}

void walk_predict(const struct walk_cpu *cpu, struct walk *w)
{
	w->fault = false;
	w->steps = 0;
	w->entry_size = is_64bit_entry(cpu) ? 8 : 4;
	if (!is_64bit_entry(cpu)) {
		descend(cpu, w, cpu->cr3 & 0xfffff000, 2);
	} else if (is_long(cpu)) {
		descend(cpu, w, cpu->cr3 & PTE_ADDR, 4);
	} else if (!(cpu->pdpte[w->va >> 30 & 3] & PTE_P)) {
		w->level = 3;
		fault(cpu, w, 0);
	} else {
		descend(cpu, w, cpu->pdpte[w->va >> 30 & 3] & PTE_ADDR, 2);
	}
}

void walk_commit(const struct walk *w)
{
	for (unsigned i = 0; i < w->steps; i++) {
		uint32_t set = PTE_A;

		if (i == w->steps - 1 && w->kind == ACCESS_WRITE)
			set |= PTE_D;
		*(volatile uint32_t *)w->entry[i] |= set;
	}
}
