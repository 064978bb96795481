/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walker of guest page tables: tables of cases per paging mode, and random
 * tables compared with a model that is written down case by case from the manual.
 */
#include <string.h>

#include "ktap.h"
#include "world.h"

#define P   (1ul << 0)
#define W   (1ul << 1)
#define U   (1ul << 2)
#define PS  (1ul << 7)
#define NX  (1ul << 63)

#define CR0_PE   (1ul << 0)
#define CR0_WP   (1ul << 16)
#define CR0_PG   (1ul << 31)
#define CR4_PSE  (1ul << 4)
#define CR4_PAE  (1ul << 5)
#define CR4_LA57 (1ul << 12)
#define CR4_SMEP (1ul << 20)
#define CR4_SMAP (1ul << 21)
#define EFER_LONG ((1ul << 8) | (1ul << 10))
#define EFER_NXE (1ul << 11)

/* #PF error code */
#define E_P    1u
#define E_W    2u
#define E_U    4u
#define E_RSVD 8u
#define E_F    16u

#define GUEST_PAGES 64
#define TABLE(n)    ((uint64_t)(n) << 12) /* table of level n lies in page n */

static struct world w;

static void put(gpa_t gpa, uint64_t entry, unsigned size)
{
	CHECK_EQ(mmu_write_guest(w.vm, gpa, &entry, size), 0);
}

/* ---- one mode, one path ---------------------------------------------------------- */

enum mode { MODE_32, MODE_PSE, MODE_PAE, MODE_4L, MODE_5L, MODES };

static unsigned mode_levels(enum mode m)
{
	return m <= MODE_PSE ? 2 : m == MODE_PAE ? 3 : m == MODE_4L ? 4 : 5;
}

static unsigned entry_size(enum mode m)
{
	return m <= MODE_PSE ? 4 : 8;
}

static unsigned shift_of(enum mode m, unsigned level)
{
	return m <= MODE_PSE ? (level == 1 ? 12 : 22) : 12 + 9 * (level - 1);
}

static struct mmu_guest_paging paging_of(enum mode m)
{
	struct mmu_guest_paging p = { .cr0 = CR0_PG | CR0_PE | CR0_WP };

	p.cr3 = TABLE(mode_levels(m));
	p.cr4 = m == MODE_PSE ? CR4_PSE : m >= MODE_PAE ? CR4_PAE : 0;
	p.cr4 |= m == MODE_5L ? CR4_LA57 : 0;
	p.efer = m >= MODE_4L ? EFER_LONG | EFER_NXE : m == MODE_PAE ? EFER_NXE : 0;
	return p;
}

static gpa_t entry_at(enum mode m, unsigned level, gva_t gva)
{
	unsigned bits = m <= MODE_PSE ? 10 : m == MODE_PAE && level == 3 ? 2 : 9;
	uint64_t index = (gva >> shift_of(m, level)) & ((1ul << bits) - 1);

	return TABLE(level) + index * entry_size(m);
}

static void set_entry(enum mode m, unsigned level, gva_t gva, uint64_t entry)
{
	put(entry_at(m, level, gva), entry, entry_size(m));
}

/* A path for gva that permits everything, to a 4K page at leaf. */
static void set_path(enum mode m, gva_t gva, gpa_t leaf)
{
	for (unsigned level = mode_levels(m); level > 1; level--)
		set_entry(m, level, gva, TABLE(level - 1) |
			  (m == MODE_PAE && level == 3 ? P : P | W | U));
	set_entry(m, 1, gva, leaf | P | W | U);
}

static void expect_ok(const struct mmu_guest_paging *p, gva_t gva, unsigned access, gpa_t gpa,
		      unsigned level)
{
	struct mmu_guest_walk out;

	CHECK_EQ(mmu_guest_translate(w.vm, p, gva, access, &out), 0);
	CHECK_EQ(out.gpa, gpa);
	CHECK_EQ(out.level, level);
}

static void expect_fault(const struct mmu_guest_paging *p, gva_t gva, unsigned access,
			 uint32_t error)
{
	struct mmu_guest_walk out;

	CHECK_EQ(mmu_guest_translate(w.vm, p, gva, access, &out), -EFAULT);
	CHECK_EQ(out.pf_error, error);
}

