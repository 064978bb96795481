/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Grace periods by quiescent states; see rcu.h for why they are long enough.
 *
 * Two generations of dead things are kept: those that wait for an epoch to pass, and
 * those that came since.  One number per generation then does for all.  What has waited long enough
 * is freed a bounded number at a time, by whoever polls.
 */
#include "mm/rcu.h"

#include "mm/vm.h"

/* Most that is freed at once: what is left keeps until the next poll. */
#define RCU_STEP 32u

#define CHAIN_END 0ul

static bool dead_is_empty(const struct rcu_dead *dead)
{
	return dead->tables == CHAIN_END && !dead->objs;
}

/* All of them. */
static void dead_free(struct rcu_dead *dead)
{
	while (dead->tables != CHAIN_END) {
		hpa_t table = dead->tables;

		dead->tables = spte_load(spte_table(table)).raw;
		port_pages_free(table, 0);
	}
	while (dead->objs) {
		struct rcu_head *head = dead->objs;

		dead->objs = head->next;
		port_obj_free(head, head->size);
	}
}

/* From one list to the other, as many as one step may free. */
static void dead_take(struct rcu_dead *to, struct rcu_dead *from)
{
	unsigned n = 0;

	for (; from->tables != CHAIN_END && n < RCU_STEP; n++) {
		spte_cell_t *table = spte_table(from->tables);
		hpa_t next = spte_load(table).raw;

		spte_store(table, (spte_t){ to->tables });
		to->tables = from->tables;
		from->tables = next;
	}
	for (; from->objs && n < RCU_STEP; n++) {
		struct rcu_head *head = from->objs;

		from->objs = head->next;
		head->next = to->objs;
		to->objs = head;
	}
}

void rcu_init(struct mmu_vm *vm)
{
	struct mmu_rcu *rcu = &vm->rcu;

	atomic_init(&rcu->epoch, EPOCH_FIRST);
	spin_init(&rcu->lock);
}

void rcu_destroy(struct mmu_vm *vm)
{
	MM_BUG_ON(vm->rcu.readers);
	dead_free(&vm->rcu.ready);
	dead_free(&vm->rcu.waiting);
	dead_free(&vm->rcu.fresh);
}

void rcu_reader_add(struct mmu_vm *vm, struct rcu_reader *reader)
{
	struct mmu_rcu *rcu = &vm->rcu;

	atomic_init(&reader->epoch, EPOCH_OUTSIDE);
	spin_lock(&rcu->lock);
	reader->next = rcu->readers;
	rcu->readers = reader;
	spin_unlock(&rcu->lock);
}

void rcu_reader_remove(struct mmu_vm *vm, struct rcu_reader *reader)
{
	struct mmu_rcu *rcu = &vm->rcu;
	struct rcu_reader **link = &rcu->readers;

	spin_lock(&rcu->lock);
	while (*link != reader)
		link = &(*link)->next;
	*link = reader->next;
	spin_unlock(&rcu->lock);
}

void rcu_defer_table(struct mmu_vm *vm, hpa_t table)
{
	struct mmu_rcu *rcu = &vm->rcu;

	spin_lock(&rcu->lock);
	/* An address without flags: a reader that is inside takes it for an empty entry. */
	spte_store(spte_table(table), (spte_t){ rcu->fresh.tables });
	rcu->fresh.tables = table;
	spin_unlock(&rcu->lock);
}

void rcu_defer_obj(struct mmu_vm *vm, struct rcu_head *head, size_t size)
{
	struct mmu_rcu *rcu = &vm->rcu;

	head->size = size;
	spin_lock(&rcu->lock);
	head->next = rcu->fresh.objs;
	rcu->fresh.objs = head;
	spin_unlock(&rcu->lock);
}

/* W3 */
static bool readers_passed(const struct mmu_rcu *rcu, uint64_t tag)
{
	for (const struct rcu_reader *r = rcu->readers; r; r = r->next) {
		uint64_t epoch = atomic_load_explicit(&r->epoch, memory_order_seq_cst);

		if (epoch != EPOCH_OUTSIDE && epoch <= tag)
			return false;
	}
	return true;
}

/* One generation further, if the readers let us. */
static void rcu_advance(struct mmu_rcu *rcu) REQUIRES(rcu->lock)
{
	struct rcu_dead none = { 0 };

	if (dead_is_empty(&rcu->waiting) && !dead_is_empty(&rcu->fresh)) {
		rcu->waiting = rcu->fresh;
		rcu->fresh = none;
		/* W2 */
		rcu->tag = atomic_fetch_add_explicit(&rcu->epoch, 1, memory_order_seq_cst);
	}
	if (!dead_is_empty(&rcu->waiting) && readers_passed(rcu, rcu->tag)) {
		rcu->ready = rcu->waiting;
		rcu->waiting = none;
	}
}

bool rcu_poll(struct mmu_vm *vm)
{
	struct mmu_rcu *rcu = &vm->rcu;
	bool more = true;

	/* Twice: the generation that waited, and the one that came since. */
	for (unsigned i = 0; more && i < 2; i++) {
		struct rcu_dead done = { 0 };

		spin_lock(&rcu->lock);
		if (dead_is_empty(&rcu->ready))
			rcu_advance(rcu);
		dead_take(&done, &rcu->ready);
		more = !dead_is_empty(&rcu->ready) || !dead_is_empty(&rcu->waiting) ||
		       !dead_is_empty(&rcu->fresh);
		spin_unlock(&rcu->lock);
		dead_free(&done);
	}
	if (more)
		port_work_kick(vm);
	return more;
}
