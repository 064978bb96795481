/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest of the tests of shadow paging; see shadow_guest.h. */
#include "shadow_guest.h"

#include <string.h>

#include "hosted.h"
#include "ktap.h"
#include "mm/vm.h"

#define ARENA_BYTES (64ul << 20)
#define ADDRESS     0x000ffffffffff000ul

#define G_CR0_WP   (1ul << 16)
#define G_CR0_PG   (1ul << 31)
#define G_CR4_PSE  (1ul << 4)
#define G_CR4_PAE  (1ul << 5)
#define G_CR4_LA57 (1ul << 12)
#define G_EFER_NXE (1ul << 11)

struct guest sg;

const struct guest_variant guest_variants[] = {
	{ "shadow-4k", PG_LEVEL_4K, true },
	{ "shadow-2m", PG_LEVEL_2M, true },
	{ "shadow-4k-noad", PG_LEVEL_4K, false },
	{ "shadow-2m-noad", PG_LEVEL_2M, false },
};
const unsigned guest_variant_count = sizeof(guest_variants) / sizeof(guest_variants[0]);

unsigned guest_levels(void)
{
	static const unsigned levels[] = { 0, 2, 2, 3, 4, 5 };

	return levels[sg.mode];
}

unsigned guest_entry_size(void)
{
	return sg.mode <= GUEST_PSE ? 4 : 8;
}

unsigned guest_shift(unsigned level)
{
	return sg.mode <= GUEST_PSE ? (level == 1 ? 12 : 22) : 12 + 9 * (level - 1);
}

static uint64_t guest_index(gva_t gva, unsigned level)
{
	unsigned bits = sg.mode <= GUEST_PSE ? 10 : sg.mode == GUEST_PAE && level == 3 ? 2 : 9;

	return (gva >> guest_shift(level)) & ((1ul << bits) - 1);
}

uint64_t guest_get(gpa_t at)
{
	uint64_t entry = 0;

	CHECK_EQ(mmu_read_guest(sg.vm, at, &entry, guest_entry_size()), 0);
	return entry;
}

void guest_put(gpa_t at, uint64_t entry)
{
	unsigned size = guest_entry_size();

	if (!sg.running) {
		CHECK_EQ(mmu_write_guest(sg.vm, at, &entry, size), 0);
		return;
	}
	sg.cpu[0].user = false;
	struct shadow_outcome o = shadow_cpu_touch(&sg.cpu[0], WINDOW + at, ACC_W, size, &entry);

	CHECK_EQ(o.result, MMU_PF_FIXED);
}

gpa_t guest_entry_at(gva_t gva, unsigned level)
{
	gpa_t table = sg.top;

	for (unsigned l = guest_levels();; l--) {
		gpa_t at = table + guest_index(gva, l) * guest_entry_size();
		uint64_t entry;

		if (l == level)
			return at;
		entry = guest_get(at);
		if (!(entry & P) || (entry & PS))
			return GPA_INVALID;
		table = entry & ADDRESS;
	}
}

gfn_t guest_new_table(void)
{
	static const unsigned char zeros[PAGE_SIZE];
	gfn_t gfn = sg.next_table++;

	CHECK_EQ(mmu_write_guest(sg.vm, gfn << PAGE_SHIFT, zeros, sizeof(zeros)), 0);
	return gfn;
}

void guest_map(gva_t gva, gpa_t gpa, unsigned level, uint64_t flags)
{
	for (unsigned l = guest_levels(); l > level; l--) {
		gpa_t at = guest_entry_at(gva, l);
		bool pdpte = sg.mode == GUEST_PAE && l == 3;

		if (!(guest_get(at) & P))
			guest_put(at, guest_new_table() << PAGE_SHIFT | P | (pdpte ? 0 : W | U));
	}
	guest_put(guest_entry_at(gva, level), gpa | flags | (level > 1 ? PS : 0));
}

gpa_t guest_new_space(void)
{
	sg.top = guest_new_table() << PAGE_SHIFT;
	/* PAE's top entries are registers from the load of CR3 on: all there from the beginning. */
	for (unsigned i = 0; sg.mode == GUEST_PAE && i < 4; i++)
		guest_put(sg.top + i * 8, guest_new_table() << PAGE_SHIFT | P);
	for (gfn_t gfn = 0; gfn < GUEST_PAGES && sg.mode != GUEST_OFF; gfn++)
		guest_map(WINDOW + (gfn << PAGE_SHIFT), gfn << PAGE_SHIFT, 1, P | W);
	return sg.top;
}

void guest_load(struct shadow_cpu *cpu, gpa_t top)
{
	shadow_cpu_load(cpu, sg.cr0, top, sg.cr4, sg.efer);
}

/* ---- the VM ------------------------------------------------------------------------------ */

