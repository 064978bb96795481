/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The little of ACPI that bringing up CPUs needs: RSDP -> XSDT/RSDT -> MADT.
 * Every length is checked against the table that claims it; a bad checksum or a lying
 * length is an error, not a crash.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ACPI_CPUS_MAX 256

struct acpi_cpu {
	uint32_t apic_id;
	uint32_t acpi_uid;
};

struct acpi_info {
	unsigned cpu_count; /* enabled CPUs, the boot CPU among them */
	unsigned cpus_dropped; /* beyond ACPI_CPUS_MAX */
	struct acpi_cpu cpus[ACPI_CPUS_MAX];
	uint64_t lapic_base;
	bool has_8259;
	/* Power-off and reset, from the FADT, where there is one. */
	uint16_t pm1a_cnt, pm1b_cnt;
	uint64_t reset_io; /* I/O port of the reset register, 0: none */
	uint8_t reset_value;
};

/*
 * map() returns a pointer to size bytes of physical memory, or NULL when that is not RAM or
 * firmware memory; what it returned stays valid.  rsdp 0: search the EBDA and 0xe0000-0xfffff.
 * 0; -ENOENT: no ACPI or no MADT; -EINVAL: broken, why says what.  A broken FADT is ignored.
 */
int acpi_parse(uint64_t rsdp, const void *(*map)(void *ctx, uint64_t pa, uint64_t size), void *ctx,
	       struct acpi_info *out, const char **why);
