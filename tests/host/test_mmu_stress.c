/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Everything at once: processors with TLBs on threads of their own, and beside them threads
 * that unmap, migrate, zap, protect, balloon, age, log dirty pages, and make, move and delete
 * slots.  Built with ThreadSanitizer for races, and with AddressSanitizer like all hosted tests.
 *
 * Slot 0  kept      contents stay, whatever is done to the mappings
 *         guarded   the same, and mmu_protect() changes what is allowed
 * Slot 1  ballooned pages come and go
 * Slot 2  movable   is made, moved and deleted
 * Slot 3  device    host memory of its own
 *
 * What may be done with a gfn is in state[]; its owner makes gen[] odd before it changes that and even
 * after.  An access that saw the same even number before and behind it must agree with
 * the state: so nothing stale is used once an operation has returned.
 *
 * HOSTED_STRESS_MS is how long all of it runs (default 3000).
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ktap.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul
#define GUARDED   CHUNK
#define BALLOONED (2 * CHUNK)
#define MOVABLE   (4 * CHUNK)
#define MOVED     (5 * CHUNK)
#define MOVABLE_PAGES CHUNK /* whole: with a huge page as long as nobody breaks it */
#define DEVICE    (6 * CHUNK)
#define DEVICE_PAGES 256ul
#define TOTAL     (DEVICE + DEVICE_PAGES)

#define BURST 100
#define ABSENT 8u /* in state[]: nothing is there; else ACC_* */
#define UNKNOWN (~0ul)

static struct world w;
static hpa_t device;
static _Atomic bool stop;
static _Atomic uint64_t gen[TOTAL];
static _Atomic unsigned state[TOTAL];
/* Dirty log: even between two reads of it; a page written wholly within one has its number. */
static _Atomic uint64_t epoch, written_in[BALLOONED];

struct cpu_state {
	unsigned id;
	uint64_t seed, counter;
	uint64_t value[TOTAL];   /* what this processor last wrote into its word */
	uint64_t written[TOTAL]; /* the generation it did that in */
};
static struct cpu_state cpus[WORLD_CPUS];

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 8) % n;
}

/* Often the same few gfns, so that threads meet there. */
static gfn_t random_gfn(uint64_t *seed)
{
	return random_below(seed, 4) ? random_below(seed, 14) * 241 : random_below(seed, TOTAL);
}

/* Mostly short, now and then all there is. */
static uint64_t random_length(uint64_t *seed, uint64_t room)
{
	uint64_t most = 1ul << random_below(seed, 12);

	return 1 + random_below(seed, most < room ? most : room);
}

static unsigned random_block(uint64_t *seed)
{
	return random_below(seed, 2) ? MMU_MAY_BLOCK : 0;
}

static void pause_us(unsigned us)
{
	struct timespec ts = { 0, us * 1000l };

	nanosleep(&ts, NULL);
}

static bool running(void)
{
	return !atomic_load_explicit(&stop, memory_order_relaxed);
}

static void wrong(const char *what, gfn_t gfn, uint64_t a, uint64_t b)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: %s at gfn 0x%lx (0x%lx, 0x%lx)", w.cfg.name, what, gfn, a, b);
	port_bug(__FILE__, __LINE__, text);
}

static bool contents_stay(gfn_t gfn)
{
	return gfn < BALLOONED || gfn >= DEVICE;
}

/* The place in its region: what stays with the page when its slot moves. */
static uint64_t identity(gfn_t gfn)
{
	return gfn >= MOVED && gfn < DEVICE ? gfn - MOVED + MOVABLE : gfn;
}

/* ---- processors ----------------------------------------------------------------------- */

/* Any value read here was written here, by this processor, or nobody did yet. */
static void check_read(struct cpu_state *s, gfn_t gfn, uint64_t got, uint64_t before)
{
	bool known = contents_stay(gfn) || (s->written[gfn] == before && !(before & 1) &&
					    atomic_load(&gen[gfn]) == before);

	if (got == s->value[gfn])
		return;
	if (known || (got && got >> 36 != (identity(gfn) << 4 | s->id)))
		wrong("a wrong value was read", gfn, got, s->value[gfn]);
	s->value[gfn] = got;
	s->written[gfn] = UNKNOWN;
}

