/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log.  The ring holds records, so that a sink which comes late is given
 * only the levels it shows, and a panic can show everything:
 *
 *     tail                                   head
 *      | level, length lo, hi | bytes ... | ... |        (positions modulo RING_SIZE)
 *
 * log_lock covers the ring, the list of sinks and what is on the way to them.  It is
 * taken with interrupts off.  A CPU that finds itself the owner (an NMI or an exception
 * in the middle of a line) writes without it: a garbled line is better than none.
 */
#include "host/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/machine.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/sync.h"

#define RING_SIZE   65536u /* a power of two */
#define RECORD_HEAD 3
#define LINE_MAX    512
#define NO_CPU      (~0u)
/* What a record's length can hold, and the ring will not choke on. */
#define PIECE_MAX   ((size_t)4096)
/* Longer than a 115200 baud line needs for a whole ring. */
#define LOCK_WAIT_US 10000000

static spinlock_t log_lock = SPINLOCK_INIT;
static _Atomic unsigned lock_cpu = NO_CPU;
static _Atomic bool in_panic;

/* log_lock must be held when using these. */
static char ring[RING_SIZE];
static uint64_t ring_head, ring_tail; /* positions, never wrapped */
static struct log_sink *sinks;
static bool mid_line; /* the sinks' last byte was not a newline */

static _Atomic enum log_level sink_level = LOG_INFO;

/* ---- the lock ------------------------------------------------------------- */

struct log_hold {
	uint64_t irq;
	bool locked;
};

static struct log_hold hold_begin(void) NO_THREAD_SAFETY_ANALYSIS
{
	struct log_hold h = { .irq = machine_irq_save() };
	unsigned cpu = machine_cpu_id();

	/* Only this CPU ever stores its own number: relaxed is enough. */
	if (atomic_load_explicit(&lock_cpu, memory_order_relaxed) == cpu)
		return h;
	for (struct deadline d = deadline_in_us(LOCK_WAIT_US);
	     !atomic_load_explicit(&in_panic, memory_order_relaxed) && !deadline_passed(&d);) {
		if (spin_trylock(&log_lock)) {
			atomic_store_explicit(&lock_cpu, cpu, memory_order_relaxed);
			h.locked = true;
			return h;
		}
		machine_relax();
	}
	return h;
}

static void hold_end(struct log_hold h) NO_THREAD_SAFETY_ANALYSIS
{
	if (h.locked) {
		atomic_store_explicit(&lock_cpu, NO_CPU, memory_order_relaxed);
		spin_unlock(&log_lock);
	}
	machine_irq_restore(h.irq);
}

/* ---- the ring -------------------------------------------------------------- */

static void ring_put(uint64_t pos, const char *s, size_t n)
{
	size_t at = pos % RING_SIZE, first = MIN(n, RING_SIZE - at);

	memcpy(ring + at, s, first);
	memcpy(ring, s + first, n - first);
}

struct record {
	uint64_t pos; /* of its bytes */
	size_t len;
	enum log_level level;
};

/* The record at pos; false at the end.  Bounded even if a nested writer tore the ring. */
static bool ring_record(uint64_t pos, struct record *r)
{
	unsigned char lo = ring[(pos + 1) % RING_SIZE], hi = ring[(pos + 2) % RING_SIZE];

	if (ring_head - pos < RECORD_HEAD || ring_head - pos > RING_SIZE)
		return false;
	r->level = (enum log_level)ring[pos % RING_SIZE];
	r->len = lo | (size_t)hi << 8;
	r->pos = pos + RECORD_HEAD;
	return r->len <= ring_head - r->pos;
}

static void ring_append(enum log_level level, const char *s, size_t n)
{
	char head[RECORD_HEAD] = { (char)level, (char)n, (char)(n >> 8) };
	struct record r;

	/* Make room: whole records go, the oldest first. */
	while (ring_head - ring_tail + RECORD_HEAD + n > RING_SIZE)
		ring_tail = ring_record(ring_tail, &r) ? r.pos + r.len : ring_head;
	ring_put(ring_head, head, RECORD_HEAD);
	ring_put(ring_head + RECORD_HEAD, s, n);
	ring_head += RECORD_HEAD + n;
}

/* ---- sinks ------------------------------------------------------------------- */

static void sink_record(const struct log_sink *sink, const struct record *r)
{
	size_t at = r->pos % RING_SIZE, first = MIN(r->len, RING_SIZE - at);

	sink->write(ring + at, first);
	if (r->len > first)
		sink->write(ring, r->len - first);
}

