/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's log: a ring in memory from the first instruction of C on,
 * and sinks (COM1, screen) that are attached when they are found; a new sink is
 * first given what the ring holds.  Safe from any context, NMI and panic included: a
 * line is formatted on the stack, then written under one lock that a panicking CPU
 * takes by force.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_sink {
	void (*write)(const char *s, size_t n); /* n bytes, '\n' line ends */
	struct log_sink *next;
};

void log_add_sink(struct log_sink *sink);
void log_set_level(enum log_level level); /* of the sinks; the ring keeps all */

/* One line; the newline and the time stamp are added here. */
__attribute__((format(printf, 2, 3))) void log_printf(enum log_level level, const char *fmt, ...);
__attribute__((format(printf, 2, 0)))
void log_vprintf(enum log_level level, const char *fmt, va_list ap);

#define log_error(...) log_printf(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_printf(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_printf(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_printf(LOG_DEBUG, __VA_ARGS__)

/* Bytes as they are, no stamp, no level: guest output, the summary, the prompt. */
void log_raw(const char *s, size_t n);
/* The same for whole lines: they begin on a line of their own, and are not torn by others'. */
void log_lines(const char *s, size_t n);
__attribute__((format(printf, 1, 2))) void log_rawf(const char *fmt, ...);
/* Lines end up behind a prompt, which is then shown again: is the last byte a newline? */
bool log_at_line_start(void);

/* Replay the newest lines of the ring to the sinks (panic, monitor). */
void log_dump_ring(unsigned max_lines);
/* From here on the lock is not taken: the owner may be dead. */
void log_enter_panic(void);
