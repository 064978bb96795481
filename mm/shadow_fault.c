/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A #PF of a guest whose tables are shadowed, from the error code to the installed leaf.
 *
 *   no lock    fill the reserves; walk the guest's tables as its processor would (gwalk.c): either
 *              they forbid the access and the guest gets #PF, or it has Accessed and Dirty set and
 *              a gpa; slot and backing say what lies there
 *   mmu_lock   down our tables by the same address: at each level first see that the guest's entry is
 *              still the one that was walked (its table is write-protected by now, unless
 *              it is of the lowest level), then take or make the page below; at last put in the leaf
 */
#include "mm/backing.h"
#include "mm/cache.h"
#include "mm/fault.h"
#include "mm/huge.h"
#include "mm/invalidate.h"
#include "mm/lock.h"
#include "mm/rmap_slot.h"
#include "mm/shadow.h"
#include "mm/tdp.h"

/* Attempts to let the guest write to one address itself, before we say that it does not work. */
#define UNPROTECT_LIMIT 4u

/* One fault on its way. */
struct shadow_map {
	struct mmu_vcpu *vcpu;
	struct shadow_fault *f;
	const struct gwalk *w;
	const struct memslot *slot;
	const struct backing_page *page;
	unsigned access;    /* ACC_*: what the guest permits now, with ACC_USER */
	unsigned pf_access; /* one of ACC_R, ACC_W, ACC_X */
	gfn_t gfn;
};

/* The largest leaf that the guest permits; without paging 2M, as its root's pages are of that level. */
static unsigned guest_level(const struct gwalk *w)
{
	return w->mode == GWALK_OFF ? PG_LEVEL_2M : w->level;
}

/* ---- the way down ---------------------------------------------------------------------- */

/* The guest's entry of a level again: after gwalk_path_check(). */
static uint64_t entry_now(const struct shadow_map *m, const struct shadow_page *page, unsigned i)
	REQUIRES(m->vcpu->vm->mmu_lock)
{
	const void *entry = m->w->path->entry[page->role.level];

	if (entry)
		return guest_entry(entry, 0, gwalk_modes[m->w->mode].entry_size);
	return shadow_read_gpte(page, guest_page_va(m->vcpu->vm, page->gfn), i);
}

/* Is the guest's entry still what was walked?  Then the page goes by it. */
static bool agrees(struct shadow_map *m, struct shadow_page *page, unsigned i)
	REQUIRES(m->vcpu->vm->mmu_lock)
{
	uint64_t gpte = m->w->path->gpte[page->role.level];
	struct mmu_vm *vm = m->vcpu->vm;

	assert_held_write(&vm->mmu_lock);
	if (page->role.direct)
		return true;
	if (entry_now(m, page, i) != gpte)
		return false;
	/* Where the reserve is empty, the next fault has it filled. */
	return (page->gpte && page->gpte[i] == gpte) || shadow_learn(m->vcpu, page, i, gpte);
}

/* What the page below entry i of page has to be. */
static gfn_t wanted_child(const struct shadow_map *m, const struct shadow_page *page, unsigned i,
			  union shadow_role *role)
{
	unsigned level = page->role.level;
	enum gwalk_mode_id mode = page->role.mode;

	if (level <= m->w->level || page->role.direct) {
		*role = (union shadow_role){ .level = level - 1, .direct = true,
					     .access = m->access };
		return level_gfn_base(m->gfn, level);
	}
	*role = page->role;
	role->level = level - 1;
	role->access = m->w->path->access[level];
	role->quadrant = gwalk_modes[mode].entry_size == 4 ? i & 1 : 0;
	return gwalk_decode(mode, level, 0, m->w->path->gpte[level]).address >> PAGE_SHIFT;
}

/* The page below entry i, linked; NULL: the reserve is empty. */
static struct shadow_page *child_of(struct shadow_map *m, struct shadow_page *page, unsigned i)
	REQUIRES(m->vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = m->vcpu->vm;
	spte_t spte = spte_load(shadow_cell(page, i));
	union shadow_role role;
	gfn_t gfn = wanted_child(m, page, i, &role);
	struct shadow_page *child = NULL;

	assert_held_write(&vm->mmu_lock);
	if (format_is_table(vm->fmt, spte, page->role.level))
		child = shadow_of_table(vm, format_hpa(vm->fmt, spte));
	if (child && child->gfn == gfn && child->role.word == role.word)
		return child;
	shadow_drop(vm, page, i);
	child = shadow_get(m->vcpu, gfn, role);
	if (child)
		shadow_link(m->vcpu, page, i, child);
	return child;
}

