/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPUs on threads, and the exits that KVM leaves to its user.
 *
 * Where one CPU carries all, a vCPU that wakes up has to wait until Linux takes the CPU from another, which may be
 * a whole time slice.  `rt` gives KVM the best case: all vCPUs but the first are real-time threads, and
 * what they still wait for is nothing but what cannot be interrupted.
 */
#include "tools/linux-kvm/vm.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/guest/lib/call_port.h"

#define DEBUG_PORT 0xe9
#define EXIT_PORT 0xf4
#define REALTIME_PRIORITY 50

/* Lines go out whole, with the VM's name before them. */
static void console_put(struct vm *vm, char c)
{
	if (c != '\n')
		vm->line[vm->line_length++] = c;
	if (c == '\n' || vm->line_length == sizeof(vm->line)) {
		printf("%s| %.*s\n", vm->name, vm->line_length, vm->line);
		fflush(stdout);
		vm->line_length = 0;
	}
}

static int32_t answer_call(struct vm_vcpu *vcpu)
{
	struct kvm_regs regs;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs))
		die("vCPU %u has no registers", vcpu->id);
	return vm_call(vcpu, &regs);
}

static void handle_in(struct vm_vcpu *vcpu, uint8_t *data)
{
	const struct kvm_run *run = vcpu->run;

	memset(data, 0xff, run->io.size * run->io.count);
	if (run->io.port == DEBUG_PORT) {
		data[0] = DEBUG_PORT;
	} else if (run->io.port == HYPERCALL_PORT && run->io.size == sizeof(int32_t)) {
		int32_t result = answer_call(vcpu);

		memcpy(data, &result, sizeof(result));
	}
}

static void handle_out(struct vm *vm, const struct kvm_run *run, const uint8_t *data)
{
	for (unsigned i = 0; run->io.port == DEBUG_PORT && i < run->io.count; i++)
		console_put(vm, (char)data[i]);
	if (run->io.port == EXIT_PORT) {
		vm->exit_code = data[0];
		vm->over = true;
	}
}

static void handle_io(struct vm_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (run->io.direction == KVM_EXIT_IO_IN)
		handle_in(vcpu, data);
	else
		handle_out(vcpu->vm, run, data);
}

static void handle_exit(struct vm_vcpu *vcpu)
{
	struct kvm_regs regs = { 0 };

	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(vcpu);
		return;
	case KVM_EXIT_INTR:
		return;
	}
	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	die("vCPU %u left the guest at 0x%llx for reason %u", vcpu->id, regs.rip,
	    vcpu->run->exit_reason);
}

static void vcpu_loop(struct vm_vcpu *vcpu)
{
	while (!vcpu->vm->over) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0))
			handle_exit(vcpu);
		else if (errno != EINTR && errno != EAGAIN)
			die("vCPU %u does not run", vcpu->id);
	}
}

static void *vcpu_thread(void *arg)
{
	struct vm_vcpu *vcpu = arg;
	struct sched_param param = { .sched_priority = REALTIME_PRIORITY };

	if (vcpu->vm->config.realtime && sched_setscheduler(0, SCHED_FIFO, &param))
		die("vCPU %u cannot be real-time", vcpu->id);
	vcpu_loop(vcpu);
	return NULL;
}

static void wake(int number)
{
}

/* Out of KVM_RUN, and not in again. */
static void stop(struct vm_vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	pthread_kill(vcpu->thread, SIGUSR1);
	pthread_join(vcpu->thread, NULL);
}

void vm_run(struct vm *vm)
{
	struct sigaction action = { .sa_handler = wake };

	sigaction(SIGUSR1, &action, NULL);
	for (unsigned i = 1; i < vm->config.vcpus; i++)
		if (pthread_create(&vm->vcpu[i].thread, NULL, vcpu_thread, &vm->vcpu[i]))
			die("no thread for vCPU %u", i);
	vcpu_loop(&vm->vcpu[0]);
	for (unsigned i = 1; i < vm->config.vcpus; i++)
		stop(&vm->vcpu[i]);
}
