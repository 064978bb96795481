/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See backtrace.h.  Every function keeps its frame pointer (-fno-omit-frame-pointer),
 * and isr.asm leaves a record that looks like one:
 *
 *   rbp -> | caller's rbp | return address |
 */
#include "arch/x86/backtrace.h"

#include <stdbool.h>

#include "arch/x86/paging.h"
#include "boot/image.h"
#include "host/log.h"
#include "host/symbols.h"
#include "mm/types.h"

#define LINES_MAX 32
/* An overflowed stack of the smallest frames ends before this. */
#define FRAMES_MAX 4096
#define UPPER_HALF 0xffff800000000000ul

static bool is_text(uint64_t addr)
{
	return addr >= (uint64_t)text_start && addr < (uint64_t)text_end;
}

/* Two words on one mapped page of ours: frames are 16 bytes, and 16-aligned by the ABI. */
static bool is_frame(uint64_t rbp)
{
	return !(rbp & 15) && rbp >= UPPER_HALF && paging_translate(rbp, NULL) != PAGING_NONE;
}

/* back: 1 for a return address, which may already lie in the next function. */
static void print_address(uint64_t addr, unsigned back)
{
	uint64_t offset;
	const char *name = symbol_lookup(addr - back, &offset);

	if (name)
		log_rawf("  %016lx  %s+0x%lx\n", addr, name, offset + back);
	else
		log_rawf("  %016lx  ?\n", addr);
}

/* The frame at rbp can be followed; a line says so when the chain is broken. */
static bool frame_check(uint64_t rbp)
{
	const uint64_t *frame = (const uint64_t *)rbp;

	if (!is_frame(rbp)) {
		log_rawf("  (the frame pointer %016lx leads nowhere)\n", rbp);
		return false;
	}
	if (is_text(frame[1]))
		return true;
	/* The outermost one has rbp = 0: the start code, which is gone, called it. */
	if (frame[0])
		log_rawf("  (return address %016lx is not code)\n", frame[1]);
	return false;
}

/* Recursion is one line, so that what began it is seen too. */
void backtrace_print(uint64_t rip, uint64_t rbp)
{
	uint64_t last = 0;
	unsigned lines = 0, repeats = 0;

	log_rawf("backtrace:\n");
	print_address(rip, 0);
	for (unsigned i = 0; i < FRAMES_MAX && lines < LINES_MAX && rbp; i++) {
		if (!frame_check(rbp))
			break;
		const uint64_t *frame = (const uint64_t *)rbp;

		rbp = frame[0];
		if (frame[1] == last) {
			repeats++;
			continue;
		}
		if (repeats)
			log_rawf("  (%u times more)\n", repeats);
		repeats = 0;
		last = frame[1];
		print_address(last, 1);
		lines++;
	}
	if (repeats)
		log_rawf("  (%u times more)\n", repeats);
}

unsigned backtrace_take(uint64_t rip, uint64_t rbp, uint64_t *address, unsigned max)
{
	unsigned n = 0;

	address[n++] = rip;
	while (n < max && is_frame(rbp)) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (!is_text(frame[1]))
			break;
		address[n++] = frame[1];
		rbp = frame[0];
	}
	return n;
}

void backtrace_print_taken(const uint64_t *address, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		print_address(address[i], i > 0);
}
