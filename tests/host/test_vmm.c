/* SPDX-License-Identifier: GPL-2.0-only */
/* Pure parts of vmm/: guest options, guest console. */
#include <stdio.h>
#include <string.h>

#include "host/log.h"
#include "tests/host/ktap.h"
#include "vmm/guest_console.h"
#include "vmm/vm_config.h"

#define MIB (1ul << 20)

/* ---- guest options ---------------------------------------------------------- */

static struct vm_config config;
static char why[256];

static int parse(const char *text)
{
	static const struct vm_defaults defaults = { .mem = 64 * MIB, .vcpus = 2, .pin = "1" };

	memset(why, 0, sizeof(why));
	return vm_config_parse(text, &defaults, &config, why, sizeof(why));
}

static void test_config_defaults(void)
{
	CHECK_EQ(parse("/boot/hello.elf"), 0);
	CHECK_STR(config.name, "hello");
	CHECK_STR(config.file, "hello.elf");
	CHECK_STR(config.owner, "");
	CHECK_STR(config.cmdline, "/boot/hello.elf");
	CHECK_EQ(config.mem, 64 * MIB);
	CHECK_EQ(parse(""), 0);
	CHECK_STR(config.name, "guest");
	CHECK_EQ(parse(".hidden"), 0);
	CHECK_STR(config.name, ".hidden");
}

static void test_config_options(void)
{
	CHECK_EQ(parse("  k.bin  mem=128M\tname=first --  a=1  mem=9"), 0);
	CHECK_STR(config.name, "first");
	CHECK_EQ(config.mem, 128 * MIB);
	CHECK_STR(config.cmdline, "k.bin a=1  mem=9");
	CHECK_EQ(parse("initrd.img for=first"), 0);
	CHECK_STR(config.owner, "first");
	CHECK_EQ(parse("k.bin --"), 0);
	CHECK_STR(config.cmdline, "k.bin");
}

static void test_config_machine(void)
{
	CHECK_EQ(parse("k"), 0);
	CHECK_EQ(config.vcpus, 2);
	CHECK_EQ(config.cap, 0);
	CHECK_EQ(config.restarts, 0);
	CHECK_EQ(config.cpus.bits[0], 0);
	CHECK_EQ(config.pin[0], 1);
	CHECK_EQ(config.pin[1], VM_PIN_ANY);
	CHECK(!config.privileged && !config.paused);
	CHECK_EQ(parse("k vcpus=64 cap=16M restart=10000 privileged paused mmu=tdp "
		       "cpus=0,2-3,64-66,255 vcpu.pin=3,0-1,3 -- paused"), 0);
	CHECK_EQ(config.vcpus, 64);
	CHECK_EQ(config.cap, 16 * MIB);
	CHECK_EQ(config.restarts, 10000);
	CHECK(config.privileged && config.paused && !config.off && !config.with[0]);
	CHECK_EQ(config.cpus.bits[0], 0xd);
	CHECK_EQ(config.cpus.bits[1], 7);
	CHECK_EQ(config.cpus.bits[2], 0);
	CHECK_EQ(config.cpus.bits[3], 1ul << 63);
	CHECK_EQ(config.pin[0], 3);
	CHECK_EQ(config.pin[1], 0);
	CHECK_EQ(config.pin[2], 1);
	CHECK_EQ(config.pin[3], 3);
	CHECK_EQ(config.pin[4], VM_PIN_ANY);
	CHECK_EQ(config.mmu, VM_MMU_TDP);
	CHECK_STR(config.cmdline, "k paused");
	CHECK_EQ(parse("k mmu=shadow"), 0);
	CHECK_EQ(config.mmu, VM_MMU_SHADOW);
	CHECK_EQ(parse("k mmu=auto"), 0);
	CHECK_EQ(config.mmu, VM_MMU_AUTO);
	CHECK_EQ(parse("k off"), 0);
	CHECK(config.off && !config.with[0]);
	CHECK_EQ(parse("k with=first"), 0);
	CHECK(config.off);
	CHECK_STR(config.with, "first");
}

static int cpu_list(const char *s, uint16_t *out, unsigned max)
{
	return vm_config_cpu_list(s, strlen(s), out, max);
}

static void test_config_cpu_lists(void)
{
	static const char *const bad[] = { "",    ",",   "1,",  ",1",   "1,,2", "-1",  "1-",
					   "2-1", "256", "1-256", "1 2", "a", "1-2-3", "99999999999" };
	uint16_t list[256];

	CHECK_EQ(cpu_list("0-255", list, 256), 256);
	CHECK_EQ(list[255], 255);
	CHECK_EQ(cpu_list("5,5,5", list, 3), 3);
	CHECK_EQ(cpu_list("5,5,5", list, 2), -22);
	CHECK_EQ(cpu_list("1-3", list, 2), -22);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(cpu_list(bad[i], list, 256), -22);
}

static void test_config_defaults_of_boot(void)
{
	struct vm_defaults d = { .mem = 64 * MIB, .vcpus = 1, .pin = "0,x",
				 .mmu = VM_MMU_SHADOW };

	CHECK_EQ(vm_config_parse("k", &d, &config, why, sizeof(why)), -22);
	CHECK(strstr(why, "vcpu.pin"));
	d.pin = NULL;
	CHECK_EQ(vm_config_parse("k", &d, &config, why, sizeof(why)), 0);
	CHECK_EQ(config.pin[0], VM_PIN_ANY);
	CHECK_EQ(config.mmu, VM_MMU_SHADOW);
}

