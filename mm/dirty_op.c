/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dirty logs: get and clear; see dirty.h for where the truth lies.
 *
 * Cleaning goes in chunks, each under mmu_lock for write and in this order, so that a bit
 * that is returned as clean stays true:
 *
 *   clean the leaves (what they said goes to the bitmap) → flush → take the bits → unlock
 *
 * A write before the flush is in the leaf as it was found, or faults; one behind it makes the
 * new leaf dirty.  Between two chunks faults get in.
 */
#include "mm/dirty_op.h"

#include "mm/lock.h"
#include "mm/root.h"
#include "mm/shadow_range.h"
#include "mm/split.h"
#include "mm/walk.h"

/* Pages between two looks at the lock when nobody waits. */
#define DIRTY_STEP 512ul

int dirty_op_look(struct dirty_op *op)
{
	assert_held_read(&op->vm->mmu_lock);
	op->slot = memslot_by_id(op->vm, op->id);
	op->log = op->slot ? dirty_log_of(op->slot) : NULL;
	if (!op->log)
		return -ENOENT;
	if (!op->npages || op->first + op->npages < op->first ||
	    op->first + op->npages > op->log->npages)
		return -EINVAL;
	return 0;
}

static int op_check(struct dirty_op *op) EXCLUDES(op->vm->mmu_lock)
{
	struct mmu_reading r = { .op = op->what };

	mmu_read_lock(op->vm, &r);
	int err = dirty_op_look(op);

	mmu_read_unlock(op->vm, &r);
	return err;
}

/* 64 bits or fewer of a caller's bitmap, from bit pos on. */
static uint64_t op_mask(const struct dirty_op *op, uint64_t pos, uint64_t n)
{
	uint64_t all = n < 64 ? (1ul << n) - 1 : ~0ul;
	unsigned shift = pos % 64;

	if (!op->mask)
		return all;
	uint64_t bits = op->mask[pos / 64] >> shift;

	if (shift && shift + n > 64)
		bits |= op->mask[pos / 64 + 1] << (64 - shift);
	return bits & all;
}

static void op_report(struct dirty_op *op, uint64_t pos, uint64_t bits)
{
	unsigned shift = pos % 64;

	if (!op->out)
		return;
	op->out[pos / 64] |= bits << shift;
	if (shift && bits >> (64 - shift))
		op->out[pos / 64 + 1] |= bits >> (64 - shift);
}

/* The bits of pages [from, to) of the operation. */
static void op_take(struct dirty_op *op, uint64_t from, uint64_t to, bool clear)
{
	while (from < to) {
		uint64_t n = to - from < 64 ? to - from : 64;

		op_report(op, from, dirty_log_bits(op->log, op->first + from, op_mask(op, from, n),
						   clear));
		from += n;
	}
}

/* ---- cleaning --------------------------------------------------------------------- */

/* Is any page that the huge entry spans to be cleaned? */
static bool op_wants(const struct dirty_op *op, const struct leaf_run *run)
{
	gfn_t start = op->slot->base + op->first, end = start + op->npages;
	gfn_t from = run->gfn > start ? run->gfn : start;
	gfn_t to = run->gfn + level_pages(run->level);

	for (to = to < end ? to : end; from < to; from += 64)
		if (op_mask(op, from - start, to - from < 64 ? to - from : 64))
			return true;
	return false;
}

/* Bit i: entry i of the run is to be cleaned.  A run of 4K leaves lies in the operation. */
static uint64_t wanted(const struct dirty_op *op, const struct leaf_run *run)
{
	if (run->level > PG_LEVEL_4K)
		return op_wants(op, run);
	return op_mask(op, run->gfn - op->slot->base - op->first, run->count);
}

static inline void clean_leaf(struct leaf_run *run, unsigned i, uint64_t bits)
{
	spte_t old = spte_load(&run->cell[i]);

	if (spte_is_present(old) && (old.raw & bits))
		run_clear(run, i, bits);
}

static void clean_visit(struct range_walk *walk, struct leaf_run *run)
{
	const struct dirty_op *op = walk->ctx;
	uint64_t bits = dirty_cleaned(run->fmt, op->log, run->level);
	struct leaf_run r = *run; /* in registers: atomic operations do not make it be read again */

	if (r.fmt->ad && !(bits & r.fmt->dirty))
		run_keeps_used(&r);
	for (uint64_t left = wanted(op, run); left; left &= left - 1)
		clean_leaf(&r, (unsigned)__builtin_ctzl(left), bits);
	*run = r;
}

/* Pages from done on, as far as one step comes; returns how far, *wait when somebody waits. */
static uint64_t clean_step(struct dirty_op *op, uint64_t done, bool *wait)
	REQUIRES(op->vm->mmu_lock)
{
	uint64_t left = op->npages - done, n = left < DIRTY_STEP ? left : DIRTY_STEP;
	gfn_t start = op->slot->base + op->first + done;
	struct range_walk walk = {
		.vm = op->vm, .next = start, .end = start + n, .flags = MMU_MAY_BLOCK,
		.visit = clean_visit, .ctx = op,
	};

	assert_held_write(&walk.vm->mmu_lock);
	*wait = walk_step(&walk);
	n = walk.next - start;
	op_take(op, done, done + n, true);
	return done + n;
}

