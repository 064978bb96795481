/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest console; see guest_console.h.  The UART has no receiver and raises no
 * interrupt: enough for every kernel that polls LSR.  Register layout: National
 * Semiconductor PC16550D.
 */
#include "vmm/guest_console.h"

#include "host/log.h"
#include "lib/printf.h"
#include "lib/string.h"

void guest_console_init(struct guest_console *c, const char *name)
{
	memset(c, 0, sizeof(*c));
	lib_snprintf(c->prefix, sizeof(c->prefix), "%s| ", name);
	c->lcr = 0x03;
	c->dll = 1;
}

/* One call per line, so that lines of several CPUs do not mix. */
static void emit_line(struct guest_console *c)
{
	char out[sizeof(c->prefix) + GUEST_LINE_MAX + 2];

	int n = lib_snprintf(out, sizeof(out), "%s%.*s\n", c->prefix, (int)c->used, c->line);
	log_lines(out, (size_t)n);
	c->used = 0;
}

void guest_console_flush(struct guest_console *c)
{
	if (c->used)
		emit_line(c);
}

static void put_visible(struct guest_console *c, char ch)
{
	if (c->used == GUEST_LINE_MAX)
		emit_line(c);
	c->line[c->used++] = ch;
}

void guest_console_putc(struct guest_console *c, char ch)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t b = (uint8_t)ch;

	c->bytes++;
	if (ch == '\n') {
		emit_line(c);
	} else if (ch == '\t' || (b >= 0x20 && b < 0x7f)) {
		put_visible(c, ch);
	} else if (ch != '\r') {
		/* A guest must not be able to drive the terminal. */
		put_visible(c, '\\');
		put_visible(c, 'x');
		put_visible(c, hex[b >> 4]);
		put_visible(c, hex[b & 15]);
	}
}

void guest_console_write(struct guest_console *c, const char *s, size_t n)
{
	while (n--)
		guest_console_putc(c, *s++);
}

enum {
	UART_DATA, UART_IER, UART_IIR_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR,
};
#define LCR_DLAB 0x80
#define FCR_ENABLE 0x01
#define IIR_NONE 0x01
#define IIR_FIFO 0xc0
#define LSR_EMPTY 0x60 /* THR and shift register empty */
#define MSR_READY 0xb0 /* DCD, DSR, CTS */

uint8_t guest_uart_read(struct guest_console *c, unsigned reg)
{
	bool dlab = c->lcr & LCR_DLAB;

	switch (reg) {
	case UART_DATA:
		return dlab ? c->dll : 0;
	case UART_IER:
		return dlab ? c->dlm : c->ier;
	case UART_IIR_FCR:
		return IIR_NONE | (c->fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case UART_LCR:
		return c->lcr;
	case UART_MCR:
		return c->mcr;
	case UART_LSR:
		return LSR_EMPTY;
	case UART_MSR:
		return MSR_READY;
	default:
		return c->scr;
	}
}

void guest_uart_write(struct guest_console *c, unsigned reg, uint8_t value)
{
	bool dlab = c->lcr & LCR_DLAB;

	switch (reg) {
	case UART_DATA:
		if (dlab)
			c->dll = value;
		else
			guest_console_putc(c, (char)value);
		break;
	case UART_IER:
		if (dlab)
			c->dlm = value;
		else
			c->ier = value & 0x0f;
		break;
	case UART_IIR_FCR:
		c->fcr = value;
		break;
	case UART_LCR:
		c->lcr = value;
		break;
	case UART_MCR:
		c->mcr = value & 0x1f;
		break;
	case UART_SCR:
		c->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}
