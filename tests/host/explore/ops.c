/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on the VM of a scenario, each with what its begin and its return mean for the oracle; see
 * scene.h.  Between the two, a page that changes may be refused (changes is odd), and holds what it
 * did; from the return on, no translation from before the begin may be used.
 */
#include <string.h>

#include "scene.h"

void scene_revoke(gfn_t gfn, uint64_t npages, uint64_t since)
{
	for (unsigned i = 0; i < scene.pages; i++)
		if (scene.page[i].gfn - gfn < npages && scene.page[i].revoked < since)
			scene.page[i].revoked = since;
}

static void change_pages(gfn_t gfn, uint64_t npages)
{
	for (unsigned i = 0; i < scene.pages; i++)
		if (scene.page[i].gfn - gfn < npages)
			scene.page[i].changes++;
}

static void empty_pages(gfn_t gfn, uint64_t npages)
{
	for (unsigned i = 0; i < scene.pages; i++)
		if (scene.page[i].gfn - gfn < npages)
			memset(scene.page[i].word, 0, sizeof(scene.page[i].words));
}

void op_unmap(gfn_t gfn, uint64_t npages, unsigned flags)
{
	uint64_t begin = explore_now();

	explore_note("unmap of gfn 0x%lx + 0x%lx begins", gfn, npages);
	EXPLORE_CHECK(mmu_unmap(scene.vm, gfn, npages, flags) == 0);
	scene_revoke(gfn, npages, begin);
	explore_note("unmap is over");
}

/* Where memory can be short, once more; what went before that counts. */
static uint64_t balloon(bool out, gfn_t gfn, uint64_t npages, unsigned flags)
{
	uint64_t all = 0, changed;
	int err;

	do {
		err = out ? mmu_balloon_out(scene.vm, gfn, npages, flags, &changed) :
			    mmu_balloon_in(scene.vm, gfn, npages, flags, &changed);
		all += changed;
	} while (err == -ENOMEM && explore_deny);
	EXPLORE_CHECK(!err);
	return all;
}

void op_balloon(gfn_t gfn, uint64_t npages, unsigned flags)
{
	uint64_t begin = explore_now();

	change_pages(gfn, npages);
	explore_note("balloon takes gfn 0x%lx + 0x%lx", gfn, npages);
	EXPLORE_CHECK(balloon(true, gfn, npages, flags) == npages);
	scene_revoke(gfn, npages, begin);
	empty_pages(gfn, npages);
	explore_note("balloon has them");
	EXPLORE_CHECK(balloon(false, gfn, npages, flags) == npages);
	change_pages(gfn, npages);
}

static void forbid(gfn_t gfn, uint64_t npages, unsigned access)
{
	for (unsigned i = 0; i < scene.pages; i++)
		if (scene.page[i].gfn - gfn < npages)
			scene.page[i].forbidden = access;
}

void op_protect(gfn_t gfn, uint64_t npages, unsigned access)
{
	uint64_t begin = explore_now();
	unsigned flags = explore_choose(2) ? MMU_MAY_BLOCK : 0;

	change_pages(gfn, npages);
	explore_note("gfn 0x%lx + 0x%lx gets access %u", gfn, npages, access);
	EXPLORE_CHECK(mmu_protect(scene.vm, gfn, npages, access, flags) == 0);
	scene_revoke(gfn, npages, begin);
	forbid(gfn, npages, ACC_RWX & ~access);
	explore_note("that is so now");
	explore_yield();
	forbid(gfn, npages, 0);
	EXPLORE_CHECK(mmu_protect(scene.vm, gfn, npages, ACC_RWX, flags) == 0);
	change_pages(gfn, npages);
}

void op_migrate(gfn_t gfn, uint64_t npages, unsigned flags)
{
	uint64_t begin = explore_now(), changed = 0;

	explore_note("migration of gfn 0x%lx + 0x%lx begins", gfn, npages);
	EXPLORE_CHECK(mmu_migrate(scene.vm, gfn, npages, flags, &changed) == 0);
	/* What was not there has no page to be exchanged. */
	if (changed == npages)
		scene_revoke(gfn, npages, begin);
	explore_note("%lu pages are elsewhere now", changed);
}

