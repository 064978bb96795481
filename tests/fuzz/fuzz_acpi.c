/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: the ACPI parser.  The input is a small physical memory; the custom
 * mutator begins with well-formed tables and repairs checksums after most mutations.
 */
#include <stdlib.h>
#include <string.h>

#include "host/acpi.h"

#define RSDP 0x20u
#define XSDT 0x60u
#define RSDT 0xa0u
#define MADT 0x100u
#define FADT 0x200u
#define SIZE 0x300u
#define HEAD 36u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

struct memory {
	const uint8_t *data;
	size_t size;
	void *pieces[1024];
	unsigned count;
};

/* Each piece is a copy of its own, so that the sanitizer sees the first byte read beyond it. */
static const void *map(void *ctx, uint64_t pa, uint64_t size)
{
	struct memory *m = ctx;
	void *copy;

	if (pa > m->size || size > m->size - pa || m->count == 1024)
		return NULL;
	copy = malloc(size ? size : 1);
	memcpy(copy, m->data + pa, size);
	m->pieces[m->count++] = copy;
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory m = { .data = data, .size = size };
	static struct acpi_info info;
	const char *why = NULL;
	/* 0 searches, which this memory is too small for: then nothing may be found. */
	uint64_t rsdp = size && data[0] & 1 ? 0 : RSDP;
	int err = acpi_parse(rsdp, map, &m, &info, &why);

	if (err ? !why : !info.cpu_count || info.cpu_count > ACPI_CPUS_MAX)
		abort();
	while (m.count)
		free(m.pieces[--m.count]);
	return 0;
}

/* ---- well-formed tables to begin with ------------------------------------------------ */

static void put(uint8_t *at, uint64_t v, unsigned bytes)
{
	memcpy(at, &v, bytes);
}

static void fix_sum(uint8_t *data, size_t size, uint32_t at, uint32_t length, uint32_t field)
{
	uint8_t sum = 0;

	if (at + HEAD > size || length < HEAD || length > size - at)
		return;
	data[at + field] = 0;
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + data[at + i]);
	data[at + field] = (uint8_t)-sum;
}

static void repair_checksums(uint8_t *data, size_t size)
{
	static const uint32_t tables[] = { XSDT, RSDT, MADT, FADT };
	uint8_t sum = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint32_t length;

		if (tables[i] + HEAD > size)
			continue;
		memcpy(&length, data + tables[i] + 4, 4);
		fix_sum(data, size, tables[i], length, 9);
	}
	if (RSDP + HEAD > size)
		return;
	data[RSDP + 8] = 0;
	for (uint32_t i = 0; i < 20; i++)
		sum = (uint8_t)(sum + data[RSDP + i]);
	data[RSDP + 8] = (uint8_t)-sum;
	fix_sum(data, size, RSDP, HEAD, 32);
}

static void make_head(uint8_t *table, const char *signature, uint32_t length)
{
	memcpy(table, signature, 4);
	put(table + 4, length, 4);
}

static size_t make_memory(uint8_t *d, unsigned kind)
{
	static const uint8_t entries[] = {
		0, 8, 0, 0, 1, 0, 0, 0,                         /* LAPIC, enabled */
		0, 8, 1, 1, 2, 0, 0, 0,                         /* LAPIC, online capable */
		9, 16, 0, 0, 44, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, /* x2APIC */
		5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 0, 0, 0, 0,      /* LAPIC address */
	};

	memset(d, 0, SIZE);
	memcpy(d + RSDP, "RSD PTR ", 8);
	d[RSDP + 15] = kind & 1 ? 2 : 0;
	put(d + RSDP + 16, RSDT, 4);
	put(d + RSDP + 20, 36, 4);
	put(d + RSDP + 24, XSDT, 8);
	make_head(d + XSDT, "XSDT", HEAD + 16);
	put(d + XSDT + HEAD, FADT, 8);
	put(d + XSDT + HEAD + 8, MADT, 8);
	make_head(d + RSDT, "RSDT", HEAD + 8);
	put(d + RSDT + HEAD, FADT, 4);
	put(d + RSDT + HEAD + 4, MADT, 4);
	make_head(d + MADT, "APIC", 44 + sizeof(entries));
	memcpy(d + MADT + 44, entries, sizeof(entries));
	make_head(d + FADT, "FACP", 244);
	put(d + FADT + 112, 1 << 10, 4);
	d[FADT + 116] = 1;
	put(d + FADT + 120, 0xcf9, 8);
	repair_checksums(d, SIZE);
	return SIZE;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	if (seed % 64 == 0 && max_size >= SIZE)
		size = make_memory(data, seed / 64);
	size = LLVMFuzzerMutate(data, size, max_size);
	if (seed % 16)
		repair_checksums(data, size);
	return size;
}
