/* SPDX-License-Identifier: GPL-2.0-only */
/* The VM of a scenario and its oracle; see scene.h. */
#include "scene.h"

#include <string.h>

#include "mm/vm.h"

struct scene scene;

struct mmu_config scene_config(unsigned max_leaf_level)
{
	struct mmu_config cfg = {
		.format = explore_choose(2) ? MMU_FORMAT_NPT : MMU_FORMAT_EPT,
		.max_leaf_level = (uint8_t)max_leaf_level,
		.fault_around = explore_choose(2) ? 8 : 1,
	};

	/* NPT has no choice. */
	cfg.hw_ad = cfg.format == MMU_FORMAT_NPT || explore_choose(2);
	cfg.pml = cfg.format == MMU_FORMAT_EPT && cfg.hw_ad && explore_choose(2);
	return cfg;
}

void scene_open(struct mmu_config cfg, unsigned cpus)
{
	static const char *const cpu_name[SCENE_CPUS] = { "vcpu0", "vcpu1", "vcpu2" };

	cfg.name = "scene";
	cfg.root_level = 4;
	cfg.maxphyaddr = 46;
	scene.cfg = cfg;
	scene.cpus = cpus;
	scene.pages = 0;
	scene.counter = 0;
	scene.vm = plain_mmu_vm_create(&scene.cfg);
	EXPLORE_CHECK(scene.vm);
	explore_name(scene.vm, sizeof(*scene.vm), "vm");
	explore_name(&scene.vm->mmu_lock, sizeof(scene.vm->mmu_lock), "mmu_lock");
	explore_name(&scene.vm->tlb_gen, sizeof(scene.vm->tlb_gen), "tlb_gen");
	explore_name(&scene.vm->slots, sizeof(scene.vm->slots), "slots");
	explore_name(&scene.vm->invalidate, sizeof(scene.vm->invalidate), "invalidate");
	explore_quiet(&scene.vm->counters, sizeof(scene.vm->counters));
	explore_quiet(&scene.vm->latency, sizeof(scene.vm->latency));
	explore_quiet(&scene.vm->holder, sizeof(scene.vm->holder));
	for (unsigned i = 0; i < cpus; i++) {
		fake_cpu_init(&scene.cpu[i], scene.vm, &scene.cfg, i);
		explore_name(&scene.cpu[i], sizeof(scene.cpu[i]), cpu_name[i]);
		explore_quiet(scene.cpu[i].mmu.latency, sizeof(scene.cpu[i].mmu.latency));
		scene.in_guest[i] = false;
	}
}

void scene_add_slot(unsigned id, gfn_t base, uint64_t npages)
{
	struct mmu_slot_desc slot = { .id = id, .base_gfn = base, .npages = npages };

	EXPLORE_CHECK(plain_mmu_slot_create(scene.vm, &slot) == 0);
}

void scene_audit(void)
{
	struct mmu_audit_report report;

	if (plain_mmu_audit(scene.vm, &report))
		explore_fail("audit: %lu errors; %s", report.errors, report.first);
}

void scene_close(void)
{
	scene_audit();
	for (unsigned i = 0; i < scene.cpus; i++)
		plain_mmu_vcpu_destroy(&scene.cpu[i].mmu);
	plain_mmu_vm_destroy(scene.vm);
}

void scene_work_and_close(void)
{
	plain_mmu_work_flush(scene.vm);
	scene_close();
}

struct mmu_stats scene_stats(void)
{
	struct mmu_stats stats;

	mmu_stats_read(scene.vm, &stats);
	return stats;
}

struct scene_page *scene_page(gfn_t gfn)
{
	for (unsigned i = 0; i < scene.pages; i++)
		if (scene.page[i].gfn == gfn)
			return &scene.page[i];
	EXPLORE_CHECK(scene.pages < SCENE_PAGES);
	struct scene_page *page = &scene.page[scene.pages++];

	*page = (struct scene_page){ .gfn = gfn, .word = page->words };
	return page;
}

void scene_same_page(gfn_t here, gfn_t there)
{
	scene_page(there)->word = scene_page(here)->word;
}

