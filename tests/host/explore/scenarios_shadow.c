/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging: reverse maps against those who walk them without mmu_lock, and guests that change
 * their page tables beside each other.
 *
 * The guest has 4-level tables that map its 32 pages where they are, so that it edits them at their own
 * addresses; the lowest table is both in use and open to it.  A page carries its number in word 0.
 */
#include "mm/backing.h"
#include "mm/rmap.h"
#include "mm/vm.h"
#include "scenarios.h"
#include "tests/host/shadow_cpu.h"

#define CPUS      2u
#define PAGES     32u
#define L4_GFN    20ul
#define L3_GFN    21ul
#define L2_GFN    22ul
#define L1_GFN    23ul
#define SPARE_GFN 24ul /* becomes a table */

#define P (1ul << 0)
#define W (1ul << 1)
#define A (1ul << 5)
#define D (1ul << 6)

#define GVA(gfn)   ((gva_t)(gfn) << PAGE_SHIFT)
#define LEAF(gfn)  (GVA(gfn) | P | W | A | D)
#define ENTRY(i)   (GVA(L1_GFN) + 8ul * (i)) /* of the lowest table */

extern __typeof__(mmu_vm_create) plain_mmu_vm_create;
extern __typeof__(mmu_vm_destroy) plain_mmu_vm_destroy;
extern __typeof__(mmu_vcpu_destroy) plain_mmu_vcpu_destroy;
extern __typeof__(mmu_slot_create) plain_mmu_slot_create;
extern __typeof__(mmu_load_guest) plain_mmu_load_guest;
extern __typeof__(mmu_audit) plain_mmu_audit;
extern __typeof__(mmu_unmap) plain_mmu_unmap;
extern __typeof__(mmu_work_flush) plain_mmu_work_flush;
extern __typeof__(backing_lookup) plain_backing_lookup;

static struct mmu_config cfg;
static struct mmu_vm *vm;
static struct shadow_cpu cpu[CPUS];
static bool in_guest[CPUS];
static bool written[PAGES];

/* ---- the scene ------------------------------------------------------------------------------ */

static void load(gpa_t gpa, uint64_t value)
{
	EXPLORE_CHECK(plain_mmu_load_guest(vm, gpa, &value, 8) == 0);
}

static void load_tables(void)
{
	for (gfn_t gfn = 0; gfn < PAGES; gfn++) {
		if (gfn < L4_GFN)
			load(GVA(gfn), gfn);
		load(ENTRY(gfn), GVA(gfn) | P | W);
	}
	load(GVA(L4_GFN), GVA(L3_GFN) | P | W);
	load(GVA(L3_GFN), GVA(L2_GFN) | P | W);
	load(GVA(L2_GFN), GVA(L1_GFN) | P | W);
}

static void setup(void)
{
	static const char *const name[CPUS] = { "vcpu0", "vcpu1" };
	struct mmu_slot_desc slot = { .npages = PAGES };

	cfg = (struct mmu_config){ .name = "shadow", .format = MMU_FORMAT_SHADOW, .root_level = 4,
				   .max_leaf_level = PG_LEVEL_4K, .maxphyaddr = 46,
				   .hw_ad = explore_choose(2) };
	vm = plain_mmu_vm_create(&cfg);
	EXPLORE_CHECK(vm && plain_mmu_slot_create(vm, &slot) == 0);
	explore_name(vm, sizeof(*vm), "vm");
	explore_name(&vm->mmu_lock, sizeof(vm->mmu_lock), "mmu_lock");
	explore_quiet(&vm->counters, sizeof(vm->counters));
	load_tables();
	for (unsigned i = 0; i < CPUS; i++) {
		shadow_cpu_init(&cpu[i], vm, 46, i);
		explore_name(&cpu[i], sizeof(cpu[i]), name[i]);
		shadow_cpu_load(&cpu[i], 1ul << 31 | 1ul << 16 | CR0_PE, GVA(L4_GFN), 1ul << 5,
				EFER_LONG | 1ul << 11);
		in_guest[i] = false;
	}
	for (unsigned i = 0; i < PAGES; i++)
		written[i] = false;
}

