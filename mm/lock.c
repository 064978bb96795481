/* SPDX-License-Identifier: GPL-2.0-only */
/* Taking mmu_lock with the clock in hand; see lock.h. */
#include "mm/lock.h"

#include "mm/event.h"

/* So many looks of a walk make one measurement. */
#define LOOKS 8u

/* Who has to wait, since when, and for whom. */
struct waiting {
	struct lock_wait told; /* first */
	struct mmu_vm *vm;
	bool reads, waited;
	uint64_t since, with;
};

static uint64_t get(const _Atomic uint64_t *who)
{
	/* Relaxed: a name for a report, complete in itself. */
	return atomic_load_explicit(who, memory_order_relaxed);
}

static void set(_Atomic uint64_t *who, uint64_t value)
{
	atomic_store_explicit(who, value, memory_order_relaxed);
}

static void wait_begins(struct lock_wait *told)
{
	struct waiting *w = (struct waiting *)told;
	const struct mmu_holder *h = &w->vm->holder;

	w->waited = true;
	w->since = port_clock();
	w->with = get(&h->who);
	if (!w->with)
		w->with = get(w->reads ? &h->coming : &h->reader);
	if (!w->with)
		w->with = who_make(MMU_OP_FAULT, 0);
}

/* ---- for write -------------------------------------------------------------------- */

NO_THREAD_SAFETY_ANALYSIS
static void lock_as(struct mmu_vm *vm, uint64_t who, uint64_t npages)
{
	struct waiting w = { .told.begins = wait_begins, .vm = vm };
	struct mmu_holder *h = &vm->holder;

	set(&h->coming, who);
	write_lock_told(&vm->mmu_lock, &w.told);
	uint64_t now = port_clock();

	set(&h->who, who);
	h->npages = npages;
	h->since = h->looked = now;
	h->looks = 0;
	if (!w.waited)
		return;
	struct latency_event e = { now - w.since, now, who, npages, w.with };

	latency_add_excl(vm, MMU_LATENCY_WRITE_WAIT, &e);
}

/* What has gone by since the last time, and from here on anew. */
static void note_looks(struct mmu_vm *vm, uint64_t now) REQUIRES(vm->mmu_lock)
{
	struct mmu_holder *h = &vm->holder;
	struct latency_event e = { now - h->looked, now, get(&h->who), h->npages, 0 };

	latency_add_excl(vm, MMU_LATENCY_YIELD, &e);
	h->looked = now;
	h->looks = 0;
}

NO_THREAD_SAFETY_ANALYSIS
static void unlock_at(struct mmu_vm *vm, uint64_t now)
{
	struct mmu_holder *h = &vm->holder;
	struct latency_event e = { now - h->since, now, get(&h->who), h->npages, 0 };

	latency_add_excl(vm, MMU_LATENCY_WRITE_HOLD, &e);
	if (h->looks)
		note_looks(vm, now);
	set(&h->who, 0);
	write_unlock(&vm->mmu_lock);
}

NO_THREAD_SAFETY_ANALYSIS
void mmu_write_unlock(struct mmu_vm *vm)
{
	uint64_t now = port_clock();

	event_note(vm, now);
	unlock_at(vm, now);
}

NO_THREAD_SAFETY_ANALYSIS
void mmu_write_lock(struct mmu_vm *vm, enum mmu_op op, gfn_t gfn, uint64_t npages)
{
	lock_as(vm, who_make(op, gfn), npages);
}

void mmu_lock_about(struct mmu_vm *vm, gfn_t gfn, uint64_t npages)
{
	assert_held_write(&vm->mmu_lock);
	set(&vm->holder.who, who_make(who_op(get(&vm->holder.who)), gfn));
	vm->holder.npages = npages;
}

NO_THREAD_SAFETY_ANALYSIS
void mmu_lock_yield(struct mmu_vm *vm)
{
	uint64_t who = get(&vm->holder.who), npages = vm->holder.npages;

	unlock_at(vm, port_clock());
	port_resched();
	lock_as(vm, who, npages);
}

