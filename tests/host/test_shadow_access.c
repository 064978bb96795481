/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Access rights of guest page tables, by all combinations of their bits and of the control bits: what
 * a guest without nested paging gets, compared with a model that is written down from the manual
 * (SDM vol. 3A, 4.5 to 4.7) and shares nothing with mm/.  One case after the other changes entries
 * and registers, so what was mapped for one must not be seen by the next.
 *
 * SHADOW_CASES=n runs so many cases per mode; the combinations are walked through in an order
 * that visits each once before any repeats.
 */
#include <stdio.h>
#include <stdlib.h>

#include "hosted.h"
#include "ktap.h"
#include "shadow_guest.h"

#define CASES_DEFAULT 3000ul
#define GVA           0x40002000ul
#define TARGET        0x2000ul /* what GVA means by a leaf of any size */

#define M_WP   (1ul << 16)
#define M_SMEP (1ul << 20)
#define M_SMAP (1ul << 21)
#define M_NXE  (1ul << 11)

/* The bits of one entry that a case chooses. */
enum { B_P, B_W, B_U, B_NX, B_PS, B_RSVD, B_A, B_D, ENTRY_BITS };

struct trial {
	unsigned levels;
	unsigned entry[6];    /* by level: bits of ENTRY_BITS */
	bool wp, smep, smap, nxe, ac, user;
	unsigned access;
};

struct verdict {
	bool fault;
	uint32_t error;
	unsigned leaf;
};

static gpa_t table_gpa[6];
static uint64_t permitted;

/* ---- the model -------------------------------------------------------------------------- */

static bool has(unsigned entry, unsigned bit)
{
	return entry >> bit & 1;
}

static bool entries_have_nx(void)
{
	return sg.mode >= GUEST_PAE;
}

static bool ps_makes_leaf(unsigned level)
{
	if (sg.mode == GUEST_32)
		return false;
	return level == 2 || (level == 3 && sg.mode >= GUEST_4L);
}

static bool is_reserved(const struct trial *t, unsigned level, bool leaf)
{
	unsigned e = t->entry[level];

	if (sg.mode == GUEST_32)
		return false;
	if (has(e, B_NX) && entries_have_nx() && !t->nxe)
		return true;
	if (has(e, B_PS) && level >= 4)
		return true;
	/* Bit 13 in a 4M leaf; a bit of the address that the processor does not have elsewhere. */
	return has(e, B_RSVD) && (sg.mode >= GUEST_PAE || (leaf && level == 2));
}

static struct verdict judge(const struct trial *t)
{
	bool w = true, u = true, x = true, fetch = t->access == ACC_X, write = t->access == ACC_W;
	struct verdict v = { .fault = true };
	uint32_t code = (write ? E_W : 0) | (t->user ? E_U : 0);
	unsigned level = t->levels;

	if (fetch && ((entries_have_nx() && t->nxe) || t->smep))
		code |= E_F;
	for (;; level--) {
		unsigned e = t->entry[level];
		bool pdpte = sg.mode == GUEST_PAE && level == 3;
		bool leaf = level == 1 || (has(e, B_PS) && ps_makes_leaf(level) && !pdpte);

		if (!has(e, B_P)) {
			v.error = code;
			return v;
		}
		if (!pdpte && is_reserved(t, level, leaf)) {
			v.error = code | E_P | E_RSVD;
			return v;
		}
		if (!pdpte) {
			w &= has(e, B_W);
			u &= has(e, B_U);
			x &= !(has(e, B_NX) && entries_have_nx() && t->nxe);
		}
		if (leaf)
			break;
	}
	v.leaf = level;
	bool ok = t->user ? u : true;

	if (write)
		ok &= w || (!t->user && !t->wp);
	if (fetch)
		ok &= x && !(t->smep && !t->user && u);
	if (!fetch && !t->user && u && t->smap && !t->ac)
		ok = false;
	v.fault = !ok;
	v.error = code | E_P;
	return v;
}

/* ---- the guest ------------------------------------------------------------------------------ */

