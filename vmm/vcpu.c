/* SPDX-License-Identifier: GPL-2.0-only */
/* The run loop and the life of a vCPU; see vcpu.h. */
#include "vmm/vcpu.h"

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "host/object.h"
#include "lib/printf.h"
#include "vmm/exit.h"
#include "vmm/intr.h"
#include "vmm/realmode.h"
#include "vmm/report.h"
#include "vmm/ve.h"
#include "vmm/virt.h"
#include "vmm/vm.h"

/* ---- life ---------------------------------------------------------------------------- */

static void vcpu_in(void *arg);
static void vcpu_out(void *arg);

static void vcpu_init(struct vcpu *vcpu, struct vm *vm, unsigned id)
{
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->ve_gpa = VE_NO_PAGE;
	vcpu->xcr0 = 1;
	vcpu->hooks = (struct thread_hooks){ .in = vcpu_in, .out = vcpu_out, .arg = vcpu };
	/* The first thing it does is to look at its VM. */
	vcpu->pending = INTR_POKE;
	vcpu_reset_protected(vcpu, 0, 0, 0);
	intr_init(vcpu);
}

int vcpu_create(struct vm *vm, unsigned id, struct vcpu **out)
{
	struct vcpu *vcpu = object_alloc(sizeof(*vcpu));

	if (!vcpu)
		return -ENOMEM;
	vcpu_init(vcpu, vm, id);
	vcpu->fpu = fpu_area_alloc();
	if (!vcpu->fpu)
		goto no_fpu;
	if (mmu_vcpu_init(vm->mmu, &vcpu->mmu, id))
		goto no_mmu;
	if (virt->vcpu_create(vcpu))
		goto no_arch;
	atomic_init(&vcpu->activity, id ? VCPU_WAITING : VCPU_RUNNING);
	signal_init(&vm->group.signals, &vcpu->signal, id != 0);
	*out = vcpu;
	return 0;

no_arch:
	mmu_vcpu_destroy(&vcpu->mmu);
no_mmu:
	fpu_area_free(vcpu->fpu);
no_fpu:
	object_free(vcpu, sizeof(*vcpu));
	return -ENOMEM;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	virt->vcpu_destroy(vcpu);
	mmu_vcpu_destroy(&vcpu->mmu);
	fpu_area_free(vcpu->fpu);
	object_free(vcpu, sizeof(*vcpu));
}

void vcpu_skip(struct vcpu *vcpu, unsigned len)
{
	vcpu->regs.rip += len;
	vcpu->regs.rflags &= ~RFLAGS_RF;
	virt->clear_intr_shadow(vcpu);
	if (vcpu->regs.rflags & RFLAGS_TF)
		virt->pend_single_step(vcpu);
}

/* ---- reached from outside -------------------------------------------------------------- */

/*
 * in_guest implies that cpu is right: vcpu_in() writes it before the entry, which releases it
 * (mmu_vcpu_enter()), and whoever kicks has read in_guest.  If the vCPU has moved since, then
 * the entry that the caller saw is over; a new one looks at the events and the generation of the
 * tables after in_guest was set again, and the kick may go anywhere.
 *
 * The second kick of one stay in guest mode is an NMI, where the vendor wants that.  It cannot be
 * the first: one that comes right before the entry is taken by the host and ends nothing.
 */
void vcpu_kick(struct vcpu *vcpu)
{
	unsigned cpu = atomic_load_explicit(&vcpu->cpu, memory_order_relaxed);

	atomic_fetch_add_explicit(&vcpu->kicks, 1, memory_order_relaxed);
	if (atomic_exchange_explicit(&vcpu->kicked, true, memory_order_relaxed) && virt_caps.nmi_kicks)
		machine_kick_cpu_nmi(cpu);
	else
		machine_kick_cpu(cpu);
}

/* The thread may have been parked by vm_checkpoint(), of which its signal knows nothing. */
void vcpu_poke(struct vcpu *vcpu)
{
	struct thread *thread = atomic_load_explicit(&vcpu->thread, memory_order_acquire);

	intr_post(vcpu, INTR_POKE);
	if (thread)
		thread_unpark(thread);
}

/* ---- on and off a CPU -------------------------------------------------------------------- */

static void vcpu_in(void *arg)
{
	struct vcpu *vcpu = arg;
	unsigned cpu = machine_cpu_id();

	if (atomic_load_explicit(&vcpu->cpu, memory_order_relaxed) != cpu)
		vcpu->migrations++;
	atomic_store_explicit(&vcpu->cpu, cpu, memory_order_relaxed);
	virt->vcpu_load(vcpu);
	fpu_guest_load(vcpu->fpu, vcpu->xcr0);
	report_set_current(vcpu);
}