static void open_guest(void)
{
	world_open(&w, &world_variants[0], GUEST_PAGES);
}

/* ---- cases ------------------------------------------------------------------------- */

static void test_paging_off(void)
{
	struct mmu_guest_paging p = { .cr0 = CR0_PE };

	open_guest();
	expect_ok(&p, 0x12345678, ACC_W, 0x12345678, 0);
	expect_ok(&p, 0x9876543210, ACC_X, 0x76543210, 0);
	world_close(&w);
}

static void test_each_mode(void)
{
	open_guest();
	for (enum mode m = 0; m < MODES; m++) {
		gva_t gva = m >= MODE_4L ? 0x7f8012345abcul : 0x92345abcul;
		struct mmu_guest_paging p = paging_of(m);

		set_path(m, gva, 0xabcde000);
		expect_ok(&p, gva, ACC_R, 0xabcdeabc, 1);
		expect_ok(&p, gva, ACC_W, 0xabcdeabc, 1);
		expect_ok(&p, gva, ACC_X, 0xabcdeabc, 1);
		p.user = true;
		expect_ok(&p, gva, ACC_W, 0xabcdeabc, 1);
		/* Each level not present. */
		for (unsigned level = mode_levels(m); level; level--) {
			set_path(m, gva, 0xabcde000);
			set_entry(m, level, gva, ~P & 0xfffff0fe);
			expect_fault(&p, gva, ACC_W, E_W | E_U);
		}
		/* Each level read-only, then supervisor: the weakest link counts. */
		for (unsigned level = mode_levels(m); level; level--) {
			if (m == MODE_PAE && level == 3)
				continue;
			uint64_t next = level > 1 ? TABLE(level - 1) : 0xabcde000;

			set_path(m, gva, 0xabcde000);
			set_entry(m, level, gva, next | P | U);
			expect_fault(&p, gva, ACC_W, E_P | E_W | E_U);
			expect_ok(&p, gva, ACC_R, 0xabcdeabc, 1);
			set_entry(m, level, gva, next | P | W);
			expect_fault(&p, gva, ACC_R, E_P | E_U);
		}
	}
	world_close(&w);
}

static void test_write_protect(void)
{
	struct mmu_guest_paging p = paging_of(MODE_32);

	open_guest();
	set_path(MODE_32, 0x5000, 0x20000);
	set_entry(MODE_32, 1, 0x5000, 0x20000 | P | U);
	expect_fault(&p, 0x5000, ACC_W, E_P | E_W);
	p.cr0 &= ~CR0_WP;
	expect_ok(&p, 0x5000, ACC_W, 0x20000, 1);
	p.user = true;
	expect_fault(&p, 0x5000, ACC_W, E_P | E_W | E_U);
	world_close(&w);
}

static void test_smep_smap(void)
{
	struct mmu_guest_paging p = paging_of(MODE_4L);

	open_guest();
	set_path(MODE_4L, 0x5000, 0x20000);
	p.cr4 |= CR4_SMEP;
	expect_fault(&p, 0x5000, ACC_X, E_P | E_F);
	expect_ok(&p, 0x5000, ACC_W, 0x20000, 1);
	p.efer &= ~EFER_NXE; /* SMEP alone makes the fetch bit too */
	expect_fault(&p, 0x5000, ACC_X, E_P | E_F);
	p.cr4 = CR4_PAE | CR4_SMAP;
	expect_fault(&p, 0x5000, ACC_R, E_P);
	expect_fault(&p, 0x5000, ACC_W, E_P | E_W);
	expect_ok(&p, 0x5000, ACC_X, 0x20000, 1);
	p.ac = true;
	expect_ok(&p, 0x5000, ACC_R, 0x20000, 1);
	p.ac = false;
	p.user = true;
	expect_ok(&p, 0x5000, ACC_R, 0x20000, 1);
	/* ACC_USER says the same as p.user. */
	p.user = false;
	expect_ok(&p, 0x5000, ACC_R | ACC_USER, 0x20000, 1);
	world_close(&w);
}