static void leave(unsigned i)
{
	if (in_guest[i])
		shadow_cpu_exit(&cpu[i]);
	in_guest[i] = false;
}

static void stand_in(unsigned i)
{
	if (in_guest[i] && atomic_load(&cpu[i].kicked))
		leave(i);
	if (in_guest[i])
		return;
	EXPLORE_CHECK(shadow_cpu_enter(&cpu[i]));
	in_guest[i] = true;
}

/* The processor stays in guest mode until it is kicked or faults. */
static void guest_does(unsigned i, gva_t gva, unsigned access, uint64_t *value)
{
	for (;;) {
		struct shadow_fault f = { .gva = gva };

		stand_in(i);
		if (shadow_cpu_access(&cpu[i], gva, access, 8, value, &f.error))
			break;
		leave(i);
		enum mmu_pf_result r = mmu_shadow_fault(&cpu[i].mmu, &f);

		explore_note("vcpu%u fault at 0x%lx: result %d", i, gva, (int)r);
		if (r == MMU_PF_EMULATE && (access & ACC_W)) {
			EXPLORE_CHECK(mmu_write_guest(vm, f.gpa, value, 8) == 0);
			break;
		}
		EXPLORE_CHECK(r == MMU_PF_FIXED || r == MMU_PF_SPURIOUS || r == MMU_PF_RETRY);
		if (r != MMU_PF_FIXED)
			explore_yield();
	}
	if ((access & ACC_W) && gva >> PAGE_SHIFT < PAGES)
		written[gva >> PAGE_SHIFT] = true;
}

static uint64_t reads(unsigned i, gva_t gva)
{
	uint64_t value = 0;

	guest_does(i, gva, ACC_R, &value);
	return value;
}

static void writes(unsigned i, gva_t gva, uint64_t value)
{
	guest_does(i, gva, ACC_W, &value);
}

static void tells(unsigned i, gva_t gva)
{
	leave(i);
	shadow_cpu_invlpg(&cpu[i], gva);
}

static void loads_cr3(unsigned i)
{
	leave(i);
	shadow_cpu_flush(&cpu[i]);
}

static void finish(void)
{
	struct mmu_audit_report report;

	if (plain_mmu_audit(vm, &report))
		explore_fail("audit: %lu errors; %s", report.errors, report.first);
	plain_mmu_work_flush(vm);
	for (unsigned i = 0; i < CPUS; i++)
		plain_mmu_vcpu_destroy(&cpu[i].mmu);
	plain_mmu_vm_destroy(vm);
}

/* ---- ageing and zapping ------------------------------------------------------------------------ */

static void setup_mapped(void)
{
	setup();
	EXPLORE_CHECK(reads(0, GVA(5)) == 5 && reads(1, GVA(6)) == 6);
	leave(0);
	leave(1);
}

static void uses_pages(void)
{
	writes(0, GVA(5) + 8, 1);
	EXPLORE_CHECK(reads(0, GVA(5)) == 5);
	EXPLORE_CHECK(reads(0, GVA(6)) == 6);
	leave(0);
}

static void ages(void)
{
	uint64_t young;
	bool any;

	EXPLORE_CHECK(mmu_age(vm, 4, 4, &young) == 0 && young <= 4);
	EXPLORE_CHECK(mmu_test_age(vm, 5, 1, &any) == 0);
	EXPLORE_CHECK(mmu_age(vm, 5, 1, &young) == 0 && young <= 1);
}

static void zaps(void)
{
	EXPLORE_CHECK(mmu_unmap(vm, 5, 1, 0) == 0);
	EXPLORE_CHECK(mmu_unmap(vm, 4, 4, MMU_MAY_BLOCK) == 0);
}