struct attempt {
	gfn_t gfn;
	unsigned access;
	uint64_t before, epoch;
};

static bool state_known(const struct attempt *a)
{
	return !(a->before & 1) && atomic_load(&gen[a->gfn]) == a->before;
}

static void note_write(struct cpu_state *s, const struct attempt *a, uint64_t value)
{
	s->value[a->gfn] = value;
	s->written[a->gfn] = atomic_load(&gen[a->gfn]) == a->before ? a->before : UNKNOWN;
	if (a->gfn < BALLOONED && !(a->epoch & 1) && atomic_load(&epoch) == a->epoch)
		atomic_store(&written_in[a->gfn], a->epoch);
}

/* False: the access faulted; it is tried again in a later burst or not at all. */
static bool one_access(struct cpu_state *s, struct attempt *a, struct page_fault *pf)
{
	static const unsigned kinds[] = { ACC_R, ACC_R, ACC_W, ACC_W, ACC_X };

	a->gfn = random_gfn(&s->seed);
	a->access = kinds[random_below(&s->seed, 5)];
	a->before = atomic_load(&gen[a->gfn]);
	unsigned allowed = atomic_load(&state[a->gfn]);
	a->epoch = atomic_load(&epoch);
	uint64_t value = identity(a->gfn) << 40 | (uint64_t)s->id << 36 | (++s->counter & 0xfffffffff);

	if (!fake_cpu_access(&w.cpu[s->id], a->gfn * PAGE_SIZE + s->id * 8, a->access, &value, pf))
		return false;
	if (state_known(a) && (allowed == ABSENT || (a->access & ~allowed)))
		wrong("a forbidden access went through", a->gfn, a->access, allowed);
	if (a->access == ACC_W)
		note_write(s, a, value);
	else
		check_read(s, a->gfn, value, a->before);
	return true;
}

static void handle_fault(struct cpu_state *s, const struct attempt *a, struct page_fault *pf)
{
	unsigned allowed = atomic_load(&state[a->gfn]);
	enum mmu_pf_result r = mmu_page_fault(&w.cpu[s->id].mmu, pf);

	if (r == MMU_PF_NOMEM)
		wrong("out of memory", a->gfn, 0, 0);
	if (!state_known(a))
		return;
	if (r == MMU_PF_EMULATE && allowed != ABSENT)
		wrong("a gfn that is there was not mapped", a->gfn, a->access, allowed);
	if (r == MMU_PF_PROTECTED && !(a->access & ~allowed))
		wrong("an allowed access was refused", a->gfn, a->access, allowed);
	if ((r == MMU_PF_FIXED || r == MMU_PF_SPURIOUS) && (a->access & ~allowed))
		wrong("a forbidden access was mapped", a->gfn, a->access, allowed);
}

static void *processor(void *arg)
{
	struct cpu_state *s = arg;
	struct fake_cpu *cpu = &w.cpu[s->id];

	while (running()) {
		struct page_fault pf;
		struct attempt a = { 0 };
		bool ok = fake_cpu_enter(cpu);

		for (unsigned i = 0; ok && i < BURST && !fake_cpu_kicked(cpu); i++)
			ok = one_access(s, &a, &pf);
		fake_cpu_exit(cpu);
		if (!ok)
			handle_fault(s, &a, &pf);
	}
	return NULL;
}

/* ---- whoever changes what is allowed ------------------------------------------------------ */

static void change_begin(gfn_t gfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		atomic_fetch_add(&gen[gfn + i], 1);
}

static void change_end(gfn_t gfn, uint64_t n, unsigned new)
{
	for (uint64_t i = 0; i < n; i++) {
		atomic_store(&state[gfn + i], new);
		atomic_fetch_add(&gen[gfn + i], 1);
	}
}

