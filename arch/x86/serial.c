/* SPDX-License-Identifier: GPL-2.0-only */
/* COM1, a 16550, polled. */
#include "arch/x86/serial.h"

#include <stdbool.h>

#include "arch/x86/cpu.h"
#include "host/log.h"

#define COM1 0x3f8
#define UART_DATA (COM1 + 0)
#define UART_IER (COM1 + 1)
#define UART_FCR (COM1 + 2) /* written; read, it is the IIR */
#define UART_IIR UART_FCR
#define UART_LCR (COM1 + 3)
#define UART_MCR (COM1 + 4)
#define UART_LSR (COM1 + 5)
#define UART_SCRATCH (COM1 + 7)

#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define LSR_READY 0x01
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE 0x40 /* FIFO and shift register are empty */
#define IIR_FIFO 0xc0
#define DIVISOR_115200 1

/*
 * A port read takes about a microsecond, 16 bytes at 115200 baud take 1400: this is a
 * transmitter that has stopped.  Counted, not timed, since the clock comes later than the log.
 */
#define TX_SPINS 100000u

static bool present;
static unsigned fifo_size = 1;
static bool stuck; /* the transmitter did not become ready last time: no more waiting */

/* Nothing there reads as all ones, and remembers nothing. */
static bool uart_exists(void)
{
	outb(UART_SCRATCH, 0x5a);
	if (inb(UART_SCRATCH) != 0x5a)
		return false;
	outb(UART_SCRATCH, 0xa5);
	return inb(UART_SCRATCH) == 0xa5 && inb(UART_LSR) != 0xff;
}

static bool tx_wait(uint8_t bits)
{
	for (unsigned i = 0; i < (stuck ? 1 : TX_SPINS); i++) {
		if (inb(UART_LSR) & bits) {
			stuck = false;
			return true;
		}
		cpu_pause();
	}
	stuck = true;
	return false;
}

/* Terminals want a carriage return before the newline; called under the log's lock. */
static void serial_write(const char *s, size_t n)
{
	static unsigned room; /* in the FIFO */
	bool cr_done = false;

	while (n) {
		if (!room && !tx_wait(LSR_THR_EMPTY))
			return; /* the ring still has it */
		if (!room)
			room = fifo_size;
		room--;
		if (*s == '\n' && !cr_done) {
			outb(UART_DATA, '\r');
			cr_done = true;
			continue;
		}
		outb(UART_DATA, (uint8_t)*s++);
		n--;
		cr_done = false;
	}
}

static struct log_sink sink = { .write = serial_write };

void serial_init(void)
{
	if (!uart_exists()) {
		log_info("no UART at COM1 (0x3f8)");
		return;
	}
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_DLAB);
	outb(UART_DATA, DIVISOR_115200);
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_8N1);
	outb(UART_FCR, 0x07); /* FIFOs on and empty */
	outb(UART_MCR, 0x03); /* DTR, RTS */
	if ((inb(UART_IIR) & IIR_FIFO) == IIR_FIFO)
		fifo_size = 16;
	present = true;
	log_add_sink(&sink);
}

int serial_getchar(void)
{
	if (!present || !(inb(UART_LSR) & LSR_READY))
		return -1;
	return inb(UART_DATA);
}

void serial_drain(void)
{
	if (present)
		tx_wait(LSR_IDLE);
}
