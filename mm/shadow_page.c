/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow pages: found by gfn and role, made, and taken down; see SHADOW.md.
 *
 * A page that is taken down is emptied (its leaves leave their rmaps), unlinked from its parents,
 * and freed behind the flush that is owed then.  One that is still some vCPU's root stays, invalid and
 * empty, until that vCPU has let go of it.
 */
#include "mm/shadow.h"

#include "mm/cache.h"
#include "mm/flush.h"
#include "mm/huge.h"
#include "mm/lock.h"
#include "mm/walk.h"

/* Pages taken down at a time: to make room, and by the worker. */
#define RECYCLE_BATCH  16u
#define TEARDOWN_BATCH 4u

/* Below this, ranges are looked up gfn by gfn. */
#define LOOKUP_GFNS 64u

#define DESC_RESERVE  8u /* a leaf, and a link for each level */
#define KNOWN_RESERVE 8u /* a page for each level, and some for tables that are opened */

/* ---- reserves ------------------------------------------------------------------------ */

static void page_free(struct shadow_page *page)
{
	if (page->hpa != HPA_INVALID)
		port_pages_free(page->hpa, 0);
	if (page->gpte_hpa != HPA_INVALID)
		port_pages_free(page->gpte_hpa, 0);
	port_obj_free(page, sizeof(*page));
}

static struct shadow_page *page_alloc(void)
{
	struct shadow_page *page = port_obj_alloc(sizeof(*page));

	if (!page)
		return NULL;
	page->gpte_hpa = HPA_INVALID;
	page->hpa = port_pages_alloc(0, PORT_ZERO);
	if (page->hpa != HPA_INVALID)
		return page;
	page_free(page);
	return NULL;
}

int shadow_reserve(struct mmu_vcpu *vcpu)
{
	struct shadow_vcpu *s = vcpu->shadow;

	while (s->spares < SHADOW_RESERVE) {
		struct shadow_page *page = page_alloc();

		if (!page)
			return -ENOMEM;
		page->next_key = s->spare;
		s->spare = page;
		s->spares++;
	}
	if (cache_topup(&s->known, KNOWN_RESERVE))
		return -ENOMEM;
	return rmap_reserve_fill(&s->descs, DESC_RESERVE);
}

static struct shadow_page *spare_take(struct shadow_vcpu *s)
{
	struct shadow_page *page = s->spare;

	if (page) {
		s->spare = page->next_key;
		s->spares--;
	}
	return page;
}

void shadow_reserve_drain(struct mmu_vcpu *vcpu)
{
	struct shadow_page *page;

	while ((page = spare_take(vcpu->shadow)))
		page_free(page);
	cache_drain(&vcpu->shadow->known);
	rmap_reserve_drain(&vcpu->shadow->descs);
}

/* ---- lists ------------------------------------------------------------------------------ */

/* All roles of a gfn in one bucket. */
static struct shadow_page **key_bucket(const struct mmu_vm *vm, gfn_t gfn)
{
	return &vm->shadow->by_key[(gfn ^ gfn >> 9) % SHADOW_BUCKETS];
}

static struct shadow_page **table_bucket(const struct mmu_vm *vm, hpa_t hpa)
{
	return &vm->shadow->by_table[(hpa >> PAGE_SHIFT) % SHADOW_BUCKETS];
}

static void order_remove(struct mmu_shadow *s, struct shadow_page *page)
{
	*(page->newer ? &page->newer->older : &s->newest) = page->older;
	*(page->older ? &page->older->newer : &s->oldest) = page->newer;
	page->newer = page->older = NULL;
}

static void order_add(struct mmu_shadow *s, struct shadow_page *page)
{
	page->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = page;
	s->newest = page;
}

static void hash_add(struct mmu_vm *vm, struct shadow_page *page)
{
	struct shadow_page **key = key_bucket(vm, page->gfn);
	struct shadow_page **table = table_bucket(vm, page->hpa);

	page->next_key = *key;
	*key = page;
	page->next_table = *table;
	*table = page;
}

static void hash_remove(struct mmu_vm *vm, struct shadow_page *page)
{
	struct shadow_page **link = key_bucket(vm, page->gfn);

	while (*link != page)
		link = &(*link)->next_key;
	*link = page->next_key;
	for (link = table_bucket(vm, page->hpa); *link != page;)
		link = &(*link)->next_table;
	*link = page->next_table;
}

struct shadow_page *shadow_of_table(const struct mmu_vm *vm, hpa_t hpa)
{
	struct shadow_page *page = *table_bucket(vm, hpa);

	while (page && page->hpa != hpa)
		page = page->next_table;
	return page;
}

