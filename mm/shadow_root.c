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

static struct shadow_root wanted_root(const struct mmu_paging_regs *r)
{
	struct shadow_root root = { .mode = gwalk_mode_of(r->cr0, r->cr4, r->efer) };

	root.role = base_role(r, root.mode);
	root.cr3 = r->cr3 & gwalk_modes[root.mode].cr3_address;
	for (unsigned i = 0; i < 4 && root.mode == GWALK_PAE; i++)
		root.pdpte[i] = r->pdpte[i];
	return root;
}

static bool is_long(const struct shadow_root *root)
{
	return root->mode >= GWALK_4LEVEL;
}

static bool is_same(const struct shadow_root *a, const struct shadow_root *b)
{
	for (unsigned i = 0; i < 4; i++)
		if (a->pdpte[i] != b->pdpte[i])
			return false;
	return a->mode == b->mode && a->cr3 == b->cr3 && a->role.word == b->role.word;
}

static bool is_usable(const struct mmu_vm *vm, const struct shadow_root *root)
{
	for (unsigned i = 0; root->valid && i < 4; i++)
		if (root->page[i] && !shadow_is_current(vm, root->page[i]))
			return false;
	return root->valid;
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

/* A root from before, if it is what the registers ask for; the one it replaces is kept. */
static void root_switch(struct mmu_vcpu *vcpu, const struct shadow_root *want)
	REQUIRES(vcpu->vm->mmu_lock)
{
	struct shadow_vcpu *s = vcpu->shadow;
	struct shadow_root old = s->root;
	unsigned i = 0;

	while (i < SHADOW_PREVIOUS - 1 && !(s->previous[i].valid && is_same(&s->previous[i], want)))
		i++;
	s->root = s->previous[i];
	/* Most recently used first. */
	for (; i; i--)
		s->previous[i] = s->previous[i - 1];
	s->previous[0] = old;
	if (!is_same(&s->root, want) || !is_usable(vcpu->vm, &s->root))
		root_drop(vcpu->vm, &s->root);
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
		s->root = wanted_root(&s->regs);
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

static void set_paging(struct mmu_vcpu *vcpu, const struct mmu_paging_regs *regs)
	REQUIRES(vcpu->vm->mmu_lock)
{
	struct shadow_vcpu *s = vcpu->shadow;
	struct shadow_root want = wanted_root(regs);

	s->regs = *regs;
	if (!is_same(&s->root, &want))
		root_switch(vcpu, &want);
	s->lowest.page = NULL;
	vcpu->root = HPA_INVALID;
	if (is_usable(vcpu->vm, &s->root))
		root_load(vcpu);
}

void mmu_vcpu_set_paging(struct mmu_vcpu *vcpu, const struct mmu_paging_regs *regs)
{
	struct mmu_vm *vm = vcpu->vm;

	mmu_write_lock(vcpu->vm, MMU_OP_PAGING, 0, 0);
	set_paging(vcpu, regs);
	assert_held_write(&vm->mmu_lock);
	shadow_sync_all(vm);
	mmu_write_unlock(vcpu->vm);
	flush_at_entry(vcpu);
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

static void invlpg(struct mmu_vcpu *vcpu, gva_t gva) REQUIRES(vcpu->vm->mmu_lock)
{
	struct mmu_vm *vm = vcpu->vm;
	assert_held_write(&vm->mmu_lock);
	struct shadow_page *page = lowest_page(vcpu, gva);

	if (page && page->unsync) {
		unsigned i = shadow_index(gva, PG_LEVEL_4K);

		shadow_sync_entry(vm, page, i,
				  shadow_read_gpte(page, guest_page_va(vm, page->gfn), i));
	}
	shadow_settle(vm);
}

/* All other tables are up to date. */
void mmu_vcpu_invlpg(struct mmu_vcpu *vcpu, gva_t gva)
{
	mmu_write_lock(vcpu->vm, MMU_OP_PAGING, 0, 0);
	if (vcpu->shadow->root.valid)
		invlpg(vcpu, gva);
	mmu_write_unlock(vcpu->vm);
	flush_at_entry(vcpu);
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