static void must(int err, const char *what)
{
	if (err)
		wrong(what, 0, (uint64_t)-err, 0);
}

static void *protector(void *arg)
{
	static const unsigned kinds[] = { ACC_RWX, ACC_R | ACC_X, 0, ACC_RWX };
	uint64_t seed = 0x51ed270b3a1cull;

	while (running()) {
		gfn_t gfn = GUARDED + random_below(&seed, CHUNK);
		uint64_t n = random_length(&seed, BALLOONED - gfn);
		unsigned access = kinds[random_below(&seed, 4)];

		change_begin(gfn, n);
		must(mmu_protect(w.vm, gfn, n, access, random_block(&seed)), "protect failed");
		change_end(gfn, n, access);
		if (mmu_protection(w.vm, gfn) != (int)access)
			wrong("protection was forgotten", gfn, access, 0);
		pause_us(100);
	}
	return NULL;
}

static void *balloonist(void *arg)
{
	uint64_t seed = 0x9e3779b97f4a7c15ul, out, in;

	while (running()) {
		gfn_t gfn = BALLOONED + random_below(&seed, MOVABLE - BALLOONED);
		uint64_t n = random_length(&seed, MOVABLE - gfn);

		change_begin(gfn, n);
		must(mmu_balloon_out(w.vm, gfn, n, random_block(&seed), &out), "balloon out failed");
		change_end(gfn, n, ABSENT);
		sched_yield();
		change_begin(gfn, n);
		must(mmu_balloon_in(w.vm, gfn, n, random_block(&seed), &in), "balloon in failed");
		if (out != n || in != n)
			wrong("the balloon did not bring back what it took", gfn, out, in);
		change_end(gfn, n, ACC_RWX);
		pause_us(100);
	}
	return NULL;
}

/* Made at one place, moved to the other, sometimes read-only, deleted. */
static void slot_life(uint64_t *seed)
{
	bool there = random_below(seed, 2), turn = random_below(seed, 2);
	gfn_t from = there ? MOVED : MOVABLE, to = there ? MOVABLE : MOVED;
	struct mmu_slot_desc desc = { .id = 2, .base_gfn = from, .npages = MOVABLE_PAGES };

	change_begin(from, MOVABLE_PAGES);
	must(mmu_slot_create(w.vm, &desc), "a slot was not made");
	change_end(from, MOVABLE_PAGES, ACC_RWX);
	pause_us(300);
	if (turn) {
		change_begin(from, MOVABLE_PAGES);
		change_begin(to, MOVABLE_PAGES);
		must(mmu_slot_move(w.vm, 2, to), "a slot was not moved");
		change_end(from, MOVABLE_PAGES, ABSENT);
		change_end(to, MOVABLE_PAGES, ACC_RWX);
		pause_us(300);
		from = to;
	}
	change_begin(from, MOVABLE_PAGES);
	must(mmu_slot_delete(w.vm, 2), "a slot was not deleted");
	change_end(from, MOVABLE_PAGES, ABSENT);
}

static void *slotter(void *arg)
{
	uint64_t seed = 0x6a09e667f3bcc908ul;

	while (running()) {
		slot_life(&seed);
		pause_us(200);
	}
	return NULL;
}

/* ---- whoever changes only the mappings ------------------------------------------------------ */

static void ignore_line(void *ctx, const char *line)
{
	*(size_t *)ctx += line[0] != '\0';
}

static void *shaker(void *arg)
{
	uint64_t seed = 0xb5297a4d3c6ef372ul, changed;
	struct mmu_audit_report report;
	size_t lines = 0;

	while (running()) {
		gfn_t gfn = random_gfn(&seed);
		uint64_t n = random_length(&seed, TOTAL - gfn);
		uint64_t what = random_below(&seed, 64);

		if (what < 24)
			(void)mmu_unmap(w.vm, gfn, n, random_block(&seed));
		else if (what < 40)
			(void)mmu_migrate(w.vm, gfn, n, random_block(&seed), &changed);
		else if (what < 56)
			mmu_zap_all(w.vm);
		else if (what < 60)
			mmu_dump(w.vm, gfn, n, ignore_line, &lines);
		else if (mmu_audit(w.vm, &report))
			wrong(report.first, 0, report.errors, 0);
		pause_us(100);
	}
	return NULL;
}

