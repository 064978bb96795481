/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of a VM: memory, image, vCPUs, end; see vm.h. */
#include "vmm/vm.h"

#include <stdarg.h>

#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/param.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/load/load.h"
#include "vmm/report.h"
#include "vmm/virt.h"

static struct mmu_vm *create_mmu(const struct vm_config *config)
{
	uint8_t leaf = (uint8_t)(PG_LEVEL_4K + param.max_page);
	uint64_t pages = config->mem >> PAGE_SHIFT;
	struct mmu_config cfg = {
		.name = config->name,
		.format = virt_caps.format,
		.root_level = virt_caps.root_level,
		.max_leaf_level = MIN(leaf, virt_caps.max_leaf_level),
		.hw_ad = virt_caps.hw_ad,
		.pml = virt_caps.pml,
		.nx_huge_pages = param.nx_huge_pages,
		.fault_around = (uint8_t)(1u << param.fault_around),
		.maxphyaddr = virt_caps.maxphyaddr,
		/* The guest's own slots (hypercalls) give it addresses without end, but not pages. */
		.page_cap = 2 * pages,
	};

	return mmu_vm_create(&cfg);
}

/* Guest RAM, as slots and as the loader's list of ranges. */
static unsigned ram_ranges(uint64_t mem, struct load_range *ram)
{
	ram[0] = (struct load_range){ 0, MIN(mem, VM_LOW_RAM_END) };
	if (mem <= VM_LOW_RAM_END)
		return 1;
	ram[1] = (struct load_range){ VM_HIGH_RAM_BASE, mem - VM_LOW_RAM_END };
	return 2;
}

static int create_slots(struct vm *vm, const struct load_request *req)
{
	for (unsigned i = 0; i < req->ram_count; i++) {
		struct mmu_slot_desc d = { .id = i,
					   .base_gfn = req->ram[i].base >> PAGE_SHIFT,
					   .npages = req->ram[i].size >> PAGE_SHIFT };
		int err = mmu_slot_create(vm->mmu, &d);

		if (err)
			return err;
	}
	return 0;
}

static bool vm_fits(const struct load_request *req)
{
	const struct load_range *last = &req->ram[req->ram_count - 1];

	return last->base + last->size <= 1ul << virt_caps.gpa_bits;
}

static int load_write(void *ctx, uint64_t gpa, const void *data, uint64_t size)
{
	return mmu_write_guest(ctx, gpa, data, size);
}

/* Fresh guest memory reads as zero, but the loader may zero what it wrote before. */
static int load_zero(void *ctx, uint64_t gpa, uint64_t size)
{
	static const uint8_t zeroes[PAGE_SIZE];

	while (size) {
		uint64_t n = MIN(size, PAGE_SIZE);
		int err = mmu_write_guest(ctx, gpa, zeroes, n);

		if (err)
			return err;
		gpa += n;
		size -= n;
	}
	return 0;
}

/* The boot modules marked for=NAME become the guest's own modules. */
static int collect_modules(struct load_request *req, const struct vm_config *config,
			   const struct boot_info *bi, struct vm_config *scratch, char *why,
			   size_t why_size)
{
	for (unsigned i = 0; i < bi->module_count; i++) {
		const struct boot_module *m = &bi->modules[i];

		/* A module with bad options is refused by name elsewhere; it is not ours. */
		if (vm_config_parse(m->cmdline, param.mem, &scratch[i], why, why_size) ||
		    strcmp(scratch[i].owner, config->name))
			continue;
		if (req->module_count == LOAD_MODULES_MAX) {
			lib_snprintf(why, why_size, "%s: more than %u modules for one guest",
				     config->name, LOAD_MODULES_MAX);
			return -E2BIG;
		}
		req->modules[req->module_count++] = (struct load_module){
			.data = machine_phys_to_virt(m->base),
			.size = m->size,
			.cmdline = scratch[i].cmdline,
		};
	}
	return 0;
}

