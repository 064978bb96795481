/* SPDX-License-Identifier: GPL-2.0-only */
/* Latency histograms; see latency.h. */
#include "mm/latency.h"

#include "mm/lock.h"
#include "mm/vm.h"

const char *mmu_op_name(enum mmu_op op)
{
	static const char *const names[MMU_OP_COUNT] = {
#define MMU_OP_NAME(NAME, name) [MMU_OP_##NAME] = name,
		MMU_OPS(MMU_OP_NAME)
#undef MMU_OP_NAME
	};

	return op < MMU_OP_COUNT ? names[op] : "?";
}

const char *mmu_latency_name(enum mmu_latency_kind kind)
{
	static const char *const names[MMU_LATENCY_COUNT] = {
#define MMU_LATENCY_NAME(NAME, name, help) [MMU_LATENCY_##NAME] = name,
		MMU_LATENCIES(MMU_LATENCY_NAME)
#undef MMU_LATENCY_NAME
	};

	return kind < MMU_LATENCY_COUNT ? names[kind] : "?";
}

/* ---- cells --------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ticks)
{
	unsigned log2 = 63u - (unsigned)__builtin_clzl(ticks | 1);

	return log2 < MMU_LATENCY_BUCKETS ? log2 : MMU_LATENCY_BUCKETS - 1;
}

static uint64_t get(const _Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

static void set(_Atomic uint64_t *cell, uint64_t value)
{
	atomic_store_explicit(cell, value, memory_order_relaxed);
}

/* By the only one who adds. */
static void cells_add(struct mmu_latency_cells *c, uint64_t ticks)
{
	unsigned b = bucket_of(ticks);

	set(&c->bucket[b], get(&c->bucket[b]) + 1);
	set(&c->sum, get(&c->sum) + ticks);
}

static void cells_add_atomic(struct mmu_latency_cells *c, uint64_t ticks)
{
	atomic_fetch_add_explicit(&c->bucket[bucket_of(ticks)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->sum, ticks, memory_order_relaxed);
}

static void cells_clear(struct mmu_latency_cells *c)
{
	for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++)
		set(&c->bucket[b], 0);
	set(&c->sum, 0);
}

/* ---- the worst -------------------------------------------------------------------- */

/* In place of the shortest; *least of the list that comes out. */
static void worst_put(struct latency_worst *w, const struct latency_event *e)
{
	unsigned at = 0;

	if (w->count < MMU_LATENCY_WORST)
		at = w->count++;
	else
		for (unsigned i = 1; i < MMU_LATENCY_WORST; i++)
			if (w->event[i].ticks < w->event[at].ticks)
				at = i;
	w->event[at] = *e;
	if (w->count < MMU_LATENCY_WORST)
		return;
	uint64_t least = w->event[0].ticks;

	for (unsigned i = 1; i < MMU_LATENCY_WORST; i++)
		least = w->event[i].ticks < least ? w->event[i].ticks : least;
	set(&w->least, least);
}

void latency_worst(struct mmu_vm *vm, enum mmu_latency_kind kind, const struct latency_event *e)
{
	struct latency_worst *w = &vm->latency.worst[kind];

	if (e->ticks <= get(&w->least))
		return;
	spin_lock(&vm->latency.lock);
	/* The list may have come up to it meanwhile. */
	if (e->ticks > get(&w->least))
		worst_put(w, e);
	spin_unlock(&vm->latency.lock);
}

/* ---- adding ------------------------------------------------------------------------ */

void latency_init(struct mmu_vm *vm)
{
	spin_init(&vm->latency.lock);
}

/* Emptied by their owner, who alone writes them. */
__attribute__((noinline)) static void cells_renew(struct mmu_latency_cells *c, uint64_t epoch)
{
	cells_clear(c);
	/* Release: pairs with the acquire in cells_sum(). */
	atomic_store_explicit(&c->epoch, epoch, memory_order_release);
}

