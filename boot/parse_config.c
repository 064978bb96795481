/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * phyllo.cfg: what to run, for the ways of booting that have no boot menu.
 * Also compiled into the EFI loader.
 *
 *   # comment
 *   cmdline WORDS…
 *   module FILE [vm options] [-- guest command line]
 *
 * A '#' starts a comment where a word could start.
 */
#include "boot/parse.h"

#include "boot/parse_impl.h"

struct span {
	const char *s;
	size_t len;
};

struct config {
	struct boot_info *bi;
	int (*module)(void *ctx, const char *file, size_t file_len, struct boot_module *m);
	void *ctx;
	const char **why;
	unsigned line;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span span_trim(struct span t)
{
	while (t.len && is_blank(t.s[0])) {
		t.s++;
		t.len--;
	}
	while (t.len && is_blank(t.s[t.len - 1]))
		t.len--;
	return t;
}

/* The line up to its comment. */
static struct span span_uncomment(struct span t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.s[i] == '#' && (i == 0 || is_blank(t.s[i - 1])))
			t.len = i;
	}
	return t;
}

static struct span span_word(struct span t)
{
	size_t n = 0;

	while (n < t.len && !is_blank(t.s[n]))
		n++;
	t.len = n;
	return t;
}

static bool span_is(struct span t, const char *word)
{
	return t.len == strlen(word) && !memcmp(t.s, word, t.len);
}

static int cmdline_append(struct config *cfg, struct span words)
{
	char *dst = cfg->bi->cmdline;
	size_t used = strlen(dst), blank = used > 0;

	if (used + blank + words.len + 1 > sizeof(cfg->bi->cmdline))
		return boot_refuse(cfg->why,
				"phyllo.cfg, line %u: the command line grows over %zu bytes",
				cfg->line, sizeof(cfg->bi->cmdline) - 1);
	if (blank)
		dst[used++] = ' ';
	memcpy(dst + used, words.s, words.len);
	dst[used + words.len] = '\0';
	return 0;
}

static int module_add(struct config *cfg, struct span words)
{
	struct span file = span_word(words);
	struct boot_module *m;
	int err;

	if (!file.len)
		return boot_refuse(cfg->why,
				"phyllo.cfg, line %u: 'module' needs the name of a file",
				cfg->line);
	if (words.len > sizeof(m->cmdline) - 1)
		return boot_refuse(cfg->why,
				"phyllo.cfg, line %u: a module line has at most %zu bytes",
				cfg->line, sizeof(m->cmdline) - 1);
	if (cfg->bi->module_count == BOOT_MODULES_MAX)
		return boot_refuse(cfg->why, "phyllo.cfg, line %u: there are more than %d modules",
				   cfg->line, BOOT_MODULES_MAX);
	m = boot_new_module(cfg->bi);
	memcpy(m->cmdline, words.s, words.len);
	err = cfg->module(cfg->ctx, m->cmdline, file.len, m);
	if (err)
		cfg->bi->module_count--;
	return err;
}

static int line_parse(struct config *cfg, struct span line)
{
	struct span t = span_trim(span_uncomment(line));
	struct span word = span_word(t);
	struct span rest = span_trim((struct span){ t.s + word.len, t.len - word.len });

	if (!t.len)
		return 0;
	if (memchr(t.s, '\0', t.len))
		return boot_refuse(cfg->why,
				"phyllo.cfg, line %u: holds a NUL byte, so this is not a text file",
				cfg->line);
	if (span_is(word, "cmdline"))
		return cmdline_append(cfg, rest);
	if (span_is(word, "module"))
		return module_add(cfg, rest);
	return boot_refuse(cfg->why,
			"phyllo.cfg, line %u: '%.*s' is neither 'cmdline' nor 'module'",
			cfg->line, word.len < 32 ? (int)word.len : 32, word.s);
}

int boot_parse_config(const char *text, size_t size, struct boot_info *bi,
		      int (*module)(void *ctx, const char *file, size_t file_len,
				    struct boot_module *m),
		      void *ctx, const char **why)
{
	struct config cfg = { .bi = bi, .module = module, .ctx = ctx, .why = why };

	/* Some editors put a UTF-8 byte order mark in front. */
	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		size -= 3;
	}
	while (size) {
		const char *end = memchr(text, '\n', size);
		size_t len = end ? (size_t)(end - text) : size;
		int err;

		cfg.line++;
		err = line_parse(&cfg, (struct span){ text, len });
		if (err)
			return err;
		len += end != NULL;
		text += len;
		size -= len;
	}
	return 0;
}
