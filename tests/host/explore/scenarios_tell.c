/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging: what a guest tells its processor (INVLPG, loads of CR3), where nothing has to be done and
 * only a look under mmu_lock for read says so, beside those who make that untrue.
 *
 * An entry that changes maps page 1, then 2, 3 and so on.  So a vCPU that has read an entry and says so
 * must not read an older page after that than the entry named.
 */
#include "scenarios.h"
#include "shadow_scene.h"

#define TARGET(gfn)   (GVA(gfn) | P | W | A | D)
#define CHANGES       3u
/* Another root; only the top table is its own. */
#define L4_TWIN       25ul
/* A second 2M, by tables that take each other's place. */
#define HIGH          (1ul << 21)
#define HIGH_TABLE(n) (SPARE_GFN + 2 + (n))

static uint64_t page_of(uint64_t entry)
{
	return entry >> PAGE_SHIFT & (PAGES - 1);
}

/* In one of two ways. */
static void says_so(unsigned i, gva_t gva)
{
	if (explore_choose(2))
		vcpu_invlpg(i, gva);
	else
		vcpu_loads_cr3(i);
}

static void must_read(unsigned i, gva_t gva, uint64_t least)
{
	uint64_t value = vcpu_reads(i, gva);

	if (value < least)
		explore_fail("vCPU %u reads page %lu of 0x%lx, and has said that %lu is mapped", i,
			     value, gva, least);
}

/* Whoever changed it. */
static void believes(unsigned i, gva_t at, gva_t gva)
{
	for (unsigned n = 0; n < CHANGES; n++) {
		uint64_t seen = page_of(vcpu_reads(i, at));

		vcpu_reads(i, gva);
		says_so(i, gva);
		must_read(i, gva, seen);
	}
	vcpu_leaves(i);
}

static void changes(unsigned i, gva_t at, gva_t gva)
{
	for (uint64_t n = 2; n < 2 + CHANGES; n++) {
		vcpu_writes(i, at, TARGET(n));
		if (explore_choose(2))
			must_read(i, gva, n - 1);
		says_so(i, gva);
		must_read(i, gva, n);
	}
	vcpu_leaves(i);
}

/* ---- one entry, two processors that have it cached -------------------------------------------------- */

static void setup_cached(void)
{
	shadow_scene_open();
	load_entry(ENTRY(5), TARGET(1));
	for (unsigned i = 0; i < CPUS; i++) {
		EXPLORE_CHECK(vcpu_reads(i, GVA(5)) == 1);
		vcpu_leaves(i);
	}
}

static void changes_5(void)
{
	changes(0, ENTRY(5), GVA(5));
}

static void believes_5(void)
{
	believes(1, ENTRY(5), GVA(5));
}

const struct explore_scenario scenario_tell_entry = {
	.name = "tell-entry",
	.about = "a vCPU changes an entry, and both say so",
	.setup = setup_cached,
	.thread = { { "vcpu0", changes_5 }, { "vcpu1", believes_5 } },
	.finish = shadow_scene_close,
};

/* The table is open already; the other vCPU's next load of CR3 that finds nothing written in it closes it. */
static void setup_open(void)
{
	setup_cached();
	vcpu_writes(0, ENTRY(7), TARGET(7));
	vcpu_loads_cr3(1);
	EXPLORE_CHECK(vcpu_reads(0, GVA(5)) == 1);
}

static void changes_by_invlpg(void)
{
	for (uint64_t n = 2; n < 2 + CHANGES; n++) {
		vcpu_writes(0, ENTRY(5), TARGET(n));
		must_read(0, GVA(5), n - 1);
		vcpu_invlpg(0, GVA(5));
		must_read(0, GVA(5), n);
	}
	vcpu_leaves(0);
}

static void closes(void)
{
	for (unsigned n = 0; n < CHANGES; n++)
		vcpu_loads_cr3(1);
}

const struct explore_scenario scenario_tell_close = {
	.name = "tell-close",
	.about = "a vCPU changes an entry and says so by INVLPG, while another one closes the table",
	.setup = setup_open,
	.thread = { { "vcpu0", changes_by_invlpg }, { "vcpu1", closes } },
	.finish = shadow_scene_close,
};

/* As for an instruction that cannot be emulated: the shadows of the table go, and with them what others remember. */
static void changes_without_shadows(void)
{
	for (uint64_t n = 2; n < 2 + CHANGES; n++) {
		struct shadow_fault f = { .gva = ENTRY(n), .gpa = ENTRY(n) };

		vcpu_leaves(0);
		EXPLORE_CHECK(mmu_shadow_unprotect(&shadow_scene.cpu[0].mmu, &f));
		vcpu_writes(0, ENTRY(5), TARGET(n));
		says_so(0, GVA(5));
		must_read(0, GVA(5), n);
	}
	vcpu_leaves(0);
}