/* ---- the leaf ------------------------------------------------------------------------------ */

/* The largest leaf, as host and guest permit. */
static unsigned leaf_level(const struct shadow_map *m, const struct tdp_goal *goal)
{
	unsigned level = guest_level(m->w);

	return level < goal->max_level ? level : goal->max_level;
}

/* False: it writes to a table that must not be written unseen. */
static bool leaf_may_be_written(struct shadow_map *m, struct tdp_goal *goal)
	REQUIRES(m->vcpu->vm->mmu_lock)
{
	bool write = m->pf_access & ACC_W;
	struct mmu_vm *vm = m->vcpu->vm;

	assert_held_write(&vm->mmu_lock);
	if (!(goal->access & ACC_W) || shadow_may_write(m->vcpu, m->gfn, write))
		return true;
	goal->access &= ~(unsigned)ACC_W;
	return !write;
}

static enum mmu_pf_result put_leaf(struct shadow_map *m, struct shadow_page *page, unsigned i,
				   struct tdp_goal *goal) REQUIRES(m->vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = m->vcpu->vm;
	unsigned level = page->role.level;
	gfn_t gfn = level_gfn_base(m->gfn, level);

	assert_held_write(&vm->mmu_lock);
	if (level == PG_LEVEL_4K && !leaf_may_be_written(m, goal)) {
		m->f->memory_write = true;
		return MMU_PF_EMULATE;
	}
	spte_t leaf = tdp_leaf(vm, vm->fmt, goal, gfn, level, m->pf_access);

	leaf.raw |= m->access & ACC_USER ? vm->fmt->allow_u : 0;
	return shadow_set_leaf(m->vcpu, page, i, m->slot, gfn, leaf) ? MMU_PF_FIXED
								     : MMU_PF_SPURIOUS;
}

/*
 * Where the way down begins: at its end, if that is where the last fault came to and is still what the walk
 * asks for; pages of one gfn and role are interchangeable.  NULL: there is no way, the root has gone.
 */
static struct shadow_page *first_page(const struct shadow_map *m) REQUIRES(m->vcpu->vm->mmu_lock)
{
	const struct gwalk_path *path = m->w->path;
	struct shadow_page *page;

	assert_held_write(&m->vcpu->vm->mmu_lock);
	page = shadow_lowest(m->vcpu, m->f->gva);
	if (page && m->w->mode != GWALK_OFF && m->w->level == PG_LEVEL_4K && !page->role.direct &&
	    page->gfn == path->table[PG_LEVEL_4K] >> PAGE_SHIFT &&
	    page->role.access == path->access[PG_LEVEL_2M])
		return page;
	return shadow_root_is_usable(m->vcpu) ? shadow_root_page(m->vcpu, m->f->gva) : NULL;
}

static void remember_lowest(struct shadow_map *m, struct shadow_page *page)
	REQUIRES(m->vcpu->vm->mmu_lock)
{
	assert_held_write(&m->vcpu->vm->mmu_lock);
	if (page->role.level == PG_LEVEL_4K)
		m->vcpu->shadow->lowest = (struct shadow_lowest){
			.page = page, .ways = m->vcpu->vm->shadow->ways, .gva = m->f->gva,
		};
}

static enum mmu_pf_result map_down(struct shadow_map *m) REQUIRES(m->vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = m->vcpu->vm;

	assert_held_write(&vm->mmu_lock);
	struct shadow_page *page = first_page(m);
	struct tdp_goal goal = tdp_goal(vm, m->slot, m->page, m->gfn,
					memslot_access(m->slot) & m->page->access & m->access,
					m->pf_access);

	while (page) {
		unsigned i = shadow_index(m->f->gva, page->role.level);

		if (!agrees(m, page, i))
			return MMU_PF_RETRY;
		page->writes = 0;
		/* Tables that were made on the way may lie in what we were about to map. */
		if (goal.max_level > PG_LEVEL_4K)
			goal.max_level = (uint8_t)slot_huge_level(vm, m->slot, m->gfn,
								  goal.max_level);
		if (page->role.level == leaf_level(m, &goal)) {
			remember_lowest(m, page);
			return put_leaf(m, page, i, &goal);
		}
		page = child_of(m, page, i);
		if (!page)
			return MMU_PF_NOMEM;
	}
	/* PAE too: the root was loaded with other registers than were walked. */
	return MMU_PF_RETRY;
}