int dirty_op_clean(struct dirty_op *op)
{
	uint64_t done = 0;
	bool wait;
	int err;

	assert_held_write(&op->vm->mmu_lock);
	while (!(err = dirty_op_look(op))) {
		mmu_lock_about(op->vm, op->slot->base + op->first + done, op->npages - done);
		done = clean_step(op, done, &wait);
		if (done == op->npages)
			break;
		if (wait || walk_should_yield(op->vm))
			walk_yield(op->vm);
	}
	return err;
}

int dirty_op_split(struct dirty_op *op)
{
	struct mmu_reading r = { .op = op->what };
	gfn_t start = 0, end = 0;

	mmu_read_lock(op->vm, &r);
	int err = dirty_op_look(op);

	if (!err && op->log->eager) {
		start = op->slot->base + op->first;
		end = start + op->npages;
	}
	mmu_read_unlock(op->vm, &r);
	split_range(op->vm, start, end);
	return err;
}

static int clean(struct dirty_op *op)
{
	int err = dirty_op_split(op);

	if (err)
		return err;
	mmu_write_lock(op->vm, op->what, 0, 0);
	err = dirty_op_clean(op);
	mmu_write_unlock(op->vm);
	return err;
}

/* ---- looking --------------------------------------------------------------------------- */

/* What one leaf says, from it->next on and below the operation's end. */
static void peek_leaf(struct dirty_op *op, const struct tdp_iter *it)
{
	const struct mmu_format *fmt = it->root->fmt;
	gfn_t base = op->slot->base + op->first, end = it->gfn + level_pages(it->level);

	if (!format_is_leaf(fmt, it->old, it->level) ||
	    !(it->old.raw & dirty_marks(fmt, op->log)))
		return;
	for (gfn_t gfn = it->next; gfn < end && gfn < base + op->npages; gfn++)
		op_report(op, gfn - base, 1);
}

/* The same of neighbouring 4K leaves. */
static void peek_run(struct dirty_op *op, const struct tdp_iter *it, unsigned n)
{
	uint64_t marks = dirty_marks(it->root->fmt, op->log), said = 0;

	for (unsigned i = 0; i < n; i++) {
		spte_t leaf = spte_load(&it->cell[i]);

		said |= (uint64_t)(spte_is_present(leaf) && (leaf.raw & marks)) << i;
	}
	op_report(op, it->gfn - op->slot->base - op->first, said);
}

/* What the walk stands on: n entries of 4K, or one above. */
static void peek_visit(void *op, const struct tdp_iter *it, unsigned n)
{
	if (it->level > PG_LEVEL_4K)
		peek_leaf(op, it);
	else
		peek_run(op, it, n);
}

static void peek_root(struct dirty_op *op, const struct mmu_root *root, gfn_t start, gfn_t end)
{
	struct tdp_iter it;

	iter_begin(&it, root, start, end, 0);
	while (it.valid) {
		unsigned n = iter_run(&it);

		peek_visit(op, &it, n);
		if (it.level > PG_LEVEL_4K)
			iter_next(&it);
		else
			iter_skip(&it, n);
	}
}

/* What the leaves of pages [from, to) say. */
static void peek_leaves(struct dirty_op *op, uint64_t from, uint64_t to)
	REQUIRES_SHARED(op->vm->mmu_lock)
{
	gfn_t base = op->slot->base + op->first;
	struct mmu_vm *vm = op->vm;

	for_each_root(vm, root)
		peek_root(op, root, base + from, base + to);
	assert_held_read(&vm->mmu_lock);
	if (vm->shadow)
		shadow_look(vm, base + from, base + to, peek_visit, op);
}

static int peek(struct dirty_op *op)
{
	struct mmu_reading r = { .op = op->what };

	for (uint64_t done = 0, n; done < op->npages; done += n) {
		n = op->npages - done < DIRTY_STEP ? op->npages - done : DIRTY_STEP;
		mmu_read_lock(op->vm, &r);
		int err = dirty_op_look(op);

		if (!err) {
			peek_leaves(op, done, done + n);
			op_take(op, done, done + n, false);
			hold_note_read(op->vm, n);
		}
		mmu_read_unlock(op->vm, &r);
		if (err)
			return err;
		port_resched();
	}
	return 0;
}

int mmu_dirty_get(struct mmu_vm *vm, unsigned slot, uint64_t first, uint64_t npages, bool clear,
		  uint64_t *bitmap, uint64_t *dirty)
{
	struct dirty_op op = { .vm = vm, .id = slot, .what = MMU_OP_DIRTY_GET, .first = first,
			       .npages = npages };
	int err = op_check(&op);

	*dirty = 0;
	if (err)
		return err;
	/* The range is checked: as long a bitmap is the caller's to have. */
	op.out = bitmap;
	for (uint64_t i = 0; i < (npages + 63) / 64; i++)
		bitmap[i] = 0;
	err = clear ? clean(&op) : peek(&op);
	for (uint64_t i = 0; i < (npages + 63) / 64; i++)
		*dirty += (uint64_t)__builtin_popcountl(bitmap[i]);
	return err;
}

int mmu_dirty_clear(struct mmu_vm *vm, unsigned slot, uint64_t first, uint64_t npages,
		    const uint64_t *bitmap)
{
	struct dirty_op op = { .vm = vm, .id = slot, .what = MMU_OP_DIRTY_CLEAR, .first = first,
			       .npages = npages, .mask = bitmap };

	return clean(&op);
}
