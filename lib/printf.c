/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Formatted output into a buffer.  No state and no allocation: it runs in the
 * first instructions of C, in NMIs and in a panic.
 */
#include "lib/printf.h"

#include <stdbool.h>
#include <stdint.h>

#include "lib/string.h"
#include "lib/util.h"

/* len counts what there would be; only the first size bytes are kept. */
struct out {
	char *buf;
	size_t size;
	size_t len;
};

enum length { LEN_HH, LEN_H, LEN_INT, LEN_L, LEN_LL, LEN_Z, LEN_J, LEN_T };

struct spec {
	bool left, zero, plus, space, alt;
	int width;
	int precision; /* -1: none given */
	enum length length;
	char conv;
};

static void out_bytes(struct out *o, const char *s, size_t n)
{
	if (o->len < o->size)
		memcpy(o->buf + o->len, s, MIN(n, o->size - o->len));
	o->len += n;
}

/* Cheap for any n: a hostile width costs no time. */
static void out_pad(struct out *o, char c, long n)
{
	if (n <= 0)
		return;
	if (o->len < o->size)
		memset(o->buf + o->len, c, MIN((size_t)n, o->size - o->len));
	o->len += n;
}

static void out_text(struct out *o, const struct spec *sp, const char *s, size_t n)
{
	long pad = (long)sp->width - (long)n;

	if (!sp->left)
		out_pad(o, ' ', pad);
	out_bytes(o, s, n);
	if (sp->left)
		out_pad(o, ' ', pad);
}

/* Digits of v, written backwards from end; returns their start. */
static char *digits(char *end, uint64_t v, unsigned base, bool upper)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";

	for (; v; v /= base)
		*--end = set[v % base];
	return end;
}

static const char *number_prefix(const struct spec *sp, uint64_t v, bool negative)
{
	if (sp->conv == 'd')
		return negative ? "-" : sp->plus ? "+" : sp->space ? " " : "";
	if (sp->conv == 'p')
		return "0x";
	if (sp->alt && v && sp->conv == 'x')
		return "0x";
	if (sp->alt && v && sp->conv == 'X')
		return "0X";
	return "";
}

static void out_number(struct out *o, const struct spec *sp, uint64_t v, bool negative)
{
	char buf[24];
	char *end = buf + sizeof(buf);
	unsigned base = sp->conv == 'o' ? 8 : sp->conv == 'd' || sp->conv == 'u' ? 10 : 16;
	const char *s = digits(end, v, base, sp->conv == 'X');
	const char *prefix = number_prefix(sp, v, negative);
	size_t n = end - s, prefix_len = strlen(prefix);
	/* C: at least `precision` digits, 1 without; # makes an octal number start with 0. */
	long zeroes = (sp->precision < 0 ? 1 : sp->precision) - (long)n;
	long pad;

	if (sp->conv == 'o' && sp->alt && zeroes <= 0)
		zeroes = 1;
	zeroes = MAX(zeroes, 0);
	pad = (long)sp->width - (long)(n + prefix_len) - zeroes;
	if (sp->zero && !sp->left && sp->precision < 0 && pad > 0) {
		zeroes += pad;
		pad = 0;
	}
	if (!sp->left)
		out_pad(o, ' ', pad);
	out_bytes(o, prefix, prefix_len);
	out_pad(o, '0', zeroes);
	out_bytes(o, s, n);
	if (sp->left)
		out_pad(o, ' ', pad);
}

/* va_list may be an array type, which decays when passed on: hence the struct. */
struct args {
	va_list ap;
};

static int64_t arg_signed(struct args *a, enum length length)
{
	switch (length) {
	case LEN_HH:
		return (signed char)va_arg(a->ap, int);
	case LEN_H:
		return (short)va_arg(a->ap, int);
	case LEN_INT:
		return va_arg(a->ap, int);
	default: /* all the others have 64 bits here */
		return va_arg(a->ap, long long);
	}
}

static uint64_t arg_unsigned(struct args *a, enum length length)
{
	switch (length) {
	case LEN_HH:
		return (unsigned char)va_arg(a->ap, unsigned);
	case LEN_H:
		return (unsigned short)va_arg(a->ap, unsigned);
	case LEN_INT:
		return va_arg(a->ap, unsigned);
	default:
		return va_arg(a->ap, unsigned long long);
	}
}

