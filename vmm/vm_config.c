/* SPDX-License-Identifier: GPL-2.0-only */
/* Parses what a boot module's command line says of its guest; see vm_config.h. */
#include "vmm/vm_config.h"

#include <stdbool.h>

#include "lib/printf.h"
#include "lib/string.h"
#include "lib/text.h"
#include "mm/errno.h"

struct word {
	const char *s;
	size_t len;
};

/* The next blank-separated word at *p; false at the end of the line. */
static bool word_next(const char **p, struct word *w)
{
	while (**p == ' ' || **p == '\t')
		(*p)++;
	w->s = *p;
	while (**p && **p != ' ' && **p != '\t')
		(*p)++;
	w->len = (size_t)(*p - w->s);
	return w->len != 0;
}

static bool word_is(const struct word *w, const char *s)
{
	return w->len == strlen(s) && !memcmp(w->s, s, w->len);
}

/* The value of "key=value", or NULL. */
static const char *word_value(const struct word *w, const char *key, size_t *len)
{
	size_t n = strlen(key);

	if (w->len <= n || memcmp(w->s, key, n) || w->s[n] != '=')
		return NULL;
	*len = w->len - n - 1;
	return w->s + n + 1;
}

static bool name_copy(char *dst, const char *s, size_t len)
{
	if (!len || len >= VM_NAME_MAX)
		return false;
	memcpy(dst, s, len);
	dst[len] = '\0';
	return true;
}

static size_t cut_copy(char *dst, size_t size, const char *s, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(dst, s, len);
	dst[len] = '\0';
	return len;
}

/* "/boot/hello.elf" is the file hello.elf and, unless told otherwise, the guest hello. */
static void set_file(struct vm_config *c, const struct word *w)
{
	const char *base = w->s;
	const char *dot = NULL;

	for (size_t i = 0; i < w->len; i++)
		if (w->s[i] == '/')
			base = w->s + i + 1;
	size_t len = (size_t)(w->s + w->len - base);
	for (size_t i = 1; i < len; i++)
		if (base[i] == '.')
			dot = base + i;
	cut_copy(c->file, sizeof(c->file), base, len);
	cut_copy(c->name, sizeof(c->name), base, dot ? (size_t)(dot - base) : len);
}

static int parse_option(struct vm_config *c, const struct word *w, char *why, size_t why_size)
{
	const char *v;
	size_t len;

	if ((v = word_value(w, "name", &len))) {
		if (name_copy(c->name, v, len))
			return 0;
	} else if ((v = word_value(w, "for", &len))) {
		if (name_copy(c->owner, v, len))
			return 0;
	} else if ((v = word_value(w, "mem", &len))) {
		if (text_parse_size(v, len, &c->mem) && c->mem >= VM_MEM_MIN &&
		    c->mem <= VM_MEM_MAX && !(c->mem % 4096))
			return 0;
	} else {
		lib_snprintf(why, why_size,
			     "%s: unknown guest option '%.*s' (there are name=, mem=, for=; what is "
			     "meant for the guest goes behind --)",
			     c->file, (int)w->len, w->s);
		return -EINVAL;
	}
	lib_snprintf(why, why_size,
		     "%s: bad guest option '%.*s' (names have 1 to %d characters; memory is a "
		     "multiple of 4K from 1M to 1T)",
		     c->file, (int)w->len, w->s, VM_NAME_MAX - 1);
	return -EINVAL;
}

int vm_config_parse(const char *text, uint64_t default_mem, struct vm_config *out, char *why,
		    size_t why_size)
{
	struct word w;
	int err;

	memset(out, 0, sizeof(*out));
	out->mem = default_mem;
	if (!word_next(&text, &w)) {
		w.s = "guest";
		w.len = 5;
	}
	set_file(out, &w);
	size_t used = cut_copy(out->cmdline, sizeof(out->cmdline), w.s, w.len);
	while (word_next(&text, &w)) {
		if (word_is(&w, "--")) {
			while (*text == ' ' || *text == '\t')
				text++;
			if (*text)
				lib_snprintf(out->cmdline + used, sizeof(out->cmdline) - used,
					     " %s", text);
			break;
		}
		err = parse_option(out, &w, why, why_size);
		if (err)
			return err;
	}
	return 0;
}
