/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vCPU walks: roots, the ones it had before, and what the guest says of its paging.
 *
 * In long mode the root is the shadow page of the guest's top table.  Otherwise the processor walks
 * PAE tables, and the shadow pages of (or for) the four page directories are the roots; their four
 * entries lie in a page of the vCPU, filled whenever another root is loaded.  Nobody shares that
 * page: PAE's PDPTEs are registers, which the guest's memory does not change, and they have
 * none of the bits that other entries have (no rights, no Accessed, none of ours).  So they are
 * in no list of parents; a reference keeps a root instead.
 */
#include "mm/shadow.h"

#include "mm/flush.h"
#include "mm/lock.h"
#include "mm/root.h"

#define PDPTE_PRESENT 1ul
#define PDPTE_ADDRESS 0x000ffffffffff000ul

/* ---- what the registers ask for ----------------------------------------------------- */

static union shadow_role base_role(const struct mmu_paging_regs *r, enum gwalk_mode_id mode)
{
	bool wp = r->cr0 & CR0_WP;
	union shadow_role role = { 0 };

	role.access = ACC_RWX | ACC_USER;
	role.direct = mode == GWALK_OFF;
	if (role.direct)
		return role;
	role.mode = mode;
	role.nxe = !!(r->efer & EFER_NXE);
	role.wp = wp;
	role.smep_nowp = !wp && (r->cr4 & CR4_SMEP);
	role.smap_nowp = !wp && (r->cr4 & CR4_SMAP);
	return role;
}

static struct shadow_root wanted_root(const struct shadow_vcpu *s)
{
	struct shadow_root root = { .mode = s->mode, .role = s->role };

	root.cr3 = s->regs.cr3 & gwalk_modes[s->mode].cr3_address;
	for (unsigned i = 0; i < 4 && s->mode == GWALK_PAE; i++)
		root.pdpte[i] = s->regs.pdpte[i];
	return root;
}

static bool is_long(const struct shadow_root *root)
{
	return root->mode >= GWALK_4LEVEL;
}

/* Is it what the registers ask for? */
static bool is_wanted(const struct shadow_vcpu *s, const struct shadow_root *root)
{
	if (!root->valid || root->mode != s->mode || root->role.word != s->role.word ||
	    root->cr3 != (s->regs.cr3 & gwalk_modes[s->mode].cr3_address))
		return false;
	for (unsigned i = 0; i < 4 && s->mode == GWALK_PAE; i++)
		if (root->pdpte[i] != s->regs.pdpte[i])
			return false;
	return true;
}

static bool is_usable(const struct mmu_vm *vm, const struct shadow_root *root)
{
	if (!root->valid || is_long(root))
		return root->valid && shadow_is_current(vm, root->page[0]);
	for (unsigned i = 0; i < 4; i++)
		if (root->page[i] && !shadow_is_current(vm, root->page[i]))
			return false;
	return true;
}

/* ---- having one ----------------------------------------------------------------------------- */

static void root_drop(struct mmu_vm *vm, struct shadow_root *root) REQUIRES(vm->mmu_lock)
{
	assert_held_write(&vm->mmu_lock);
	for (unsigned i = 0; root->valid && i < 4; i++)
		if (root->page[i])
			shadow_page_put(vm, root->page[i]);
	*root = (struct shadow_root){ 0 };
}

/* The page that stands for quarter i of a PAE root, or (i is 0) the top one of long mode. */
static struct shadow_page *root_part(struct mmu_vcpu *vcpu, const struct shadow_root *root,
				     unsigned i) REQUIRES(vcpu->vm->mmu_lock)
{
	union shadow_role role = root->role;
	gfn_t gfn = root->cr3 >> PAGE_SHIFT;

	role.level = is_long(root) ? gwalk_modes[root->mode].levels : PG_LEVEL_2M;
	if (role.direct)
		gfn = i * level_pages(PG_LEVEL_1G);
	else if (root->mode == GWALK_PAE)
		gfn = (root->pdpte[i] & PDPTE_ADDRESS) >> PAGE_SHIFT;
	else if (!is_long(root))
		role.quadrant = i;
	return shadow_get(vcpu, gfn, role);
}