bool mmu_lock_look(struct mmu_vm *vm)
{
	assert_held_write(&vm->mmu_lock);
	/* The clock costs as much as going on to the next entry. */
	if (++vm->holder.looks == LOOKS)
		note_looks(vm, port_clock());
	return rwlock_needbreak(&vm->mmu_lock) || port_need_resched();
}

/* ---- for read ------------------------------------------------------------------------ */

/* In the way is a writer, inside or waiting itself.  True: waited it was. */
NO_THREAD_SAFETY_ANALYSIS
static bool wait_for_writer(struct mmu_vm *vm, uint32_t writer, struct waiting *w)
{
	*w = (struct waiting){ .told.begins = wait_begins, .vm = vm, .reads = true };
	read_lock_wait(&vm->mmu_lock, writer, &w->told);
	return w->waited;
}

static struct latency_event reading_event(const struct mmu_reading *r, uint64_t since, uint64_t now)
{
	return (struct latency_event){ now - since, now, who_make(r->op, r->gfn), r->npages, 0 };
}

static void reading_waits(struct mmu_vm *vm, const struct mmu_reading *r, uint32_t writer)
	REQUIRES_SHARED(vm->mmu_lock)
{
	struct waiting w;

	if (!wait_for_writer(vm, writer, &w))
		return;
	struct latency_event e = reading_event(r, w.since, port_clock());

	e.with = w.with;
	latency_add_shared(vm, MMU_LATENCY_READ_WAIT, &e);
}

NO_THREAD_SAFETY_ANALYSIS
void mmu_read_lock(struct mmu_vm *vm, struct mmu_reading *r)
{
	uint32_t writer = read_lock_begin(&vm->mmu_lock);

	if (writer)
		reading_waits(vm, r, writer);
	r->since = port_clock();
	set(&vm->holder.reader, who_make(r->op, r->gfn));
}

/* Another reader that came later may have put its name there: then that stays. */
static void reader_leaves(struct mmu_vm *vm, const struct mmu_reading *r)
{
	uint64_t who = who_make(r->op, r->gfn);

	atomic_compare_exchange_strong_explicit(&vm->holder.reader, &who, 0, memory_order_relaxed,
						memory_order_relaxed);
}

NO_THREAD_SAFETY_ANALYSIS
void mmu_read_unlock(struct mmu_vm *vm, struct mmu_reading *r)
{
	struct latency_event e = reading_event(r, r->since, port_clock());

	reader_leaves(vm, r);
	latency_add_shared(vm, MMU_LATENCY_READ_HOLD, &e);
	read_unlock(&vm->mmu_lock);
}

/* ---- for read, by a vCPU's fault --------------------------------------------------------- */

/* The figures, and if it is worth it what it was. */
static void fault_add(struct mmu_vcpu *vcpu, enum mmu_latency_kind kind, uint64_t who,
		      uint64_t since, uint64_t with)
{
	uint64_t now = port_clock();
	struct latency_event e = { now - since, now, who, 1, with };

	if (latency_count_vcpu(&vcpu->vm->latency, vcpu, kind, e.ticks))
		latency_worst(vcpu->vm, kind, &e);
}

void mmu_fault_wait(struct mmu_vcpu *vcpu, uint64_t who, uint32_t writer)
{
	struct waiting w;

	if (!wait_for_writer(vcpu->vm, writer, &w))
		return;
	vcpu->waited_for = w.with;
	fault_add(vcpu, MMU_LATENCY_READ_WAIT, who, w.since, w.with);
}

void mmu_fault_held(struct mmu_vcpu *vcpu, uint64_t who, uint64_t since)
{
	fault_add(vcpu, MMU_LATENCY_READ_HOLD, who, since, 0);
}

void mmu_glance_lock(struct mmu_vm *vm)
{
	read_lock(&vm->mmu_lock);
}

void mmu_glance_unlock(struct mmu_vm *vm)
{
	read_unlock(&vm->mmu_lock);
}
