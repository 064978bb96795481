/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory and string functions of the freestanding image.
 *
 * Compilers turn loops that look like memcpy or strlen into calls of memcpy or
 * strlen, -ffreestanding or not; here that would be a call to itself.  The string
 * instructions and KEEP_LOOP() leave them nothing to recognise.
 */
#include "lib/string.h"

#include <stdint.h>

/* An empty volatile statement: a loop that holds one is not an idiom. */
#define KEEP_LOOP() __asm__ volatile("")

/*
 * Eight bytes at a time, then the rest: as fast as anything that may not use vector registers, on
 * processors with fast strings, and without them, and where each step counts as an instruction.
 */
void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	void *d = dst;
	size_t words = n / 8, rest = n % 8;

	__asm__ volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
	if (rest)
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(rest) : : "memory");
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	uint64_t pattern = (unsigned char)c * 0x0101010101010101ul;
	void *d = dst;
	size_t words = n / 8, rest = n % 8;

	__asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
	if (rest)
		__asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
	return dst;
}

/* Backwards by a plain loop: nothing ever runs with the direction flag set. */
static void copy_backwards(unsigned char *d, const unsigned char *s, size_t n)
{
	while (n--) {
		KEEP_LOOP();
		d[n] = s[n];
	}
}

void *memmove(void *dst, const void *src, size_t n)
{
	if ((uintptr_t)dst - (uintptr_t)src >= n)
		return memcpy(dst, src, n);
	copy_backwards(dst, src, n);
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		KEEP_LOOP();
		if (x[i] != y[i])
			return x[i] - y[i];
	}
	return 0;
}

void *memchr(const void *s, int c, size_t n)
{
	const unsigned char *p = s;

	for (size_t i = 0; i < n; i++) {
		KEEP_LOOP();
		if (p[i] == (unsigned char)c)
			return (void *)(p + i);
	}
	return NULL;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n]) {
		KEEP_LOOP();
		n++;
	}
	return n;
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n]) {
		KEEP_LOOP();
		n++;
	}
	return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		KEEP_LOOP();
		if (a[i] != b[i])
			return (unsigned char)a[i] - (unsigned char)b[i];
		if (!a[i])
			break;
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		KEEP_LOOP();
		if (*s == (char)c)
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	const char *found = NULL;

	for (;; s++) {
		KEEP_LOOP();
		if (*s == (char)c)
			found = s;
		if (!*s)
			return (char *)found;
	}
}

char *strstr(const char *s, const char *sub)
{
	size_t n = strlen(sub);

	for (;; s++) {
		if (!strncmp(s, sub, n))
			return (char *)s;
		if (!*s)
			return NULL;
	}
}