static void test_config_refuses(void)
{
	static const char *const bad[] = {
		"k mem=", "k mem=0", "k mem=12", "k mem=1M1", "k mem=5000000", "k mem=2T",
		"k mem=99999999999999999999G", "k name=", "k for=", "k memory=5M", "k x",
		"k name=0123456789012345678901234567890123456789",
		"k vcpus=0", "k vcpus=65", "k vcpus=", "k vcpus", "k cap=1", "k cap=3000000",
		"k restart=-1", "k restart=1000001", "k cpus=", "k cpus=a", "k cpus=0-256",
		"k vcpu.pin=,", "k vcpu.pin=0-64", "k mmu=shadows", "k mmu=ept", "k mmu=", "k privileged=1",
		"k paused=0", "k privilege", "k pause", "k off=1", "k with=", "k with",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_EQ(parse(bad[i]), -22);
		CHECK(!strncmp(why, "k: ", 3));
	}
}

static void test_config_long_lines(void)
{
	static char text[4096];

	memset(text, 'a', sizeof(text) - 1);
	CHECK_EQ(parse(text), 0);
	CHECK_EQ(strlen(config.cmdline), VM_CMDLINE_MAX - 1);
	memcpy(text, "k -- ", 5);
	CHECK_EQ(parse(text), 0);
	CHECK_EQ(strlen(config.cmdline), VM_CMDLINE_MAX - 1);
}

/* The list of all options fits into what the callers give it. */
static void test_config_sentence_fits(void)
{
	CHECK_EQ(parse("k nonsense"), -22);
	CHECK(strstr(why, "with=; what is meant for the guest goes behind --)"));
}

/* ---- console ------------------------------------------------------------------------ */

static char shown[8192];
static size_t shown_used;

static void capture(const char *s, size_t n)
{
	if (shown_used + n < sizeof(shown)) {
		memcpy(shown + shown_used, s, n);
		shown_used += n;
	}
	shown[shown_used] = '\0';
}

static struct guest_console console;

static void console_begin(void)
{
	static struct log_sink sink = { .write = capture };
	static bool attached;

	if (!attached) {
		log_add_sink(&sink);
		attached = true;
	}
	shown_used = 0;
	shown[0] = '\0';
	guest_console_init(&console, "g");
}

static void test_console_lines(void)
{
	console_begin();
	guest_console_write(&console, "one\r\n\ntwo", 9);
	CHECK_STR(shown, "g| one\ng| \n");
	guest_console_flush(&console);
	guest_console_flush(&console);
	CHECK_STR(shown, "g| one\ng| \ng| two\n");
	CHECK_EQ(console.bytes, 9);
}

static void test_console_hostile_bytes(void)
{
	console_begin();
	guest_console_write(&console, "\x1b[2J\xff\0\n", 7);
	CHECK_STR(shown, "g| \\x1b[2J\\xff\\x00\n");
}

static void test_console_long_line(void)
{
	char expect[GUEST_LINE_MAX + 16];

	console_begin();
	for (unsigned i = 0; i < GUEST_LINE_MAX + 1; i++)
		guest_console_putc(&console, 'x');
	snprintf(expect, sizeof(expect), "g| %.*s\n", GUEST_LINE_MAX, console.line);
	CHECK_EQ(strlen(shown), strlen(expect));
	CHECK_EQ(console.used, 1);
}

static void test_uart_registers(void)
{
	console_begin();
	CHECK_EQ(guest_uart_read(&console, 5) & 0x60, 0x60);
	guest_uart_write(&console, 7, 0x5a);
	CHECK_EQ(guest_uart_read(&console, 7), 0x5a);
	guest_uart_write(&console, 3, 0x83); /* DLAB */
	guest_uart_write(&console, 0, 12);
	guest_uart_write(&console, 1, 34);
	CHECK_EQ(guest_uart_read(&console, 0), 12);
	CHECK_EQ(guest_uart_read(&console, 1), 34);
	guest_uart_write(&console, 3, 0x03);
	CHECK_EQ(guest_uart_read(&console, 1), 0);
	CHECK_EQ(guest_uart_read(&console, 2), 0x01);
	guest_uart_write(&console, 2, 0x01);
	CHECK_EQ(guest_uart_read(&console, 2), 0xc1);
	guest_uart_write(&console, 5, 0);
	CHECK_EQ(guest_uart_read(&console, 5), 0x60);
	guest_uart_write(&console, 0, 'A');
	guest_uart_write(&console, 0, '\n');
	CHECK_STR(shown, "g| A\n");
}

static const struct ktap_test tests[] = {
	KTAP(test_config_defaults),	  KTAP(test_config_options),
	KTAP(test_config_refuses),	  KTAP(test_config_long_lines),
	KTAP(test_config_machine),	  KTAP(test_config_cpu_lists),
	KTAP(test_config_defaults_of_boot), KTAP(test_config_sentence_fits),
	KTAP(test_console_lines),	  KTAP(test_console_hostile_bytes),
	KTAP(test_console_long_line),	  KTAP(test_uart_registers),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