static void vcpu_out(void *arg)
{
	struct vcpu *vcpu = arg;

	report_set_current(NULL);
	fpu_guest_save(vcpu->fpu, &vcpu->xcr0);
	virt->vcpu_put(vcpu);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void record_exit(struct vcpu *vcpu)
{
	struct exit_record *r = &vcpu->history[vcpu->history_next++ % VCPU_EXIT_HISTORY];

	r->rip = vcpu->regs.rip;
	r->hw_info = vcpu->exit.hw_info[0];
	r->reason = (uint16_t)vcpu->exit.reason;
	r->hw_reason = (uint16_t)vcpu->exit.hw_reason;
}

/* With interrupts off; false: the VM was stopped for want of a table. */
static bool load_root(struct vcpu *vcpu)
{
	machine_irq_enable();
	hpa_t root = mmu_vcpu_load_root(&vcpu->mmu);
	machine_irq_save();
	if (root == HPA_INVALID) {
		vm_stop_report(vcpu, "no host memory left for a root table");
		return false;
	}
	virt->set_root(vcpu, root);
	return true;
}

/*
 * Whatever came before in_guest was set is seen here; what comes later kicks.  Nothing opens
 * interrupts or yields between mmu_vcpu_enter() and mmu_vcpu_exit().  The log is drained while the
 * vCPU still counts as in guest mode: whoever flushes it, so as to read a dirty log that is complete,
 * waits for that.  false: not entered.
 */
static bool enter_guest(struct vcpu *vcpu)
{
	atomic_store_explicit(&vcpu->kicked, false, memory_order_relaxed);
	switch (mmu_vcpu_enter(&vcpu->mmu)) {
	case MMU_ENTER_RELOAD:
		load_root(vcpu);
		return false;
	case MMU_ENTER_FLUSH:
		virt->flush_tlb(vcpu);
		break;
	case MMU_ENTER_GO:
		break;
	}
	if (!signal_may_run(&vcpu->signal, &vcpu->mmu))
		return false;
	virt->vcpu_run(vcpu);
	if (virt_caps.pml && !vcpu->vm->shadow)
		virt->drain_log(vcpu);
	mmu_vcpu_exit(&vcpu->mmu);
	return true;
}

/* What others want of it, and what it has to look at again itself.  false: its VM has ended. */
static bool attend(struct vcpu *vcpu)
{
	uint32_t events = vcpu->pending;

	if (!events && !signal_is_set(&vcpu->signal))
		return true;
	vcpu->pending = 0;
	events |= signal_take(&vcpu->signal);
	if ((events & INTR_POKE) && !vm_checkpoint(vcpu))
		return false;
	intr_attend(vcpu, events);
	return true;
}

static void vcpu_sleep(struct vcpu *vcpu)
{
	struct signal_group *group = &vcpu->vm->group.signals;

	if (!intr_can_wake(vcpu) && signal_rest(group, &vcpu->signal))
		vm_stop(vcpu->vm, VM_END_HALTED);
	for (signal_sleep(&vcpu->signal); !signal_is_set(&vcpu->signal);)
		thread_park();
	signal_wake(group, &vcpu->signal);
}

void vcpu_open_interrupts(void)
{
	machine_irq_enable();
	machine_relax();
	machine_irq_save();
}

/*
 * The loop that everything here is about.  Interrupts stay off between exits
 * that need no time; a pending one ends guest mode at once.
 */
static void vcpu_run(struct vcpu *vcpu)
{
	while (attend(vcpu)) {
		if (atomic_load_explicit(&vcpu->activity, memory_order_relaxed) != VCPU_RUNNING) {
			vcpu_sleep(vcpu);
			continue;
		}
		if (thread_should_yield())
			thread_yield();
		if (vcpu->mmu.root == HPA_INVALID && !load_root(vcpu))
			continue;
		if (!realmode_prepare(vcpu))
			continue;
		if (!enter_guest(vcpu)) {
			/* However often that happens: the CPU's own interrupts get their turn. */
			vcpu_open_interrupts();
			continue;
		}
		record_exit(vcpu);
		exit_handle(vcpu);
	}
}

/* ---- its thread -------------------------------------------------------------------------------- */

static void vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vcpu_group *group = &vcpu->vm->group;
	uint64_t flags = machine_irq_save();

	thread_set_hooks(&vcpu->hooks);
	vcpu_in(vcpu);
	vcpu_run(vcpu);
	vcpu_out(vcpu);
	thread_set_hooks(NULL);
	machine_irq_restore(flags);
	timer_cancel(&vcpu->alarm);
	/* From here on it signals no other; pairs with the load in vcpus_join(). */
	if (atomic_fetch_sub_explicit(&group->live, 1, memory_order_seq_cst) != 1)
		return;
	struct thread *reaper = atomic_load_explicit(&group->reaper, memory_order_seq_cst);

	if (reaper)
		thread_unpark(reaper);
}

int vcpu_start_thread(struct vcpu *vcpu, const struct cpu_set *cpus)
{
	char name[THREAD_NAME_MAX];

	lib_snprintf(name, sizeof(name), "%s/%u", vcpu->vm->config.name, vcpu->id);
	struct thread *thread = thread_create(name, vcpu_thread, vcpu, cpus);

	if (!thread)
		return -ENOMEM;
	atomic_fetch_add_explicit(&vcpu->vm->group.live, 1, memory_order_relaxed);
	/* release: pairs with the acquire in vcpu_poke() */
	atomic_store_explicit(&vcpu->thread, thread, memory_order_release);
	thread_start(thread);
	return 0;
}

/*
 * In two steps, since each may have to unpark any other until all are done.  The last one unparks
 * us, whose thread outlives it: it is joined behind that.
 */
void vcpus_join(struct vm *vm)
{
	struct vcpu_group *group = &vm->group;

	atomic_store_explicit(&group->reaper, thread_current(), memory_order_seq_cst);
	while (atomic_load_explicit(&group->live, memory_order_seq_cst))
		thread_park();
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];
		struct thread *thread = atomic_load_explicit(&vcpu->thread, memory_order_relaxed);

		atomic_store_explicit(&vcpu->thread, NULL, memory_order_relaxed);
		if (thread)
			thread_join(thread);
	}
}
