/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a guest prints: a 16550 at 0x3f8 (polled), port 0xe9 and the console
 * hypercall end in one line buffer, which goes to our console as "NAME| line".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_LINE_MAX 240

struct guest_console {
	char prefix[40];
	char line[GUEST_LINE_MAX];
	unsigned used;
	/* 16550 registers that a guest can read back */
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	uint64_t bytes;
};

void guest_console_init(struct guest_console *c, const char *name);
void guest_console_putc(struct guest_console *c, char ch);
void guest_console_write(struct guest_console *c, const char *s, size_t n);
/* A line without its end is shown when the guest ends. */
void guest_console_flush(struct guest_console *c);

#define UART_PORT_FIRST 0x3f8
#define UART_PORT_LAST 0x3ff
uint8_t guest_uart_read(struct guest_console *c, unsigned reg);
void guest_uart_write(struct guest_console *c, unsigned reg, uint8_t value);
