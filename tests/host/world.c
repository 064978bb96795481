/* SPDX-License-Identifier: GPL-2.0-only */
/* The world that the tests of mm/ share; see world.h. */
#include "world.h"

#include "ktap.h"

#define ARENA_BYTES (64ul << 20)

const struct world_variant world_variants[] = {
	{ "ept-4k", MMU_FORMAT_EPT, 4, PG_LEVEL_4K, true },
	{ "ept-2m", MMU_FORMAT_EPT, 4, PG_LEVEL_2M, true },
	{ "ept-2m-noad", MMU_FORMAT_EPT, 4, PG_LEVEL_2M, false },
	{ "npt-4k", MMU_FORMAT_NPT, 4, PG_LEVEL_4K, true },
	{ "npt-2m", MMU_FORMAT_NPT, 4, PG_LEVEL_2M, true },
	{ "npt-2m-5level", MMU_FORMAT_NPT, 5, PG_LEVEL_2M, true },
};
const unsigned world_variant_count = sizeof(world_variants) / sizeof(world_variants[0]);

static const char *running;

void world_open_empty(struct world *w, const struct world_variant *v, uint64_t page_cap)
{
	hosted_reset(ARENA_BYTES);
	w->cfg = (struct mmu_config){
		.name = v->name,
		.format = v->format,
		.root_level = v->root_level,
		.max_leaf_level = v->max_leaf_level,
		.hw_ad = v->hw_ad,
		.maxphyaddr = 46,
		.page_cap = page_cap,
	};
	w->vm = mmu_vm_create(&w->cfg);
	for (unsigned i = 0; i < WORLD_CPUS; i++)
		fake_cpu_init(&w->cpu[i], w->vm, &w->cfg, i);
}

void world_open(struct world *w, const struct world_variant *v, uint64_t npages)
{
	struct mmu_slot_desc slot = { .npages = npages };

	world_open_empty(w, v, 0);
	CHECK_EQ(mmu_slot_create(w->vm, &slot), 0);
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