static void test_nx(void)
{
	struct mmu_guest_paging p = paging_of(MODE_PAE);

	open_guest();
	set_path(MODE_PAE, 0x5000, 0x20000);
	set_entry(MODE_PAE, 2, 0x5000, TABLE(1) | P | W | U | NX);
	expect_fault(&p, 0x5000, ACC_X, E_P | E_F);
	expect_ok(&p, 0x5000, ACC_R, 0x20000, 1);
	p.efer = 0; /* then it is a reserved bit, and fetches are not told from reads */
	expect_fault(&p, 0x5000, ACC_X, E_P | E_RSVD);
	expect_fault(&p, 0x5000, ACC_R, E_P | E_RSVD);
	set_entry(MODE_PAE, 2, 0x5000, TABLE(1) | P | W | U);
	set_entry(MODE_PAE, 1, 0x5000, 0);
	expect_fault(&p, 0x5000, ACC_X, 0);
	world_close(&w);
}

struct leaf_case {
	enum mode m;
	unsigned level;
	uint64_t entry;
	gpa_t gpa;      /* of gva 0x12345678, when it works */
	uint32_t error; /* else */
};

static const struct leaf_case leaf_cases[] = {
	{ MODE_PSE, 2, 0x40000000 | PS, 0x40345678, 0 },
	{ MODE_PSE, 2, 0x40000000 | PS | 1 << 12, 0x40345678, 0 },       /* PAT */
	{ MODE_PSE, 2, 0x40000000 | PS | 1 << 13, 0, E_P | E_RSVD },     /* PSE-36 */
	{ MODE_PSE, 2, 0x40000000 | PS | 1 << 21, 0, E_P | E_RSVD },
	{ MODE_PAE, 2, 0x40000000 | PS, 0x40145678, 0 },
	{ MODE_PAE, 2, 0x40000000 | PS | 1 << 13, 0, E_P | E_RSVD },
	{ MODE_PAE, 2, 0x40000000 | PS | 1ul << 52, 0, E_P | E_RSVD },
	{ MODE_PAE, 2, 0x40000000 | PS | 1ul << 46, 0, E_P | E_RSVD },   /* beyond 46 bits */
	{ MODE_4L, 2, 0x40000000 | PS, 0x40145678, 0 },
	{ MODE_4L, 2, 0x40000000 | PS | 1ul << 52, 0x40145678, 0 },      /* ignored there */
	{ MODE_4L, 2, 0x40000000 | PS | 1 << 20, 0, E_P | E_RSVD },
	{ MODE_4L, 3, 0x40000000 | PS, 0x52345678, 0 },
	{ MODE_4L, 3, 0x40000000 | PS | 1 << 29, 0, E_P | E_RSVD },
	{ MODE_4L, 4, 0x40000000 | PS, 0, E_P | E_RSVD },
	{ MODE_5L, 5, 0x40000000 | PS, 0, E_P | E_RSVD },
	{ MODE_5L, 3, 0x40000000 | PS, 0x52345678, 0 },
};

static void test_large_leaves(void)
{
	open_guest();
	for (unsigned i = 0; i < sizeof(leaf_cases) / sizeof(leaf_cases[0]); i++) {
		const struct leaf_case *c = &leaf_cases[i];
		struct mmu_guest_paging p = paging_of(c->m);

		set_path(c->m, 0x12345678, 0x20000);
		set_entry(c->m, c->level, 0x12345678, c->entry | P | W | U);
		if (c->error)
			expect_fault(&p, 0x12345678, ACC_R, c->error);
		else
			expect_ok(&p, 0x12345678, ACC_R, c->gpa, c->level);
	}
	/* Without PSE the bit means nothing. */
	struct mmu_guest_paging p = paging_of(MODE_32);

	set_path(MODE_32, 0x12345678, 0x20000);
	set_entry(MODE_32, 2, 0x12345678, TABLE(1) | P | W | U | PS);
	expect_ok(&p, 0x12345678, ACC_R, 0x20678, 1);
	world_close(&w);
}