static unsigned index_at(unsigned level)
{
	unsigned bits = sg.mode <= GUEST_PSE ? 10 : sg.mode == GUEST_PAE && level == 3 ? 2 : 9;

	return (GVA >> guest_shift(level)) & ((1u << bits) - 1);
}

static gpa_t entry_gpa(unsigned level)
{
	return table_gpa[level] + index_at(level) * guest_entry_size();
}

static uint64_t entry_value(const struct trial *t, unsigned level)
{
	unsigned e = t->entry[level];
	bool wide = sg.mode >= GUEST_PAE;
	bool pdpte = sg.mode == GUEST_PAE && level == 3;
	bool leaf = level == 1 || (has(e, B_PS) && ps_makes_leaf(level) && !pdpte);
	uint64_t value = level == 1 ? TARGET : leaf ? 0 : table_gpa[level - 1];

	if (pdpte)
		return value | (has(e, B_P) ? P : 0);
	value |= (has(e, B_P) ? P : 0) | (has(e, B_W) ? W : 0) | (has(e, B_U) ? U : 0) |
		 (has(e, B_A) ? A : 0) | (has(e, B_D) ? D : 0);
	/* In an entry of level 1 it is the PAT's, and means nothing here. */
	value |= has(e, B_PS) ? PS : 0;
	if (wide)
		value |= (has(e, B_NX) ? NX : 0) | (has(e, B_RSVD) ? 1ul << 50 : 0);
	else if (has(e, B_RSVD) && leaf && level == 2 && sg.mode == GUEST_PSE)
		value |= 1ul << 13;
	return value;
}

static void set_up(const struct trial *t)
{
	for (unsigned level = t->levels; level; level--) {
		uint64_t value = entry_value(t, level);

		CHECK_EQ(mmu_write_guest(sg.vm, entry_gpa(level), &value, guest_entry_size()), 0);
	}
	uint64_t cr0 = t->wp ? sg.cr0 | M_WP : sg.cr0 & ~M_WP;
	uint64_t cr4 = (sg.cr4 & ~(M_SMEP | M_SMAP)) | (t->smep ? M_SMEP : 0) | (t->smap ? M_SMAP : 0);
	uint64_t efer = (sg.efer & ~M_NXE) | (t->nxe ? M_NXE : 0);

	shadow_cpu_load(&sg.cpu[0], cr0, sg.top, cr4, efer);
	sg.cpu[0].user = t->user;
	sg.cpu[0].ac = t->ac;
}

static void complain(const struct trial *t, const char *what, uint64_t got, uint64_t want)
{
	ktap_fail(__FILE__, __LINE__,
		  "mode %d %s: %s 0x%lx, not 0x%lx; entries %02x %02x %02x %02x %02x, wp %d smep %d "
		  "smap %d nxe %d ac %d user %d access %u", sg.mode, sg.cfg.name, what, got, want,
		  t->entry[5], t->entry[4], t->entry[3], t->entry[2], t->entry[1], t->wp, t->smep,
		  t->smap, t->nxe, t->ac, t->user, t->access);
}

static void check_marks(const struct trial *t, const struct verdict *v)
{
	for (unsigned level = t->levels; level >= v->leaf; level--) {
		bool dirty = level == v->leaf && t->access == ACC_W;
		uint64_t want = entry_value(t, level) | A | (dirty ? D : 0);

		if (sg.mode == GUEST_PAE && level == 3)
			continue;
		if (guest_get(entry_gpa(level)) != want)
			complain(t, "an entry is", guest_get(entry_gpa(level)), want);
	}
}

