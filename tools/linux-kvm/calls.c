/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Phyllo's hypercalls, by what Linux and KVM have for them.  Whose contents stay is mprotect(); whose go is
 * madvise(); slots and dirty logs are KVM's own.  What has no counterpart is -ENOSYS, and the kernel that
 * measures it says so.
 */
#include "tools/linux-kvm/vm.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "phyllo/hypercall.h"

#define SHADOW_PREFETCH 8 /* PTE_PREFETCH_NUM of KVM, which its TDP MMU does not do */

typedef int32_t (*call_fn)(struct vm *vm, const struct kvm_regs *r);

static void protect_here(void *at, uint64_t bytes, int protection)
{
	if (mprotect(at, bytes, protection))
		die("mprotect");
}

/* All of it counts, also what was never touched. */
static int32_t call_balloon_out(struct vm *vm, const struct kvm_regs *r)
{
	void *at = vm_memory(vm, r->rbx, r->rcx);

	if (!at)
		return PHYLLO_ENOENT;
	if (madvise(at, r->rcx, MADV_DONTNEED))
		die("madvise");
	return (int32_t)(r->rcx / PAGE_SIZE);
}

/* Memory that was given back comes again by itself. */
static int32_t call_balloon_in(struct vm *vm, const struct kvm_regs *r)
{
	return vm_memory(vm, r->rbx, r->rcx) ? (int32_t)(r->rcx / PAGE_SIZE) : PHYLLO_ENOENT;
}

/*
 * KVM forgets the pages of a range whose protection changes, whatever changes of it: so "executable" comes and goes,
 * which nobody needs, and the guest may touch the pages again meanwhile.  A piece of a slot gets its own back,
 * or the next change of the whole would not be one.
 */
static int32_t call_unmap(struct vm *vm, const struct kvm_regs *r)
{
	struct vm_slot *s = vm_slot_of(vm, r->rbx, r->rcx);
	void *at = vm_memory(vm, r->rbx, r->rcx);

	if (!s)
		return PHYLLO_ENOENT;
	protect_here(at, r->rcx, s->protection ^ PROT_EXEC);
	if (r->rcx == s->bytes)
		s->protection ^= PROT_EXEC;
	else
		protect_here(at, r->rcx, s->protection);
	/* Linux 6.1 leaves its own huge pages read-only, which KVM's next fault would have to mend. */
	if (!vm->config.small_pages && madvise(at, r->rcx, MADV_POPULATE_WRITE))
		die("the memory does not come back");
	return 0;
}

static int32_t call_protect(struct vm *vm, const struct kvm_regs *r)
{
	const struct vm_slot *s = vm_slot_of(vm, r->rbx, r->rcx);
	uint64_t how = r->rdx & ~(uint64_t)PHYLLO_MAY_BLOCK;

	if (!s)
		return PHYLLO_ENOENT;
	if (how != PHYLLO_PROTECT_RW && how != PHYLLO_PROTECT_RO && how != PHYLLO_PROTECT_NONE)
		return PHYLLO_EINVAL;
	protect_here(vm_memory(vm, r->rbx, r->rcx), r->rcx,
		     how == PHYLLO_PROTECT_RW ? s->protection :
		     how == PHYLLO_PROTECT_RO ? PROT_READ : PROT_NONE);
	return 0;
}

static int32_t call_stats(struct vm *vm, const struct kvm_regs *r)
{
	void *to = vm_memory(vm, r->rbx, r->rcx);

	return to ? (int32_t)stats_read(to, r->rcx) : PHYLLO_EFAULT;
}

/* Nobody audits KVM. */
static int32_t call_features(struct vm *vm, const struct kvm_regs *r)
{
	return PHYLLO_FEATURE_BALLOON | PHYLLO_FEATURE_UNMAP | PHYLLO_FEATURE_STATS |
	       PHYLLO_FEATURE_PROTECT | PHYLLO_FEATURE_DIRTY | PHYLLO_FEATURE_SLOTS |
	       PHYLLO_FEATURE_MMU | PHYLLO_FEATURE_LATENCY;
}

static int32_t call_exit(struct vm *vm, const struct kvm_regs *r)
{
	vm->exit_code = (int)r->rbx;
	vm->over = true;
	return 0;
}

/* ---- slots and dirty logs ------------------------------------------------------------ */

static struct vm_slot *used_slot(struct vm *vm, uint64_t id)
{
	return id < VM_SLOTS && vm->slot[id].used ? &vm->slot[id] : NULL;
}

static int32_t call_slot_create(struct vm *vm, const struct kvm_regs *r)
{
	const struct phyllo_slot *s = vm_memory(vm, r->rbx, sizeof(*s));

	if (!s)
		return PHYLLO_EFAULT;
	if (s->id >= VM_SLOTS)
		return PHYLLO_EINVAL;
	if (used_slot(vm, s->id))
		return PHYLLO_EEXIST;
	vm_set_slot(vm, s->id, s->gpa, s->bytes, 0);
	return 0;
}

static int32_t call_slot_delete(struct vm *vm, const struct kvm_regs *r)
{
	const struct vm_slot *s = used_slot(vm, r->rbx);

	if (!s)
		return PHYLLO_ENOENT;
	vm_set_slot(vm, r->rbx, s->gpa, 0, 0);
	return 0;
}