static void test_pae_top(void)
{
	struct mmu_guest_paging p = paging_of(MODE_PAE);

	open_guest();
	p.cr3 = TABLE(3) + 0xfe0; /* 32-byte aligned, at the end of a page */
	set_path(MODE_PAE, 0xc0000000, 0x20000);
	put(TABLE(3) + 0xff8, TABLE(2) | P, 8);
	expect_ok(&p, 0xc0000000, ACC_W, 0x20000, 1);
	static const uint64_t reserved[] = { W, U, 1 << 6, PS, 1 << 8, NX };

	for (unsigned i = 0; i < 6; i++) {
		put(TABLE(3) + 0xff8, TABLE(2) | P | reserved[i], 8);
		expect_fault(&p, 0xc0000000, ACC_R, E_P | E_RSVD);
	}
	/* Reserved by the manual, but QEMU sets it: let through. */
	put(TABLE(3) + 0xff8, TABLE(2) | P | 1 << 5, 8);
	expect_ok(&p, 0xc0000000, ACC_R, 0x20000, 1);
	world_close(&w);
}

static void test_outside(void)
{
	struct mmu_guest_paging p = paging_of(MODE_4L);
	struct mmu_guest_walk out;

	open_guest();
	set_path(MODE_4L, 0x5000, 0x20000);
	CHECK_EQ(mmu_guest_translate(w.vm, &p, 1ul << 47, ACC_R, &out), -EINVAL);
	CHECK_EQ(mmu_guest_translate(w.vm, &p, ~0ul << 46, ACC_R, &out), -EFAULT);
	p.cr3 = GUEST_PAGES * PAGE_SIZE;
	CHECK_EQ(mmu_guest_translate(w.vm, &p, 0x5000, ACC_R, &out), -EIO);
	p.cr3 = TABLE(4);
	set_entry(MODE_4L, 2, 0x5000, 0x3ffffffff000ul | P | W | U);
	CHECK_EQ(mmu_guest_translate(w.vm, &p, 0x5000, ACC_R, &out), -EIO);
	world_close(&w);
}

/* ---- against a model ----------------------------------------------------------------- */

static uint64_t seed = 0x853c49e6748fea9bul;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dul;
}

static bool one_in(unsigned n)
{
	return random64() % n == 0;
}

/* What the manual says about entries e[levels] … e[1] of one path; true: it works. */
static bool model(enum mode m, const struct mmu_guest_paging *p, gva_t gva, unsigned access,
		  const uint64_t *e, gpa_t *gpa, uint32_t *error)
{
	bool nxe = m >= MODE_PAE && (p->efer & EFER_NXE), write = access == ACC_W;
	bool fetch = access == ACC_X, all_w = true, all_u = true, any_nx = false;
	unsigned level = mode_levels(m);
	uint64_t page_mask;

	*error = (write ? E_W : 0) | (p->user ? E_U : 0);
	if (fetch && (nxe || (p->cr4 & CR4_SMEP)))
		*error |= E_F;
	for (;; level--) {
		bool top_of_pae = m == MODE_PAE && level == 3, leaf = level == 1;
		uint64_t bad = 0;

		if (!(e[level] & P))
			return false;
		if ((e[level] & PS) && level == 2 && m != MODE_32)
			leaf = true;
		if ((e[level] & PS) && level == 3 && m >= MODE_4L)
			leaf = true;
		if ((e[level] & PS) && level >= 4)
			bad |= PS;
		page_mask = (1ul << shift_of(m, level)) - 1;
		if (leaf && level > 1)
			bad |= page_mask & ~0x1ffful;
		if (m >= MODE_PAE)
			bad |= 0x000fc00000000000ul; /* 51:46 */
		if (m == MODE_PAE)
			bad |= 0x7ff0000000000000ul; /* 62:52 */
		if (m >= MODE_PAE && (!nxe || top_of_pae))
			bad |= NX;
		if (top_of_pae)
			bad |= 0x1c6; /* bit 5: see test_pae_top() */
		if (e[level] & bad) {
			*error |= E_P | E_RSVD;
			return false;
		}
		if (!top_of_pae) {
			all_w = all_w && (e[level] & W);
			all_u = all_u && (e[level] & U);
			any_nx = any_nx || (e[level] & NX);
		}
		if (leaf)
			break;
	}
	*error |= E_P;
	*gpa = (e[level] & 0x000ffffffffff000ul & ~page_mask) | (gva & page_mask);
	if (p->user)
		return all_u && (all_w || !write) && !(fetch && any_nx);
	if (write && !all_w && (p->cr0 & CR0_WP))
		return false;
	if (fetch)
		return !any_nx && !(all_u && (p->cr4 & CR4_SMEP));
	return !(all_u && (p->cr4 & CR4_SMAP) && !p->ac);
}

