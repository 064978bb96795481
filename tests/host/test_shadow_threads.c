/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow paging with everybody at once: processors that edit their page tables and use them, while
 * others unmap, balloon, protect, migrate, age, log and zap.
 *
 * Each processor owns every third entry of page tables that they all share, and every third of the
 * pages; so it knows what its addresses must mean.  Between its edit of an entry and its INVLPG
 * (or load of CR3) an address may mean the old page or the new one; then only the new one.  A page
 * carries its number, and words that its owner counts up.  What goes behind a processor's back shows as a
 * foreign number, as a lost word, or as the poison of a freed page.
 */
#include <pthread.h>
#include <string.h>

#include "hosted.h"
#include "ktap.h"
#include "mm/port.h"
#include "shadow_guest.h"

#define GVA        0x40000000ul
#define ENTRIES    1200u  /* addresses, over three tables of the lowest level */
#define DATA_GFN   64u
#define DATA_PAGES 600u
#define ROUNDS     3000u
#define OPERATIONS 1500u

struct worker {
	struct shadow_cpu *cpu;
	unsigned id;
	uint64_t random;
	unsigned page[ENTRIES];         /* what the entry says: a data page, or … */
	uint64_t word[DATA_PAGES];      /* last written to word 1 of the page */
	const char *wrong;
	uint64_t done, edits, blocked;
};

#define NOTHING (~0u)

static _Atomic unsigned running;

static unsigned pick(struct worker *w, unsigned n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (unsigned)((w->random >> 20) % n);
}

static unsigned own(struct worker *w, unsigned n)
{
	return pick(w, n / GUEST_CPUS) * GUEST_CPUS + w->id;
}

static gpa_t page_gpa(unsigned page)
{
	return (DATA_GFN + (gpa_t)page) << PAGE_SHIFT;
}

/* mmu_protect() forbids it for a while: others are asked to go first. */
static struct shadow_outcome touch(struct worker *w, gva_t gva, unsigned access, unsigned size,
				   uint64_t *value)
{
	for (;;) {
		struct shadow_outcome o = shadow_cpu_touch(w->cpu, gva, access, size, value);

		if (o.result != MMU_PF_PROTECTED)
			return o;
		w->blocked++;
		port_resched();
	}
}

static void edit(struct worker *w, unsigned entry, unsigned page)
{
	gva_t gva = GVA + (gva_t)entry * PAGE_SIZE;
	uint64_t value = page == NOTHING ? 0 : page_gpa(page) | P | W | U;
	gpa_t at = guest_entry_at(gva, 1);

	if (touch(w, WINDOW + at, ACC_W, guest_entry_size(), &value).result != MMU_PF_FIXED)
		w->wrong = "an entry cannot be written";
	w->edits++;
}

/* What the address means now: page, or (while the processor may still know it) old. */
static void check_read(struct worker *w, unsigned entry, unsigned page, unsigned old)
{
	gva_t gva = GVA + (gva_t)entry * PAGE_SIZE;
	uint64_t value = 0;
	struct shadow_outcome o = touch(w, gva, ACC_R, 8, &value);

	if (o.result == MMU_PF_INJECT) {
		if (page != NOTHING && old != NOTHING)
			w->wrong = "#PF where a page is mapped";
	} else if (o.result != MMU_PF_FIXED) {
		w->wrong = "a read is refused";
	} else if ((page == NOTHING || value != page) && (old == NOTHING || value != old)) {
		w->wrong = "an address means a foreign page";
	}
}

static void write_word(struct worker *w, unsigned entry)
{
	gva_t gva = GVA + (gva_t)entry * PAGE_SIZE + 8;
	unsigned page = w->page[entry];
	uint64_t value = ++w->word[page];

	if (touch(w, gva, ACC_W, 8, &value).result != MMU_PF_FIXED)
		w->wrong = "a write is refused";
}

static void check_word(struct worker *w, unsigned entry)
{
	gva_t gva = GVA + (gva_t)entry * PAGE_SIZE + 8;
	uint64_t value = 0;

	if (touch(w, gva, ACC_R, 8, &value).result != MMU_PF_FIXED ||
	    value != w->word[w->page[entry]])
		w->wrong = "a word that was written is lost";
}

/* One entry becomes something else; the processor hears of it in one of two ways. */
static void change(struct worker *w)
{
	unsigned entry = own(w, ENTRIES), old = w->page[entry];
	unsigned page = pick(w, 8) ? own(w, DATA_PAGES) : NOTHING;

	edit(w, entry, page);
	check_read(w, entry, page, old);
	if (pick(w, 4))
		shadow_cpu_invlpg(w->cpu, GVA + (gva_t)entry * PAGE_SIZE);
	else
		shadow_cpu_flush(w->cpu);
	w->page[entry] = page;
	check_read(w, entry, page, page);
}