static void *ager(void *arg)
{
	static uint64_t bitmap[TOTAL / 64 + 1];
	uint64_t seed = 0x3c6ef372fe94f82bul, young;
	bool any;

	while (running()) {
		gfn_t gfn = random_gfn(&seed);
		uint64_t n = random_length(&seed, TOTAL - gfn);

		switch (random_below(&seed, 3)) {
		case 0:
			(void)mmu_age(w.vm, gfn, n, &young);
			break;
		case 1:
			(void)mmu_test_age(w.vm, gfn, n, &any);
			break;
		default:
			(void)mmu_age_bitmap(w.vm, gfn, n, random_below(&seed, 2), bitmap);
		}
		sched_yield();
	}
	return NULL;
}

static void *worker(void *arg)
{
	while (running())
		if (!mmu_work_step(w.vm))
			pause_us(50);
	return NULL;
}

/* ---- the dirty log -------------------------------------------------------------------------- */

/* A round reads it all, in parts, and makes it clean: at once or in a second step. */
static void log_round(uint64_t *seed, uint64_t *bitmap)
{
	uint64_t last = atomic_load(&epoch), n;

	atomic_store(&epoch, last + 1);
	for (uint64_t first = 0; first < BALLOONED; first += n) {
		uint64_t *part = bitmap + first / 64, dirty;
		bool clear = random_below(seed, 2);

		n = BALLOONED - first;
		n = random_below(seed, 2) && n > 192 ? 192 : n;
		must(mmu_dirty_get(w.vm, 0, first, n, clear, part, &dirty), "no dirty log");
		if (!clear)
			must(mmu_dirty_clear(w.vm, 0, first, n, part), "the log was not cleared");
	}
	for (gfn_t gfn = 0; gfn < BALLOONED; gfn++)
		if (atomic_load(&written_in[gfn]) == last && !(bitmap[gfn / 64] >> gfn % 64 & 1))
			wrong("a write is missing in the dirty log", gfn, last, 0);
	atomic_store(&epoch, last + 2);
}

/* The slot that comes and goes: whatever happens, it is an error or it works. */
static void log_movable(uint64_t *seed)
{
	static uint64_t bitmap[MOVABLE_PAGES / 64];
	uint64_t dirty;

	(void)mmu_dirty_start(w.vm, 2, MMU_DIRTY_WRPROT, (unsigned)random_below(seed, 4));
	(void)mmu_dirty_get(w.vm, 2, 0, MOVABLE_PAGES, true, bitmap, &dirty);
	(void)mmu_dirty_stop(w.vm, 2);
}

