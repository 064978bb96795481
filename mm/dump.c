/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmu_dump(): the tables over a range as text, one entry a line, indented by level.
 *
 *   root 0x100002000 ept valid refs 3
 *     L4 gfn 0x0 table 0x100003000
 *       L3 gfn 0x0 table 0x100004000
 *         L2 gfn 0x200 leaf pfn 0x100200 rwx A D host-w mmu-w ram
 */
#include "mm/iter.h"
#include "mm/leaf.h"
#include "mm/lock.h"
#include "mm/mmio.h"
#include "mm/root.h"
#include "mm/shadow.h"
#include "mm/shadow_range.h"
#include "mm/walk.h"

#define LINE_MAX 160

struct dump {
	void (*emit)(void *ctx, const char *line);
	void *ctx;
	size_t used;
	char line[LINE_MAX];
};

static void put(struct dump *d, const char *text)
{
	while (*text && d->used < LINE_MAX - 1)
		d->line[d->used++] = *text++;
}

static void put_hex(struct dump *d, const char *what, uint64_t value)
{
	char digit[2] = { 0 };
	int shift = 60;

	put(d, what);
	put(d, " 0x");
	while (shift && !(value >> shift & 0xf))
		shift -= 4;
	for (; shift >= 0; shift -= 4) {
		digit[0] = "0123456789abcdef"[value >> shift & 0xf];
		put(d, digit);
	}
}

static void put_line(struct dump *d)
{
	d->line[d->used] = '\0';
	d->emit(d->ctx, d->line);
	d->used = 0;
}

static void dump_leaf(struct dump *d, const struct mmu_format *fmt, spte_t leaf)
{
	unsigned access = leaf_access(fmt, leaf);

	put_hex(d, " leaf pfn", format_pfn(fmt, leaf).n);
	put(d, access & ACC_R ? " r" : " -");
	put(d, access & ACC_W ? "w" : "-");
	put(d, access & ACC_X ? "x" : "-");
	put(d, leaf_is_tracked(leaf) ? " tracked" : "");
	put(d, leaf.raw & fmt->accessed ? " A" : "");
	put(d, leaf.raw & fmt->dirty ? " D" : "");
	put(d, leaf.raw & SPTE_HOST_WRITABLE ? " host-w" : "");
	put(d, leaf.raw & SPTE_MMU_WRITABLE ? " mmu-w" : "");
	if (fmt->software)
		put(d, leaf.raw & SPTE_REFCOUNTED ? " ram" : " device");
}

static void dump_entry(struct dump *d, const struct tdp_iter *it)
{
	const struct mmu_format *fmt = it->root->fmt;

	for (unsigned i = it->level; i <= it->root->level; i++)
		put(d, "  ");
	put(d, (const char *[]){ "L0", "L1", "L2", "L3", "L4", "L5" }[it->level]);
	put_hex(d, " gfn", it->gfn);
	if (format_is_table(fmt, it->old, it->level)) {
		put_hex(d, " table", format_hpa(fmt, it->old));
		put(d, it->old.raw & SPTE_NX_SPLIT ? " nx-split" : "");
	} else if (format_is_leaf(fmt, it->old, it->level)) {
		dump_leaf(d, fmt, it->old);
	} else if (mmio_is_entry(fmt, it->old)) {
		put_hex(d, " mmio", it->old.raw);
	} else {
		put_hex(d, spte_is_frozen(it->old) ? " frozen" : " unknown", it->old.raw);
	}
	put_line(d);
}

static void dump_root(struct dump *d, const struct mmu_root *root)
{
	static const char *const states[] = { " valid", " invalid", " zapped" };

	put_hex(d, "root", root->hpa);
	put(d, " ");
	put(d, root->fmt->name);
	put(d, states[atomic_load_explicit(&root->state, memory_order_relaxed)]);
	put_hex(d, " refs", root->refs);
	put_line(d);
}

/* Leaves of whatever shadow page: how often a page is mapped is how many lines it has. */
static void dump_shadow_leaves(void *ctx, const struct tdp_iter *it, unsigned n)
{
	struct dump *d = ctx;

	for (unsigned i = 0; i < n; i++) {
		spte_t leaf = spte_load(&it->cell[i]);

		put(d, (const char *[]){ "  L0", "  L1", "  L2", "  L3" }[it->level]);
		put_hex(d, " gfn", it->gfn + i);
		dump_leaf(d, it->root->fmt, leaf);
		put(d, leaf.raw & it->root->fmt->allow_u ? " user" : "");
		put_line(d);
	}
}

/*
 * shadow page gfn 0x401 level 1 role 0x7a1 unsync
 *   L1 gfn 0x3 leaf pfn 0x100203 rwx A D user
 */
static void dump_shadow(struct dump *d, struct mmu_vm *vm, gfn_t start, gfn_t end)
	REQUIRES_SHARED(vm->mmu_lock)
{
	for (const struct shadow_page *page = vm->shadow->newest; page; page = page->older) {
		put_hex(d, "shadow page gfn", page->gfn);
		put_hex(d, " level", page->role.level);
		put_hex(d, " role", page->role.word);
		put(d, page->role.direct ? " direct" : page->unsync ? " unsync" : "");
		put(d, shadow_is_current(vm, page) ? "" : " obsolete");
		put_hex(d, " refs", page->refs);
		put_line(d);
	}
	shadow_look(vm, start, end, dump_shadow_leaves, d);
}

void mmu_dump(struct mmu_vm *vm, gfn_t gfn, uint64_t npages,
	      void (*emit)(void *ctx, const char *line), void *ctx)
{
	struct mmu_reading r = MMU_READING(DUMP, gfn, npages);
	struct dump d = { .emit = emit, .ctx = ctx };
	gfn_t room = gfn < vm->gfn_limit ? vm->gfn_limit - gfn : 0;
	gfn_t end = gfn + (npages < room ? npages : room);
	struct tdp_iter it;

	mmu_read_lock(vm, &r);
	for_each_root(vm, root) {
		uint64_t visited = 0;

		dump_root(&d, root);
		for (iter_begin(&it, root, gfn, end, 0); it.valid; iter_next(&it), visited++)
			if (it.old.raw)
				dump_entry(&d, &it);
		hold_note_read(vm, visited);
	}
	if (vm->shadow)
		dump_shadow(&d, vm, gfn, end);
	mmu_read_unlock(vm, &r);
}