struct mmu_config guest_config(const struct guest_variant *v, enum guest_mode mode)
{
	return (struct mmu_config){
		.name = v->name,
		.format = MMU_FORMAT_SHADOW,
		.root_level = mode == GUEST_5L ? 5 : 4,
		.max_leaf_level = v->max_leaf_level,
		.hw_ad = v->hw_ad,
		.maxphyaddr = 46,
	};
}

void guest_open_config(const struct mmu_config *cfg, enum guest_mode mode)
{
	struct mmu_slot_desc slot = { .npages = GUEST_PAGES };

	hosted_reset(ARENA_BYTES);
	memset(&sg, 0, sizeof(sg));
	sg.cfg = *cfg;
	sg.mode = mode;
	sg.next_table = TABLES_GFN;
	sg.vm = mmu_vm_create(cfg);
	CHECK_EQ(mmu_slot_create(sg.vm, &slot), 0);
	sg.cr0 = CR0_PE | G_CR0_WP | (mode == GUEST_OFF ? 0 : G_CR0_PG);
	sg.cr4 = mode == GUEST_PSE ? G_CR4_PSE : mode >= GUEST_PAE ? G_CR4_PAE : 0;
	sg.cr4 |= mode == GUEST_5L ? G_CR4_LA57 : 0;
	sg.efer = mode >= GUEST_4L ? EFER_LONG | G_EFER_NXE : mode == GUEST_PAE ? G_EFER_NXE : 0;
	guest_new_space();
	for (unsigned i = 0; i < GUEST_CPUS; i++) {
		shadow_cpu_init(&sg.cpu[i], sg.vm, cfg->maxphyaddr, i);
		guest_load(&sg.cpu[i], sg.top);
	}
	sg.running = mode != GUEST_OFF;
}

void guest_open(const struct guest_variant *v, enum guest_mode mode)
{
	struct mmu_config cfg = guest_config(v, mode);

	guest_open_config(&cfg, mode);
}

void guest_audit(void)
{
	struct mmu_audit_report report;

	if (mmu_audit(sg.vm, &report))
		ktap_fail(__FILE__, __LINE__, "audit of %s in mode %d: %lu errors; %s",
			  sg.cfg.name, sg.mode, report.errors, report.first);
}

void guest_close(void)
{
	guest_audit();
	for (unsigned i = 0; i < GUEST_CPUS; i++)
		shadow_cpu_destroy(&sg.cpu[i]);
	mmu_vm_destroy(sg.vm);
	CHECK_EQ(hosted_pages_used(), 0);
	CHECK_EQ(hosted_objects_used(), 0);
}

struct mmu_stats guest_stats(void)
{
	struct mmu_stats stats;

	mmu_stats_read(sg.vm, &stats);
	return stats;
}

void guest_for_each(void (*fn)(const struct guest_variant *v, enum guest_mode mode))
{
	for (unsigned i = 0; i < guest_variant_count; i++)
		for (enum guest_mode mode = GUEST_32; mode < GUEST_MODES; mode++)
			fn(&guest_variants[i], mode);
}

/* ---- accesses -------------------------------------------------------------------------------- */

static struct shadow_outcome touch(gva_t gva, unsigned access, bool user, uint64_t *value)
{
	sg.cpu[0].user = user;
	struct shadow_outcome o = shadow_cpu_touch(&sg.cpu[0], gva, access, 8, value);

	sg.cpu[0].user = false;
	return o;
}

uint64_t guest_read(gva_t gva)
{
	uint64_t value = 0;
	struct shadow_outcome o = touch(gva, ACC_R, false, &value);

	if (o.result != MMU_PF_FIXED)
		ktap_fail(__FILE__, __LINE__, "%s, mode %d: reading 0x%lx gave %d, error 0x%x",
			  sg.cfg.name, sg.mode, gva, o.result, o.error);
	return value;
}

void guest_write(gva_t gva, uint64_t value)
{
	struct shadow_outcome o = touch(gva, ACC_W, false, &value);

	if (o.result != MMU_PF_FIXED)
		ktap_fail(__FILE__, __LINE__, "%s, mode %d: writing 0x%lx gave %d, error 0x%x",
			  sg.cfg.name, sg.mode, gva, o.result, o.error);
}

void guest_faults(gva_t gva, unsigned access, bool user, uint32_t error)
{
	uint64_t value = 0;
	struct shadow_outcome o = touch(gva, access, user, &value);

	if (o.result != MMU_PF_INJECT || o.error != error)
		ktap_fail(__FILE__, __LINE__, "%s, mode %d: access %u to 0x%lx gave %d, error 0x%x",
			  sg.cfg.name, sg.mode, access, gva, o.result, o.error);
}

bool guest_works(gva_t gva, unsigned access, bool user)
{
	uint64_t value = 0;

	return touch(gva, access, user, &value).result == MMU_PF_FIXED;
}
