/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC (SDM vol. 3A, chapter 11): x2APIC where the CPU has it, else
 * the memory-mapped one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Find and map it, on the boot CPU, once.  0, -ENODEV, -ENOMEM; the log says why. */
int apic_init(void);
/* Switch this CPU's on. */
void apic_enable(void);
bool apic_is_x2apic(void);
uint32_t apic_id(void); /* this CPU's */

void apic_eoi(void);
/* For interrupts that nobody asked for: an EOI when one is due. */
void apic_eoi_if_in_service(uint8_t vector);
void apic_report_error(void);

/*
 * Interprocessor interrupts; any context.  0, or -ETIMEDOUT when the APIC did not
 * accept it within a limit (never, on the x2APIC).
 */
int apic_send(uint32_t dest, uint8_t vector);
int apic_send_nmi(uint32_t dest);
int apic_send_init(uint32_t dest);
int apic_send_startup(uint32_t dest, uint8_t page);

/* Count down from 2^32 - 1, without an interrupt, and where it is; for calibration. */
void apic_timer_count(void);
uint32_t apic_timer_elapsed(void);
/* From now on the timer gives VECTOR_TIMER: once after so many counts, each time it is asked to. */
void apic_timer_init(void);
void apic_timer_once(uint32_t counts);
