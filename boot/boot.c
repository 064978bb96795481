/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first C: picks the parser for what the entry stub was given, fills the one
 * struct boot_info, and starts the hypervisor.  On the early page tables and the
 * boot stack; no interrupts, no IDT, no log.
 */
#include "boot/boot.h"

#include "boot/efi/handoff.h"
#include "boot/image.h"
#include "boot/parse.h"
#include "boot/parse_impl.h"
#include "boot/report.h"

#define MULTIBOOT2_MAGIC 0x36d76289u /* what eax holds, not the header's */
#define PVH_MAGIC        0x336ec578u

/* The direct map as the entry stub made it. */
#define EARLY_DIRECT_MAP 0xffff800000000000ul
#define EARLY_PHYS_END   (1ul << 32)

extern void entry_efi(void); /* 64-bit code that C never calls */

/* What tells the EFI loader where to enter. */
__attribute__((used, section(".note.Phyllo"), aligned(4)))
static const struct boot_handoff_note handoff_note = {
	.name_size = sizeof(BOOT_NOTE_NAME),
	.desc_size = BOOT_NOTE_DESC_SIZE,
	.type = BOOT_NOTE_TYPE,
	.name = BOOT_NOTE_NAME,
	.version = BOOT_HANDOFF_VERSION,
	.size = sizeof(struct boot_handoff),
	.entry = (uint64_t)entry_efi,
};

static struct boot_info boot_info;

static const void *phys_map(void *ctx, uint64_t pa, uint64_t size)
{
	if (pa >= EARLY_PHYS_END || size > EARLY_PHYS_END - pa)
		return NULL;
	return (const void *)(EARLY_DIRECT_MAP + pa);
}

static const struct boot_phys boot_phys = { .map = phys_map };

static int multiboot2_read(uint32_t info_pa, const char **why)
{
	const void *head = phys_map(NULL, info_pa, 8);
	const void *info = head ? phys_map(NULL, info_pa, boot_get32(head)) : NULL;
	int err;

	if (!info)
		return boot_refuse(why,
				"multiboot2: the boot information does not lie below 4 GiB");
	err = boot_parse_multiboot2(info, boot_get32(head), &boot_info, why);
	if (!err && boot_info.acpi_rsdp_size)
		boot_info.acpi_rsdp = image_virt_to_phys(boot_info.acpi_rsdp_copy);
	return err;
}

static int handoff_read(uint32_t pa, const char **why)
{
	const void *handoff = phys_map(NULL, pa, sizeof(struct boot_handoff));

	return boot_parse_handoff(handoff, handoff ? sizeof(struct boot_handoff) : 0, &boot_info,
				  why);
}

static int loader_read(uint32_t magic, uint32_t info_pa, const char **why)
{
	switch (magic) {
	case PVH_MAGIC:
		return boot_parse_pvh(info_pa, &boot_phys, &boot_info, why);
	case MULTIBOOT2_MAGIC:
		return multiboot2_read(info_pa, why);
	case BOOT_HANDOFF_MAGIC:
		return handoff_read(info_pa, why);
	}
	return boot_refuse(why,
			"not started by multiboot2, PVH or our EFI loader (eax = 0x%x)",
			magic);
}

_Noreturn void boot_main(uint32_t magic, uint32_t info_pa)
{
	const char *why = NULL;

	if (loader_read(magic, info_pa, &why) || boot_unbundle(&boot_phys, &boot_info, &why))
		boot_report_failure(why);

	boot_info.image_base = image_phys_base;
	boot_info.image_end = image_virt_to_phys(image_end);
	phyllo_main(&boot_info);
	boot_report_failure("the hypervisor returned");
}
