/* SPDX-License-Identifier: GPL-2.0-only */
/* Text output: the debug port, a polled 16550, or the hypercall. */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/x86.h"

#define PORT_E9 0xe9
#define PORT_COM1 0x3f8
#define COM1_IER (PORT_COM1 + 1)
#define COM1_LCR (PORT_COM1 + 3)
#define COM1_LSR (PORT_COM1 + 5)
#define LCR_8N1 0x03
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE 0x40

static enum console_kind kind;
static char line[256];
static unsigned line_len;

void console_select(enum console_kind k)
{
	console_flush();
	kind = k;
	if (k == CONSOLE_COM1) {
		/* Bochs starts with five data bits and takes that at its word. */
		outb(COM1_LCR, LCR_8N1);
		outb(COM1_IER, 0);
	}
}

/* A port that never gets ready loses characters; it does not stop the test. */
static void com1_wait(uint8_t bit)
{
	for (unsigned spins = 100000; spins; spins--)
		if (inb(COM1_LSR) & bit)
			return;
}

static void com1_put(char c)
{
	com1_wait(LSR_THR_EMPTY);
	outb(PORT_COM1, c);
}

void console_finish(void)
{
	console_flush();
	if (kind == CONSOLE_COM1)
		com1_wait(LSR_IDLE);
}

void console_flush(void)
{
	unsigned n = line_len;

	line_len = 0;
	if (kind == CONSOLE_HYPERCALL) {
		if (n)
			hypercall(PHYLLO_HC_CONSOLE_WRITE, (uintptr_t)line, n, 0, 0);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		if (kind == CONSOLE_E9)
			outb(PORT_E9, line[i]);
		else
			com1_put(line[i]);
	}
}

void console_putc(char c)
{
	line[line_len++] = c;
	if (c == '\n' || line_len == sizeof(line))
		console_flush();
}
