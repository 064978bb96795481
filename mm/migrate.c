/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page migration: another host page behind a gfn, with the same contents.
 *
 *   take new pages ─ zap and flush some gfns ─ copy ─ exchange the words ─ free the old ones
 *
 * All but the first under mmu_lock for write, a few pages at a time; nobody can write the
 * old page between flush and exchange.  Contents, protection, Accessed and Dirty stay.  A huge
 * page is broken, because its new pages lie here and there.
 */
#include "mm/backing.h"
#include "mm/cache.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/zap.h"

#define MIGRATE_STEP 32u

/* A step of that many pages can lie in two huge ones. */
#define MIGRATE_NODES 4u

struct migration {
	struct mmu_vm *vm;
	gfn_t next, end;
	uint64_t changed;
	unsigned count;              /* new pages in hand */
	hpa_t page[MIGRATE_STEP];
	struct mmu_cache spare;      /* for nodes */
};

/* Pages for the next step: as many as it could need. */
static int migrate_topup(struct migration *m)
{
	uint64_t left = m->end - m->next;
	unsigned want = left < MIGRATE_STEP ? (unsigned)left : MIGRATE_STEP;

	while (m->count < want) {
		hpa_t hpa = port_pages_alloc(0, 0);

		if (hpa == HPA_INVALID)
			break;
		m->page[m->count++] = hpa;
	}
	/* Fewer pages are a shorter step. */
	return m->count ? cache_topup(&m->spare, MIGRATE_NODES) : -ENOMEM;
}

static void copy_page(hpa_t to, hpa_t from)
{
	const uint64_t *src = port_hpa_to_va(from);
	uint64_t *dst = port_hpa_to_va(to);

	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*dst); i++)
		dst[i] = src[i];
}

static int migrate_one(struct migration *m, gfn_t gfn) REQUIRES(m->vm->mmu_lock)
{
	struct backing_page page;

	/* What is absent or ballooned has no page to exchange. */
	if (backing_lookup(m->vm, gfn, &page))
		return 0;
	if (backing_break(m->vm, gfn, &m->spare))
		return -ENOMEM;
	hpa_t old = (page.pfn.n + (gfn - page.gfn)) << PAGE_SHIFT;
	hpa_t new = m->page[--m->count];

	copy_page(new, old);
	MM_BUG_ON(backing_exchange(m->vm, gfn, new) != old);
	port_pages_free(old, 0);
	m->changed++;
	stat_add(m->vm, migrated, 1);
	return 0;
}

/* The gfns that the pages in hand are enough for. */
static int migrate_step(struct migration *m) REQUIRES(m->vm->mmu_lock)
{
	uint64_t left = m->end - m->next, n = left < m->count ? left : m->count;
	struct range_walk walk = zap_walk(m->vm, m->next, m->next + n, 0);
	struct invalidation inv;
	/* The slots may have changed while the lock was not held. */
	int err = memslot_check_ram(m->vm, m->next, left, 0);

	if (err)
		return err;
	invalidate_begin(m->vm, &inv, walk.next, walk.end);
	assert_held_write(&walk.vm->mmu_lock);
	walk_step(&walk);
	for (; m->next < walk.end && !err; m->next++)
		err = migrate_one(m, m->next);
	invalidate_end(m->vm, &inv);
	hold_note_write(m->vm, n);
	return err;
}

static int migrate_all(struct migration *m, unsigned flags) REQUIRES(m->vm->mmu_lock)
{
	int err = memslot_check_ram(m->vm, m->next, m->end - m->next, flags);

	while (!err && m->next < m->end) {
		if (flags & MMU_MAY_BLOCK) {
			mmu_write_unlock(m->vm);
			port_resched();
			err = migrate_topup(m);
			mmu_write_lock(m->vm, MMU_OP_MIGRATE, m->next, m->end - m->next);
		} else {
			/* Who may not let go of the lock allocates under it; that never sleeps. */
			err = migrate_topup(m);
		}
		if (!err)
			err = migrate_step(m);
	}
	return err;
}

int mmu_migrate(struct mmu_vm *vm, gfn_t gfn, uint64_t npages, unsigned flags, uint64_t *changed)
{
	struct migration m = { .vm = vm, .next = gfn, .end = gfn + npages };

	mmu_write_lock(m.vm, MMU_OP_MIGRATE, gfn, npages);
	int err = migrate_all(&m, flags);

	mmu_write_unlock(m.vm);
	while (m.count)
		port_pages_free(m.page[--m.count], 0);
	cache_drain(&m.spare);
	*changed = m.changed;
	return err;
}
