/* SPDX-License-Identifier: GPL-2.0-only */
/* The world that the tests of mm/ share; see world.h. */
#include "world.h"

#include "ktap.h"
#include "mm/iter.h"

#define ARENA_BYTES (64ul << 20)

const struct world_variant world_variants[] = {
	{ "ept-4k", MMU_FORMAT_EPT, 4, PG_LEVEL_4K, true },
	{ "ept-2m", MMU_FORMAT_EPT, 4, PG_LEVEL_2M, true },
	{ "ept-2m-noad", MMU_FORMAT_EPT, 4, PG_LEVEL_2M, false },
	{ "npt-4k", MMU_FORMAT_NPT, 4, PG_LEVEL_4K, true },
	{ "npt-2m", MMU_FORMAT_NPT, 4, PG_LEVEL_2M, true },
	{ "npt-2m-noad", MMU_FORMAT_NPT, 4, PG_LEVEL_2M, false },
	{ "npt-2m-5level", MMU_FORMAT_NPT, 5, PG_LEVEL_2M, true },
};
const unsigned world_variant_count = sizeof(world_variants) / sizeof(world_variants[0]);

static const char *running;

struct mmu_config world_config(const struct world_variant *v)
{
	return (struct mmu_config){
		.name = v->name,
		.format = v->format,
		.root_level = v->root_level,
		.max_leaf_level = v->max_leaf_level,
		.hw_ad = v->hw_ad,
		.maxphyaddr = 46,
	};
}

void world_open_config(struct world *w, const struct mmu_config *cfg, uint64_t npages)
{
	struct mmu_slot_desc slot = { .npages = npages };

	hosted_reset(ARENA_BYTES);
	w->cfg = *cfg;
	w->vm = mmu_vm_create(&w->cfg);
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		fake_cpu_init(&w->cpu[i], w->vm, &w->cfg, i);
	if (npages)
		CHECK_EQ(mmu_slot_create(w->vm, &slot), 0);
}

void world_open_empty(struct world *w, const struct world_variant *v, uint64_t page_cap)
{
	struct mmu_config cfg = world_config(v);

	cfg.page_cap = page_cap;
	world_open_config(w, &cfg, 0);
}

void world_open(struct world *w, const struct world_variant *v, uint64_t npages)
{
	struct mmu_config cfg = world_config(v);

	world_open_config(w, &cfg, npages);
}

void world_audit(struct world *w)
{
	struct mmu_audit_report report;

	if (mmu_audit(w->vm, &report))
		ktap_fail(__FILE__, __LINE__, "audit of %s: %lu errors; %s", w->cfg.name,
			  report.errors, report.first);
}

void world_close(struct world *w)
{
	world_audit(w);
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		fake_cpu_destroy(&w->cpu[i]);
	mmu_vm_destroy(w->vm);
	CHECK_EQ(hosted_pages_used(), 0);
	CHECK_EQ(hosted_objects_used(), 0);
}

struct mmu_stats world_stats(struct world *w)
{
	struct mmu_stats stats;

	mmu_stats_read(w->vm, &stats);
	return stats;
}

void world_for_each(void (*fn)(const struct world_variant *v))
{
	for (unsigned i = 0; i < world_variant_count; i++) {
		running = world_variants[i].name;
		fn(&world_variants[i]);
	}
}

spte_t world_leaf(struct world *w, gfn_t gfn, unsigned *level)
{
	struct tdp_iter it;

	for (iter_begin(&it, w->vm->root, gfn, gfn + 1, 0); it.valid; iter_next(&it)) {
		*level = it.level;
		if (format_is_leaf(w->vm->fmt, it.old, it.level))
			return it.old;
	}
	return (spte_t){ 0 };
}

enum mmu_pf_result world_touch(struct world *w, gfn_t gfn, unsigned access)
{
	uint64_t value = 1;

	return fake_cpu_touch(&w->cpu[0], gfn * PAGE_SIZE, access, &value);
}

static void touch(struct world *w, gfn_t gfn, unsigned word, unsigned access, uint64_t *value)
{
	gpa_t gpa = gfn * PAGE_SIZE + word * 8;
	enum mmu_pf_result r = fake_cpu_touch(&w->cpu[0], gpa, access, value);

	if (r != MMU_PF_FIXED)
		ktap_fail(__FILE__, __LINE__, "%s: touching gfn 0x%lx gave %d", running, gfn, r);
}

uint64_t world_read(struct world *w, gfn_t gfn, unsigned word)
{
	uint64_t value = 0;

	touch(w, gfn, word, ACC_R, &value);
	return value;
}

void world_write(struct world *w, gfn_t gfn, unsigned word, uint64_t value)
{
	touch(w, gfn, word, ACC_W, &value);
}