/* Obsolete ones stand for nothing any more. */
static struct shadow_page *first_match(const struct mmu_vm *vm, struct shadow_page *page, gfn_t gfn)
{
	while (page && (page->gfn != gfn || page->role.direct || !shadow_is_current(vm, page)))
		page = page->next_key;
	return page;
}

struct shadow_page *shadow_first(const struct mmu_vm *vm, gfn_t gfn)
{
	return first_match(vm, *key_bucket(vm, gfn), gfn);
}

struct shadow_page *shadow_next(const struct mmu_vm *vm, const struct shadow_page *page)
{
	return first_match(vm, page->next_key, page->gfn);
}

/* ---- making ------------------------------------------------------------------------------- */

/*
 * Huge leaves keep off the guest's table.  It may lie where there is no memory, or none any more: then the
 * page goes when some comes (slot_change.c).
 */
static void guard_table(struct mmu_vm *vm, struct shadow_page *page) REQUIRES(vm->mmu_lock)
{
	const struct memslot *slot = memslot_find(vm, page->gfn);

	page->guarded = slot && !page->role.direct;
	if (page->guarded)
		slot_disallow_huge(vm, slot, page->gfn, PG_LEVEL_2M);
}

/* The slot may be dying by now. */
static void unguard_table(struct mmu_vm *vm, struct shadow_page *page) REQUIRES(vm->mmu_lock)
{
	if (page->guarded)
		slot_allow_huge(vm, memslot_find_any(vm, page->gfn), page->gfn, PG_LEVEL_2M);
	page->guarded = false;
}

static struct shadow_page *page_make(struct mmu_vcpu *vcpu, gfn_t gfn, union shadow_role role)
	REQUIRES(vcpu->vm->mmu_lock)
{
	bool links = !role.direct && role.level > PG_LEVEL_4K;
	struct shadow_vcpu *s = vcpu->shadow;
	struct mmu_vm *vm = vcpu->vm;

	if (!s->spares || (links && !s->known.count))
		return NULL;
	struct shadow_page *page = spare_take(s);

	page->gfn = gfn;
	page->role = role;
	page->generation = atomic_load_explicit(&vm->shadow->generation, memory_order_relaxed);
	if (links) {
		page->gpte_hpa = cache_take(&s->known);
		page->gpte = port_hpa_to_va(page->gpte_hpa);
	}
	hash_add(vm, page);
	order_add(vm->shadow, page);
	stat_add(vm, tables, 1);
	stat_add(vm, shadow_pages, 1);
	assert_held_write(&vm->mmu_lock);
	guard_table(vm, page);
	if (!role.direct)
		shadow_protect_table(vm, gfn);
	return page;
}

struct shadow_page *shadow_get(struct mmu_vcpu *vcpu, gfn_t gfn, union shadow_role role)
{
	struct mmu_vm *vm = vcpu->vm;
	struct shadow_page *page = *key_bucket(vm, gfn);

	while (page && (page->gfn != gfn || page->role.word != role.word ||
			!shadow_is_current(vm, page)))
		page = page->next_key;
	if (!page)
		return page_make(vcpu, gfn, role);
	order_remove(vm->shadow, page);
	order_add(vm->shadow, page);
	page->writes = 0;
	/* Who comes by a new way cannot have anything older cached, of it or of what is below. */
	assert_held_write(&vm->mmu_lock);
	if (role.level > PG_LEVEL_4K && !role.direct)
		shadow_sync_open(vm);
	else if (page->unsync)
		shadow_sync_page(vm, page);
	return page;
}

/* ---- taking down ----------------------------------------------------------------------------- */

static void unlink_parents(struct shadow_page *page)
{
	spte_cell_t *cell;

	while ((cell = rmap_first(&page->parents))) {
		spte_store(cell, (spte_t){ 0 });
		rmap_remove(&page->parents, cell);
	}
}

static void bury(struct mmu_vm *vm, struct shadow_page *page)
{
	page->next_key = vm->shadow->dead;
	vm->shadow->dead = page;
}

void shadow_zap(struct mmu_vm *vm, struct shadow_page *page)
{
	assert_held_write(&vm->mmu_lock);
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		shadow_drop(vm, page, i);
	unlink_parents(page);
	vm->shadow->ways++;
	unguard_table(vm, page);
	shadow_unsync_remove(page);
	hash_remove(vm, page);
	order_remove(vm->shadow, page);
	stat_sub(vm, tables, 1);
	stat_sub(vm, shadow_pages, 1);
	stat_add(vm, shadow_zapped, 1);
	/* Relaxed: whoever has it as a root looks behind the flush. */
	atomic_store_explicit(&page->invalid, true, memory_order_relaxed);
	vm->shadow->flush_owed = true;
	if (!page->refs)
		bury(vm, page);
}

static void free_dead(struct mmu_shadow *s)
{
	while (s->dead) {
		struct shadow_page *page = s->dead;

		s->dead = page->next_key;
		page_free(page);
	}
}