static enum mmu_pf_result map_page(struct shadow_map *m, uint64_t snapshot)
	REQUIRES(m->vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = m->vcpu->vm;
	const struct backing_page *page = m->page;

	assert_held_write(&vm->mmu_lock);
	if (invalidate_is_stale(vm, snapshot, page->gfn, page->gfn + level_pages(page->level)))
		return MMU_PF_RETRY;
	if (!(page->access & m->pf_access))
		return MMU_PF_PROTECTED;
	shadow_make_room(vm);
	gwalk_path_check(vm, m->w->path);
	enum mmu_pf_result result = map_down(m);

	shadow_settle(vm);
	return result;
}

/* A page that was fetched goes to the backing first; -ENOENT in *err: a smaller one is due. */
static enum mmu_pf_result map_locked(struct shadow_map *m, struct backing_fresh *fresh,
				     struct backing_page *page, uint64_t snapshot, int *err)
{
	mmu_write_lock(m->vcpu->vm, MMU_OP_FAULT, m->gfn, 1);
	if (fresh->hpa != HPA_INVALID)
		*err = backing_bring(m->vcpu->vm, &m->vcpu->cache, m->slot, m->gfn, fresh, page);
	enum mmu_pf_result result = *err ? fault_backing_error(*err) : map_page(m, snapshot);

	mmu_write_unlock(m->vcpu->vm);
	return result;
}

/* ---- without the lock ------------------------------------------------------------------------ */

static enum mmu_pf_result map(struct shadow_map *m, uint64_t snapshot)
{
	struct backing_fresh fresh = { .hpa = HPA_INVALID };
	struct mmu_vm *vm = m->vcpu->vm;
	enum mmu_pf_result result;
	struct backing_page page;
	int err;

	m->page = &page;
	if (!(memslot_access(m->slot) & m->pf_access))
		return MMU_PF_EMULATE;
	if (slot_rmaps_prepare(m->slot, m->gfn, guest_level(m->w)))
		return MMU_PF_NOMEM;
	do {
		err = backing_look(vm, m->slot, m->gfn, &page);
		if (err == -EFAULT)
			return MMU_PF_EMULATE;
		if (!(page.access & m->pf_access))
			return MMU_PF_PROTECTED;
		if (err)
			err = backing_fetch(vm, m->slot, m->gfn, page.level, &fresh);
		if (err)
			return fault_backing_error(err);
		result = map_locked(m, &fresh, &page, snapshot, &err);
		backing_drop(vm, &fresh);
	} while (err == -ENOENT);
	return result;
}

/*
 * CR0.WP is off, and the supervisor writes what is read-only: the processor, which has it on, gets a
 * leaf that only the supervisor may write.  A user's access faults on it and brings it
 * back to what it was.  It must not let the supervisor do what SMEP forbids; against SMAP
 * there is no such bit, so then the access is emulated.
 */
static bool grant_wp(const struct mmu_paging_regs *r, unsigned *access)
{
	if (*access & ACC_USER) {
		if (r->cr4 & CR4_SMAP)
			return false;
		*access &= ~(unsigned)(ACC_USER | (r->cr4 & CR4_SMEP ? ACC_X : 0));
	}
	*access |= ACC_W;
	return true;
}

static bool leaf_access_of(const struct mmu_vcpu *vcpu, const struct gwalk *w, unsigned *access)
{
	*access = w->mode == GWALK_OFF ? ACC_RWX | ACC_USER : w->path->access[w->level];
	if (w->write && !(*access & ACC_W) && !grant_wp(&vcpu->shadow->regs, access))
		return false;
	/* The first write comes here and sets Dirty. */
	if (!w->leaf_dirty)
		*access &= ~(unsigned)ACC_W;
	return true;
}

