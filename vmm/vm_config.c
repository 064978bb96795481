/* SPDX-License-Identifier: GPL-2.0-only */
/* Parses what a boot module's command line says of its guest; see vm_config.h. */
#include "vmm/vm_config.h"

#include "lib/printf.h"
#include "lib/string.h"
#include "lib/text.h"
#include "lib/util.h"
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

/* ---- lists of CPUs ------------------------------------------------------------------- */

static bool number_at(const char **s, const char *end, unsigned *out)
{
	const char *start = *s;

	*out = 0;
	for (; *s < end && **s >= '0' && **s <= '9'; (*s)++) {
		*out = *out * 10 + (unsigned)(**s - '0');
		if (*out >= CPUS_MAX)
			return false;
	}
	return *s > start;
}

int vm_config_cpu_list(const char *s, size_t len, uint16_t *out, unsigned max)
{
	const char *end = s + len;
	unsigned n = 0, first, last;

	for (;;) {
		if (!number_at(&s, end, &first))
			return -EINVAL;
		last = first;
		if (s < end && *s == '-' && (s++, !number_at(&s, end, &last)))
			return -EINVAL;
		if (last < first || last - first >= max - n)
			return -EINVAL;
		while (first <= last)
			out[n++] = (uint16_t)first++;
		if (s == end)
			return (int)n;
		if (*s++ != ',')
			return -EINVAL;
	}
}

static bool set_cpus(struct vm_config *c, const char *v, size_t len)
{
	uint16_t list[CPUS_MAX];
	int n = vm_config_cpu_list(v, len, list, CPUS_MAX);

	memset(&c->cpus, 0, sizeof(c->cpus));
	for (int i = 0; i < n; i++)
		c->cpus.bits[list[i] / 64] |= 1ul << (list[i] % 64);
	return n > 0;
}

/* vCPUs that the list does not reach may run anywhere. */
static bool set_pin(struct vm_config *c, const char *v, size_t len)
{
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++)
		c->pin[i] = VM_PIN_ANY;
	return !len || vm_config_cpu_list(v, len, c->pin, VM_VCPUS_MAX) > 0;
}

/* ---- options --------------------------------------------------------------------------- */

static bool set_name(struct vm_config *c, const char *v, size_t len)
{
	return name_copy(c->name, v, len);
}

static bool set_owner(struct vm_config *c, const char *v, size_t len)
{
	return name_copy(c->owner, v, len);
}

static bool set_size(uint64_t *out, const char *v, size_t len)
{
	return text_parse_size(v, len, out) && *out >= VM_MEM_MIN && *out <= VM_MEM_MAX &&
	       !(*out % 4096);
}

static bool set_mem(struct vm_config *c, const char *v, size_t len)
{
	return set_size(&c->mem, v, len);
}

static bool set_cap(struct vm_config *c, const char *v, size_t len)
{
	return set_size(&c->cap, v, len);
}

static bool set_number(unsigned *out, const char *v, size_t len, unsigned low, unsigned high)
{
	uint64_t n;

	if (!text_parse_size(v, len, &n) || n < low || n > high)
		return false;
	*out = (unsigned)n;
	return true;
}

static bool set_vcpus(struct vm_config *c, const char *v, size_t len)
{
	return set_number(&c->vcpus, v, len, 1, VM_VCPUS_MAX);
}

static bool set_restarts(struct vm_config *c, const char *v, size_t len)
{
	return set_number(&c->restarts, v, len, 0, VM_RESTARTS_MAX);
}

static bool set_mmu(struct vm_config *c, const char *v, size_t len)
{
	static const char *const names[] = {
		[VM_MMU_AUTO] = "auto", [VM_MMU_TDP] = "tdp", [VM_MMU_SHADOW] = "shadow",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (len != strlen(names[i]) || memcmp(v, names[i], len))
			continue;
		c->mmu = i;
		return true;
	}
	return false;
}

static bool set_privileged(struct vm_config *c, const char *v, size_t len)
{
	return c->privileged = true;
}

static bool set_paused(struct vm_config *c, const char *v, size_t len)
{
	return c->paused = true;
}

static bool set_off(struct vm_config *c, const char *v, size_t len)
{
	return c->off = true;
}

static bool set_with(struct vm_config *c, const char *v, size_t len)
{
	c->off = true;
	return name_copy(c->with, v, len);
}

static const struct option {
	const char *key;
	const char *takes; /* NULL: it is a word without a value */
	bool (*set)(struct vm_config *c, const char *v, size_t len);
} options[] = {
	{ "name", "1 to 31 characters", set_name },
	{ "for", "the name of a guest, 1 to 31 characters", set_owner },
	{ "mem", "a multiple of 4K from 1M to 1T", set_mem },
	{ "cap", "a multiple of 4K from 1M to 1T", set_cap },
	{ "vcpus", "a number from 1 to 64", set_vcpus },
	{ "cpus", "CPUs such as 0,2-3", set_cpus },
	{ "vcpu.pin", "a CPU for each vCPU, such as 0,1,0-1, at most 64", set_pin },
	{ "mmu", "auto, tdp or shadow", set_mmu },
	{ "restart", "a number from 0 to 1000000", set_restarts },
	{ "privileged", NULL, set_privileged },
	{ "paused", NULL, set_paused },
	{ "off", NULL, set_off },
	{ "with", "the name of a guest, 1 to 31 characters", set_with },
};

static int unknown_option(const struct vm_config *c, const struct word *w, char *why,
			  size_t why_size)
{
	size_t used = (size_t)lib_snprintf(why, why_size, "%s: unknown guest option '%.*s' (there are",
					   c->file, (int)w->len, w->s);

	for (size_t i = 0; i < ARRAY_SIZE(options) && used < why_size; i++)
		used += (size_t)lib_snprintf(why + used, why_size - used, "%s %s%s", i ? "," : "",
					     options[i].key, options[i].takes ? "=" : "");
	if (used < why_size)
		lib_snprintf(why + used, why_size - used, "; what is meant for the guest goes behind --)");
	return -EINVAL;
}

static int parse_option(struct vm_config *c, const struct word *w, char *why, size_t why_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *o = &options[i];
		size_t len = 0;
		const char *v = o->takes ? word_value(w, o->key, &len) : NULL;

		if (!v && (o->takes || !word_is(w, o->key)))
			continue;
		if (o->set(c, v, len))
			return 0;
		lib_snprintf(why, why_size, "%s: bad guest option '%.*s': %s= takes %s", c->file,
			     (int)w->len, w->s, o->key, o->takes);
		return -EINVAL;
	}
	return unknown_option(c, w, why, why_size);
}

static int set_defaults(struct vm_config *c, const struct vm_defaults *defaults, char *why,
			size_t why_size)
{
	const char *pin = defaults->pin ? defaults->pin : "";

	memset(c, 0, sizeof(*c));
	c->mem = defaults->mem;
	c->vcpus = defaults->vcpus;
	c->mmu = defaults->mmu;
	if (set_pin(c, pin, strlen(pin)))
		return 0;
	lib_snprintf(why, why_size, "boot option vcpu.pin=%s: it takes a CPU for each vCPU, such as 0,1",
		     pin);
	return -EINVAL;
}

int vm_config_parse(const char *text, const struct vm_defaults *defaults, struct vm_config *out,
		    char *why, size_t why_size)
{
	struct word w;
	int err = set_defaults(out, defaults, why, why_size);

	if (err)
		return err;
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