/* False: no memory.  The reserve was filled, so only if it was for something else. */
static bool root_make(struct mmu_vcpu *vcpu, struct shadow_root *root)
	REQUIRES(vcpu->vm->mmu_lock)
{
	root->valid = true;
	for (unsigned i = 0; i < (is_long(root) ? 1 : 4); i++) {
		if (root->mode == GWALK_PAE && !(root->pdpte[i] & PDPTE_PRESENT))
			continue;
		root->page[i] = root_part(vcpu, root, i);
		if (!root->page[i])
			return false;
		root->page[i]->refs++;
	}
	return true;
}

/* The processor will walk it. */
static void root_load(struct mmu_vcpu *vcpu)
{
	struct shadow_vcpu *s = vcpu->shadow;

	vcpu->root = s->pdpt;
	if (is_long(&s->root)) {
		vcpu->root = s->root.page[0]->hpa;
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		const struct shadow_page *page = s->root.page[i];

		spte_store(&spte_table(s->pdpt)[i],
			   (spte_t){ page ? page->hpa | PDPTE_PRESENT : 0 });
	}
}

/*
 * The root that the registers ask for, if this vCPU has it, takes the place of the one it is replaced by.
 * Only this vCPU changes its roots, and nobody looks at them but under mmu_lock for write.
 */
static bool root_take(struct mmu_vcpu *vcpu) REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	struct shadow_vcpu *s = vcpu->shadow;
	struct shadow_root old = s->root;
	unsigned i = 0;

	while (i < SHADOW_PREVIOUS && !is_wanted(s, &s->previous[i]))
		i++;
	if (i == SHADOW_PREVIOUS || !is_usable(vcpu->vm, &s->previous[i]))
		return false;
	s->root = s->previous[i];
	/* Most recently used first. */
	for (; i; i--)
		s->previous[i] = s->previous[i - 1];
	s->previous[0] = old;
	return true;
}

/* It is kept for the next time; there is none in its place. */
static void root_retire(struct mmu_vcpu *vcpu) REQUIRES(vcpu->vm->mmu_lock)
{
	struct shadow_vcpu *s = vcpu->shadow;
	unsigned i = SHADOW_PREVIOUS - 1;

	assert_held_write(&vcpu->vm->mmu_lock);
	if (!s->root.valid)
		return;
	root_drop(vcpu->vm, &s->previous[i]);
	for (; i; i--)
		s->previous[i] = s->previous[i - 1];
	s->previous[0] = s->root;
	s->root = (struct shadow_root){ 0 };
}

static void roots_drop(struct mmu_vcpu *vcpu, bool all) REQUIRES(vcpu->vm->mmu_lock)
{
	struct shadow_vcpu *s = vcpu->shadow;

	if (all || !is_usable(vcpu->vm, &s->root))
		root_drop(vcpu->vm, &s->root);
	for (unsigned i = 0; i < SHADOW_PREVIOUS; i++)
		if (all || !is_usable(vcpu->vm, &s->previous[i]))
			root_drop(vcpu->vm, &s->previous[i]);
}

/* The next entry flushes: generation 0 is nobody's. Relaxed: outside guest mode, nobody waits for it. */
static void flush_at_entry(struct mmu_vcpu *vcpu)
{
	atomic_store_explicit(&vcpu->tlb_gen, 0, memory_order_relaxed);
}

