/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

struct acpi_info;
struct boot_info;

/*
 * Start the CPUs that ACPI lists, up to max_cpus in all.  One that does not come up is
 * named in the log and left out.  Boot CPU, clock calibrated, interrupts on.
 */
void smp_start(const struct boot_info *bi, const struct acpi_info *acpi, unsigned max_cpus);
