/* SPDX-License-Identifier: GPL-2.0-only */
/* A UART driver of three functions, for one sentence. */
#include "boot/report.h"

#define COM1           0x3f8
#define UART_LSR       5
#define UART_LSR_EMPTY 0x20
#define UART_SPINS     100000 /* about 0.1 s of port reads: nothing may hang silently */

#define PORT_QEMU_EXIT  0xf4   /* isa-debug-exit */
#define PORT_BOCHS_EXIT 0x8900 /* wants the word "Shutdown" */

static void port_write(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t port_read(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

/* 115200 8n1, FIFOs on, no interrupts. */
static void uart_setup(void)
{
	static const uint8_t setup[][2] = {
		{ 1, 0x00 }, { 3, 0x80 }, { 0, 0x01 }, { 1, 0x00 },
		{ 3, 0x03 }, { 2, 0x07 }, { 4, 0x03 },
	};

	for (unsigned i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
		port_write(COM1 + setup[i][0], setup[i][1]);
}

static void uart_puts(const char *s)
{
	for (; *s; s++) {
		for (unsigned n = UART_SPINS; n && !(port_read(COM1 + UART_LSR) & UART_LSR_EMPTY);)
			n--;
		port_write(COM1, *s);
	}
}

_Noreturn void boot_report_failure(const char *why)
{
	uart_setup();
	uart_puts("phyllo: boot: ");
	uart_puts(why);
	uart_puts("\r\n");

	port_write(PORT_QEMU_EXIT, BOOT_EXIT_CODE);
	for (const char *s = "Shutdown"; *s; s++)
		port_write(PORT_BOCHS_EXIT, *s);
	for (;;)
		__asm__ volatile("cli; hlt");
}