/* Mostly sound, with a bit or two that is not. */
static uint64_t random_entry(enum mode m, unsigned level)
{
	bool top_of_pae = m == MODE_PAE && level == 3;
	uint64_t e = level > 1 ? TABLE(level - 1) : (random64() & 0xff000);

	e |= one_in(20) ? 0 : P;
	if (!top_of_pae)
		e |= (one_in(5) ? 0 : W) | (one_in(3) ? 0 : U) | (random64() & 0x60);
	if (level > 1 && one_in(6)) {
		e |= PS;
		if (!one_in(3))
			e = (e & 0xfff) | 0xc0000000;
	}
	if (m >= MODE_PAE && one_in(8))
		e |= NX;
	if (m >= MODE_PAE && one_in(15))
		e |= 1ul << (40 + random64() % 23);
	if (one_in(15))
		e |= 1ul << (random64() % 10);
	return m <= MODE_PSE ? e & 0xffffffff : e;
}

static void random_case(enum mode m)
{
	static const unsigned kinds[] = { ACC_R, ACC_W, ACC_X };
	struct mmu_guest_paging p = paging_of(m);
	gva_t gva = m >= MODE_4L ? random64() & 0x7fffffffffff : random64() & 0xffffffff;
	unsigned access = kinds[random64() % 3];
	uint64_t e[6] = { 0 };
	struct mmu_guest_walk out;
	gpa_t gpa = 0;
	uint32_t error;

	p.user = one_in(2);
	p.ac = one_in(2);
	p.cr0 ^= one_in(2) ? CR0_WP : 0;
	p.cr4 |= (one_in(2) ? CR4_SMEP : 0) | (one_in(2) ? CR4_SMAP : 0);
	p.efer ^= one_in(3) ? EFER_NXE : 0;
	for (unsigned level = mode_levels(m); level; level--) {
		e[level] = random_entry(m, level);
		set_entry(m, level, gva, e[level]);
	}
	bool ok = model(m, &p, gva, access, e, &gpa, &error);
	int err = mmu_guest_translate(w.vm, &p, gva, access, &out);

	/* A stray address bit can lead out of guest memory: the model does not look there. */
	if (err == -EIO)
		return;
	if (ok ? err || out.gpa != gpa : err != -EFAULT || out.pf_error != error)
		ktap_fail(__FILE__, __LINE__,
			  "mode %d gva 0x%lx access %u user %d ac %d cr0 0x%lx cr4 0x%lx "
			  "efer 0x%lx, entries %lx %lx %lx %lx %lx: %d gpa 0x%lx error 0x%x, "
			  "model %d 0x%lx 0x%x", m, gva, access, p.user, p.ac, p.cr0, p.cr4,
			  p.efer, e[5], e[4], e[3], e[2], e[1], err, out.gpa, out.pf_error, ok,
			  gpa, error);
}

static void test_random(void)
{
	open_guest();
	for (unsigned i = 0; i < 100000; i++)
		random_case((enum mode)(i % MODES));
	world_close(&w);
}

static const struct ktap_test tests[] = {
	KTAP(test_paging_off),    KTAP(test_each_mode), KTAP(test_write_protect),
	KTAP(test_smep_smap),     KTAP(test_nx),        KTAP(test_large_leaves),
	KTAP(test_pae_top),       KTAP(test_outside),   KTAP(test_random),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