static int32_t call_slot_move(struct vm *vm, const struct kvm_regs *r)
{
	const struct vm_slot *s = used_slot(vm, r->rbx);

	if (!s)
		return PHYLLO_ENOENT;
	vm_set_slot(vm, r->rbx, r->rcx, s->bytes, s->flags);
	return 0;
}

static int32_t set_dirty_log(struct vm *vm, uint64_t id, uint32_t flags)
{
	const struct vm_slot *s = used_slot(vm, id);

	if (!s)
		return PHYLLO_ENOENT;
	vm_set_slot(vm, id, s->gpa, s->bytes, flags);
	return 0;
}

static int32_t call_dirty_start(struct vm *vm, const struct kvm_regs *r)
{
	return set_dirty_log(vm, r->rbx, KVM_MEM_LOG_DIRTY_PAGES);
}

static int32_t call_dirty_stop(struct vm *vm, const struct kvm_regs *r)
{
	return set_dirty_log(vm, r->rbx, 0);
}

static int32_t count_bits(const uint64_t *words, uint64_t bits)
{
	int32_t n = 0;

	for (uint64_t i = 0; i < bits / 64; i++)
		n += __builtin_popcountll(words[i]);
	return n;
}

/* A whole slot, got and cleared: the one thing that KVM does in one call. */
static int32_t call_dirty_get(struct vm *vm, const struct kvm_regs *r)
{
	const struct phyllo_dirty *d = vm_memory(vm, r->rbx, sizeof(*d));
	const struct vm_slot *s = d ? used_slot(vm, d->slot) : NULL;

	if (!s || !(s->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return PHYLLO_ENOENT;
	if (d->first || d->pages * PAGE_SIZE != s->bytes || d->flags != PHYLLO_DIRTY_GET_CLEAR)
		return PHYLLO_ENOSYS;
	struct kvm_dirty_log log = {
		.slot = d->slot, .dirty_bitmap = vm_memory(vm, d->bitmap, d->pages / 8),
	};

	if (!log.dirty_bitmap)
		return PHYLLO_EFAULT;
	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log))
		die("the dirty log cannot be had");
	return count_bits(log.dirty_bitmap, d->pages);
}

/* ---- the MMU and the clock ------------------------------------------------------------- */

static int32_t call_mmu_mode(struct vm *vm, const struct kvm_regs *r)
{
	struct phyllo_mmu_mode *m = vm_memory(vm, r->rbx, sizeof(*m));
	bool npt = kvm_uses_npt();

	if (!m)
		return PHYLLO_EFAULT;
	*m = (struct phyllo_mmu_mode){
		.root_level = 4,
		.max_level = vm->config.small_pages ? 1 : 2,
		.fault_around = npt ? 1 : SHADOW_PREFETCH,
		.dirty_default = PHYLLO_DIRTY_STYLE_WRPROT,
		.dirty_styles = 1u << PHYLLO_DIRTY_STYLE_WRPROT,
	};
	strcpy(m->format, npt ? "npt" : "shadow");
	return 0;
}

/* No figures but the speed of the clock. */
static int32_t call_latency(struct vm *vm, const struct kvm_regs *r)
{
	struct phyllo_latency *l = vm_memory(vm, r->rbx, sizeof(*l));

	if (!l)
		return PHYLLO_EFAULT;
	l->ticks_per_us = ioctl(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0) / 1000;
	return 0;
}

static const call_fn calls[PHYLLO_HC_COUNT] = {
	[PHYLLO_HC_FEATURES - PHYLLO_HC_BASE] = call_features,
	[PHYLLO_HC_EXIT - PHYLLO_HC_BASE] = call_exit,
	[PHYLLO_HC_BALLOON_OUT - PHYLLO_HC_BASE] = call_balloon_out,
	[PHYLLO_HC_BALLOON_IN - PHYLLO_HC_BASE] = call_balloon_in,
	[PHYLLO_HC_UNMAP - PHYLLO_HC_BASE] = call_unmap,
	[PHYLLO_HC_STATS_READ - PHYLLO_HC_BASE] = call_stats,
	[PHYLLO_HC_PROTECT - PHYLLO_HC_BASE] = call_protect,
	[PHYLLO_HC_DIRTY_START - PHYLLO_HC_BASE] = call_dirty_start,
	[PHYLLO_HC_DIRTY_GET - PHYLLO_HC_BASE] = call_dirty_get,
	[PHYLLO_HC_DIRTY_STOP - PHYLLO_HC_BASE] = call_dirty_stop,
	[PHYLLO_HC_SLOT_CREATE - PHYLLO_HC_BASE] = call_slot_create,
	[PHYLLO_HC_SLOT_DELETE - PHYLLO_HC_BASE] = call_slot_delete,
	[PHYLLO_HC_SLOT_MOVE - PHYLLO_HC_BASE] = call_slot_move,
	[PHYLLO_HC_MMU_MODE - PHYLLO_HC_BASE] = call_mmu_mode,
	[PHYLLO_HC_LATENCY - PHYLLO_HC_BASE] = call_latency,
};

int32_t vm_call(struct vm_vcpu *vcpu, const struct kvm_regs *regs)
{
	uint64_t number = regs->rax - PHYLLO_HC_BASE;

	if (number >= PHYLLO_HC_COUNT || !calls[number])
		return PHYLLO_ENOSYS;
	return calls[number](vcpu->vm, regs);
}
