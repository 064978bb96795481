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

static void cells_add_atomic(struct mmu_latency_cells *c, uint64_t ticks)
{
	atomic_fetch_add_explicit(&c->bucket[latency_bucket(ticks)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->sum, ticks, memory_order_relaxed);
}

static void cells_clear(struct mmu_latency_cells *c)
{
	for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++)
		latency_set(&c->bucket[b], 0);
	latency_set(&c->sum, 0);
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
	latency_set(&w->least, least);
}

void latency_worst(struct mmu_vm *vm, enum mmu_latency_kind kind, const struct latency_event *e)
{
	struct latency_worst *w = &vm->latency.worst[kind];

	if (e->ticks <= latency_get(&w->least))
		return;
	spin_lock(&vm->latency.lock);
	/* The list may have come up to it meanwhile. */
	if (e->ticks > latency_get(&w->least))
		worst_put(w, e);
	spin_unlock(&vm->latency.lock);
}

/* ---- adding ------------------------------------------------------------------------ */

void latency_init(struct mmu_vm *vm)
{
	spin_init(&vm->latency.lock);
}

/* Emptied by their owner, who alone writes them. */
void latency_renew(struct mmu_latency_cells *c, uint64_t epoch)
{
	cells_clear(c);
	/* Release: pairs with the acquire in cells_sum(). */
	atomic_store_explicit(&c->epoch, epoch, memory_order_release);
}

void latency_add_excl(struct mmu_vm *vm, enum mmu_latency_kind kind, const struct latency_event *e)
{
	latency_cells_add(&vm->latency.cells[kind], e->ticks);
	if (e->ticks > latency_get(&vm->latency.worst[kind].least))
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
	/* Acquire: pairs with the release in latency_renew(). */
	if (atomic_load_explicit(&c->epoch, memory_order_acquire) != epoch)
		return;
	for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++) {
		uint64_t n = latency_get(&c->bucket[b]);

		out->bucket[b] += n;
		out->count += n;
	}
	out->sum += latency_get(&c->sum);
}

void latency_keep(struct mmu_vcpu *vcpu)
{
	struct mmu_latency_cells *all = vcpu->vm->latency.cells;

	for (unsigned kind = 0; kind < MMU_LATENCY_VCPU_COUNT; kind++) {
		const struct mmu_latency_cells *c = &vcpu->latency[kind];
		struct mmu_latency kept = { 0 };

		cells_sum(&kept, c, latency_get(&all[kind].epoch));
		for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++)
			latency_set(&all[kind].bucket[b], latency_get(&all[kind].bucket[b]) + kept.bucket[b]);
		latency_set(&all[kind].sum, latency_get(&all[kind].sum) + kept.sum);
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
		latency_set(&w->least, 0);
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
	uint64_t epoch = latency_get(&all[kind].epoch);

	cells_sum(out, &all[kind], epoch);
	for (struct mmu_vcpu *vcpu = vm->vcpus; vcpu && kind < MMU_LATENCY_VCPU_COUNT;
	     vcpu = vcpu->next)
		cells_sum(out, &vcpu->latency[kind], epoch);
	worst_read(vm, kind, reset, out);
	if (reset) {
		cells_clear(&all[kind]);
		latency_set(&all[kind].epoch, epoch + 1);
	}
	mmu_write_unlock(vm);
	return 0;
}
