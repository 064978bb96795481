/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parser of boot parameters, driven by host/param.def.  Words that make no
 * sense become sentences; nothing on a command line can stop the boot.
 */
#include "host/param.h"

#include "lib/printf.h"
#include "lib/string.h"
#include "lib/text.h"
#include "lib/util.h"

struct params param;

enum param_type { TYPE_SIZE, TYPE_UINT, TYPE_BOOL, TYPE_ENUM, TYPE_STR };

struct param_desc {
	const char *name;
	enum param_type type;
	size_t offset;     /* in struct params */
	uint64_t def;      /* default; of TYPE_STR in def_str */
	uint64_t min, max; /* TYPE_UINT */
	const char *def_str;
	const char *values; /* TYPE_ENUM: "a|b|c" */
	const char *help;
};

#define DESC(n, t, ...) \
	{ .name = #n, .type = t, .offset = offsetof(struct params, n), __VA_ARGS__ },
#define PARAM_SIZE(name, d, h)    DESC(name, TYPE_SIZE, .def = d, .help = h)
#define PARAM_UINT(name, d, lo, hi, h) \
	DESC(name, TYPE_UINT, .def = d, .min = lo, .max = hi, .help = h)
#define PARAM_BOOL(name, d, h)    DESC(name, TYPE_BOOL, .def = d, .help = h)
#define PARAM_ENUM(name, d, v, h) DESC(name, TYPE_ENUM, .def = d, .values = v, .help = h)
#define PARAM_STR(name, d, h)     DESC(name, TYPE_STR, .def_str = d, .help = h)

static const struct param_desc table[] = {
#include "host/param.def"
};

#define NAME_MAX     32
#define WORD_MAX     192
#define SENTENCE_MAX 640

struct parser {
	struct params *params;
	void (*complain)(void *ctx, const char *sentence);
	void *ctx;
	unsigned complaints;
};

__attribute__((format(printf, 2, 3))) static void complain(struct parser *ps, const char *fmt, ...)
{
	char sentence[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	lib_vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	ps->complaints++;
	ps->complain(ps->ctx, sentence);
}

/* ---- storing values ------------------------------------------------------ */

static void store(struct params *p, const struct param_desc *d, uint64_t v)
{
	void *field = (char *)p + d->offset;

	switch (d->type) {
	case TYPE_SIZE:
	case TYPE_UINT:
		*(uint64_t *)field = v;
		break;
	case TYPE_BOOL:
		*(bool *)field = v;
		break;
	case TYPE_ENUM:
		*(unsigned *)field = (unsigned)v;
		break;
	case TYPE_STR: /* set_value() copies those */
		break;
	}
}

static void set_defaults(struct params *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].type == TYPE_STR)
			text_copy((char *)p + table[i].offset, PARAM_STR_MAX, table[i].def_str);
		else
			store(p, &table[i], table[i].def);
	}
}

/* The n-th of "a|b|c" starts at the result and has *len bytes; NULL past the end. */
static const char *enum_value(const char *values, uint64_t n, size_t *len)
{
	const char *bar;

	while (n--) {
		values = strchr(values, '|');
		if (!values)
			return NULL;
		values++;
	}
	bar = strchr(values, '|');
	*len = bar ? (size_t)(bar - values) : strlen(values);
	return values;
}