/* Staying in guest mode, with what the TLB holds, until somebody wants us out. */
static void burst(struct worker *w)
{
	uint32_t error;

	if (!shadow_cpu_enter(w->cpu))
		return;
	for (unsigned i = 0; i < 30; i++) {
		unsigned entry = own(w, ENTRIES);
		uint64_t value = 0;

		if (atomic_load_explicit(&w->cpu->kicked, memory_order_relaxed))
			break;
		if (!shadow_cpu_access(w->cpu, GVA + (gva_t)entry * PAGE_SIZE, ACC_R, 8, &value,
				       &error))
			continue;
		if (w->page[entry] == NOTHING || value != w->page[entry])
			w->wrong = "the TLB means a foreign page";
	}
	shadow_cpu_exit(w->cpu);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned n = 0; n < ROUNDS && !w->wrong; n++, w->done++) {
		unsigned entry = own(w, ENTRIES);

		switch (pick(w, 4)) {
		case 0:
			change(w);
			break;
		case 1:
			burst(w);
			break;
		default:
			if (w->page[entry] == NOTHING)
				check_read(w, entry, NOTHING, NOTHING);
			else if (pick(w, 2))
				write_word(w, entry);
			else
				check_word(w, entry);
		}
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* ---- the others ---------------------------------------------------------------------------- */

static void operate(struct worker *w)
{
	gfn_t gfn = pick(w, GUEST_PAGES - 64), n = 1 + pick(w, 63);
	unsigned flags = pick(w, 2) ? MMU_MAY_BLOCK : 0;
	uint64_t count, bitmap[(GUEST_PAGES + 63) / 64];
	bool any;

	switch (pick(w, 10)) {
	case 0:
		mmu_unmap(sg.vm, 0, GUEST_PAGES, MMU_MAY_BLOCK);
		break;
	case 1:
		mmu_migrate(sg.vm, gfn, n, flags, &count);
		break;
	case 2:
		mmu_age(sg.vm, 0, GUEST_PAGES, &count);
		break;
	case 3:
		mmu_age_bitmap(sg.vm, gfn, n, pick(w, 2), bitmap);
		mmu_test_age(sg.vm, gfn, n, &any);
		break;
	case 4:
		mmu_zap_all(sg.vm);
		break;
	case 5:
		mmu_work_step(sg.vm);
		break;
	case 6: /* pages that nobody uses */
		mmu_balloon_out(sg.vm, DATA_GFN + DATA_PAGES, 64, flags, &count);
		mmu_balloon_in(sg.vm, DATA_GFN + DATA_PAGES, 64, 0, &count);
		break;
	case 7:
		gfn = DATA_GFN + pick(w, DATA_PAGES - 64);
		mmu_protect(sg.vm, gfn, n, ACC_R | ACC_X, flags);
		mmu_protect(sg.vm, gfn, n, ACC_RWX, flags);
		break;
	case 8:
		if (mmu_dirty_start(sg.vm, 0, MMU_DIRTY_WRPROT, 0))
			mmu_dirty_stop(sg.vm, 0);
		break;
	default:
		mmu_dirty_get(sg.vm, 0, 0, GUEST_PAGES, pick(w, 2), bitmap, &count);
	}
}

static void *operators(void *arg)
{
	struct worker *w = arg;

	for (unsigned n = 0; n < OPERATIONS && atomic_load(&running); n++, w->done++) {
		operate(w);
		port_resched();
	}
	return NULL;
}

static void prepare(void)
{
	for (unsigned page = 0; page < DATA_PAGES; page++) {
		uint64_t number = page;

		CHECK_EQ(mmu_write_guest(sg.vm, page_gpa(page), &number, 8), 0);
	}
	sg.running = false;
	for (unsigned i = 0; i < ENTRIES; i++)
		guest_map(GVA + (gva_t)i * PAGE_SIZE, page_gpa(i % DATA_PAGES), 1, P | W | U);
}

static void run(const struct guest_variant *v, enum guest_mode mode, uint32_t budget)
{
	static struct worker worker[GUEST_CPUS + 1];
	struct mmu_config cfg = guest_config(v, mode);
	pthread_t thread[GUEST_CPUS + 1];

	cfg.shadow_pages = budget;
	guest_open_config(&cfg, mode);
	prepare();
	memset(worker, 0, sizeof(worker));
	atomic_store(&running, GUEST_CPUS);
	for (unsigned i = 0; i <= GUEST_CPUS; i++) {
		struct worker *w = &worker[i];

		*w = (struct worker){ .id = i, .random = 77 + i * 12345 + mode };
		w->cpu = i < GUEST_CPUS ? &sg.cpu[i] : NULL;
		for (unsigned k = 0; k < ENTRIES; k++)
			w->page[k] = k % DATA_PAGES;
		pthread_create(&thread[i], NULL, i < GUEST_CPUS ? work : operators, w);
	}
	for (unsigned i = 0; i <= GUEST_CPUS; i++) {
		pthread_join(thread[i], NULL);
		if (worker[i].wrong)
			ktap_fail(__FILE__, __LINE__, "%s mode %d, processor %u, round %lu: %s",
				  v->name, mode, i, worker[i].done, worker[i].wrong);
	}
	mmu_dirty_stop(sg.vm, 0);
	guest_audit();
	mmu_work_flush(sg.vm);
	guest_close();
}

static void test_long_mode(void)
{
	for (unsigned i = 0; i < guest_variant_count; i++)
		run(&guest_variants[i], GUEST_4L, 0);
}

static void test_other_modes(void)
{
	run(&guest_variants[0], GUEST_32, 0);
	run(&guest_variants[1], GUEST_PAE, 0);
	run(&guest_variants[2], GUEST_PSE, 0);
	run(&guest_variants[3], GUEST_5L, 0);
}

/* So few shadow pages that they take each other's place all the time. */
static void test_small_budget(void)
{
	run(&guest_variants[0], GUEST_4L, 24);
}

static const struct ktap_test tests[] = {
	KTAP(test_long_mode),
	KTAP(test_other_modes),
	KTAP(test_small_budget),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
