/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ACPI tables that bring-up needs: RSDP -> XSDT or RSDT -> MADT and FADT (ACPI 6.4, 5.2).
 *
 * A broken MADT is an error.  A broken FADT only costs power-off and reset: its fields stay 0,
 * the CPUs are still found.
 */
#include "host/acpi.h"

#include <stddef.h>

#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"

#define BIOS_AREA      0xe0000ul
#define BIOS_AREA_SIZE 0x20000ul
#define EBDA_POINTER   0x40eul /* BIOS data area: the EBDA's real-mode segment */
#define EBDA_SEARCH    1024ul
#define RSDP_ALIGN     16
#define RSDP_V1_SIZE   20
#define RSDP_V2_SIZE   36
#define HEADER_SIZE    36
#define TABLE_MAX      (1u << 20) /* what we read is far smaller: a length beyond it is a lie */
#define LAPIC_DEFAULT  0xfee00000ul

#define MADT_ENTRIES   44
#define MADT_PCAT      1u
#define CPU_ENABLED    1u

#define FADT_RESET_END 129
#define FADT_RESET_SUP (1u << 10)
#define GAS_IO         1

enum { MADT_LAPIC = 0, MADT_LAPIC_BASE = 5, MADT_X2APIC = 9 };

struct reader {
	const void *(*map)(void *ctx, uint64_t pa, uint64_t size);
	void *ctx;
	const char **why;
};

static int broken(struct reader *r, const char *why)
{
	*r->why = why;
	return -EINVAL;
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes); /* little-endian, as we are */
	return v;
}

static bool sum_is_zero(const uint8_t *p, uint64_t size)
{
	uint8_t sum = 0;

	while (size--)
		sum = (uint8_t)(sum + *p++);
	return !sum;
}

/* ---- RSDP ------------------------------------------------------------------------ */

static bool is_rsdp(const uint8_t *p)
{
	return !memcmp(p, "RSD PTR ", 8) && sum_is_zero(p, RSDP_V1_SIZE);
}

/* Address of an RSDP in [pa, pa + size), 0: none. */
static uint64_t scan_area(struct reader *r, uint64_t pa, uint64_t size)
{
	const uint8_t *p = r->map(r->ctx, pa, size);

	for (uint64_t at = 0; p && at + RSDP_V1_SIZE <= size; at += RSDP_ALIGN)
		if (is_rsdp(p + at))
			return pa + at;
	return 0;
}

static uint64_t search_rsdp(struct reader *r)
{
	const uint8_t *pointer = r->map(r->ctx, EBDA_POINTER, 2);
	uint64_t ebda = pointer ? get(pointer, 2) << 4 : 0;
	uint64_t found = ebda ? scan_area(r, ebda, EBDA_SEARCH) : 0;

	return found ? found : scan_area(r, BIOS_AREA, BIOS_AREA_SIZE);
}

/* The root table's address; *entry_size is 8 for an XSDT, 4 for an RSDT. */
static int read_rsdp(struct reader *r, uint64_t rsdp, uint64_t *root, unsigned *entry_size)
{
	const uint8_t *p = r->map(r->ctx, rsdp, RSDP_V1_SIZE);

	if (!p)
		return broken(r, "the ACPI RSDP does not lie in memory");
	if (!is_rsdp(p))
		return broken(r, "the ACPI RSDP has a wrong signature or checksum");
	*root = get(p + 16, 4);
	*entry_size = 4;
	if (p[15] >= 2) {
		p = r->map(r->ctx, rsdp, RSDP_V2_SIZE);
		if (!p || get(p + 20, 4) < RSDP_V2_SIZE || !sum_is_zero(p, RSDP_V2_SIZE))
			return broken(r, "the ACPI 2.0 part of the RSDP has a wrong length or "
					 "checksum");
		if (get(p + 24, 8)) {
			*root = get(p + 24, 8);
			*entry_size = 8;
		}
	}
	return *root ? 0 : broken(r, "the ACPI RSDP points to no table");
}

/* ---- tables ------------------------------------------------------------------------- */

/* A whole table, checked; NULL when it is broken. */
static const uint8_t *map_table(struct reader *r, uint64_t pa, uint32_t *length)
{
	const uint8_t *p = r->map(r->ctx, pa, HEADER_SIZE);

	if (!p)
		return NULL;
	*length = (uint32_t)get(p + 4, 4);
	if (*length < HEADER_SIZE || *length > TABLE_MAX)
		return NULL;
	p = r->map(r->ctx, pa, *length);
	return p && sum_is_zero(p, *length) ? p : NULL;
}

/* ---- MADT ------------------------------------------------------------------------------ */

static void add_cpu(struct acpi_info *out, uint32_t apic_id, uint32_t uid)
{
	/* Firmware may list a CPU both as LAPIC and as x2APIC. */
	for (unsigned i = 0; i < out->cpu_count; i++)
		if (out->cpus[i].apic_id == apic_id)
			return;
	if (out->cpu_count == ACPI_CPUS_MAX) {
		out->cpus_dropped++;
		return;
	}
	out->cpus[out->cpu_count++] = (struct acpi_cpu){ .apic_id = apic_id, .acpi_uid = uid };
}