hpa_t shadow_load_root(struct mmu_vcpu *vcpu)
{
	struct shadow_vcpu *s = vcpu->shadow;
	struct mmu_vm *vm = vcpu->vm;

	vcpu->root = HPA_INVALID;
	if (shadow_reserve(vcpu))
		return HPA_INVALID;
	mmu_write_lock(vcpu->vm, MMU_OP_ROOT, 0, 0);
	roots_drop(vcpu, false);
	if (!s->root.valid) {
		assert_held_write(&vm->mmu_lock);
		shadow_make_room(vm);
		s->root = wanted_root(s);
		if (!root_make(vcpu, &s->root))
			root_drop(vcpu->vm, &s->root);
		shadow_settle(vm);
	}
	if (s->root.valid)
		root_load(vcpu);
	mmu_write_unlock(vcpu->vm);
	flush_at_entry(vcpu);
	return vcpu->root;
}

bool shadow_root_is_usable(const struct mmu_vcpu *vcpu)
{
	return is_usable(vcpu->vm, &vcpu->shadow->root);
}

struct shadow_page *shadow_root_page(const struct mmu_vcpu *vcpu, gva_t gva)
{
	const struct shadow_root *root = &vcpu->shadow->root;

	return root->page[is_long(root) ? 0 : (gva >> level_shift(PG_LEVEL_1G)) & 3];
}

/* ---- what the guest does ------------------------------------------------------------------------ */

/* With a root that it has and that is what the registers ask for; else it has none for now. */
static bool root_find(struct mmu_vcpu *vcpu) REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	struct shadow_vcpu *s = vcpu->shadow;

	vcpu->root = HPA_INVALID;
	if (!is_wanted(s, &s->root)) {
		s->lowest.page = NULL;
		if (!root_take(vcpu))
			return false;
	}
	if (is_usable(vcpu->vm, &s->root))
		root_load(vcpu);
	return true;
}

/* Where no table is open, there is nothing to compare, and roots only change places. */
static bool set_quickly(struct mmu_vcpu *vcpu)
{
	const struct shadow_root *root = &vcpu->shadow->root;
	/* The same again; whether it can be used still, is asked at the entry. */
	bool loaded = is_long(root) && is_wanted(vcpu->shadow, root);

	mmu_glance_lock(vcpu->vm);
	bool done = !vcpu->vm->shadow->unsync && (loaded || root_find(vcpu));

	mmu_glance_unlock(vcpu->vm);
	return done;
}

static void regs_loaded(struct mmu_vcpu *vcpu)
{
	struct mmu_vm *vm = vcpu->vm;

	if (!set_quickly(vcpu)) {
		mmu_write_lock(vcpu->vm, MMU_OP_PAGING, 0, 0);
		assert_held_write(&vm->mmu_lock);
		if (!root_find(vcpu))
			root_retire(vcpu);
		shadow_sync_all(vm);
		mmu_write_unlock(vcpu->vm);
	}
	flush_at_entry(vcpu);
}

void mmu_vcpu_set_paging(struct mmu_vcpu *vcpu, const struct mmu_paging_regs *regs)
{
	struct shadow_vcpu *s = vcpu->shadow;

	s->regs = *regs;
	s->mode = gwalk_mode_of(regs->cr0, regs->cr4, regs->efer);
	s->reserved = gwalk_reserved(vcpu->vm, s->mode, regs->efer & EFER_NXE);
	s->role = base_role(regs, s->mode);
	regs_loaded(vcpu);
}

void mmu_vcpu_set_cr3(struct mmu_vcpu *vcpu, uint64_t cr3, const uint64_t pdpte[4])
{
	struct shadow_vcpu *s = vcpu->shadow;

	s->regs.cr3 = cr3;
	for (unsigned i = 0; i < 4 && s->mode == GWALK_PAE; i++)
		s->regs.pdpte[i] = pdpte[i];
	regs_loaded(vcpu);
}