static int load_image(struct vm *vm, const struct boot_module *image, const struct boot_info *bi,
		      char *why, size_t why_size)
{
	size_t scratch_size = (bi->module_count + 1) * sizeof(struct vm_config);
	struct vm_config *scratch = object_alloc(scratch_size);
	struct load_request req = {
		.file = vm->config.file,
		.image = machine_phys_to_virt(image->base),
		.size = image->size,
		.cmdline = vm->config.cmdline,
		.write = load_write,
		.zero = load_zero,
		.ctx = vm->mmu,
	};
	struct load_result entry;

	if (!scratch)
		return -ENOMEM;
	req.ram_count = ram_ranges(vm->config.mem, req.ram);
	int err = collect_modules(&req, &vm->config, bi, scratch, why, why_size);
	if (!err)
		err = create_slots(vm, &req);
	if (err == -EINVAL && !vm_fits(&req))
		lib_snprintf(why, why_size, "%s: mem= reaches beyond the %u-bit addresses of a guest",
			     vm->config.name, virt_caps.gpa_bits);
	if (!err)
		err = load_guest(&req, &entry, why, why_size);
	object_free(scratch, scratch_size);
	if (err)
		return err;
	err = vcpu_create(vm, 0, &vm->vcpus[0]);
	if (err)
		return err;
	vm->vcpu_count = 1;
	vcpu_reset_protected(vm->vcpus[0], entry.entry, entry.eax, entry.ebx);
	return 0;
}

int vm_create(const struct vm_config *config, const struct boot_module *image,
	      const struct boot_info *bi, unsigned id, struct vm **out, char *why,
	      size_t why_size)
{
	struct vm *vm = object_alloc(sizeof(*vm));
	int err = -ENOMEM;

	lib_snprintf(why, why_size, "%s: not enough host memory to create the VM", config->name);
	if (!vm)
		return err;
	vm->config = *config;
	vm->id = id;
	guest_console_init(&vm->console, config->name);
	pic_reset(&vm->pics);
	vm->mmu = create_mmu(config);
	if (vm->mmu)
		err = load_image(vm, image, bi, why, why_size);
	if (err) {
		vm_destroy(vm);
		return err;
	}
	*out = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	if (vm->mmu)
		mmu_work_flush(vm->mmu);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_destroy(vm->vcpus[i]);
	if (vm->mmu)
		mmu_vm_destroy(vm->mmu);
	object_free(vm, sizeof(*vm));
}

/* ---- deferred work ------------------------------------------------------------------- */

/*
 * A kick says that some VM has work; which one is found out by asking, which costs the others one
 * call that returns at once.  So nothing here has to know who lives.
 */
static _Atomic uint64_t work_kicks;

void vm_work_kick(void)
{
	/* Relaxed: the work itself is found under mm/'s own locks. */
	atomic_fetch_add_explicit(&work_kicks, 1, memory_order_relaxed);
}

uint64_t vm_work_kicks(void)
{
	return atomic_load_explicit(&work_kicks, memory_order_relaxed);
}

/* ---- the end ------------------------------------------------------------------------- */

void vm_stop(struct vm *vm, enum vm_end end)
{
	unsigned running = VM_RUNNING;

	if (atomic_compare_exchange_strong_explicit(&vm->end, &running, end, memory_order_relaxed,
						    memory_order_relaxed))
		vm->end_us = machine_us();
}

void vm_exit_with(struct vm *vm, uint64_t code)
{
	if (vm_is_running(vm))
		vm->exit_code = code;
	vm_stop(vm, VM_END_EXIT);
}

void vm_stop_report(struct vcpu *vcpu, const char *fmt, ...)
{
	struct vm *vm = vcpu->vm;
	va_list ap;

	if (!vm_is_running(vm))
		return;
	va_start(ap, fmt);
	lib_vsnprintf(vm->why, sizeof(vm->why), fmt, ap);
	va_end(ap);
	guest_console_flush(&vm->console);
	vm_stop(vm, VM_END_STOPPED);
	report_vcpu(vcpu);
}

bool vm_succeeded(const struct vm *vm)
{
	switch (atomic_load_explicit(&vm->end, memory_order_relaxed)) {
	case VM_END_EXIT:
		return vm->exit_code == 0;
	case VM_END_HALTED:
		return true;
	default:
		return false;
	}
}
