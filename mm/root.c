/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Roots; see root.h.  Made by the first vCPU that needs one, shared by all vCPUs.
 *
 * Tearing an invalid root down needs no flush: no processor has used it since the flush
 * that made it invalid.  Its leaves still map pages until then, so operations on
 * ranges visit it like any other.
 */
#include "mm/root.h"

#include "mm/flush.h"
#include "mm/lock.h"
#include "mm/shadow.h"
#include "mm/zap.h"

static void root_free(struct mmu_root *root)
{
	port_pages_free(root->hpa, 0);
	port_obj_free(root, sizeof(*root));
}

static struct mmu_root *root_alloc(const struct mmu_vm *vm)
{
	struct mmu_root *root = port_obj_alloc(sizeof(*root));

	if (!root)
		return NULL;
	root->fmt = vm->fmt;
	root->level = vm->root_level;
	root->refs = 1;
	atomic_init(&root->state, ROOT_VALID);
	root->hpa = port_pages_alloc(0, PORT_ZERO);
	if (root->hpa == HPA_INVALID) {
		port_obj_free(root, sizeof(*root));
		return NULL;
	}
	return root;
}

static void root_link(struct mmu_vm *vm, struct mmu_root *root) REQUIRES(vm->mmu_lock)
{
	atomic_init(&root->next, root_first(vm));
	/* Release: pairs with the acquire in root_first(). */
	atomic_store_explicit(&vm->roots, root, memory_order_release);
	stat_add(vm, tables, 1);
}

/* Nobody refers to it: out of the list, and gone behind a grace period. */
static void root_unlink(struct mmu_vm *vm, struct mmu_root *root) REQUIRES(vm->mmu_lock)
{
	_Atomic(struct mmu_root *) *link = &vm->roots;

	while (atomic_load_explicit(link, memory_order_relaxed) != root)
		link = &atomic_load_explicit(link, memory_order_relaxed)->next;
	/* Release: pairs with the acquires in root_first() and root_next(). */
	atomic_store_explicit(link, root_next(root), memory_order_release);
	stat_sub(vm, tables, 1);
	rcu_defer_table(vm, root->hpa);
	rcu_defer_obj(vm, &root->rcu, sizeof(*root));
}

static void root_unref(struct mmu_vm *vm, struct mmu_root *root) REQUIRES(vm->mmu_lock)
{
	MM_BUG_ON(!root->refs);
	if (--root->refs)
		return;
	MM_BUG_ON(atomic_load_explicit(&root->state, memory_order_relaxed) != ROOT_ZAPPED);
	root_unlink(vm, root);
}

void root_put(struct mmu_vcpu *vcpu)
{
	assert_held_write(&vcpu->vm->mmu_lock);
	if (vcpu->loaded)
		root_unref(vcpu->vm, vcpu->loaded);
	vcpu->loaded = NULL;
	vcpu->root = HPA_INVALID;
}

/* Take a reference to the valid root, which becomes new if there was none: true then. */
static bool root_get_or_install(struct mmu_vcpu *vcpu, struct mmu_root *new)
{
	struct mmu_vm *vm = vcpu->vm;

	mmu_write_lock(vcpu->vm, MMU_OP_ROOT, 0, 0);
	root_put(vcpu);
	assert_held_write(&vm->mmu_lock);
	bool install = !vm->root && new;

	if (install) {
		vm->root = new;
		root_link(vm, new);
	}
	if (vm->root) {
		vm->root->refs++;
		vcpu->loaded = vm->root;
		vcpu->root = vm->root->hpa;
	}
	mmu_write_unlock(vcpu->vm);
	return install;
}

hpa_t mmu_vcpu_load_root(struct mmu_vcpu *vcpu)
{
	struct mmu_vm *vm = vcpu->vm;

	if (vcpu->shadow)
		return shadow_load_root(vcpu);
	root_get_or_install(vcpu, NULL);
	if (vcpu->root == HPA_INVALID) {
		struct mmu_root *new = root_alloc(vm);

		if (!root_get_or_install(vcpu, new) && new)
			root_free(new);
	}
	/*
	 * The page of a new root may have been part of another one's tables, and the processor
	 * may remember it as such.  But the root that this vCPU ran with before went with a flush, which
	 * this vCPU has not caught up with: so it flushes at its next entry.  A vCPU that has run with none
	 * is of generation 0, which no VM is of.
	 */
	rcu_poll(vm);
	return vcpu->root;
}

/* ---- invalid roots ----------------------------------------------------------- */

void root_invalidate_all(struct mmu_vm *vm)
{
	struct mmu_root *root = vm->root;

	assert_held_write(&vm->mmu_lock);
	if (vm->shadow)
		shadow_zap_all(vm);
	if (!root)
		return;
	/* Relaxed: the flush releases it, with the generation that says "look". */
	atomic_store_explicit(&root->state, ROOT_INVALID, memory_order_relaxed);
	vm->root = NULL;
	stat_add(vm, root_invalidated, 1);
	/* Behind this every vCPU that enters has looked at its root's state. */
	flush_vm(vm);
	port_work_kick(vm);
}

void mmu_zap_all(struct mmu_vm *vm)
{
	mmu_write_lock(vm, MMU_OP_ZAP_ALL, 0, 0);
	root_invalidate_all(vm);
	mmu_write_unlock(vm);
}

static struct mmu_root *root_queued(struct mmu_vm *vm) REQUIRES(vm->mmu_lock)
{
	for_each_root(vm, root)
		if (atomic_load_explicit(&root->state, memory_order_relaxed) == ROOT_INVALID)
			return root;
	return NULL;
}

/* Nothing is left in it: the list's own reference goes. */
static void root_zapped(struct mmu_vm *vm, struct mmu_root *root) REQUIRES(vm->mmu_lock)
{
	atomic_store_explicit(&root->state, ROOT_ZAPPED, memory_order_relaxed);
	root_unref(vm, root);
}

bool root_teardown_step(struct mmu_vm *vm)
{
	mmu_write_lock(vm, MMU_OP_TEARDOWN, 0, 0);
	struct mmu_root *root = root_queued(vm);

	if (root)
		mmu_lock_about(vm, root->zapped, 0);
	if (root && zap_root_step(vm, root, ROOT_STEP))
		root_zapped(vm, root);
	bool more = root_queued(vm) != NULL;

	mmu_write_unlock(vm);
	return more;
}

void root_release_all(struct mmu_vm *vm)
{
	mmu_write_lock(vm, MMU_OP_ZAP_ALL, 0, 0);
	root_invalidate_all(vm);
	mmu_write_unlock(vm);
	while (root_teardown_step(vm))
		port_resched();
	MM_BUG_ON(root_first(vm));
}
