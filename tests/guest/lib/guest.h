/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The library of the test kernels.  A kernel is one C file with
 *
 *   static void test_x(void) { CHECK(1 + 1 == 2); }
 *   static const struct ktap_test tests[] = { KTAP(test_x), };
 *   int guest_main(void) { return KTAP_MAIN(tests); }
 *
 * It runs with interrupts off, every address below 4 GiB mapped to itself.  Words on the
 * command line: console=e9|com1|hc, hypercall=vmcall|port, only=PART-OF-A-TEST-NAME.
 *
 * Everything here but trap.h and paging.h also builds for 32-bit kernels.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phyllo/hypercall.h"
#include "tests/guest/lib/call_port.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE_SIZE 4096ul
#define SIZE_2M 0x200000ul
#define SIZE_1G 0x40000000ul

/* The kernel: its return value is the exit code. */
int guest_main(void);
/* boot.asm calls it first: console, boot information, exceptions. */
void guest_start(void);
/*
 * Ends the machine by every means there is: hypercall under Phyllo; port 0xf4 (0 for success, 1
 * else), port 0x8900 and HLT anywhere else.
 */
_Noreturn void guest_exit(int code);
/* Prints the sentence as a KTAP bail-out and ends with 1. */
__attribute__((format(printf, 1, 2))) _Noreturn void guest_die(const char *fmt, ...);

/* ---- text --------------------------------------------------------------------- */

enum console_kind { CONSOLE_COM1, CONSOLE_E9, CONSOLE_HYPERCALL };

void console_select(enum console_kind kind);
void console_putc(char c);
/* What is buffered of an unfinished line goes out. */
void console_flush(void);
/* The same, and waits until the port has sent it. */
void console_finish(void);

/* Conversions d u x s c p %, flags 0 and -, width, h hh l ll z. */
__attribute__((format(printf, 1, 2))) void printf(const char *fmt, ...);
__attribute__((format(printf, 1, 0))) void vprintf(const char *fmt, va_list ap);

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strstr(const char *s, const char *sub);

/* ---- what the boot loader said ---------------------------------------------------- */

#define MB1_MAGIC_EAX 0x2badb002u
#define MB2_MAGIC_EAX 0x36d76289u

/* Registers at the entry point, as boot.asm (boot32_entry.asm) stored them. */
struct boot_state {
	uint32_t eax, ebx, eflags, cr0, cr4;
	uint16_t cs, ds, es, ss, fs, gs;
};
extern struct boot_state boot_state;

struct ram_range {
	uint64_t base, size;
};

struct boot_module {
	uint32_t start, end;
	char cmdline[96];
};

/* Copied before anything else, so that all other memory may be overwritten. */
struct guest_info {
	bool valid;            /* a multiboot magic we know */
	uint64_t mem_lower_kb; /* 0: not given */
	unsigned ram_count;    /* available RAM, as listed */
	struct ram_range ram[32];
	unsigned other_count;  /* entries of the map that are not RAM */
	unsigned module_count;
	struct boot_module modules[16];
	/* pages that hold the image, the modules and the loader's structures */
	unsigned keep_count;
	struct ram_range keep[32];
	char cmdline[512];
};
extern struct guest_info info;

/* The value of word NAME= on the command line, up to the next blank; NULL: not there. */
const char *info_option(const char *name);
/* Does the word NAME=VALUE stand on the command line? */
bool info_option_is(const char *name, const char *value);
/* The decimal number of word NAME=; false: not there, or no number. */
bool info_number(const char *name, uint32_t *out);
/* The same, with what holds when the word is not there. */
uint32_t info_number_or(const char *name, uint32_t otherwise);

/*
 * RAM at or above 1 MiB that nothing lives in, page by page: calls fn with each largest
 * contiguous range.
 */
void ram_for_each(void (*fn)(uint64_t base, uint64_t size));
/* Takes a range of it below 4 GiB for good; 0: there is none. */
uint64_t ram_take(uint64_t size, uint64_t align);

/* ---- the hypervisor ------------------------------------------------------------------- */

/* Or somebody who answers its hypercalls. */
bool phyllo_present(void);
/* VMCALL instead of VMMCALL; IN instead of either. */
extern bool hypercall_vmcall, hypercall_port;

static inline long hypercall_by(bool vmcall, unsigned long nr, unsigned long b, unsigned long c,
				unsigned long d, unsigned long s)
{
	long ret;

	if (vmcall)
		__asm__ volatile(".byte 0x0f, 0x01, 0xc1" /* vmcall */
				 : "=a"(ret) : "a"(nr), "b"(b), "c"(c), "d"(d), "S"(s) : "memory");
	else
		__asm__ volatile(".byte 0x0f, 0x01, 0xd9" /* vmmcall */
				 : "=a"(ret) : "a"(nr), "b"(b), "c"(c), "d"(d), "S"(s) : "memory");
	return ret;
}

static inline long hypercall_by_port(unsigned long nr, unsigned long b, unsigned long c,
				     unsigned long d, unsigned long s)
{
	unsigned long ret;

	__asm__ volatile("inl %1, %%eax"
			 : "=a"(ret)
			 : "i"(HYPERCALL_PORT), "a"(nr), "b"(b), "c"(c), "d"(d), "S"(s) : "memory");
	return (int)ret;
}

static inline long hypercall(unsigned long nr, unsigned long b, unsigned long c, unsigned long d,
			     unsigned long s)
{
	if (hypercall_port)
		return hypercall_by_port(nr, b, c, d, s);
	return hypercall_by(hypercall_vmcall, nr, b, c, d, s);
}

#define STAT_NONE (~0ull)
/* One statistic by name; STAT_NONE when the hypervisor has none of that name. */
unsigned long long stat_read(const char *name);
static inline long audit(void) { return hypercall(PHYLLO_HC_AUDIT, 0, 0, 0, 0); }

/* ---- KTAP -------------------------------------------------------------------------------- */

struct ktap_test {
	const char *name;
	void (*fn)(void);
};

#define KTAP(fn) { #fn, fn }
#define KTAP_MAIN(tests) ktap_main(tests, ARRAY_SIZE(tests))

/* 0 when all passed, else 1. */
int ktap_main(const struct ktap_test *tests, unsigned count);
/* The whole report of a kernel that cannot run here: all is skipped.  -> 0. */
int ktap_skip_all(const char *reason);
/* Records a failure of the running test and says where; the test goes on. */
__attribute__((format(printf, 3, 4)))
void ktap_fail(const char *file, int line, const char *fmt, ...);
/* Marks the running test as skipped. */
void ktap_skip(const char *reason);
/* false, and the running test is marked as skipped, when there is no Phyllo below. */
bool ktap_need_phyllo(void);

#define CHECK(cond)                                                               \
	do {                                                                      \
		if (!(cond))                                                      \
			ktap_fail(__FILE__, __LINE__, "not true: %s", #cond);     \
	} while (0)

#define CHECK_EQ(a, b)                                                            \
	do {                                                                      \
		unsigned long long ktap_a = (unsigned long long)(a);              \
		unsigned long long ktap_b = (unsigned long long)(b);              \
		if (ktap_a != ktap_b)                                             \
			ktap_fail(__FILE__, __LINE__, "%s is 0x%llx, not %s = 0x%llx", #a, \
				  ktap_a, #b, ktap_b);                            \
	} while (0)