/* The lowest page on the way to gva, if it is of the lowest level. */
static struct shadow_page *lowest_page(const struct mmu_vcpu *vcpu, gva_t gva)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	const struct mmu_format *fmt = vcpu->vm->fmt;
	struct shadow_page *page = shadow_lowest(vcpu, gva);

	if (!page)
		page = shadow_root_page(vcpu, gva);
	while (page && page->role.level > PG_LEVEL_4K) {
		spte_t spte = spte_load(shadow_cell(page, shadow_index(gva, page->role.level)));

		page = format_is_table(fmt, spte, page->role.level)
			       ? shadow_of_table(vcpu->vm, format_hpa(fmt, spte)) : NULL;
	}
	return page;
}

/* The page that says of gva what the guest's table, in *gpte, says no longer; or NULL. */
static struct shadow_page *stale_page(struct mmu_vcpu *vcpu, gva_t gva, uint64_t *gpte)
	REQUIRES_SHARED(vcpu->vm->mmu_lock)
{
	unsigned i = shadow_index(gva, PG_LEVEL_4K);
	struct mmu_vm *vm = vcpu->vm;

	assert_held_read(&vm->mmu_lock);
	if (!vm->shadow->unsync || !vcpu->shadow->root.valid)
		return NULL;
	struct shadow_page *page = lowest_page(vcpu, gva);

	/* All other tables are up to date; what is not present says nothing. */
	if (!page || !page->unsync || !spte_is_present(spte_load(shadow_cell(page, i))))
		return NULL;
	/* Mostly the table of the last fault. */
	struct gwalk_path *path = &vcpu->shadow->path;

	gwalk_path_check(vm, path);
	*gpte = shadow_read_gpte(
		page, gwalk_table(vm, path, page->gfn << PAGE_SHIFT, PG_LEVEL_4K), i);
	return *gpte != page->gpte[i] ? page : NULL;
}

static void invlpg(struct mmu_vcpu *vcpu, gva_t gva) REQUIRES(vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = vcpu->vm;

	assert_held_write(&vm->mmu_lock);
	uint64_t gpte;
	struct shadow_page *page = stale_page(vcpu, gva, &gpte);

	if (page)
		shadow_sync_entry(vm, page, shadow_index(gva, PG_LEVEL_4K), gpte);
	shadow_settle(vm);
}

/*
 * No processor has cached what is not in our tables any more: each change of them came with its flush.  So
 * where they say the same as the guest's, there is nothing to forget.
 */
void mmu_vcpu_invlpg(struct mmu_vcpu *vcpu, gva_t gva)
{
	uint64_t gpte;

	mmu_glance_lock(vcpu->vm);
	bool stale = stale_page(vcpu, gva, &gpte);

	mmu_glance_unlock(vcpu->vm);
	if (!stale)
		return;
	mmu_write_lock(vcpu->vm, MMU_OP_PAGING, 0, 0);
	invlpg(vcpu, gva);
	mmu_write_unlock(vcpu->vm);
}

unsigned mmu_vcpu_root_level(const struct mmu_vcpu *vcpu)
{
	const struct shadow_root *root = &vcpu->shadow->root;

	return is_long(root) ? gwalk_modes[root->mode].levels : 3;
}

/* ---- the vCPU's beginning and end ---------------------------------------------------------------- */

int shadow_vcpu_init(struct mmu_vcpu *vcpu)
{
	struct shadow_vcpu *s = port_obj_alloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->pdpt = port_pages_alloc(0, PORT_ZERO | PORT_BELOW_4G);
	if (s->pdpt == HPA_INVALID) {
		port_obj_free(s, sizeof(*s));
		return -ENOMEM;
	}
	vcpu->shadow = s;
	return 0;
}

void shadow_vcpu_destroy(struct mmu_vcpu *vcpu)
{
	struct shadow_vcpu *s = vcpu->shadow;

	if (!s)
		return;
	mmu_write_lock(vcpu->vm, MMU_OP_VCPU, 0, 0);
	roots_drop(vcpu, true);
	mmu_write_unlock(vcpu->vm);
	shadow_reserve_drain(vcpu);
	port_pages_free(s->pdpt, 0);
	port_obj_free(s, sizeof(*s));
	vcpu->shadow = NULL;
}
