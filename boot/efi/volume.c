/* SPDX-License-Identifier: GPL-2.0-only */
/* Files on the volume that the loader was started from. */
#include "boot/efi/loader.h"

#define PATH_MAX_CHARS 256

static EFI_FILE_PROTOCOL *root;

EFI_STATUS volume_open(EFI_HANDLE program)
{
	EFI_LOADED_IMAGE *self;
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume;
	EFI_STATUS status;

	status = BS->HandleProtocol(program, &LoadedImageProtocol, (void **)&self);
	if (!EFI_ERROR(status))
		status = BS->HandleProtocol(self->DeviceHandle, &FileSystemProtocol,
					    (void **)&volume);
	if (!EFI_ERROR(status))
		status = volume->OpenVolume(volume, &root);
	if (EFI_ERROR(status))
		Print(L"phyllo: the volume that the loader came from cannot be opened: %r\r\n",
		      status);
	return status;
}

void volume_close(void)
{
	if (root)
		root->Close(root);
	root = NULL;
}

/* "a/b" becomes "\a\b". */
static BOOLEAN path_convert(const char *path, CHAR16 *out)
{
	UINTN n = 0;

	if (*path != '/' && *path != '\\')
		out[n++] = '\\';
	for (; *path; path++) {
		if (n == PATH_MAX_CHARS - 1)
			return FALSE;
		out[n++] = *path == '/' ? '\\' : (UINT8)*path;
	}
	out[n] = 0;
	return TRUE;
}

/* Some firmware reads less than it was asked to. */
static EFI_STATUS read_all(EFI_FILE_PROTOCOL *f, UINT8 *dst, UINT64 size)
{
	while (size) {
		UINTN n = size;
		EFI_STATUS status = f->Read(f, &n, dst);

		if (EFI_ERROR(status))
			return status;
		if (n == 0 || n > size)
			return EFI_END_OF_FILE;
		dst += n;
		size -= n;
	}
	return EFI_SUCCESS;
}

static EFI_STATUS read_open_file(EFI_FILE_PROTOCOL *f, struct loader_file *file)
{
	EFI_FILE_INFO *info = LibFileInfo(f);
	EFI_PHYSICAL_ADDRESS at;
	BOOLEAN directory;

	if (!info)
		return EFI_DEVICE_ERROR;
	file->size = info->FileSize;
	directory = (info->Attribute & EFI_FILE_DIRECTORY) != 0;
	FreePool(info);
	if (directory)
		return EFI_NOT_FOUND;
	at = loader_alloc(EfiLoaderData, file->size);
	if (!at)
		return EFI_OUT_OF_RESOURCES;
	file->data = (const UINT8 *)at;
	return read_all(f, (UINT8 *)at, file->size);
}

EFI_STATUS volume_read(const char *path, struct loader_file *file)
{
	CHAR16 name[PATH_MAX_CHARS];
	EFI_FILE_PROTOCOL *f;
	EFI_STATUS status = EFI_INVALID_PARAMETER;

	file->path = path;
	if (path_convert(path, name))
		status = root->Open(root, &f, name, EFI_FILE_MODE_READ, 0);
	if (!EFI_ERROR(status)) {
		status = read_open_file(f, file);
		f->Close(f);
	}
	if (EFI_ERROR(status))
		Print(L"phyllo: %a cannot be read: %r\r\n", path, status);
	return status;
}
