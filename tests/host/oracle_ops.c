/* SPDX-License-Identifier: GPL-2.0-only */
/* The oracle's accesses and operations on ranges; see oracle_impl.h. */
#include <string.h>

#include "mm/port.h"
#include "oracle_impl.h"

/* More faults than one access of one thread can need: a table each, splits, restores. */
#define FAULTS_MAX 16

static unsigned bit(enum mmu_pf_result r)
{
	return 1u << r;
}

/* ---- accesses ------------------------------------------------------------------------ */

/* The results that an access may have, as a set. */
static unsigned expected(struct oslot *s, gfn_t gfn, unsigned access)
{
	const struct opage *page = s ? oracle_page(s, gfn) : NULL;
	unsigned set = 0;

	if (!s || page->ballooned || (access == ACC_W && (s->flags & MMU_SLOT_READONLY)))
		set |= bit(MMU_PF_EMULATE);
	if (s && (access & ~page->prot))
		set |= bit(MMU_PF_PROTECTED);
	if (!set)
		set = bit(MMU_PF_FIXED);
	if (oracle.failing || oracle.cfg.page_cap)
		set |= bit(MMU_PF_NOMEM);
	return set;
}

/* As fake_cpu_touch(), with the reserved bit of MMIO entries and an end to patience. */
static enum mmu_pf_result touch(struct fake_cpu *cpu, gpa_t gpa, unsigned access, uint64_t *value)
{
	struct page_fault pf;

	for (unsigned n = 0; n < FAULTS_MAX; n++) {
		if (!fake_cpu_enter(cpu))
			return MMU_PF_NOMEM;
		bool done = fake_cpu_access(cpu, gpa, access, value, &pf);

		fake_cpu_exit(cpu);
		if (done)
			return MMU_PF_FIXED;
		enum mmu_pf_result r = mmu_page_fault(&cpu->mmu, &pf);

		if (r != MMU_PF_FIXED && r != MMU_PF_SPURIOUS && r != MMU_PF_RETRY)
			return r;
	}
	contradiction("an access gets done", gpa, access);
}

void op_access(void)
{
	static const unsigned kinds[] = { ACC_R, ACC_W, ACC_R, ACC_X };
	unsigned how = take8(), word = how >> 2 & 1, access = kinds[how & 3];
	struct fake_cpu *cpu = &oracle.cpu[how >> 3 & 1];
	gfn_t gfn = take_range().gfn;
	struct oslot *s = oracle_find(gfn);
	uint64_t value = ++oracle.counter, walks = cpu->walks;
	unsigned set = expected(s, gfn, access);
	enum mmu_pf_result r = touch(cpu, gfn * PAGE_SIZE + word_offset(word), access, &value);

	trace("cpu %lu, gfn 0x%lx, word %u, access %u: %d", (unsigned long)(cpu - oracle.cpu), gfn, word,
	      access, r);
	EXPECT(set & bit(r), set, r);
	if (r != MMU_PF_FIXED)
		return;
	uint64_t *known = oracle_value(s, gfn, word);

	if (access == ACC_W)
		*known = value;
	else
		EXPECT(value == *known, value, *known);
	log_access(s, gfn, access == ACC_W, cpu->walks != walks);
}

/* Of a copy that failed, the first half may have been done. */
static void first_half_written(struct oslot *s, gfn_t gfn, uint64_t value)
{
	uint64_t got = 0;

	if (mmu_read_guest(oracle.vm, gfn * PAGE_SIZE + word_offset(1), &got, 8) || got != value)
		return;
	*oracle_value(s, gfn, 1) = value;
	log_write(s, gfn);
}

/* The hypervisor's own access, over the edge to the next page's first word. */
void op_guest_copy(void)
{
	bool write = take8() & 1;
	gfn_t gfn = take_range().gfn;
	struct oslot *s = oracle_find(gfn), *next = oracle_find(gfn + 1);
	uint64_t buf[2] = { oracle.counter + 1, oracle.counter + 2 };
	bool may = s && next && !oracle_page(s, gfn)->ballooned && !oracle_page(next, gfn + 1)->ballooned;
	gpa_t gpa = gfn * PAGE_SIZE + word_offset(1);

	oracle.counter += 2;
	int err = write ? mmu_write_guest(oracle.vm, gpa, buf, 16) : mmu_read_guest(oracle.vm, gpa, buf, 16);

	trace("gfn 0x%lx, write %d: %d", gfn, write, err);
	if (may && write && ((s->flags | next->flags) & MMU_SLOT_READONLY))
		may = false;
	/* A device's memory is the guest's alone. */
	if (may && (is_device(s) || is_device(next)))
		may = false;
	if (err == -ENOMEM)
		EXPECT(oracle.failing || oracle.cfg.page_cap, gfn, write);
	else
		EXPECT(err == (may ? 0 : -EFAULT), err, gfn);
	if (err && write && s)
		first_half_written(s, gfn, buf[0]);
	if (err)
		return;
	uint64_t *a = oracle_value(s, gfn, 1), *b = oracle_value(next, gfn + 1, 0);

	if (write) {
		*a = buf[0];
		*b = buf[1];
		log_write(s, gfn);
		log_write(next, gfn + 1);
	}
	EXPECT(buf[0] == *a && buf[1] == *b, buf[0], buf[1]);
}