bool latency_count_vcpu(struct mmu_vcpu *vcpu, enum mmu_latency_kind kind, uint64_t ticks)
{
	const struct latency_log *log = &vcpu->vm->latency;
	struct mmu_latency_cells *c = &vcpu->latency[kind];
	uint64_t epoch = get(&log->cells[kind].epoch);

	if (__builtin_expect(get(&c->epoch) != epoch, 0))
		cells_renew(c, epoch);
	cells_add(c, ticks);
	return ticks > get(&log->worst[kind].least);
}

void latency_add_excl(struct mmu_vm *vm, enum mmu_latency_kind kind, const struct latency_event *e)
{
	cells_add(&vm->latency.cells[kind], e->ticks);
	latency_worst(vm, kind, e);
}

void latency_add_shared(struct mmu_vm *vm, enum mmu_latency_kind kind,
			const struct latency_event *e)
{
	cells_add_atomic(&vm->latency.cells[kind], e->ticks);
	latency_worst(vm, kind, e);
}

/* ---- reading ------------------------------------------------------------------------- */

static void cells_sum(struct mmu_latency *out, const struct mmu_latency_cells *c, uint64_t epoch)
{
	/* Acquire: pairs with the release in cells_renew(). */
	if (atomic_load_explicit(&c->epoch, memory_order_acquire) != epoch)
		return;
	for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++) {
		uint64_t n = get(&c->bucket[b]);

		out->bucket[b] += n;
		out->count += n;
	}
	out->sum += get(&c->sum);
}

void latency_keep(struct mmu_vcpu *vcpu)
{
	struct mmu_latency_cells *all = vcpu->vm->latency.cells;

	for (unsigned kind = 0; kind < MMU_LATENCY_VCPU_COUNT; kind++) {
		const struct mmu_latency_cells *c = &vcpu->latency[kind];
		struct mmu_latency kept = { 0 };

		cells_sum(&kept, c, get(&all[kind].epoch));
		for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++)
			set(&all[kind].bucket[b], get(&all[kind].bucket[b]) + kept.bucket[b]);
		set(&all[kind].sum, get(&all[kind].sum) + kept.sum);
	}
}

static struct mmu_latency_event event_out(const struct latency_event *e)
{
	return (struct mmu_latency_event){
		.ticks = e->ticks, .when = e->when, .op = who_op(e->who), .gfn = who_gfn(e->who),
		.npages = e->npages, .with = who_op(e->with), .with_gfn = who_gfn(e->with),
	};
}

/* Longest first. */
static void worst_read(struct mmu_vm *vm, unsigned kind, bool reset, struct mmu_latency *out)
{
	struct latency_worst *w = &vm->latency.worst[kind];

	spin_lock(&vm->latency.lock);
	for (unsigned i = 0; i < w->count; i++) {
		unsigned at = out->worst_count++;

		for (; at && out->worst[at - 1].ticks < w->event[i].ticks; at--)
			out->worst[at] = out->worst[at - 1];
		out->worst[at] = event_out(&w->event[i]);
	}
	/* The longest is always on the list. */
	out->max = out->worst_count ? out->worst[0].ticks : 0;
	if (reset) {
		w->count = 0;
		set(&w->least, 0);
	}
	spin_unlock(&vm->latency.lock);
}

int mmu_latency_read(struct mmu_vm *vm, unsigned kind, bool reset, struct mmu_latency *out)
{
	struct mmu_latency_cells *all = vm->latency.cells;

	*out = (struct mmu_latency){ 0 };
	if (kind >= MMU_LATENCY_COUNT)
		return -EINVAL;
	mmu_write_lock(vm, MMU_OP_LATENCY, 0, 0);
	uint64_t epoch = get(&all[kind].epoch);

	cells_sum(out, &all[kind], epoch);
	for (struct mmu_vcpu *vcpu = vm->vcpus; vcpu && kind < MMU_LATENCY_VCPU_COUNT;
	     vcpu = vcpu->next)
		cells_sum(out, &vcpu->latency[kind], epoch);
	worst_read(vm, kind, reset, out);
	if (reset) {
		cells_clear(&all[kind]);
		set(&all[kind].epoch, epoch + 1);
	}
	mmu_write_unlock(vm);
	return 0;
}
