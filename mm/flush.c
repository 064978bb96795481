/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flush handshake between whoever changed the tables and the vCPUs.
 *
 *   vCPU: mmu_vcpu_enter()               flush_vm()
 *   E1  in_guest = 1                     F0  (tables changed)
 *   E2  gen = vm->tlb_gen                F1  gen = ++vm->tlb_gen
 *   E3  if vcpu->tlb_gen != gen:         F2  if in_guest and vcpu->tlb_gen < gen:
 *         root invalid? not entered            kick, wait until in_guest == 0
 *         vcpu->tlb_gen = gen, flush           or vcpu->tlb_gen >= gen
 *   …   guest runs …
 *   X   in_guest = 0                     F3  free what was unlinked
 *
 * Why no entry is missed: E1, E2, F1 and F2's load of in_guest are sequentially
 * consistent.  If F2 reads 0 from before E1, then F2 precedes E1, so F1 precedes E2
 * and the vCPU reads the new generation: it flushes before it runs, and its walks
 * find the tables as of F0 (F1 releases, E2 acquires).  If F2 reads 1, the vCPU is
 * kicked and waited for.
 *
 * Why its accesses are over at F3: in_guest == 0 acquires the release at X; a
 * tlb_gen that has caught up acquires the release at E3, which follows an X.  Having
 * caught up does not mean that the hardware flush is done, but that it comes before the
 * first instruction of the guest, and so before anything could use what is stale.
 *
 * A vCPU outside guest mode is neither kicked nor waited for.
 */
#include "mm/flush.h"

#include "mm/root.h"
#include "mm/shadow.h"

/* Whom one kick did not get out, the port may know another way to kick. */
#define TURNS_TO_KICK 256
/* 20 s of a 3 GHz clock: a processor that ignores a kick that long is lost. */
#define FLUSH_WAIT_LIMIT (1ul << 36)

static bool root_is_usable(const struct mmu_vcpu *vcpu)
{
	return vcpu->shadow ? shadow_root_is_usable(vcpu)
			    : vcpu->loaded && root_is_valid(vcpu->loaded);
}

/* Not in mmu_vcpu_enter(), most of which would be saving registers for this then. */
static __attribute__((noinline)) enum mmu_enter catch_up(struct mmu_vcpu *vcpu, uint64_t gen)
{
	/* Invalidating a root raises the generation: only here can it have happened. */
	if (!root_is_usable(vcpu)) {
		mmu_vcpu_exit(vcpu);
		return MMU_ENTER_RELOAD;
	}
	/* E3: release, pairs with the acquire in must_wait(). */
	atomic_store_explicit(&vcpu->tlb_gen, gen, memory_order_release);
	return MMU_ENTER_FLUSH;
}

enum mmu_enter mmu_vcpu_enter(struct mmu_vcpu *vcpu)
{
	/* E1: an exchange, because x86 lets a later load pass a plain store. */
	atomic_exchange_explicit(&vcpu->in_guest, 1, memory_order_seq_cst);
	/* E2 */
	uint64_t gen = atomic_load_explicit(&vcpu->vm->tlb_gen, memory_order_seq_cst);

	/* Only this vCPU writes its tlb_gen. */
	if (atomic_load_explicit(&vcpu->tlb_gen, memory_order_relaxed) == gen)
		return MMU_ENTER_GO;
	return catch_up(vcpu, gen);
}

void mmu_vcpu_exit(struct mmu_vcpu *vcpu)
{
	/* X: release, pairs with the load of in_guest in must_wait(). */
	atomic_store_explicit(&vcpu->in_guest, 0, memory_order_release);
}

/* F2 */
static bool must_wait(struct mmu_vcpu *vcpu, uint64_t gen)
{
	return atomic_load_explicit(&vcpu->in_guest, memory_order_seq_cst) &&
	       atomic_load_explicit(&vcpu->tlb_gen, memory_order_acquire) < gen;
}

static void wait_for(struct mmu_vcpu *vcpu, uint64_t gen)
{
	uint64_t start = port_clock();
	unsigned turns = 0, next_kick = TURNS_TO_KICK;

	while (must_wait(vcpu, gen)) {
		port_cpu_relax();
		if (++turns == next_kick) {
			port_vcpu_kick(vcpu);
			next_kick *= 2;
		}
		if (port_clock() - start > FLUSH_WAIT_LIMIT) {
			port_log("mmu: vCPU %u of %s did not leave guest mode for a flush",
				 vcpu->id, vcpu->vm->name);
			port_bug(__FILE__, __LINE__, "a kicked vCPU stays in guest mode");
		}
	}
}

/* All kicks first, so that the vCPUs leave side by side.  Returns how many. */
static unsigned kick_all(struct mmu_vm *vm, uint64_t gen) REQUIRES(vm->mmu_lock)
{
	unsigned kicked = 0, spared = 0;

	for (struct mmu_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next) {
		if (!must_wait(vcpu, gen)) {
			spared++;
			continue;
		}
		port_vcpu_kick(vcpu);
		kicked++;
	}
	stat_add(vm, tlb_kick, kicked);
	stat_add(vm, tlb_spared, spared);
	return kicked;
}

/* Whoever is waited for last is the one that it took so long for. */
static void wait_all(struct mmu_vm *vm, uint64_t gen) REQUIRES(vm->mmu_lock)
{
	uint64_t start = port_clock(), last = 0;

	for (struct mmu_vcpu *vcpu = vm->vcpus; vcpu; vcpu = vcpu->next) {
		if (!must_wait(vcpu, gen))
			continue;
		last = who_make(MMU_OP_GUEST, vcpu->id);
		wait_for(vcpu, gen);
	}
	uint64_t now = port_clock();
	struct latency_event e = {
		now - start, now, atomic_load_explicit(&vm->holder.who, memory_order_relaxed),
		vm->holder.npages, last,
	};

	latency_add_excl(vm, MMU_LATENCY_SHOOTDOWN, &e);
}

void flush_vm(struct mmu_vm *vm)
{
	assert_held_write(&vm->mmu_lock);
	/* F1 */
	uint64_t gen = atomic_fetch_add_explicit(&vm->tlb_gen, 1, memory_order_seq_cst) + 1;

	stat_add(vm, tlb_flush, 1);
	unsigned kicked = kick_all(vm, gen);

	if (kicked)
		wait_all(vm, gen);
}
