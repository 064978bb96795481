/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's console ports: a polled 16550 at 0x3f8 and the debug port 0xe9. */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/x86.h"

#define COM1 0x3f8
enum {
	THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, SCR = 7,
};
#define LCR_DLAB 0x80
#define LCR_8N1 0x03
#define LSR_DATA_READY 0x01
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE 0x40

static uint8_t get(unsigned reg)
{
	return inb(COM1 + reg);
}

static void set(unsigned reg, uint8_t v)
{
	outb(COM1 + reg, v);
}

static bool poll(uint8_t bits)
{
	for (unsigned i = 0; i < 1000000; i++)
		if ((get(LSR) & bits) == bits)
			return true;
	return false;
}

/* Byte by byte through the port; a port that never gets ready fails the test. */
static void send(const char *s, size_t n)
{
	for (; n; n--) {
		if (!poll(LSR_THR_EMPTY)) {
			CHECK(!"the transmitter got ready");
			return;
		}
		set(THR, *s++);
	}
}

static void test_scratch_register(void)
{
	for (unsigned v = 0; v < 256; v++) {
		set(SCR, v);
		CHECK_EQ(get(SCR), v);
	}
}

static void test_registers_read_back(void)
{
	uint8_t lcr = get(LCR), ier = get(IER);

	set(LCR, LCR_8N1);
	CHECK_EQ(get(LCR), LCR_8N1);
	set(IER, 0x0f);
	CHECK_EQ(get(IER), 0x0f);
	set(IER, 0);
	CHECK_EQ(get(IER), 0);
	set(MCR, 0x0b);
	CHECK_EQ(get(MCR), 0x0b);
	set(MCR, 0x03);
	set(IER, ier);
	set(LCR, lcr);
}

/* With DLAB the first two registers are the divisor, and not the data and IER. */
static void test_divisor_latch(void)
{
	uint8_t lcr = get(LCR);

	set(IER, 0);
	set(LCR, lcr | LCR_DLAB);
	set(DLL, 0x0c);
	set(DLM, 0x01);
	CHECK_EQ(get(DLL), 0x0c);
	CHECK_EQ(get(DLM), 0x01);
	set(DLL, 1);
	set(DLM, 0);
	set(LCR, lcr & ~LCR_DLAB);
	CHECK_EQ(get(IER), 0);
	set(LCR, LCR_8N1);
}

/* With the FIFO on, IIR says so: that is how a 16550A is told from its elders. */
static void test_identification(void)
{
	set(FCR, 0x01);
	CHECK_EQ(get(IIR) & 0xc0, 0xc0);
	set(FCR, 0x00);
	CHECK_EQ(get(IIR) & 0xc0, 0x00);
	CHECK_EQ(get(IIR) & 0x01, 0x01); /* no interrupt pending */
}

static void test_line_status(void)
{
	CHECK(poll(LSR_THR_EMPTY | LSR_IDLE));
	CHECK_EQ(get(LSR) & LSR_DATA_READY, 0);
	CHECK(get(LSR) != 0xff);
}

static void test_lines(void)
{
	static const char unfinished[] = "# a line in ", rest[] = "two pieces\n", empty[] = "\n\n";
	char c = 'a';

	console_flush();
	send(unfinished, sizeof(unfinished) - 1);
	send(rest, sizeof(rest) - 1);
	send(empty, 2);
	send("# long: ", 8);
	for (unsigned i = 0; i < 3000; i++, c = c == 'z' ? 'a' : c + 1)
		send(&c, 1);
	send("\r\n", 2);
}

static void test_binary_bytes(void)
{
	send("# binary: ", 10);
	for (unsigned v = 0; v < 256; v++) {
		char c = v;

		if (c != '\n')
			send(&c, 1);
	}
	send("\n", 1);
}

/* Text without a newline at its end must not be lost when something else is said. */
static void test_debug_port(void)
{
	static const char text[] = "# by port 0xe9\n";

	for (const char *s = text; *s; s++)
		outb(0xe9, *s);
}

/* Nothing there: reads give all ones, writes vanish. */
static void test_no_device(void)
{
	uint16_t w;
	uint32_t d;

	if (!ktap_need_phyllo()) /* other machines may have a device there */
		return;
	outb(0x2e8 + SCR, 0x55);
	CHECK_EQ(inb(0x2e8 + SCR), 0xff);
	__asm__ volatile("inw %w1, %w0" : "=a"(w) : "Nd"((uint16_t)0x2e8));
	CHECK_EQ(w, 0xffff);
	__asm__ volatile("inl %w1, %0" : "=a"(d) : "Nd"((uint16_t)0x2e8));
	CHECK_EQ(d, 0xffffffff);
}

static const struct ktap_test tests[] = {
	KTAP(test_scratch_register),
	KTAP(test_registers_read_back),
	KTAP(test_divisor_latch),
	KTAP(test_identification),
	KTAP(test_line_status),
	KTAP(test_lines),
	KTAP(test_binary_bytes),
	KTAP(test_debug_port),
	KTAP(test_no_device),
};

int guest_main(void)
{
	return KTAP_MAIN(tests);
}