void shadow_flushed(struct mmu_vm *vm)
{
	vm->shadow->flush_owed = false;
	free_dead(vm->shadow);
}

void shadow_settle(struct mmu_vm *vm)
{
	assert_held_write(&vm->mmu_lock);
	if (vm->shadow->flush_owed)
		flush_vm(vm);
	shadow_flushed(vm);
}

void shadow_page_put(struct mmu_vm *vm, struct shadow_page *page)
{
	MM_BUG_ON(!page->refs);
	/* Relaxed: under mmu_lock.  Invalid: it was flushed when it became so. */
	if (!--page->refs && atomic_load_explicit(&page->invalid, memory_order_relaxed))
		page_free(page);
}

static void zap_gfn(struct mmu_vm *vm, gfn_t gfn) REQUIRES(vm->mmu_lock)
{
	struct shadow_page *page = *key_bucket(vm, gfn), *next;

	for (; page; page = next) {
		next = page->next_key;
		if (page->gfn == gfn && !page->role.direct)
			shadow_zap(vm, page);
	}
}

void shadow_zap_tables(struct mmu_vm *vm, gfn_t start, gfn_t end)
{
	struct shadow_page *page = vm->shadow->oldest, *next;

	assert_held_write(&vm->mmu_lock);
	if (end - start <= LOOKUP_GFNS) {
		for (gfn_t gfn = start; gfn < end; gfn++)
			zap_gfn(vm, gfn);
		return;
	}
	for (; page; page = next) {
		next = page->newer;
		if (!page->role.direct && page->gfn >= start && page->gfn < end)
			shadow_zap(vm, page);
	}
}

void shadow_make_room(struct mmu_vm *vm)
{
	struct shadow_page *page = vm->shadow->oldest, *newer;
	uint64_t count = stat_read(vm, shadow_pages);

	assert_held_write(&vm->mmu_lock);
	if (count + SHADOW_RESERVE <= vm->shadow->max)
		return;
	for (; page && count + SHADOW_RESERVE + RECYCLE_BATCH > vm->shadow->max; page = newer) {
		newer = page->newer;
		if (page->refs)
			continue;
		shadow_zap(vm, page);
		stat_add(vm, shadow_recycled, 1);
		count--;
	}
	shadow_settle(vm);
}

void shadow_zap_all(struct mmu_vm *vm)
{
	assert_held_write(&vm->mmu_lock);
	/* Relaxed: the flush releases it, with the generation that says "look". */
	atomic_fetch_add_explicit(&vm->shadow->generation, 1, memory_order_relaxed);
	vm->shadow->ways++;
	stat_add(vm, root_invalidated, 1);
	flush_vm(vm);
	port_work_kick(vm);
}

/* Pages are ordered by when they were last used, so obsolete ones are the oldest. */
static struct shadow_page *obsolete(const struct mmu_vm *vm)
{
	struct shadow_page *page = vm->shadow->oldest;

	return page && !shadow_is_current(vm, page) ? page : NULL;
}

bool shadow_teardown_step(struct mmu_vm *vm)
{
	mmu_write_lock(vm, MMU_OP_TEARDOWN, 0, 0);
	for (unsigned n = 0; n < TEARDOWN_BATCH && obsolete(vm); n++)
		shadow_zap(vm, obsolete(vm));
	hold_note_write(vm, (uint64_t)TEARDOWN_BATCH * PT_ENTRIES);
	/* No processor has used them since the flush that made them obsolete. */
	shadow_flushed(vm);
	bool more = obsolete(vm) != NULL;

	mmu_write_unlock(vm);
	return more;
}

/* ---- the VM's beginning and end ----------------------------------------------------------------- */

int shadow_vm_init(struct mmu_vm *vm, const struct mmu_config *cfg)
{
	struct mmu_shadow *s = port_obj_alloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fmt_root.fmt = vm->fmt;
	s->fmt_root.level = vm->root_level;
	s->max = cfg->shadow_pages ? cfg->shadow_pages : MMU_SHADOW_PAGES;
	vm->shadow = s;
	return 0;
}

/*
 * No processor is left, and nothing will look at an entry or an rmap again: pages go as they are.  What
 * rmaps of slots have besides goes with these.
 */
void shadow_vm_destroy(struct mmu_vm *vm)
{
	struct shadow_page *page;

	if (!vm->shadow)
		return;
	while ((page = vm->shadow->oldest)) {
		vm->shadow->oldest = page->newer;
		rmap_discard(&page->parents);
		page_free(page);
		stat_sub(vm, tables, 1);
		if (port_need_resched())
			port_resched();
	}
	port_obj_free(vm->shadow, sizeof(*vm->shadow));
}
