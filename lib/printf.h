/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Formatted output.  Supported: flags - 0 + space #, width and precision (also
 * *), hh h l ll z j t, conversions d i u x X o c s p % — no floating point,
 * no %n.  Returns what the whole output would have been, as C's does.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

__attribute__((format(printf, 3, 0)))
int lib_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
__attribute__((format(printf, 3, 4)))
int lib_snprintf(char *buf, size_t size, const char *fmt, ...);
