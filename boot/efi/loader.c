/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * BOOTX64.EFI: boots phyllo.elf without another boot loader.  From the volume it was
 * started from it reads \phyllo.elf, \phyllo.cfg and the modules named there; then
 * it takes leave of the firmware and enters the hypervisor.
 *
 * Until then every error is a sentence on the EFI console that names the file, and
 * the way back to the firmware is open.
 */
#include "boot/efi/loader.h"

#include "boot/parse.h"
#include "boot/parse_mmap.h"

#define ALLOCATIONS_MAX  (BOOT_MODULES_MAX + 8)
#define EXIT_ATTEMPTS    8
#define MAP_SLACK        8192     /* the map grows by the allocation that is to hold it */
#define READ_PAUSE_USEC  3000000u /* firmware soon clears the screen */

static struct {
	EFI_PHYSICAL_ADDRESS base;
	UINTN pages;
} allocations[ALLOCATIONS_MAX];
static UINTN allocation_count;

EFI_PHYSICAL_ADDRESS loader_alloc(EFI_MEMORY_TYPE type, UINT64 bytes)
{
	EFI_PHYSICAL_ADDRESS at = LOADER_MAX_ADDRESS;
	UINTN pages = bytes / EFI_PAGE_SIZE + 1; /* one more than needed at times; never none */

	if (allocation_count == ALLOCATIONS_MAX || bytes > LOADER_MAX_ADDRESS)
		return 0;
	if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, type, pages, &at)))
		return 0;
	allocations[allocation_count].base = at;
	allocations[allocation_count++].pages = pages;
	return at;
}

void loader_free_all(void)
{
	while (allocation_count) {
		allocation_count--;
		BS->FreePages(allocations[allocation_count].base,
			      allocations[allocation_count].pages);
	}
}

/* Called for each module line of phyllo.cfg. */
static int module_read(void *ctx, const char *file, size_t file_len, struct boot_module *m)
{
	char path[BOOT_MODARG_MAX];
	struct loader_file loaded;

	CopyMem(path, (void *)file, file_len);
	path[file_len] = '\0';
	if (EFI_ERROR(volume_read(path, &loaded)))
		return -1;
	m->base = (uint64_t)loaded.data;
	m->size = loaded.size;
	return 0;
}

static EFI_STATUS config_read(struct boot_info *info)
{
	struct loader_file config;
	const char *why = NULL;
	EFI_STATUS status = volume_read("/phyllo.cfg", &config);

	if (EFI_ERROR(status))
		return status;
	if (!boot_parse_config((const char *)config.data, config.size, info, module_read, NULL,
			       &why))
		return EFI_SUCCESS;
	if (why) /* else module_read() has said what is wrong */
		Print(L"phyllo: %a\r\n", why);
	return EFI_LOAD_ERROR;
}

/* ACPI 2.0's pointer if there is one, else ACPI 1.0's. */
static uint64_t acpi_find(EFI_SYSTEM_TABLE *table)
{
	EFI_GUID v2 = ACPI_20_TABLE_GUID, v1 = ACPI_TABLE_GUID;
	uint64_t found = 0;

	for (UINTN i = 0; i < table->NumberOfTableEntries; i++) {
		EFI_CONFIGURATION_TABLE *t = &table->ConfigurationTable[i];

		if (!CompareGuid(&t->VendorGuid, &v2))
			return (uint64_t)t->VendorTable;
		if (!CompareGuid(&t->VendorGuid, &v1))
			found = (uint64_t)t->VendorTable;
	}
	return found;
}

/* Shift of a colour of 8 bits; 0xff for any other. */
static uint8_t mask_shift(UINT32 mask)
{
	for (uint8_t shift = 0; shift <= 24; shift++) {
		if (mask == 0xffu << shift)
			return shift;
	}
	return 0xff;
}

static void framebuffer_find(struct boot_framebuffer *fb)
{
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;
	EFI_PIXEL_BITMASK mask;

	if (EFI_ERROR(BS->LocateProtocol(&GraphicsOutputProtocol, NULL, (void **)&gop)) ||
	    !gop->Mode || !gop->Mode->Info)
		return;
	mode = gop->Mode->Info;
	switch (mode->PixelFormat) {
	case PixelRedGreenBlueReserved8BitPerColor:
		mask = (EFI_PIXEL_BITMASK){ 0xff, 0xff00, 0xff0000, 0 };
		break;
	case PixelBlueGreenRedReserved8BitPerColor:
		mask = (EFI_PIXEL_BITMASK){ 0xff0000, 0xff00, 0xff, 0 };
		break;
	case PixelBitMask:
		mask = mode->PixelInformation;
		break;
	default: /* no memory to draw in */
		return;
	}
	*fb = (struct boot_framebuffer){
		.base = gop->Mode->FrameBufferBase,
		.pitch = mode->PixelsPerScanLine * 4,
		.width = mode->HorizontalResolution,
		.height = mode->VerticalResolution,
		.bpp = 32,
		.red_shift = mask_shift(mask.RedMask),
		.green_shift = mask_shift(mask.GreenMask),
		.blue_shift = mask_shift(mask.BlueMask),
	};
	/* The hypervisor checks the numbers again and draws on nothing that is odd. */
	fb->present = fb->red_shift != 0xff && fb->green_shift != 0xff && fb->blue_shift != 0xff;
}

