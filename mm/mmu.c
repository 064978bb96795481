/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of a VM's memory and of mm's part of its vCPUs; see mmu.h. */
#include "mm/mmu.h"

#include "mm/cache.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/nx.h"
#include "mm/root.h"
#include "mm/shadow.h"

static void copy_name(char *dst, size_t size, const char *src)
{
	size_t i = 0;

	for (; src[i] && i < size - 1; i++)
		dst[i] = src[i];
	dst[i] = '\0';
}

/* Widest guest-physical address: what the tables reach and the processor allows. */
static unsigned gpa_bits(const struct mmu_config *cfg)
{
	unsigned reach = PAGE_SHIFT + 9 * cfg->root_level;

	return reach < cfg->maxphyaddr ? reach : cfg->maxphyaddr;
}

struct mmu_vm *mmu_vm_create(const struct mmu_config *cfg)
{
	MM_BUG_ON(cfg->root_level < PG_LEVEL_512G || cfg->root_level > PG_LEVEL_256T);
	MM_BUG_ON(cfg->maxphyaddr < 32 || cfg->maxphyaddr > 52);
	struct mmu_vm *vm = port_obj_alloc(sizeof(*vm));

	if (!vm)
		return NULL;
	copy_name(vm->name, sizeof(vm->name), cfg->name);
	vm->fmt = format_select(cfg->format, cfg->hw_ad);
	vm->root_level = cfg->root_level;
	vm->max_leaf_level = cfg->max_leaf_level;
	vm->maxphyaddr = cfg->maxphyaddr;
	vm->hw_ad = cfg->hw_ad;
	vm->pml = cfg->pml && cfg->hw_ad;
	/* The erratum is about nested tables; a shadow's leaf would have to be split per address. */
	vm->nx_huge_pages = cfg->nx_huge_pages && cfg->format != MMU_FORMAT_SHADOW;
	vm->gfn_limit = 1ul << (gpa_bits(cfg) - PAGE_SHIFT);
	vm->page_cap = cfg->page_cap;
	vm->owner = cfg->owner;
	vm->fault_around = cfg->fault_around ? cfg->fault_around : 1;
	rwlock_init(&vm->mmu_lock);
	rcu_init(vm);
	latency_init(vm);
	nx_init(vm);
	/* Ahead of every new vCPU's: its first entry flushes. */
	atomic_init(&vm->tlb_gen, 1);
	if (memslot_init(vm))
		goto fail;
	if (cfg->format == MMU_FORMAT_SHADOW && shadow_vm_init(vm, cfg)) {
		memslot_destroy(vm);
		goto fail;
	}
	return vm;
fail:
	port_obj_free(vm, sizeof(*vm));
	return NULL;
}

void *mmu_vm_owner(const struct mmu_vm *vm)
{
	return vm->owner;
}

void mmu_vm_destroy(struct mmu_vm *vm)
{
	MM_BUG_ON(vm->vcpus);
	root_release_all(vm);
	shadow_vm_destroy(vm);
	MM_BUG_ON(stat_read(vm, tables));
	memslot_destroy(vm);
	MM_BUG_ON(stat_read(vm, backing_pages));
	MM_BUG_ON(atomic_load_explicit(&vm->backing_nodes, memory_order_relaxed));
	rcu_destroy(vm);
	port_obj_free(vm, sizeof(*vm));
}

int mmu_vcpu_init(struct mmu_vm *vm, struct mmu_vcpu *vcpu, unsigned id)
{
	*vcpu = (struct mmu_vcpu){ .vm = vm, .id = id, .root = HPA_INVALID, .hole = ~0ul };
	if (vm->shadow && shadow_vcpu_init(vcpu))
		return -ENOMEM;
	rcu_reader_add(vm, &vcpu->reader);
	mmu_write_lock(vm, MMU_OP_VCPU, 0, 0);
	vcpu->next = vm->vcpus;
	vm->vcpus = vcpu;
	mmu_write_unlock(vm);
	return 0;
}

void mmu_vcpu_destroy(struct mmu_vcpu *vcpu)
{
	struct mmu_vm *vm = vcpu->vm;
	struct mmu_vcpu **link = &vm->vcpus;

	mmu_write_lock(vcpu->vm, MMU_OP_VCPU, 0, 0);
	while (*link != vcpu)
		link = &(*link)->next;
	*link = vcpu->next;
	root_put(vcpu);
	latency_keep(vcpu);
	mmu_write_unlock(vcpu->vm);
	shadow_vcpu_destroy(vcpu);
	rcu_reader_remove(vm, &vcpu->reader);
	cache_drain(&vcpu->cache);
}

void mmu_mode_read(struct mmu_vm *vm, struct mmu_mode *out)
{
	*out = (struct mmu_mode){
		.format = vm->fmt->name,
		.root_level = vm->root_level,
		.max_leaf_level = vm->max_leaf_level,
		.fault_around = vm->fault_around,
		.hw_ad = vm->hw_ad,
		.pml = vm->pml,
		.nx_huge_pages = vm->nx_huge_pages,
	};
}
