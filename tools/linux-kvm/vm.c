/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM, its vCPUs and its memory; see vm.h. */
#include "tools/linux-kvm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB (1ul << 30)
#define CPUID_ENTRIES 128
#define CPUID_1_ECX_HYPERVISOR (1u << 31)

/*
 * Aligned to 1 GiB, so that huge pages can be behind all of it, and so that Linux, which splits what it tells
 * KVM of at the borders of its own tables, tells of it in pieces as large as can be.
 */
static uint8_t *take_memory(const struct vm *vm, uint64_t bytes)
{
	uint8_t *all = mmap(NULL, bytes + GIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *memory = (uint8_t *)(((uintptr_t)all + GIB - 1) & ~(GIB - 1));

	if (all == MAP_FAILED)
		die("no address space for %lu bytes", bytes);
	if (madvise(memory, bytes, vm->config.small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE))
		die("the size of pages cannot be chosen");
	return memory;
}

void vm_set_slot(struct vm *vm, unsigned id, uint64_t gpa, uint64_t bytes, uint32_t flags)
{
	struct vm_slot *s = &vm->slot[id];

	if (bytes && s->memory && s->bytes != bytes) {
		munmap(s->memory, s->bytes);
		s->memory = NULL;
	}
	if (bytes && !s->memory) {
		s->memory = take_memory(vm, bytes);
		s->protection = PROT_READ | PROT_WRITE;
	}
	struct kvm_userspace_memory_region region = {
		.slot = id, .flags = flags, .guest_phys_addr = gpa, .memory_size = bytes,
		.userspace_addr = (uintptr_t)s->memory,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		die("slot %u cannot be set", id);
	s->used = bytes != 0;
	s->gpa = gpa;
	s->flags = flags;
	if (bytes)
		s->bytes = bytes;
}

struct vm_slot *vm_slot_of(struct vm *vm, uint64_t gpa, uint64_t bytes)
{
	for (unsigned i = 0; i < VM_SLOTS; i++) {
		struct vm_slot *s = &vm->slot[i];

		if (s->used && gpa >= s->gpa && bytes <= s->bytes &&
		    gpa - s->gpa <= s->bytes - bytes)
			return s;
	}
	return NULL;
}

void *vm_memory(struct vm *vm, uint64_t gpa, uint64_t bytes)
{
	const struct vm_slot *s = vm_slot_of(vm, gpa, bytes);

	return s ? s->memory + (gpa - s->gpa) : NULL;
}

/* What KVM supports, with the vCPU's own APIC id. */
static void set_cpuid(struct vm_vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(vcpu->vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid))
		die("KVM does not say its CPUID");
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 1) {
			e->ecx |= CPUID_1_ECX_HYPERVISOR;
			e->ebx = (e->ebx & 0xffffff) | vcpu->id << 24;
		} else if (e->function == 0xb) {
			e->edx = vcpu->id;
		}
	}
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
		die("KVM refuses its own CPUID");
	free(cpuid);
}

static void vcpu_create(struct vm *vm, unsigned id)
{
	struct vm_vcpu *vcpu = &vm->vcpu[id];

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		die("vCPU %u cannot be made", id);
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("vCPU %u cannot be mapped", id);
	set_cpuid(vcpu);
}

static void set_name(struct vm *vm)
{
	const char *kernel = vm->config.kernel;

	snprintf(vm->name, sizeof(vm->name), "%.*s", (int)strcspn(kernel, "."), kernel);
}

void vm_create(struct vm *vm, const struct vm_config *config)
{
	*vm = (struct vm){ .config = *config };
	set_name(vm);
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		die("no /dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		die("no VM");
	vm->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP))
		die("no interrupt controllers");
	vm_set_slot(vm, 0, 0, config->mem, 0);
	for (unsigned i = 0; i < config->vcpus; i++)
		vcpu_create(vm, i);
}

uint64_t vm_destroy(struct vm *vm)
{
	uint64_t start = ticks();

	for (unsigned i = 0; i < vm->config.vcpus; i++) {
		munmap(vm->vcpu[i].run, vm->run_size);
		close(vm->vcpu[i].fd);
	}
	close(vm->fd);
	close(vm->kvm);
	return ticks() - start;
}

void vm_free_memory(struct vm *vm)
{
	for (unsigned i = 0; i < VM_SLOTS; i++)
		if (vm->slot[i].memory)
			munmap(vm->slot[i].memory, vm->slot[i].bytes);
}
