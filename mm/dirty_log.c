/* SPDX-License-Identifier: GPL-2.0-only */
/* The log itself: its bitmap, and what entries say to it; see dirty.h. */
#include "mm/dirty.h"

#include "mm/leaf.h"
#include "mm/rcu.h"

/* ---- the bitmap ----------------------------------------------------------------- */

static uint64_t log_words(uint64_t npages)
{
	return (npages + 63) / 64;
}

size_t dirty_log_size(uint64_t npages)
{
	return sizeof(struct dirty_log) + log_words(npages) * sizeof(uint64_t);
}

/* The n lowest bits, n up to 64. */
static uint64_t low_bits(uint64_t n)
{
	return n < 64 ? (1ul << n) - 1 : ~0ul;
}

struct dirty_log *dirty_log_alloc(enum mmu_dirty_style style, uint64_t npages, unsigned flags)
{
	struct dirty_log *log = port_obj_alloc(dirty_log_size(npages));

	if (!log)
		return NULL;
	log->style = style;
	log->eager = !(flags & MMU_DIRTY_NO_SPLIT);
	log->starting = !(flags & MMU_DIRTY_ALL_SET);
	log->npages = npages;
	for (uint64_t page = 0; page < npages; page += 64) {
		uint64_t all = flags & MMU_DIRTY_ALL_SET ? low_bits(npages - page) : 0;

		atomic_init(&log->word[page / 64], all);
	}
	return log;
}

static void word_mark(struct mmu_vm *vm, _Atomic uint64_t *word, uint64_t bits)
{
	/*
	 * Relaxed: who reads the bits and then the page has mmu_lock, or the flush
	 * of a clear, in between.
	 */
	uint64_t old = atomic_fetch_or_explicit(word, bits, memory_order_relaxed);

	stat_add(vm, dirty_logged, (uint64_t)__builtin_popcountl(bits & ~old));
}

void dirty_log_mark(struct mmu_vm *vm, struct dirty_log *log, uint64_t page, uint64_t n)
{
	uint64_t end = n < log->npages - page ? page + n : log->npages;

	while (page < end) {
		uint64_t room = 64 - page % 64, some = end - page < room ? end - page : room;

		word_mark(vm, &log->word[page / 64], low_bits(some) << (page % 64));
		page += some;
	}
}

void dirty_log_mark_bits(struct mmu_vm *vm, struct dirty_log *log, uint64_t page, uint64_t bits)
{
	unsigned shift = page % 64;

	word_mark(vm, &log->word[page / 64], bits << shift);
	if (shift && bits >> (64 - shift))
		word_mark(vm, &log->word[page / 64 + 1], bits >> (64 - shift));
}

static uint64_t word_take(_Atomic uint64_t *word, uint64_t mask, bool clear)
{
	/* Relaxed: see word_mark(). */
	return clear ? atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed) & mask :
		       atomic_load_explicit(word, memory_order_relaxed) & mask;
}

uint64_t dirty_log_bits(struct dirty_log *log, uint64_t page, uint64_t mask, bool clear)
{
	unsigned shift = page % 64;
	uint64_t bits = word_take(&log->word[page / 64], mask << shift, clear) >> shift;

	if (shift && mask >> (64 - shift))
		bits |= word_take(&log->word[page / 64 + 1], mask >> (64 - shift), clear)
			<< (64 - shift);
	return bits;
}

/* ---- what leaves say ------------------------------------------------------------ */

void dirty_fold(struct mmu_vm *vm, const struct mmu_format *fmt, gfn_t gfn, unsigned level,
		spte_t old, spte_t new)
{
	/* Relaxed: both it and what it counts change under mmu_lock for write. */
	if (!atomic_load_explicit(&vm->dirty_logs, memory_order_relaxed))
		return;
	const struct memslot *slot = memslot_find_any(vm, gfn);
	struct dirty_log *log = slot ? dirty_log_of(slot) : NULL;

	if (log && !log->starting && dirty_lost(dirty_marks(fmt, log), old, new))
		dirty_log_mark(vm, log, gfn - slot->base, level_pages(level));
}

void dirty_mark(struct mmu_vm *vm, gfn_t gfn)
{
	if (!atomic_load_explicit(&vm->dirty_logs, memory_order_relaxed))
		return;
	const struct memslot *slot = memslot_find_any(vm, gfn);
	struct dirty_log *log = slot ? dirty_log_of(slot) : NULL;

	if (log)
		dirty_log_mark(vm, log, gfn - slot->base, 1);
}

/* ---- the processor's log ---------------------------------------------------------- */

static void logged(struct mmu_vm *vm, gfn_t gfn)
{
	const struct memslot *slot = memslot_find(vm, gfn);
	struct dirty_log *log = slot ? dirty_log_of(slot) : NULL;

	if (log && log->style == MMU_DIRTY_PML)
		dirty_log_mark(vm, log, gfn - slot->base, 1);
}

/*
 * The leaf says the same by its Dirty bit, also while the processor's log is still on its
 * way here; so a bit that comes late is a page reported once too often, and no more.
 */
void mmu_dirty_logged(struct mmu_vcpu *vcpu, gpa_t gpa)
{
	rcu_enter(vcpu->vm, &vcpu->reader);
	logged(vcpu->vm, gpa >> PAGE_SHIFT);
	rcu_exit(vcpu->vm, &vcpu->reader);
}

bool mmu_dirty_pml_wanted(struct mmu_vm *vm)
{
	/* Relaxed: a processor that logs too early or too late changes nothing, see above. */
	return atomic_load_explicit(&vm->pml_logs, memory_order_relaxed);
}