struct memory_map {
	EFI_MEMORY_DESCRIPTOR *entries;
	UINTN size, room, key, desc_size;
	UINT32 desc_version;
};

static EFI_STATUS map_get(struct memory_map *map)
{
	map->size = map->room;
	return BS->GetMemoryMap(&map->size, map->entries, &map->key, &map->desc_size,
				&map->desc_version);
}

static EFI_STATUS map_alloc(struct memory_map *map)
{
	EFI_STATUS status = map_get(map);

	if (status != EFI_BUFFER_TOO_SMALL)
		return EFI_ERROR(status) ? status : EFI_DEVICE_ERROR;
	map->room = map->size + MAP_SLACK;
	map->entries = (EFI_MEMORY_DESCRIPTOR *)loader_alloc(EfiLoaderData, map->room);
	return map->entries ? EFI_SUCCESS : EFI_OUT_OF_RESOURCES;
}

/*
 * A timer that fires between the two calls may change the map and void the key; then
 * both are to be made again (UEFI 2.10, 7.4.6).  After the first attempt only memory
 * services may be called; when all attempts fail, the sentence about it is tried anyway.
 */
static EFI_STATUS services_exit(EFI_HANDLE program, struct memory_map *map)
{
	EFI_STATUS status = EFI_INVALID_PARAMETER;

	for (unsigned i = 0; i < EXIT_ATTEMPTS && status == EFI_INVALID_PARAMETER; i++) {
		status = map_get(map);
		if (!EFI_ERROR(status))
			status = BS->ExitBootServices(program, map->key);
	}
	return status;
}

static EFI_STATUS handoff_prepare(EFI_SYSTEM_TABLE *table, struct boot_handoff **out,
				  struct loader_image *image)
{
	static const char name[] = "Phyllo EFI loader";
	struct loader_file file;
	struct boot_handoff *h;
	EFI_STATUS status = volume_read("/phyllo.elf", &file);

	if (!EFI_ERROR(status))
		status = image_load(&file, image);
	if (EFI_ERROR(status))
		return status;

	h = (struct boot_handoff *)loader_alloc(EfiLoaderData, sizeof(*h));
	if (!h) {
		Print(L"phyllo: no memory below 4 GiB for the boot information\r\n");
		return EFI_OUT_OF_RESOURCES;
	}
	SetMem(h, sizeof(*h), 0);
	h->magic = BOOT_HANDOFF_MAGIC;
	h->version = BOOT_HANDOFF_VERSION;
	h->size = sizeof(*h);
	CopyMem(h->info.loader, (void *)name, sizeof(name));
	h->info.acpi_rsdp = acpi_find(table);
	framebuffer_find(&h->info.fb);
	*out = h;
	return config_read(&h->info);
}

static EFI_STATUS hypervisor_start(EFI_HANDLE program, struct boot_handoff *h,
				   const struct loader_image *image)
{
	/* crt0 and the hypervisor's entry both use the System V convention. */
	void (*entry)(struct boot_handoff *) = (void (*)(struct boot_handoff *))image->entry;
	struct memory_map map = { 0 };
	EFI_STATUS status = map_alloc(&map);

	if (!EFI_ERROR(status))
		status = services_exit(program, &map);
	if (EFI_ERROR(status)) {
		Print(L"phyllo: the firmware does not let go (ExitBootServices): %r\r\n", status);
		return status;
	}
	__asm__ volatile("cli");
	boot_mmap_add_efi(&h->info, map.entries, map.size, map.desc_size);
	entry(h);
	__builtin_unreachable();
}

EFI_STATUS efi_main(EFI_HANDLE program, EFI_SYSTEM_TABLE *table)
{
	struct boot_handoff *handoff;
	struct loader_image image;
	EFI_STATUS status;

	InitializeLib(program, table);
	BS->SetWatchdogTimer(0, 0, 0, NULL); /* it would reset the machine in five minutes */
	status = volume_open(program);
	if (!EFI_ERROR(status))
		status = handoff_prepare(table, &handoff, &image);
	volume_close();
	if (!EFI_ERROR(status)) {
		Print(L"phyllo: phyllo.elf at 0x%lx, %d module(s)\r\n", image.base,
		      handoff->info.module_count);
		status = hypervisor_start(program, handoff, &image);
	}
	loader_free_all();
	Print(L"phyllo: not started\r\n");
	BS->Stall(READ_PAUSE_USEC);
	return status;
}