static void sinks_write(const char *s, size_t n)
{
	for (const struct log_sink *sink = sinks; sink; sink = sink->next)
		sink->write(s, n);
	if (n)
		mid_line = s[n - 1] != '\n';
}

static void write_record(enum log_level level, bool is_line, const char *s, size_t n)
{
	struct log_hold h = hold_begin();

	ring_append(level, s, n);
	if (level <= atomic_load_explicit(&sink_level, memory_order_relaxed)) {
		/* A prompt or half a line of a guest stands there. */
		if (is_line && mid_line)
			sinks_write("\n", 1);
		sinks_write(s, n);
	}
	hold_end(h);
}

/* ---- the interface -------------------------------------------------------------- */

void log_add_sink(struct log_sink *sink)
{
	struct log_hold h = hold_begin();
	enum log_level level = atomic_load_explicit(&sink_level, memory_order_relaxed);
	uint64_t end = ring_head;
	struct record r;

	for (uint64_t pos = ring_tail; pos < end && ring_record(pos, &r); pos = r.pos + r.len)
		if (r.level <= level)
			sink_record(sink, &r);
	sink->next = sinks;
	sinks = sink;
	hold_end(h);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&sink_level, level, memory_order_relaxed);
}

void log_vprintf(enum log_level level, const char *fmt, va_list ap)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error: ",
		[LOG_WARN] = "warning: ",
		[LOG_INFO] = "",
		[LOG_DEBUG] = "",
	};
	char line[LINE_MAX];
	uint64_t us = machine_us();
	size_t n, len;

	n = lib_snprintf(line, sizeof(line), "[%5u.%06u] %s", (unsigned)(us / 1000000),
			 (unsigned)(us % 1000000), names[level]);
	/* One byte is kept for the newline, which takes the place of the NUL. */
	len = n + lib_vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	if (len > sizeof(line) - 1) {
		len = sizeof(line) - 1;
		memcpy(line + len - 3, "...", 3);
	}
	line[len++] = '\n';
	write_record(level, true, line, len);
}

void log_printf(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vprintf(level, fmt, ap);
	va_end(ap);
}

void log_raw(const char *s, size_t n)
{
	while (n) {
		size_t part = MIN(n, PIECE_MAX);

		write_record(LOG_ERROR, false, s, part);
		s += part;
		n -= part;
	}
}

/* The whole lines among the first bytes, or as many bytes as a piece may have. */
static size_t piece_of_lines(const char *s, size_t n)
{
	size_t part = MIN(n, PIECE_MAX);

	if (part == n)
		return n;
	for (size_t i = part; i; i--)
		if (s[i - 1] == '\n')
			return i;
	return part;
}

void log_lines(const char *s, size_t n)
{
	while (n) {
		size_t part = piece_of_lines(s, n);

		write_record(LOG_ERROR, true, s, part);
		s += part;
		n -= part;
	}
}

bool log_at_line_start(void)
{
	struct log_hold h = hold_begin();
	bool start = !mid_line;

	hold_end(h);
	return start;
}

void log_rawf(const char *fmt, ...)
{
	char text[LINE_MAX];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = lib_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_lines(text, MIN(n, sizeof(text) - 1));
}

static unsigned record_lines(const struct record *r)
{
	unsigned lines = 0;

	for (size_t i = 0; i < r->len; i++)
		lines += ring[(r->pos + i) % RING_SIZE] == '\n';
	return lines;
}

void log_dump_ring(unsigned max_lines)
{
	struct log_hold h = hold_begin();
	/* In a panic others may go on writing: what comes after this is not chased. */
	uint64_t end = ring_head, pos;
	struct record r;
	unsigned lines = 0;

	for (pos = ring_tail; pos < end && ring_record(pos, &r); pos = r.pos + r.len)
		lines += record_lines(&r);
	for (pos = ring_tail; pos < end && ring_record(pos, &r); pos = r.pos + r.len) {
		unsigned n = record_lines(&r);

		for (struct log_sink *sink = sinks; sink && lines <= max_lines; sink = sink->next)
			sink_record(sink, &r);
		lines -= MIN(n, lines);
	}
	hold_end(h);
}

void log_enter_panic(void)
{
	/* Waiters look at this in hold_begin() and go on without the lock. */
	atomic_store_explicit(&in_panic, true, memory_order_relaxed);
}