void op_dirty_get(uint64_t first, uint64_t npages, bool clear)
{
	uint64_t bitmap = 0, dirty = 0;

	EXPLORE_CHECK(mmu_dirty_get(scene.vm, 0, first, npages, clear, &bitmap, &dirty) == 0);
	if (!clear)
		EXPLORE_CHECK(mmu_dirty_clear(scene.vm, 0, first, npages, &bitmap) == 0);
	explore_note("dirty from page %lu on: 0x%lx", first, bitmap);
	for (unsigned i = 0; i < scene.pages; i++) {
		uint64_t bit = scene.page[i].gfn - first;

		if (bit < npages && (bitmap & 1ul << bit))
			scene.page[i].reported = explore_now();
	}
}

void op_slot_delete(unsigned id, gfn_t base, uint64_t npages)
{
	uint64_t begin = explore_now();

	change_pages(base, npages);
	explore_note("slot %u goes", id);
	EXPLORE_CHECK(mmu_slot_delete(scene.vm, id) == 0);
	scene_revoke(base, npages, begin);
	forbid(base, npages, ACC_RWX);
	empty_pages(base, npages);
	explore_note("slot %u is gone", id);
}

void op_slot_create(unsigned id, gfn_t base, uint64_t npages)
{
	struct mmu_slot_desc slot = { .id = id, .base_gfn = base, .npages = npages };

	forbid(base, npages, 0);
	explore_note("slot %u comes", id);
	EXPLORE_CHECK(mmu_slot_create(scene.vm, &slot) == 0);
	change_pages(base, npages);
	explore_note("slot %u is there", id);
}

void op_slot_move(unsigned id, gfn_t from, gfn_t to, uint64_t npages)
{
	uint64_t begin = explore_now();

	change_pages(from, npages);
	explore_note("slot %u moves to gfn 0x%lx", id, to);
	EXPLORE_CHECK(mmu_slot_move(scene.vm, id, to) == 0);
	scene_revoke(from, npages, begin);
	change_pages(to, npages);
	explore_note("slot %u is there", id);
}

void op_slot_readonly(unsigned id, gfn_t base, uint64_t npages)
{
	uint64_t begin = explore_now();

	change_pages(base, npages);
	EXPLORE_CHECK(mmu_slot_set_flags(scene.vm, id, MMU_SLOT_READONLY) == 0);
	scene_revoke(base, npages, begin);
	forbid(base, npages, ACC_W);
	explore_note("slot %u is read-only", id);
	explore_yield();
	forbid(base, npages, 0);
	EXPLORE_CHECK(mmu_slot_set_flags(scene.vm, id, 0) == 0);
	change_pages(base, npages);
}

void op_copy(gfn_t gfn)
{
	struct scene_page *page = scene_page(gfn);
	uint64_t changes = page->changes, value = ++scene.counter << 8 | HOST_WORD, got = 0;
	gpa_t gpa = gfn * PAGE_SIZE + HOST_WORD * sizeof(value);
	int err = mmu_write_guest(scene.vm, gpa, &value, sizeof(value));

	if (!err)
		err = mmu_read_guest(scene.vm, gpa, &got, sizeof(got));
	explore_note("the host copied 0x%lx to gfn 0x%lx and back: 0x%lx, %d", value, gfn, got, err);
	/* Where the page may have gone meanwhile, zeroes are right, and so is an error. */
	if (changes & 1 || page->changes != changes)
		EXPLORE_CHECK(err || got == value || !got);
	else
		EXPLORE_CHECK(!err && got == value);
}

void op_work(unsigned steps)
{
	while (steps--) {
		explore_note("the worker does a step");
		mmu_work_step(scene.vm);
		explore_yield();
	}
}