static bool run_trial(const struct trial *t, uint64_t n)
{
	struct verdict v = judge(t);
	uint64_t value = n, memory;

	set_up(t);
	struct shadow_outcome o = shadow_cpu_touch(&sg.cpu[0], GVA + 8, t->access, 4, &value);

	if (v.fault != (o.result == MMU_PF_INJECT) || (!v.fault && o.result != MMU_PF_FIXED)) {
		complain(t, "the result is", o.result, v.fault ? MMU_PF_INJECT : MMU_PF_FIXED);
		return false;
	}
	if (v.fault) {
		if (o.error != v.error)
			complain(t, "the error code is", o.error, v.error);
		return o.error == v.error;
	}
	permitted++;
	check_marks(t, &v);
	CHECK_EQ(mmu_read_guest(sg.vm, TARGET + 8, &memory, 8), 0);
	if ((uint32_t)memory != (uint32_t)value)
		complain(t, "memory holds", memory, value);
	return true;
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static struct trial trial_of(uint64_t code)
{
	static const unsigned kinds[] = { ACC_R, ACC_W, ACC_X };
	struct trial t = { .levels = guest_levels() };

	t.wp = code & 1;
	t.smep = code >> 1 & 1;
	t.smap = code >> 2 & 1;
	t.nxe = code >> 3 & 1;
	t.ac = code >> 4 & 1;
	t.user = code >> 5 & 1;
	code >>= 6;
	t.access = kinds[code % 3];
	code /= 3;
	for (unsigned level = 1; level <= t.levels; level++, code >>= ENTRY_BITS)
		t.entry[level] = code & ((1u << ENTRY_BITS) - 1);
	return t;
}

/*
 * Purely random bits nearly always end at a level above: make most entries present and not
 * reserved, as long as this is a sample.
 */
static void make_likely(struct trial *t, uint64_t random)
{
	for (unsigned level = 1; level <= t->levels; level++, random >>= 4) {
		if (random & 7)
			t->entry[level] |= 1u << B_P;
		if (random & 15)
			t->entry[level] &= ~(1u << B_RSVD);
		if (level >= 4 && (random & 15))
			t->entry[level] &= ~(1u << B_PS);
	}
}

static uint64_t cases_wanted(void)
{
	const char *env = getenv("SHADOW_CASES");

	return env ? strtoull(env, NULL, 0) : CASES_DEFAULT;
}

static void find_tables(void)
{
	guest_map(GVA, TARGET, 1, P | W | U);
	table_gpa[guest_levels()] = sg.top;
	for (unsigned level = guest_levels() - 1; level; level--)
		table_gpa[level] = guest_entry_at(GVA, level) & PAGE_MASK;
}

static void run_mode(const struct guest_variant *v, enum guest_mode mode)
{
	uint64_t total = 192, n, random = 88172645463325252ul, code = 0, cases = cases_wanted();
	unsigned failed = 0;

	permitted = 0;
	guest_open(v, mode);
	sg.running = false;
	find_tables();
	for (unsigned level = 1; level <= guest_levels(); level++)
		total <<= ENTRY_BITS;
	for (n = 0; n < cases && failed < 5; n++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		/* An odd step visits all of 3 * 2^k when it is no multiple of 3 either. */
		code = (code + 0x9e3779b97f4a7c15ul % total / 6 * 6 + 1) % total;
		struct trial t = trial_of(code);

		if (cases < total)
			make_likely(&t, random);
		failed += !run_trial(&t, n);
		if (n % 4096 == 0)
			guest_audit();
	}
	printf("# %s mode %d: %lu cases of %lu, of which %lu permitted\n", v->name, mode, n, total,
	       permitted);
	/* A sample without either would prove little. */
	CHECK(permitted > n / 20 && permitted < n);
	guest_close();
}

static void test_4k(void)
{
	for (enum guest_mode mode = GUEST_32; mode < GUEST_MODES; mode++)
		run_mode(&guest_variants[0], mode);
}

static void test_2m(void)
{
	for (enum guest_mode mode = GUEST_32; mode < GUEST_MODES; mode++)
		run_mode(&guest_variants[1], mode);
}

static void test_without_accessed(void)
{
	for (enum guest_mode mode = GUEST_32; mode < GUEST_MODES; mode++)
		run_mode(&guest_variants[3], mode);
}

static const struct ktap_test tests[] = {
	KTAP(test_4k),
	KTAP(test_2m),
	KTAP(test_without_accessed),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
