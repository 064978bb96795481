/* SPDX-License-Identifier: GPL-2.0-only */
/* Making and freeing a VM: memory, image, vCPUs; see vm.h. */
#include "vmm/vm.h"

#include "arch/x86/cpu.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/param.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/load/load.h"
#include "vmm/virt.h"

#define CPUID_PAGE_1G (1u << 26)

struct vm_defaults vm_defaults(void)
{
	return (struct vm_defaults){ param.mem, (unsigned)param.vcpus, param.vcpu_pin,
				     (enum vm_mmu)param.mmu };
}

/* Which kind of paging it has.  0, or -ENODEV: not the one that was asked for. */
static int choose_paging(struct vm *vm, char *why, size_t why_size)
{
	const struct vm_config *config = &vm->config;

	vm->shadow = config->mmu == VM_MMU_SHADOW || !virt_caps.nested;
	if (config->mmu == VM_MMU_TDP && vm->shadow) {
		lib_snprintf(why, why_size, "%s: mmu=tdp needs nested paging, which this processor "
			     "does not have; mmu=shadow or auto does without", config->name);
		return -ENODEV;
	}
	if (config->mmu == VM_MMU_AUTO && vm->shadow)
		log_info("%s: this processor has no nested paging: the VM gets shadow paging",
			 config->name);
	return 0;
}

/* Of ordinary tables: long mode's 1G pages are a feature, PAE's 2M pages are not. */
static uint8_t host_leaf_level(void)
{
	return cpuid(0x80000001, 0).edx & CPUID_PAGE_1G ? PG_LEVEL_1G : PG_LEVEL_2M;
}

static struct mmu_vm *create_mmu(struct vm *vm, const struct vm_config *config)
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
		.page_cap = config->cap ? config->cap >> PAGE_SHIFT : 2 * pages,
		.owner = vm,
	};

	/* Its tables are ordinary ones, and such have had Accessed and Dirty since the 80386. */
	if (vm->shadow) {
		cfg.format = MMU_FORMAT_SHADOW;
		cfg.max_leaf_level = MIN(leaf, host_leaf_level());
		cfg.root_level = 4;
		cfg.hw_ad = true;
		cfg.pml = cfg.nx_huge_pages = false;
		cfg.fault_around = 1;
		/* What may be executed is not told apart there: no large page at all. */
		if (param.nx_huge_pages)
			cfg.max_leaf_level = PG_LEVEL_4K;
	}
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
	const struct vm_defaults defaults = vm_defaults();

	for (unsigned i = 0; i < bi->module_count; i++) {
		const struct boot_module *m = &bi->modules[i];

		/* A module with bad options is refused by name elsewhere; it is not ours. */
		if (vm_config_parse(m->cmdline, &defaults, &scratch[i], why, why_size) ||
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
		      struct load_result *entry, char *why, size_t why_size)
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
		err = load_guest(&req, entry, why, why_size);
	object_free(scratch, scratch_size);
	return err;
}

/* The first one starts where the loader says; the others wait to be started. */
static int create_vcpus(struct vm *vm, const struct load_result *entry)
{
	for (unsigned i = 0; i < vm->config.vcpus; i++) {
		int err = vcpu_create(vm, i, &vm->vcpus[i]);

		if (err)
			return err;
		vm->vcpu_count++;
	}
	vcpu_reset_protected(vm->vcpus[0], entry->entry, entry->eax, entry->ebx);
	return 0;
}

static bool cpu_is_up(unsigned cpu)
{
	return cpu < machine_cpu_count();
}

/* Is there a CPU wherever the line wants one? */
static int check_cpus(const struct vm_config *config, char *why, size_t why_size)
{
	bool any = false, wanted = false;

	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
		bool in = config->cpus.bits[cpu / 64] & BIT(cpu % 64);

		wanted |= in;
		any |= in && cpu_is_up(cpu);
	}
	for (unsigned i = 0; i < config->vcpus; i++) {
		if (config->pin[i] == VM_PIN_ANY || cpu_is_up(config->pin[i]))
			continue;
		lib_snprintf(why, why_size, "%s: vcpu.pin= names CPU %u, and %u are up", config->name,
			     config->pin[i], machine_cpu_count());
		return -EINVAL;
	}
	if (!wanted || any)
		return 0;
	lib_snprintf(why, why_size, "%s: no CPU of cpus= is up; there are %u", config->name,
		     machine_cpu_count());
	return -EINVAL;
}

int vm_create(const struct vm_config *config, const struct boot_module *image,
	      const struct boot_info *bi, unsigned id, struct vm **out, char *why,
	      size_t why_size)
{
	struct load_result entry;
	int err = check_cpus(config, why, why_size);

	if (err)
		return err;
	struct vm *vm = object_alloc(sizeof(*vm));

	lib_snprintf(why, why_size, "%s: not enough host memory to create the VM", config->name);
	if (!vm)
		return -ENOMEM;
	vm->config = *config;
	vm->id = id;
	vm->keeper = thread_current();
	vm->start_us = machine_us();
	guest_console_init(&vm->console, config->name);
	pic_reset(&vm->pics);
	err = choose_paging(vm, why, why_size);
	if (!err) {
		vm->mmu = create_mmu(vm, config);
		err = vm->mmu ? load_image(vm, image, bi, &entry, why, why_size) : -ENOMEM;
	}
	if (!err)
		err = create_vcpus(vm, &entry);
	if (err) {
		vm_destroy(vm);
		return err;
	}
	*out = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	uint64_t start = machine_cycles();

	if (vm->mmu)
		mmu_work_flush(vm->mmu);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_destroy(vm->vcpus[i]);
	if (vm->mmu)
		mmu_vm_destroy(vm->mmu);
	log_debug("%s: destroyed in %lu cycles", vm->config.name, machine_cycles() - start);
	object_free(vm, sizeof(*vm));
}

const char *vm_memory_excuse(struct vm *vm)
{
	return mmu_vm_at_cap(vm->mmu) ? "its cap on host memory is reached, none" :
					"no host memory left";
}