/* ---- ranges ------------------------------------------------------------------------------ */

void op_unmap(void)
{
	struct orange r = take_range();

	range_done(&r, mmu_unmap(oracle.vm, r.gfn, r.npages, r.flags));
	log_zapped();
}

static unsigned take_protection(unsigned how)
{
	static const unsigned kinds[] = { ACC_RWX, ACC_R | ACC_X, 0, ACC_R | ACC_X };

	return how == 0xfd ? ACC_W : kinds[how & 3];
}

void op_protect(void)
{
	unsigned access = take_protection(take8());
	struct orange r = take_range();

	r.valid &= access != ACC_W;
	bool done = range_done(&r, mmu_protect(oracle.vm, r.gfn, r.npages, access, r.flags));

	log_zapped();
	/* What failed for want of memory may have been done in part. */
	for (uint64_t i = 0; r.valid && i < r.npages; i++) {
		struct oslot *s = oracle_find(r.gfn + i);
		struct opage *page = oracle_page(s, r.gfn + i);
		int is = is_device(s) ? page->prot : mmu_protection(oracle.vm, r.gfn + i);

		if (is_device(s) && done)
			is = (int)access;
		EXPECT(is == (int)access || (!done && is == page->prot), is, page->prot);
		page->prot = (uint8_t)is;
	}
	if (!oracle_find(r.gfn))
		EXPECT(mmu_protection(oracle.vm, r.gfn) == -ENOENT, r.gfn, 0);
}

void op_migrate(void)
{
	struct orange r = take_range();
	uint64_t changed = 0;

	range_done(&r, mmu_migrate(oracle.vm, r.gfn, r.npages, r.flags, &changed));
	EXPECT(changed <= (r.valid ? r.npages : 0), changed, r.npages);
	log_zapped();
}

static void balloon(bool out)
{
	struct orange r = take_range();
	uint64_t changed = 0, want = 0;
	int err;

	err = out ? mmu_balloon_out(oracle.vm, r.gfn, r.npages, r.flags, &changed) :
		    mmu_balloon_in(oracle.vm, r.gfn, r.npages, r.flags, &changed);
	log_zapped();
	if (!range_done(&r, err)) {
		EXPECT(!changed, changed, err);
		return;
	}
	for (uint64_t i = 0; i < r.npages; i++) {
		struct opage *page = oracle_page(oracle_find(r.gfn + i), r.gfn + i);
		int prot = mmu_protection(oracle.vm, r.gfn + i);

		want += page->ballooned != out;
		if (out)
			memset(page->value, 0, sizeof(page->value));
		page->ballooned = out;
		/* With the page its protection may go. */
		EXPECT(prot == page->prot || prot == ACC_RWX, prot, page->prot);
		page->prot = (uint8_t)prot;
	}
	EXPECT(changed == want, changed, want);
}

void op_balloon_out(void)
{
	balloon(true);
}

void op_balloon_in(void)
{
	balloon(false);
}

/* ---- everything at once -------------------------------------------------------------------- */

void op_zap_all(void)
{
	mmu_zap_all(oracle.vm);
	log_zapped();
}

void op_work(void)
{
	unsigned how = take8();

	if (how & 1)
		mmu_work_flush(oracle.vm);
	else
		for (unsigned i = 0; i < how % 8; i++)
			(void)mmu_work_step(oracle.vm);
	log_zapped();
}

static void emit(void *ctx, const char *line)
{
	*(size_t *)ctx += strlen(line);
}

void op_dump(void)
{
	struct orange r = take_range();
	size_t total = 0;
	struct mmu_holds holds;

	mmu_dump(oracle.vm, r.gfn, r.npages, emit, &total);
	mmu_holds_read(oracle.vm, &holds);
	EXPECT(holds.write_entries < 100000, holds.write_entries, holds.read_entries);
	oracle_check();
}