/* With nothing mapped any more, the backing alone knows. */
NO_THREAD_SAFETY_ANALYSIS
static void finish_dirty(void)
{
	struct backing_page page;

	EXPLORE_CHECK(plain_mmu_unmap(vm, 0, PAGES, 0) == 0);
	read_lock(&vm->mmu_lock);
	for (gfn_t gfn = 0; gfn < L4_GFN; gfn++)
		if (written[gfn] && (plain_backing_lookup(vm, gfn, &page) || !page.dirty))
			explore_fail("that gfn 0x%lx was written is lost", gfn);
	read_unlock(&vm->mmu_lock);
	finish();
}

const struct explore_scenario scenario_shadow_age_zap = {
	.name = "shadow-age-zap",
	.about = "a vCPU without nested paging writes pages that are aged and zapped by rmaps",
	.setup = setup_mapped,
	.thread = { { "vcpu0", uses_pages }, { "age", ages }, { "zap", zaps } },
	.finish = finish_dirty,
};

/* The same page at three addresses: its rmap goes from one entry to many and back to none. */
static void setup_aliases(void)
{
	setup();
	load(ENTRY(7), GVA(5) | P | W);
	load(ENTRY(8), GVA(5) | P | W);
	EXPLORE_CHECK(reads(0, GVA(5)) == 5);
	leave(0);
}

static void maps_aliases(void)
{
	EXPLORE_CHECK(reads(0, GVA(7)) == 5);
	EXPLORE_CHECK(reads(0, GVA(8)) == 5);
	writes(0, GVA(7) + 8, 3);
	written[7] = false;
	written[5] = true;
	leave(0);
}

static void ages_one(void)
{
	uint64_t young;

	for (unsigned i = 0; i < 3; i++)
		EXPLORE_CHECK(mmu_age(vm, 5, 1, &young) == 0 && young <= 1);
}

const struct explore_scenario scenario_shadow_aliases = {
	.name = "shadow-aliases",
	.about = "a page is mapped at more and more addresses, aged and zapped",
	.setup = setup_aliases,
	.thread = { { "vcpu0", maps_aliases }, { "age", ages_one }, { "zap", zaps } },
	.finish = finish_dirty,
};

/* ---- tables that change ---------------------------------------------------------------------------- */

/* Each of two processors owns one entry of the table that both use. */
static void remaps(unsigned i, gfn_t own, gfn_t was, gfn_t other)
{
	writes(i, ENTRY(own), LEAF(other));
	uint64_t value = reads(i, GVA(own));

	if (value != was && value != other)
		explore_fail("vCPU %u reads page %lu where it mapped %lu or %lu", i, value, was,
			     other);
	if (i)
		tells(i, GVA(own));
	else
		loads_cr3(i);
	value = reads(i, GVA(own));
	if (value != other)
		explore_fail("vCPU %u reads page %lu where it has mapped %lu and said so", i, value,
			     other);
}

static void remaps_0(void)
{
	remaps(0, 5, 5, 9);
	loads_cr3(0);
	remaps(0, 5, 9, 10);
	leave(0);
}

static void remaps_1(void)
{
	remaps(1, 6, 6, 11);
	loads_cr3(1);
	remaps(1, 6, 11, 12);
	leave(1);
}

const struct explore_scenario scenario_shadow_sync = {
	.name = "shadow-sync",
	.about = "two vCPUs change their entries of one table, and say so by INVLPG and CR3",
	.setup = setup_mapped,
	.thread = { { "vcpu0", remaps_0 }, { "vcpu1", remaps_1 } },
	.finish = finish,
};

static void only_loads_cr3(void)
{
	for (unsigned n = 0; n < 4; n++) {
		loads_cr3(1);
		EXPLORE_CHECK(reads(1, GVA(6)) == 6);
	}
	leave(1);
}

const struct explore_scenario scenario_shadow_close = {
	.name = "shadow-close",
	.about = "a vCPU writes its table while another one's loads of CR3 close it",
	.setup = setup_mapped,
	.thread = { { "vcpu0", remaps_0 }, { "vcpu1", only_loads_cr3 } },
	.finish = finish,
};

