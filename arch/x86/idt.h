/* SPDX-License-Identifier: GPL-2.0-only */
/* The interrupt descriptor table, shared by all CPUs, and how vectors are used. */
#pragma once

#include <stdint.h>

/* 0x20-0x2f are where the masked 8259s would deliver their spurious interrupts. */
enum {
	VECTOR_PIC_FIRST = 0x20,
	VECTOR_PIC_LAST = 0x2f,
	VECTOR_TIMER = 0xf0,
	VECTOR_CALL = 0xf1, /* machine_run_on() */
	VECTOR_KICK = 0xf2, /* machine_kick_cpu() */
	VECTOR_APIC_ERROR = 0xfe,
	VECTOR_SPURIOUS = 0xff,
};

/* Build it, once. */
void idt_init(void);
/* Load it, on each CPU. */
void idt_load(void);