static const char *parse_flags(struct spec *sp, const char *p)
{
	for (;; p++) {
		if (*p == '-')
			sp->left = true;
		else if (*p == '0')
			sp->zero = true;
		else if (*p == '+')
			sp->plus = true;
		else if (*p == ' ')
			sp->space = true;
		else if (*p == '#')
			sp->alt = true;
		else
			return p;
	}
}

/* A decimal number or *; a number too large for int sticks at INT32_MAX. */
static const char *parse_number(int *v, const char *p, struct args *a)
{
	int64_t n = 0;

	if (*p == '*') {
		*v = va_arg(a->ap, int);
		return p + 1;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		n = MIN(n * 10 + (*p - '0'), (int64_t)INT32_MAX);
	*v = (int)n;
	return p;
}

static const char *parse_length(struct spec *sp, const char *p)
{
	switch (*p) {
	case 'h':
		sp->length = p[1] == 'h' ? LEN_HH : LEN_H;
		return p + (p[1] == 'h' ? 2 : 1);
	case 'l':
		sp->length = p[1] == 'l' ? LEN_LL : LEN_L;
		return p + (p[1] == 'l' ? 2 : 1);
	case 'z':
		sp->length = LEN_Z;
		return p + 1;
	case 'j':
		sp->length = LEN_J;
		return p + 1;
	case 't':
		sp->length = LEN_T;
		return p + 1;
	default:
		sp->length = LEN_INT;
		return p;
	}
}

/* p is behind the %; returns the place behind the conversion. */
static const char *parse_spec(struct spec *sp, const char *p, struct args *a)
{
	*sp = (struct spec){ .precision = -1 };
	p = parse_flags(sp, p);
	p = parse_number(&sp->width, p, a);
	if (sp->width < 0) {
		sp->left = true;
		sp->width = sp->width == INT32_MIN ? INT32_MAX : -sp->width;
	}
	if (*p == '.')
		p = parse_number(&sp->precision, p + 1, a);
	p = parse_length(sp, p);
	sp->conv = *p == 'i' ? 'd' : *p;
	return *p ? p + 1 : p;
}

static void convert_string(struct out *o, const struct spec *sp, const char *s)
{
	if (!s)
		s = "(null)";
	out_text(o, sp, s, sp->precision < 0 ? strlen(s) : strnlen(s, sp->precision));
}

/* False for a conversion that we do not have. */
static bool convert(struct out *o, struct spec *sp, struct args *a)
{
	int64_t v;
	char c;

	switch (sp->conv) {
	case 'd':
		v = arg_signed(a, sp->length);
		out_number(o, sp, v < 0 ? -(uint64_t)v : (uint64_t)v, v < 0);
		return true;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		out_number(o, sp, arg_unsigned(a, sp->length), false);
		return true;
	case 'p':
		out_number(o, sp, (uintptr_t)va_arg(a->ap, void *), false);
		return true;
	case 'c':
		c = (char)va_arg(a->ap, int);
		out_text(o, sp, &c, 1);
		return true;
	case 's':
		convert_string(o, sp, va_arg(a->ap, const char *));
		return true;
	case '%':
		out_bytes(o, "%", 1);
		return true;
	default:
		return false;
	}
}

int lib_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = { .buf = buf, .size = size };
	struct args a;
	struct spec sp;

	va_copy(a.ap, ap);
	while (*fmt) {
		const char *start = fmt;

		while (*fmt && *fmt != '%')
			fmt++;
		out_bytes(&o, start, fmt - start);
		if (!*fmt)
			break;
		start = fmt;
		fmt = parse_spec(&sp, fmt + 1, &a);
		/* What cannot be converted is shown as it stands; its argument is not known. */
		if (!convert(&o, &sp, &a))
			out_bytes(&o, start, fmt - start);
	}
	va_end(a.ap);
	if (size)
		buf[MIN(o.len, size - 1)] = '\0';
	return (int)MIN(o.len, (size_t)INT32_MAX);
}

int lib_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = lib_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