/* What vCPUs remember of tables, ours and the guest's, goes meanwhile. */
static void takes_tables(void)
{
	struct mmu_vm *vm = shadow_scene.vm;
	uint64_t changed;

	for (unsigned n = 0; n < 2; n++)
		switch (explore_choose(3)) {
		case 0:
			EXPLORE_CHECK(mmu_unmap(vm, L1_GFN, 1, MMU_MAY_BLOCK) == 0);
			break;
		case 1:
			EXPLORE_CHECK(mmu_migrate(vm, L1_GFN, 1, MMU_MAY_BLOCK, &changed) == 0);
			break;
		default:
			mmu_zap_all(vm);
			mmu_work_step(vm);
		}
}

const struct explore_scenario scenario_tell_zap = {
	.name = "tell-zap",
	.about = "a vCPU changes an entry, and both say so, while shadow tables go",
	.setup = setup_cached,
	.thread = { { "vcpu0", changes_without_shadows }, { "vcpu1", believes_5 },
		    { "zap", takes_tables } },
	.finish = shadow_scene_close,
};

/* ---- from one root to another --------------------------------------------------------------------- */

static void setup_twin(void)
{
	setup_cached();
	load_entry(GVA(L4_TWIN), GVA(L3_GFN) | P | W);
	vcpu_switches(0, GVA(L4_TWIN));
	EXPLORE_CHECK(vcpu_reads(0, GVA(5)) == 1);
	vcpu_leaves(0);
}

static void switches(void)
{
	for (unsigned n = 0; n < CHANGES; n++) {
		uint64_t seen = page_of(vcpu_reads(0, ENTRY(5)));

		vcpu_switches(0, GVA(n & 1 ? L4_TWIN : L4_GFN));
		must_read(0, GVA(5), seen);
	}
	vcpu_leaves(0);
}

static void changes_5_of_1(void)
{
	changes(1, ENTRY(5), GVA(5));
}

static void obsoletes(void)
{
	mmu_zap_all(shadow_scene.vm);
	mmu_work_step(shadow_scene.vm);
}

const struct explore_scenario scenario_tell_switch = {
	.name = "tell-switch",
	.about = "a vCPU goes to and fro between two roots over a table that another one changes",
	.setup = setup_twin,
	.thread = { { "vcpu0", switches }, { "vcpu1", changes_5_of_1 }, { "zap", obsoletes } },
	.finish = shadow_scene_close,
};

/* ---- what the hypervisor writes into tables that are closed ------------------------------------------ */

static void host_changes_6(void)
{
	for (uint64_t n = 2; n < 2 + CHANGES; n++) {
		uint64_t entry = TARGET(n);

		EXPLORE_CHECK(mmu_write_guest(shadow_scene.vm, ENTRY(6), &entry, 8) == 0);
	}
}

static void setup_closed(void)
{
	setup_cached();
	load_entry(ENTRY(6), TARGET(1));
	EXPLORE_CHECK(vcpu_reads(1, GVA(6)) == 1);
	vcpu_leaves(1);
}

static void believes_6(void)
{
	believes(1, ENTRY(6), GVA(6));
}

const struct explore_scenario scenario_tell_host = {
	.name = "tell-host",
	.about = "the hypervisor changes an entry beside one that a vCPU changes, and another vCPU says so",
	.setup = setup_closed,
	.thread = { { "host", host_changes_6 }, { "vcpu0", changes_5 }, { "vcpu1", believes_6 } },
	.finish = shadow_scene_close,
};

/* ---- a link ---------------------------------------------------------------------------------------- */

static void setup_link(void)
{
	shadow_scene_open();
	/* Each maps the page of its own number. */
	for (uint64_t n = 1; n < 2 + CHANGES; n++)
		load_entry(GVA(HIGH_TABLE(n)) + 3 * 8, TARGET(n));
	load_entry(GVA(L2_GFN) + 8, TARGET(HIGH_TABLE(1)));
	EXPLORE_CHECK(vcpu_reads(1, HIGH + GVA(3)) == 1);
	vcpu_leaves(1);
}

static void changes_link(void)
{
	for (uint64_t n = 2; n < 2 + CHANGES; n++) {
		vcpu_writes(0, GVA(L2_GFN) + 8, TARGET(HIGH_TABLE(n)));
		says_so(0, HIGH + GVA(3));
		must_read(0, HIGH + GVA(3), n);
	}
	vcpu_leaves(0);
}

static void believes_link(void)
{
	for (unsigned n = 0; n < CHANGES; n++) {
		uint64_t seen = page_of(vcpu_reads(1, GVA(L2_GFN) + 8));

		says_so(1, HIGH + GVA(3));
		must_read(1, HIGH + GVA(3), seen - HIGH_TABLE(0));
	}
	vcpu_leaves(1);
}

const struct explore_scenario scenario_tell_link = {
	.name = "tell-link",
	.about = "a vCPU links one table after the other, and both say so",
	.setup = setup_link,
	.thread = { { "vcpu0", changes_link }, { "vcpu1", believes_link } },
	.finish = shadow_scene_close,
};