static enum mmu_pf_result walk_error(struct shadow_fault *f, const struct gwalk *w, int err)
{
	switch (err) {
	case -EFAULT:
		f->inject = w->pf_error;
		return MMU_PF_INJECT;
	case -EAGAIN:
		return MMU_PF_RETRY;
	case -EINVAL:
		/* Not canonical: no processor makes a #PF of that. */
		f->inject = f->error;
		return MMU_PF_INJECT;
	default:
		return MMU_PF_NOMEM;
	}
}

static enum mmu_pf_result fault_walked(struct mmu_vcpu *vcpu, struct shadow_fault *f,
				       const struct gwalk *w)
{
	struct mmu_vm *vm = vcpu->vm;
	struct shadow_map m = { .vcpu = vcpu, .f = f, .w = w, .gfn = w->gpa >> PAGE_SHIFT };
	enum mmu_pf_result result = MMU_PF_EMULATE;

	f->gpa = w->gpa;
	m.pf_access = w->write ? ACC_W : w->fetch ? ACC_X : ACC_R;
	if (!leaf_access_of(vcpu, w, &m.access)) {
		f->memory_write = true;
		return MMU_PF_EMULATE;
	}
	rcu_enter(vm, &vcpu->reader);
	uint64_t snapshot = invalidate_snapshot(vm);

	m.slot = memslot_find_again(vcpu, m.gfn);
	if (m.slot)
		result = map(&m, snapshot);
	rcu_exit(vm, &vcpu->reader);
	return result;
}

static enum mmu_pf_result fault(struct mmu_vcpu *vcpu, struct shadow_fault *f)
{
	const struct mmu_paging_regs *r = &vcpu->shadow->regs;
	struct gwalk w;

	/* One by one: the outcome need not be zeroed. */
	w.cr0 = r->cr0;
	w.cr3 = r->cr3;
	w.cr4 = r->cr4;
	w.efer = r->efer;
	w.ac = f->ac;
	w.mode = vcpu->shadow->mode;
	w.reserved = vcpu->shadow->reserved;
	w.gva = f->gva;
	w.write = f->error & PF_WRITE;
	w.fetch = f->error & PF_FETCH;
	w.user = f->error & PF_USER;
	w.pdpte = r->pdpte;
	w.open_bus = w.mark = true;
	w.path = &vcpu->shadow->path;
	int err = gwalk_run(vcpu->vm, &w);

	if (err)
		return walk_error(f, &w, err);
	if (shadow_reserve(vcpu))
		return MMU_PF_NOMEM;
	(void)cache_topup(&vcpu->cache, BACKING_NODES(vcpu->vm));
	return fault_walked(vcpu, f, &w);
}

enum mmu_pf_result mmu_shadow_fault(struct mmu_vcpu *vcpu, struct shadow_fault *f)
{
	struct shadow_vcpu *s = vcpu->shadow;

	f->gpa = GPA_INVALID;
	f->inject = 0;
	f->memory_write = false;
	uint64_t start = port_clock();

	vcpu->waited_for = 0;
	enum mmu_pf_result result = fault(vcpu, f);

	fault_time(vcpu, start, f->gpa >> PAGE_SHIFT);
	fault_note(vcpu->vm, result);
	/* What it was for: the guest's write comes through. */
	if (result == MMU_PF_FIXED && f->gva == s->unprotected && (f->error & PF_WRITE))
		s->unprotects = 0;
	return result;
}

/* The way that the guest's instruction itself needs may lead through the very table. */
bool mmu_shadow_unprotect(struct mmu_vcpu *vcpu, const struct shadow_fault *f)
{
	struct shadow_vcpu *s = vcpu->shadow;
	gfn_t gfn = f->gpa >> PAGE_SHIFT;
	struct mmu_vm *vm = vcpu->vm;

	if (s->unprotected != f->gva)
		s->unprotects = 0;
	s->unprotected = f->gva;
	if (s->unprotects++ >= UNPROTECT_LIMIT)
		return false;
	mmu_write_lock(vm, MMU_OP_TABLE_WRITE, gfn, 1);
	shadow_zap_tables(vm, gfn, gfn + 1);
	shadow_settle(vm);
	mmu_write_unlock(vm);
	return true;
}