static bool parse_enum(const char *values, const char *s, uint64_t *out)
{
	const char *v;
	size_t len;

	for (uint64_t i = 0; (v = enum_value(values, i, &len)); i++) {
		if (strlen(s) == len && !memcmp(s, v, len)) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool parse_bool(const char *s, uint64_t *out)
{
	*out = !strcmp(s, "on") || !strcmp(s, "1");
	return *out || !strcmp(s, "off") || !strcmp(s, "0");
}

/* The set of values that a parameter takes, in words. */
static void describe_values(const struct param_desc *d, char *buf, size_t size)
{
	switch (d->type) {
	case TYPE_SIZE:
		text_copy(buf, size, "a size such as 4096, 64M, 1G or 0x100000");
		break;
	case TYPE_UINT:
		lib_snprintf(buf, size, "a number from %llu to %llu", (unsigned long long)d->min,
			     (unsigned long long)d->max);
		break;
	case TYPE_BOOL:
		text_copy(buf, size, "on or off");
		break;
	case TYPE_ENUM:
		lib_snprintf(buf, size, "one of %s", d->values);
		break;
	case TYPE_STR:
		lib_snprintf(buf, size, "at most %d characters", PARAM_STR_MAX - 1);
		break;
	}
}

static bool set_value(struct params *p, const struct param_desc *d, const char *s)
{
	uint64_t v = 0;
	bool ok = false;

	switch (d->type) {
	case TYPE_SIZE:
		ok = text_parse_size(s, strlen(s), &v);
		break;
	case TYPE_UINT:
		ok = text_parse_size(s, strlen(s), &v) && v >= d->min && v <= d->max;
		break;
	case TYPE_BOOL:
		ok = parse_bool(s, &v);
		break;
	case TYPE_ENUM:
		ok = parse_enum(d->values, s, &v);
		break;
	case TYPE_STR:
		return strlen(s) < PARAM_STR_MAX &&
		       text_copy((char *)p + d->offset, PARAM_STR_MAX, s);
	}
	if (ok)
		store(p, d, v);
	return ok;
}

/* ---- words ------------------------------------------------------------------ */

static const struct param_desc *find_param(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

/* A name is near when at most a third of it (one letter of a short one) is wrong. */
static const char *nearest_name(const char *name)
{
	unsigned limit = (unsigned)MAX(strlen(name) / 3, 1ul);
	const char *best = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		unsigned d = text_distance(table[i].name, name);

		if (d > limit || (best && d == limit))
			continue;
		best = table[i].name;
		limit = d;
	}
	return best;
}

static void complain_unknown(struct parser *ps, const char *written, const char *name)
{
	const char *near = nearest_name(name);
	char names[SENTENCE_MAX] = "";
	size_t used = 0;

	if (near) {
		complain(ps, "unknown option '%s', did you mean '%s'?", written, near);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(table) && used < sizeof(names); i++)
		used += (size_t)lib_snprintf(names + used, sizeof(names) - used, "%s%s",
					     i ? ", " : "", table[i].name);
	complain(ps, "unknown option '%s'; there are %s ('help' explains them)", written, names);
}

/* "name" or "name=value", quotes removed. */
static void apply_word(struct parser *ps, char *word)
{
	char name[NAME_MAX], allowed[128];
	char *value = strchr(word, '=');
	const struct param_desc *d = NULL;

	if (value)
		*value++ = '\0';
	if (text_copy(name, sizeof(name), word)) {
		for (char *c = name; *c; c++)
			*c = *c == '-' || *c == '.' ? '_' : *c;
		d = find_param(name);
	}
	if (!d) {
		complain_unknown(ps, word, name);
		return;
	}
	if (!value && d->type == TYPE_BOOL) {
		store(ps->params, d, true);
		return;
	}
	if (value && set_value(ps->params, d, value))
		return;
	describe_values(d, allowed, sizeof(allowed));
	if (value)
		complain(ps, "option '%s': bad value '%s', it takes %s", word, value, allowed);
	else
		complain(ps, "option '%s' needs a value: %s", word, allowed);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Copy the next word without its quotes; returns the place behind it.  Of an
 * overlong word only the beginning is kept, *fits tells.
 */
static const char *next_word(const char *s, char *word, bool *fits, bool *open_quote)
{
	size_t n = 0;
	bool quoted = false;

	*fits = true;
	for (; *s && (quoted || !is_blank(*s)); s++) {
		if (*s == '"') {
			quoted = !quoted;
			continue;
		}
		if (n < WORD_MAX - 1)
			word[n++] = *s;
		else
			*fits = false;
	}
	word[n] = '\0';
	*open_quote = quoted;
	return s;
}

unsigned params_parse(struct params *p, const char *cmdline,
		      void (*complain_fn)(void *ctx, const char *sentence), void *ctx)
{
	struct parser ps = { .params = p, .complain = complain_fn, .ctx = ctx };
	char word[WORD_MAX];
	bool fits, open_quote;

	set_defaults(p);
	for (;;) {
		while (is_blank(*cmdline))
			cmdline++;
		if (!*cmdline)
			return ps.complaints;
		cmdline = next_word(cmdline, word, &fits, &open_quote);
		if (open_quote)
			complain(&ps, "the quote in option '%s' is not closed", word);
		else if (!fits)
			complain(&ps, "option '%.32s...' is longer than %d characters", word,
				 WORD_MAX - 1);
		else
			apply_word(&ps, word);
	}
}

/* ---- help ------------------------------------------------------------------- */

/* A number of bytes as people write it: in the largest unit that divides it. */
static void format_size(uint64_t v, char *buf, size_t size)
{
	static const char units[] = "KMGT";
	unsigned u = 0;

	while (v && !(v & 1023) && u < sizeof(units) - 1) {
		v >>= 10;
		u++;
	}
	lib_snprintf(buf, size, u ? "%llu%c" : "%llu", (unsigned long long)v, units[u ? u - 1 : 0]);
}

static void describe_default(const struct param_desc *d, char *buf, size_t size)
{
	const char *v;
	size_t len;

	switch (d->type) {
	case TYPE_SIZE:
		format_size(d->def, buf, size);
		break;
	case TYPE_UINT:
		lib_snprintf(buf, size, "%llu", (unsigned long long)d->def);
		break;
	case TYPE_BOOL:
		text_copy(buf, size, d->def ? "on" : "off");
		break;
	case TYPE_ENUM:
		v = enum_value(d->values, d->def, &len);
		lib_snprintf(buf, size, "%.*s", v ? (int)len : 0, v);
		break;
	case TYPE_STR:
		lib_snprintf(buf, size, "\"%s\"", d->def_str);
		break;
	}
}

void params_help(void (*emit)(void *ctx, const char *line), void *ctx)
{
	char line[SENTENCE_MAX], values[128], def[PARAM_STR_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct param_desc *d = &table[i];

		describe_values(d, values, sizeof(values));
		describe_default(d, def, sizeof(def));
		lib_snprintf(line, sizeof(line), "%-14s %s; takes %s, default %s", d->name, d->help,
			     values, def);
		emit(ctx, line);
	}
}