static void *logger(void *arg)
{
	static uint64_t bitmap[BALLOONED / 64];
	uint64_t seed = 0x510e527fade682d1ul;

	while (running()) {
		enum mmu_dirty_style style = MMU_DIRTY_WRPROT;

		if (w.cfg.hw_ad && random_below(&seed, 2))
			style = w.cfg.pml && random_below(&seed, 2) ? MMU_DIRTY_PML : MMU_DIRTY_DBIT;
		atomic_fetch_add(&epoch, 1);
		must(mmu_dirty_start(w.vm, 0, style, (unsigned)random_below(&seed, 4)), "no log started");
		atomic_fetch_add(&epoch, 1);
		for (unsigned i = 0; i < 8 && running(); i++) {
			pause_us(300);
			log_round(&seed, bitmap);
		}
		must(mmu_dirty_stop(w.vm, 0), "the log was not stopped");
		for (unsigned i = 0; i < 4; i++) {
			log_movable(&seed);
			pause_us(200);
		}
	}
	return NULL;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void *(*const others[])(void *) = { protector, balloonist, slotter, shaker,
					   ager, worker, logger };
#define OTHERS (sizeof(others) / sizeof(others[0]))

static void make_slots(void)
{
	struct mmu_slot_desc desc[] = {
		{ .id = 0, .base_gfn = 0, .npages = BALLOONED },
		{ .id = 1, .base_gfn = BALLOONED, .npages = MOVABLE - BALLOONED },
		{ .id = 3, .base_gfn = DEVICE, .npages = DEVICE_PAGES, .flags = MMU_SLOT_DEVICE },
	};

	device = port_pages_alloc(9, PORT_ZERO);
	desc[2].hpa = device;
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(mmu_slot_create(w.vm, &desc[i]), 0);
	for (gfn_t gfn = 0; gfn < TOTAL; gfn++) {
		atomic_store(&gen[gfn], 0);
		atomic_store(&state[gfn], gfn >= MOVABLE && gfn < DEVICE ? ABSENT : ACC_RWX);
	}
	/* No write was made in any epoch yet. */
	atomic_store(&epoch, 2);
	memset(written_in, 0, sizeof(written_in));
}

static unsigned stress_ms(void)
{
	const char *ms = getenv("HOSTED_STRESS_MS");

	return (ms ? (unsigned)atoi(ms) : 3000) / world_variant_count;
}

static void report(const struct world_variant *v)
{
	struct mmu_stats s = world_stats(&w);
	struct mmu_holds holds;
	uint64_t accesses = 0;

	for (unsigned i = 0; i < WORLD_CPUS; i++)
		accesses += w.cpu[i].accesses;
	mmu_holds_read(w.vm, &holds);
	printf("# %s: %lu accesses, %lu faults (%lu fast), %lu zaps, %lu yields, %lu flushes, %lu young, "
	       "%lu logged, %lu splits, %lu recovered, %lu migrated, longest hold %lu/%lu\n",
	       v->name, accesses, s.pf_taken, s.pf_fast, s.zap_leaf, s.zap_yield, s.tlb_flush, s.age_young,
	       s.dirty_logged, s.split, s.recovered, s.migrated, holds.write_entries, holds.read_entries);
	CHECK(s.pf_fixed && s.zap_leaf && s.age_young);
}

static void stress(const struct world_variant *v)
{
	pthread_t threads[WORLD_CPUS + OTHERS];
	unsigned n = 0;

	struct mmu_config cfg = world_config(v);

	/* Half of the formats with each; they have little to do with one another. */
	cfg.nx_huge_pages = v->root_level == 5 || v->format == MMU_FORMAT_EPT;
	cfg.fault_around = v->max_leaf_level == PG_LEVEL_4K || v->format == MMU_FORMAT_NPT ? 8 : 1;
	cfg.pml = v->format == MMU_FORMAT_EPT && v->hw_ad;
	world_open_config(&w, &cfg, 0);
	make_slots();
	atomic_store(&stop, false);
	for (; n < WORLD_CPUS; n++) {
		cpus[n] = (struct cpu_state){ .id = n, .seed = 0x1234567 + n * 0x9e3779b9ul };
		pthread_create(&threads[n], NULL, processor, &cpus[n]);
	}
	for (unsigned i = 0; i < OTHERS; i++)
		pthread_create(&threads[n++], NULL, others[i], NULL);
	for (unsigned ms = stress_ms(); ms; ms--)
		pause_us(1000);
	atomic_store(&stop, true);
	while (n)
		pthread_join(threads[--n], NULL);
	report(v);
	CHECK_EQ(mmu_slot_delete(w.vm, 3), 0);
	mmu_work_flush(w.vm);
	port_pages_free(device, 9);
	world_close(&w);
}

static void test_everything_at_once(void)
{
	world_for_each(stress);
}

static const struct ktap_test tests[] = { KTAP(test_everything_at_once) };

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
