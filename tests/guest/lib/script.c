/* SPDX-License-Identifier: GPL-2.0-only */
/* See script.h. */
#include "tests/guest/lib/script.h"

struct text {
	const char *at, *end;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\n';
}

/* The next word of this line; 0: there is none. */
static size_t next_word(struct text *t, const char **word)
{
	while (t->at < t->end && *t->at == ' ')
		t->at++;
	*word = t->at;
	while (t->at < t->end && !is_blank(*t->at))
		t->at++;
	return t->at - *word;
}

static void copy_word(char *out, size_t size, const char *word, size_t len)
{
	if (len >= size)
		guest_die("the script holds a word of %u characters", (unsigned)len);
	memcpy(out, word, len);
	out[len] = '\0';
}

static bool number(const char *word, size_t len, int64_t *out)
{
	bool minus = len > 1 && *word == '-';

	*out = 0;
	for (size_t i = minus; i < len; i++) {
		if (word[i] < '0' || word[i] > '9')
			return false;
		*out = *out * 10 + word[i] - '0';
	}
	if (minus)
		*out = -*out;
	return true;
}

static void read_statement(struct text *t, struct statement *st)
{
	const char *word;
	int64_t line;
	size_t len = next_word(t, &word);

	*st = (struct statement){ 0 };
	if (!len || !number(word, len, &line))
		guest_die("the script has a line without a number");
	st->line = line;
	len = next_word(t, &word);
	copy_word(st->name, sizeof(st->name), word, len);
	while ((len = next_word(t, &word))) {
		if (st->args == SCRIPT_ARGS)
			guest_die("line %u of the script has too many arguments", st->line);
		if (number(word, len, &st->arg[st->args]))
			st->args++;
		else
			copy_word(st->word, sizeof(st->word), word, len);
	}
	if (t->at < t->end)
		t->at++; /* the end of the line */
}

void script_read(struct script *s)
{
	const struct boot_module *m = &info.modules[0];
	struct text t;
	unsigned lines = 0;
	uint64_t bytes;

	if (!info.module_count)
		guest_die("there is no script: this kernel wants one as a module");
	t = (struct text){ (const char *)(uintptr_t)m->start, (const char *)(uintptr_t)m->end };
	for (const char *c = t.at; c < t.end; c++)
		lines += *c == '\n';
	bytes = (lines * sizeof(struct statement) + PAGE_SIZE) & ~(PAGE_SIZE - 1);
	s->statements = (struct statement *)(uintptr_t)ram_take(bytes, PAGE_SIZE);
	if (!s->statements)
		guest_die("no memory for a script of %u lines", lines);
	for (s->count = 0; s->count < lines; s->count++)
		read_statement(&t, &s->statements[s->count]);
}