/*
 * Only "enabled" counts: "online capable" alone marks an empty socket of a machine whose CPUs
 * can be plugged in later, and a SIPI to it would be waited for in vain.
 */
static int read_madt_entry(struct reader *r, const uint8_t *e, unsigned length,
			   struct acpi_info *out)
{
	static const uint8_t sizes[] = {
		[MADT_LAPIC] = 8,
		[MADT_LAPIC_BASE] = 12,
		[MADT_X2APIC] = 16,
	};

	if (e[0] < sizeof(sizes) && length < sizes[e[0]])
		return broken(r, "an entry of the ACPI MADT is too short");
	switch (e[0]) {
	case MADT_LAPIC:
		if (get(e + 4, 4) & CPU_ENABLED && e[3] != 0xff)
			add_cpu(out, e[3], e[2]);
		break;
	case MADT_X2APIC:
		if (get(e + 8, 4) & CPU_ENABLED && get(e + 4, 4) != UINT32_MAX)
			add_cpu(out, (uint32_t)get(e + 4, 4), (uint32_t)get(e + 12, 4));
		break;
	case MADT_LAPIC_BASE:
		out->lapic_base = get(e + 4, 8);
		break;
	}
	return 0;
}

static int read_madt(struct reader *r, const uint8_t *p, uint32_t length, struct acpi_info *out)
{
	if (length < MADT_ENTRIES)
		return broken(r, "the ACPI MADT is too short");
	out->lapic_base = get(p + HEADER_SIZE, 4);
	out->has_8259 = get(p + HEADER_SIZE + 4, 4) & MADT_PCAT;
	for (uint32_t at = MADT_ENTRIES; at < length; at += p[at + 1]) {
		int err;

		if (length - at < 2 || p[at + 1] < 2 || p[at + 1] > length - at)
			return broken(r, "an entry of the ACPI MADT runs out of the table");
		err = read_madt_entry(r, p + at, p[at + 1], out);
		if (err)
			return err;
	}
	return out->cpu_count ? 0 : broken(r, "the ACPI MADT lists no enabled CPU");
}

/* ---- FADT ---------------------------------------------------------------------------------- */

static void read_fadt(const uint8_t *p, uint32_t length, struct acpi_info *out)
{
	if (length >= 72) {
		out->pm1a_cnt = (uint16_t)get(p + 64, 4);
		out->pm1b_cnt = (uint16_t)get(p + 68, 4);
	}
	if (length < FADT_RESET_END || !(get(p + 112, 4) & FADT_RESET_SUP) || p[116] != GAS_IO ||
	    get(p + 120, 8) > UINT16_MAX)
		return;
	out->reset_io = get(p + 120, 8);
	out->reset_value = p[128];
}

/* ---- all together --------------------------------------------------------------------------- */

static int read_tables(struct reader *r, const uint8_t *root, uint32_t root_length,
		       unsigned entry_size, struct acpi_info *out)
{
	bool has_madt = false;

	for (uint32_t at = HEADER_SIZE; root_length - at >= entry_size; at += entry_size) {
		uint64_t pa = get(root + at, entry_size);
		const uint8_t *head = pa ? r->map(r->ctx, pa, HEADER_SIZE) : NULL;
		bool is_madt = head && !memcmp(head, "APIC", 4);
		const uint8_t *table;
		uint32_t length;
		int err;

		if (!head || (!is_madt && memcmp(head, "FACP", 4)))
			continue;
		table = map_table(r, pa, &length);
		if (!is_madt) {
			if (table)
				read_fadt(table, length, out);
			continue;
		}
		if (!table)
			return broken(r, "the ACPI MADT has a wrong length or checksum");
		if (has_madt) /* some firmware has a second one; the first counts, as in Linux */
			continue;
		has_madt = true;
		err = read_madt(r, table, length, out);
		if (err)
			return err;
	}
	if (!has_madt)
		*r->why = "ACPI lists no MADT";
	return has_madt ? 0 : -ENOENT;
}

int acpi_parse(uint64_t rsdp, const void *(*map)(void *ctx, uint64_t pa, uint64_t size), void *ctx,
	       struct acpi_info *out, const char **why)
{
	struct reader r = { .map = map, .ctx = ctx, .why = why };
	const uint8_t *table;
	uint64_t root;
	uint32_t length;
	unsigned entry_size;
	int err;

	memset(out, 0, sizeof(*out));
	out->lapic_base = LAPIC_DEFAULT;
	if (!rsdp)
		rsdp = search_rsdp(&r);
	if (!rsdp) {
		*why = "there is no ACPI RSDP";
		return -ENOENT;
	}
	err = read_rsdp(&r, rsdp, &root, &entry_size);
	if (err)
		return err;
	table = map_table(&r, root, &length);
	if (!table || memcmp(table, entry_size == 8 ? "XSDT" : "RSDT", 4))
		return broken(&r, "the ACPI root table has a wrong signature, length or checksum");
	return read_tables(&r, table, length, entry_size, out);
}