/* ---- the guest ---------------------------------------------------------------------------- */

/* What the mitigation is for: nobody ever executes through a huge leaf, or could. */
static void check_nx(unsigned cpu, gfn_t gfn)
{
	const struct fake_tlb_entry *e = &scene.cpu[cpu].tlb[gfn % FAKE_TLB_ENTRIES];

	if (scene.cfg.nx_huge_pages && e->level > PG_LEVEL_4K && (e->access & ACC_X))
		explore_fail("vCPU %u has an executable huge translation of gfn 0x%lx", cpu, gfn);
}

/* No other thread ran since the processor's access to the page. */
static void check_access(unsigned cpu, struct scene_page *page, unsigned access, uint64_t value,
			 bool walked)
{
	uint64_t *filled = &scene.filled[cpu][page->gfn % FAKE_TLB_ENTRIES];

	if (walked)
		*filled = explore_op_before_last();
	explore_note("vcpu%u %s gfn 0x%lx: 0x%lx", cpu, access & ACC_W ? "writes" : "reads",
		     page->gfn, value);
	if (*filled < page->revoked)
		explore_fail("vCPU %u uses a translation of gfn 0x%lx read at step %lu; what was "
			     "read before step %lu was invalidated, and that has returned",
			     cpu, page->gfn, *filled, page->revoked);
	if (page->forbidden & access)
		explore_fail("vCPU %u does at gfn 0x%lx what is forbidden: access %u", cpu, page->gfn,
			     access);
	check_nx(cpu, page->gfn);
	if (access & ACC_W) {
		page->word[cpu] = value;
		page->written = explore_now();
	} else if (value != page->word[cpu]) {
		explore_fail("vCPU %u reads 0x%lx at gfn 0x%lx, which holds 0x%lx", cpu, value,
			     page->gfn, page->word[cpu]);
	}
}

bool guest_try(unsigned cpu, gfn_t gfn, unsigned access, struct page_fault *pf)
{
	struct fake_cpu *c = &scene.cpu[cpu];
	struct scene_page *page = scene_page(gfn);
	uint64_t value = ++scene.counter << 8 | cpu;

	if (scene.in_guest[cpu] && fake_cpu_kicked(c))
		guest_leave(cpu);
	if (!scene.in_guest[cpu]) {
		EXPLORE_CHECK(fake_cpu_enter(c));
		scene.in_guest[cpu] = true;
	}
	uint64_t walks = c->walks;
	bool done = fake_cpu_access(c, gfn * PAGE_SIZE + cpu * 8, access, &value, pf);

	if (done)
		check_access(cpu, page, access, value, c->walks != walks);
	else
		guest_leave(cpu);
	return done;
}

void guest_leave(unsigned cpu)
{
	if (scene.in_guest[cpu])
		fake_cpu_exit(&scene.cpu[cpu]);
	scene.in_guest[cpu] = false;
}

static bool is_refusal(enum mmu_pf_result r)
{
	return r == MMU_PF_EMULATE || r == MMU_PF_PROTECTED;
}

enum mmu_pf_result guest_access(unsigned cpu, gfn_t gfn, unsigned access)
{
	struct scene_page *page = scene_page(gfn);
	struct page_fault pf;

	for (;;) {
		uint64_t changes = page->changes;

		if (guest_try(cpu, gfn, access, &pf))
			return MMU_PF_FIXED;
		enum mmu_pf_result r = mmu_page_fault(&scene.cpu[cpu].mmu, &pf);

		explore_note("vcpu%u fault at gfn 0x%lx: result %d", cpu, gfn, (int)r);
		EXPLORE_CHECK(r != MMU_PF_NOMEM || explore_deny);
		if (is_refusal(r)) {
			if (!(changes & 1) && page->changes == changes)
				explore_fail("vCPU %u is refused gfn 0x%lx, which is there", cpu, gfn);
			return r;
		}
		/* The next try is another time slice: this one may wait for somebody. */
		if (r != MMU_PF_FIXED)
			explore_yield();
	}
}