/* A page that another processor writes becomes a table. */
static void makes_table(void)
{
	writes(0, GVA(L2_GFN) + 8, GVA(SPARE_GFN) | P | W | A);
	uint64_t value = reads(0, (1ul << 21) + GVA(3));

	EXPLORE_CHECK(value == 1 || value == 2);
	leave(0);
}

static void writes_table(void)
{
	uint64_t value;

	writes(1, GVA(SPARE_GFN) + 3 * 8, LEAF(2));
	/* Its own access may come before the other has linked the table. */
	if (!reads(1, GVA(L2_GFN) + 8))
		goto out;
	tells(1, (1ul << 21) + GVA(3));
	value = reads(1, (1ul << 21) + GVA(3));
	if (value != 2)
		explore_fail("vCPU 1 reads page %lu where it has mapped 2 and said so", value);
out:
	leave(1);
}

static void setup_spare(void)
{
	setup();
	load(GVA(SPARE_GFN) + 3 * 8, LEAF(1));
	writes(1, GVA(SPARE_GFN), 0);
	leave(1);
}

const struct explore_scenario scenario_shadow_protect = {
	.name = "shadow-protect",
	.about = "a page becomes a page table while another vCPU writes to it",
	.setup = setup_spare,
	.thread = { { "vcpu0", makes_table }, { "vcpu1", writes_table } },
	.finish = finish,
};

static void zaps_all(void)
{
	uint64_t changed;

	mmu_zap_all(vm);
	mmu_work_step(vm);
	EXPLORE_CHECK(mmu_migrate(vm, 5, 2, MMU_MAY_BLOCK, &changed) == 0);
	EXPLORE_CHECK(mmu_unmap(vm, 0, PAGES, MMU_MAY_BLOCK) == 0);
}

const struct explore_scenario scenario_shadow_zap_all = {
	.name = "shadow-zap-all",
	.about = "two vCPUs change their tables while all shadows, and a page, are exchanged",
	.setup = setup_mapped,
	.thread = { { "vcpu0", remaps_0 }, { "vcpu1", remaps_1 }, { "zap", zaps_all } },
	.finish = finish,
};

/* ---- rmaps by themselves ------------------------------------------------------------------------------ */

static struct rmap rmap;
static struct rmap_reserve reserve;
static spte_cell_t cells[4];

static void setup_rmap(void)
{
	rmap = (struct rmap){ 0 };
	EXPLORE_CHECK(rmap_reserve_fill(&reserve, 3) == 0);
	explore_name(&rmap, sizeof(rmap), "rmap");
}

/* As under mmu_lock: none, one, many, one, none, one. */
static void changes_rmap(void)
{
	rmap_add(&rmap, &cells[0], &reserve);
	rmap_add(&rmap, &cells[1], &reserve);
	rmap_remove(&rmap, &cells[0]);
	rmap_remove_only(&rmap, &cells[1]);
	rmap_add(&rmap, &cells[2], &reserve);
}

static void walks_rmap(void)
{
	for (unsigned n = 0; n < 3; n++) {
		uintptr_t word = rmap_lock_readonly(&rmap);

		for (struct rmap_cursor c = rmap_begin(word); c.cell; rmap_next(&c))
			EXPLORE_CHECK(c.cell >= cells && c.cell < cells + 4);
		rmap_unlock_readonly(&rmap, word);
	}
}

static void finish_rmap(void)
{
	EXPLORE_CHECK(rmap_word(&rmap) == (uintptr_t)&cells[2]);
	EXPLORE_CHECK(atomic_load(&rmap.word) == rmap_word(&rmap));
	rmap_reserve_drain(&reserve);
}

const struct explore_scenario scenario_rmap_walk = {
	.name = "rmap-walk",
	.about = "entries come and go in an rmap that two walk without mmu_lock",
	.setup = setup_rmap,
	.thread = { { "change", changes_rmap }, { "walk0", walks_rmap }, { "walk1", walks_rmap } },
	.finish = finish_rmap,
};
