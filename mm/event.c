/* SPDX-License-Identifier: GPL-2.0-only */
/* The rings of what was done last; see event.h. */
#include "mm/event.h"

#include "mm/lock.h"

/* Not with the operations: what the guest's own accesses lead to, and what the worker looks for now and then. */
static enum mmu_event_ring ring_of(enum mmu_op op)
{
	static const uint8_t others[MMU_OP_COUNT] = {
		[MMU_OP_FAULT] = MMU_EVENTS_VCPUS, [MMU_OP_MMIO] = MMU_EVENTS_VCPUS,
		[MMU_OP_ROOT] = MMU_EVENTS_VCPUS, [MMU_OP_PAGING] = MMU_EVENTS_VCPUS,
		[MMU_OP_TABLE_WRITE] = MMU_EVENTS_VCPUS, [MMU_OP_TEARDOWN] = MMU_EVENTS_WORKER,
		[MMU_OP_RECOVER] = MMU_EVENTS_WORKER, [MMU_OP_NX_RECOVER] = MMU_EVENTS_WORKER,
	};

	return others[op];
}

/* Relaxed: changed under mmu_lock for write only, or a name that is complete in itself. */
static uint64_t get(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

void event_note(struct mmu_vm *vm, uint64_t now)
{
	uint64_t who = get(&vm->holder.who), npages = vm->holder.npages;
	struct event_ring *ring = &vm->events[ring_of(who_op(who))];
	struct event *e = &ring->event[(ring->count - 1) % MMU_EVENTS];

	assert_held_write(&vm->mmu_lock);
	if (e->who != who || e->npages != npages) {
		e = &ring->event[ring->count++ % MMU_EVENTS];
		e->who = who;
		e->npages = npages;
		e->times = 0;
	}
	e->when = now;
	e->tlb_gen = get(&vm->tlb_gen);
	e->times++;
}

static uint64_t tell(const struct event_ring *ring, void (*emit)(void *ctx, const struct mmu_event *e),
		     void *ctx)
{
	uint64_t n = ring->count < MMU_EVENTS ? 0 : ring->count - MMU_EVENTS;

	for (; n < ring->count; n++) {
		const struct event *e = &ring->event[n % MMU_EVENTS];
		struct mmu_event out = {
			.when = e->when, .op = who_op(e->who), .gfn = who_gfn(e->who),
			.npages = e->npages, .tlb_gen = e->tlb_gen, .times = e->times,
		};

		emit(ctx, &out);
	}
	return ring->count;
}

uint64_t mmu_events_in_panic(struct mmu_vm *vm, enum mmu_event_ring which,
			     void (*emit)(void *ctx, const struct mmu_event *e), void *ctx)
{
	return tell(&vm->events[which], emit, ctx);
}

/* Whoever is told may print it, which takes long. */
uint64_t mmu_events(struct mmu_vm *vm, enum mmu_event_ring which,
		    void (*emit)(void *ctx, const struct mmu_event *e), void *ctx)
{
	struct event_ring ring;

	mmu_glance_lock(vm);
	ring = vm->events[which];
	mmu_glance_unlock(vm);
	return tell(&ring, emit, ctx);
}

enum mmu_op mmu_lock_holder(struct mmu_vm *vm, gfn_t *gfn)
{
	uint64_t who = get(&vm->holder.who);

	*gfn = who_gfn(who);
	return who_op(who);
}
