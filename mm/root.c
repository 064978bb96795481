/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The root of a VM's tables.  Made by the first vCPU that needs it; the VM's own
 * reference keeps it until the VM ends.
 */
#include "mm/root.h"

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
	root->hpa = port_pages_alloc(0, PORT_ZERO);
	if (root->hpa == HPA_INVALID) {
		port_obj_free(root, sizeof(*root));
		return NULL;
	}
	return root;
}

/* Take a reference to the VM's root, which becomes new if there was none: true then. */
static bool root_get_or_install(struct mmu_vcpu *vcpu, struct mmu_root *new)
{
	struct mmu_vm *vm = vcpu->vm;

	write_lock(&vm->mmu_lock);
	bool install = !vm->root && new;

	if (install) {
		vm->root = new;
		stat_add(vm, tables, 1);
	}
	if (vm->root) {
		vm->root->refs++;
		vcpu->root = vm->root->hpa;
	}
	write_unlock(&vm->mmu_lock);
	return install;
}

hpa_t mmu_vcpu_load_root(struct mmu_vcpu *vcpu)
{
	MM_BUG_ON(vcpu->root != HPA_INVALID);
	root_get_or_install(vcpu, NULL);
	if (vcpu->root != HPA_INVALID)
		return vcpu->root;
	struct mmu_root *new = root_alloc(vcpu->vm);

	if (!root_get_or_install(vcpu, new) && new)
		root_free(new);
	return vcpu->root;
}

void root_put(struct mmu_vm *vm)
{
	assert_held_write(&vm->mmu_lock);
	/* The VM's own reference outlives those of its vCPUs. */
	MM_BUG_ON(vm->root->refs < 2);
	vm->root->refs--;
}

void root_release(struct mmu_vm *vm)
{
	write_lock(&vm->mmu_lock);
	struct mmu_root *root = vm->root;

	if (root) {
		MM_BUG_ON(root->refs != 1);
		zap_range(vm, 0, vm->gfn_limit, 0);
		vm->root = NULL;
		stat_sub(vm, tables, 1);
	}
	write_unlock(&vm->mmu_lock);
	if (root)
		root_free(root);
}
