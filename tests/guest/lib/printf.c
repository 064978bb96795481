/* SPDX-License-Identifier: GPL-2.0-only */
/* printf onto the console: integers, strings, characters. */
#include "tests/guest/lib/guest.h"

struct spec {
	bool left, zero;
	unsigned width;
	unsigned longs; /* 0 int, 1 long or size_t, 2 long long */
};

/* Two 32-bit divisions: a 32-bit kernel has no 64-bit one and no libgcc. */
static unsigned divide(uint64_t *v, uint32_t by)
{
	uint32_t hi = *v >> 32, lo = *v, rem = hi % by;

	__asm__("divl %2" : "+a"(lo), "+d"(rem) : "r"(by) : "cc");
	*v = (uint64_t)(hi / by) << 32 | lo;
	return rem;
}

static void put_padded(const char *s, unsigned len, const struct spec *sp)
{
	unsigned pad = sp->width > len ? sp->width - len : 0;

	if (!sp->left && sp->zero && *s == '-') {
		console_putc(*s++);
		len--;
	}
	for (; !sp->left && pad; pad--)
		console_putc(sp->zero ? '0' : ' ');
	for (; len; len--)
		console_putc(*s++);
	for (; pad; pad--)
		console_putc(' ');
}

static void put_number(uint64_t v, bool negative, unsigned base, const struct spec *sp)
{
	char buf[24];
	char *p = buf + sizeof(buf);

	do
		*--p = "0123456789abcdef"[divide(&v, base)];
	while (v);
	if (negative)
		*--p = '-';
	put_padded(p, buf + sizeof(buf) - p, sp);
}

static uint64_t next_unsigned(va_list *ap, const struct spec *sp)
{
	if (sp->longs >= 2)
		return va_arg(*ap, unsigned long long);
	return sp->longs ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned);
}

static int64_t next_signed(va_list *ap, const struct spec *sp)
{
	if (sp->longs >= 2)
		return va_arg(*ap, long long);
	return sp->longs ? va_arg(*ap, long) : va_arg(*ap, int);
}

static const char *parse_spec(const char *f, struct spec *sp)
{
	*sp = (struct spec){ 0 };
	for (; *f == '0' || *f == '-'; f++)
		*(*f == '-' ? &sp->left : &sp->zero) = true;
	for (; *f >= '0' && *f <= '9'; f++)
		sp->width = sp->width * 10 + (*f - '0');
	for (; *f == 'l' || *f == 'h' || *f == 'z'; f++)
		sp->longs += *f != 'h';
	return f;
}

static void put_conversion(char c, const struct spec *sp, va_list *ap)
{
	const char *s;
	int64_t v;
	char ch;

	switch (c) {
	case 'd':
		v = next_signed(ap, sp);
		put_number(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, sp);
		break;
	case 'u':
		put_number(next_unsigned(ap, sp), false, 10, sp);
		break;
	case 'p':
		put_number((uintptr_t)va_arg(*ap, void *), false, 16, sp);
		break;
	case 'x':
		put_number(next_unsigned(ap, sp), false, 16, sp);
		break;
	case 's':
		s = va_arg(*ap, const char *);
		put_padded(s, strlen(s), sp);
		break;
	case 'c':
		ch = va_arg(*ap, int);
		put_padded(&ch, 1, sp);
		break;
	default:
		console_putc(c);
	}
}

void vprintf(const char *f, va_list args)
{
	struct spec sp;
	va_list ap;

	va_copy(ap, args);
	for (; *f; f++) {
		if (*f != '%') {
			console_putc(*f);
			continue;
		}
		f = parse_spec(f + 1, &sp);
		put_conversion(*f, &sp, &ap);
	}
	va_end(ap);
}

void printf(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}
