/* SPDX-License-Identifier: GPL-2.0-only */
/* Loads an ELF64 kernel as a multiboot1 loader does. */
#include "tools/linux-kvm/vm.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MULTIBOOT_MAGIC 0x2badb002
#define MULTIBOOT_CMDLINE (1u << 2)
#define MULTIBOOT_MMAP (1u << 6)
#define MULTIBOOT_RAM 1
/* Below 1 MiB; the kernels put nothing there but the code that starts other processors, in page 8. */
#define INFO_GPA 0x10000
#define CR0_PE_ET 0x11

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

struct multiboot_mmap {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct boot_page {
	struct multiboot_info info;
	struct multiboot_mmap map;
	char cmdline[512];
};

/* -> the entry point. */
static uint64_t load_elf(struct vm *vm, const uint8_t *file, size_t size)
{
	const Elf64_Ehdr *h = (const Elf64_Ehdr *)file;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(file + h->e_phoff);

	if (size < sizeof(*h) || memcmp(h->e_ident, ELFMAG, SELFMAG) ||
	    h->e_ident[EI_CLASS] != ELFCLASS64)
		die("%s is no ELF64 file", vm->config.kernel);
	for (unsigned i = 0; i < h->e_phnum; i++) {
		if (p[i].p_type != PT_LOAD)
			continue;
		uint8_t *to = vm_memory(vm, p[i].p_paddr, p[i].p_memsz);

		if (!to || p[i].p_offset + p[i].p_filesz > size)
			die("%s does not fit", vm->config.kernel);
		memcpy(to, file + p[i].p_offset, p[i].p_filesz);
	}
	return h->e_entry;
}

static uint64_t load_kernel(struct vm *vm)
{
	int fd = open(vm->config.kernel, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die("%s cannot be read", vm->config.kernel);
	uint8_t *file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (file == MAP_FAILED)
		die("%s cannot be read", vm->config.kernel);
	uint64_t entry = load_elf(vm, file, st.st_size);

	munmap(file, st.st_size);
	close(fd);
	return entry;
}

static void write_info(struct vm *vm)
{
	struct boot_page *b = vm_memory(vm, INFO_GPA, sizeof(*b));

	if (strlen(vm->config.words) >= sizeof(b->cmdline))
		die("the command line is too long");
	strcpy(b->cmdline, vm->config.words);
	b->map = (struct multiboot_mmap){
		.size = sizeof(b->map) - sizeof(b->map.size),
		.length = vm->config.mem, .type = MULTIBOOT_RAM,
	};
	b->info = (struct multiboot_info){
		.flags = MULTIBOOT_CMDLINE | MULTIBOOT_MMAP,
		.cmdline = INFO_GPA + offsetof(struct boot_page, cmdline),
		.mmap_length = sizeof(b->map),
		.mmap_addr = INFO_GPA + offsetof(struct boot_page, map),
	};
}

/* 32-bit protected mode, flat, paging and interrupts off. */
static void set_registers(struct vm_vcpu *vcpu, uint64_t entry)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 0xb, .present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_segment data = code;
	struct kvm_regs regs = {
		.rip = entry, .rflags = 2, .rax = MULTIBOOT_MAGIC, .rbx = INFO_GPA,
	};
	struct kvm_sregs sregs;

	data.type = 3;
	data.selector = 0x10;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		die("vCPU 0 has no registers");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = CR0_PE_ET;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) || ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		die("vCPU 0 does not take its registers");
}

void vm_load(struct vm *vm)
{
	uint64_t entry = load_kernel(vm);

	write_info(vm);
	set_registers(&vm->vcpu[0], entry);
}
