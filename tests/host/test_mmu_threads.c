/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processors on threads, with TLBs, against unmaps and balloons beside them, and an
 * oracle of what each word of guest memory holds.
 *
 * Two regions.  In the first, mappings come and go but contents stay: every read is
 * known exactly.  In the second, pages are ballooned out and in: a generation per gfn
 * (odd while it may be gone) tells when a read is known exactly and when it may be zero.
 * Each processor has its own word of each page, so the oracle needs no lock.
 *
 * HOSTED_STRESS_MS is how long each variant runs (default 300).
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ktap.h"
#include "mm/port.h"
#include "world.h"

#define CHUNK 512ul
#define KEPT  (2 * CHUNK) /* gfns below: contents stay */
#define TOTAL (5 * CHUNK)
#define BURST 200

#define GEN_UNKNOWN (~0ul)

static struct world w;
static _Atomic bool stop;
static _Atomic uint64_t gen[TOTAL];

struct cpu_state {
	unsigned id;
	uint64_t seed, counter, zero_reads;
	uint64_t value[TOTAL];   /* what this processor last wrote into its word */
	uint64_t written[TOTAL]; /* the generation it did that in */
};
static struct cpu_state cpus[WORLD_CPUS];

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % n;
}

/* Often the same few gfns, so that processors meet there. */
static gfn_t random_gfn(uint64_t *seed)
{
	return random_below(seed, 4) ? random_below(seed, 8) * 300 : random_below(seed, TOTAL);
}

/* Mostly short, now and then all there is. */
static uint64_t random_length(uint64_t *seed, uint64_t room)
{
	uint64_t most = 1ul << random_below(seed, 13);

	return 1 + random_below(seed, most < room ? most : room);
}

static void sleep_us(unsigned us)
{
	struct timespec ts = { us / 1000000, (us % 1000000) * 1000l };

	nanosleep(&ts, NULL);
}

/* ---- processors ------------------------------------------------------------------- */

static void wrong(const struct cpu_state *s, gfn_t gfn, uint64_t got)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: vCPU %u read 0x%lx at gfn 0x%lx, last wrote 0x%lx",
		 w.cfg.name, s->id, got, gfn, s->value[gfn]);
	port_bug(__FILE__, __LINE__, text);
}

static void check_read(struct cpu_state *s, gfn_t gfn, uint64_t got, uint64_t before)
{
	bool known = s->written[gfn] == before && atomic_load(&gen[gfn]) == before &&
		     !(before & 1);

	if (got == s->value[gfn])
		return;
	if (known || got)
		wrong(s, gfn, got);
	/* The balloon took it: from now on it is known to be zero. */
	s->zero_reads++;
	s->value[gfn] = 0;
	s->written[gfn] = GEN_UNKNOWN;
}

/* False: the access faulted; it is tried again in a later burst or not at all. */
static bool one_access(struct cpu_state *s, struct page_fault *pf, uint64_t *before)
{
	static const unsigned kinds[] = { ACC_R, ACC_R, ACC_W, ACC_W, ACC_X };
	gfn_t gfn = random_gfn(&s->seed);
	unsigned access = kinds[random_below(&s->seed, 5)];
	uint64_t value = (gfn << 40) | ((uint64_t)s->id << 36) | (++s->counter & 0xfffffffff);

	*before = atomic_load(&gen[gfn]);
	if (!fake_cpu_access(&w.cpu[s->id], gfn * PAGE_SIZE + s->id * 8, access, &value, pf))
		return false;
	if (access != ACC_W) {
		check_read(s, gfn, value, *before);
		return true;
	}
	s->value[gfn] = value;
	s->written[gfn] = atomic_load(&gen[gfn]) == *before ? *before : GEN_UNKNOWN;
	return true;
}

static void handle_fault(struct cpu_state *s, struct page_fault *pf, uint64_t before)
{
	gfn_t gfn = pf->gpa >> PAGE_SHIFT;
	enum mmu_pf_result r = mmu_page_fault(&w.cpu[s->id].mmu, pf);

	if (r == MMU_PF_NOMEM)
		port_bug(__FILE__, __LINE__, "out of memory");
	if (r == MMU_PF_EMULATE && !(before & 1) && atomic_load(&gen[gfn]) == before)
		port_bug(__FILE__, __LINE__, "a gfn that is there was not mapped");
}

static void *processor(void *arg)
{
	struct cpu_state *s = arg;
	struct fake_cpu *cpu = &w.cpu[s->id];

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct page_fault pf;
		uint64_t before = 0;
		bool ok = fake_cpu_enter(cpu);

		for (unsigned i = 0; ok && i < BURST && !fake_cpu_kicked(cpu); i++)
			ok = one_access(s, &pf, &before);
		fake_cpu_exit(cpu);
		if (!ok)
			handle_fault(s, &pf, before);
	}
	return NULL;
}

/* ---- what goes on beside them --------------------------------------------------------- */

static void bump_gens(gfn_t gfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		atomic_fetch_add(&gen[gfn + i], 1);
}

static void balloon_once(uint64_t *seed, gfn_t start, uint64_t room)
{
	gfn_t gfn = start + random_below(seed, room);
	uint64_t n = random_length(seed, start + room - gfn), out, in;
	unsigned flags = random_below(seed, 2) ? MMU_MAY_BLOCK : 0;

	bump_gens(gfn, n);
	if (mmu_balloon_out(w.vm, gfn, n, flags, &out))
		port_bug(__FILE__, __LINE__, "the balloon failed to go out");
	if (random_below(seed, 4) == 0)
		sched_yield();
	if (mmu_balloon_in(w.vm, gfn, n, flags, &in) || out != n || in != n)
		port_bug(__FILE__, __LINE__, "the balloon did not bring back what it took");
	bump_gens(gfn, n);
}

static void *balloonist(void *arg)
{
	uint64_t seed = 0x9e3779b97f4a7c15ul;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		balloon_once(&seed, KEPT, TOTAL - KEPT);
		sleep_us(50);
	}
	return NULL;
}

/* Unmaps anything, and keeps a word of its own in the first region by mmu_write_guest(). */
static void *unmapper(void *arg)
{
	static uint64_t mine[KEPT];
	uint64_t seed = 0xb5297a4d3c6ef372ul, got, word = WORLD_CPUS * 8;
	struct mmu_audit_report report;

	for (gfn_t gfn = 0; gfn < KEPT; gfn++)
		mine[gfn] = 0;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		gfn_t gfn = random_gfn(&seed);
		uint64_t n = random_length(&seed, TOTAL - gfn);

		mmu_unmap(w.vm, gfn, n, random_below(&seed, 2) ? MMU_MAY_BLOCK : 0);
		gfn = random_below(&seed, KEPT);
		if (mmu_read_guest(w.vm, gfn * PAGE_SIZE + word, &got, 8) || got != mine[gfn])
			port_bug(__FILE__, __LINE__, "the hypervisor's own word was lost");
		mine[gfn] = seed;
		mmu_write_guest(w.vm, gfn * PAGE_SIZE + word, &mine[gfn], 8);
		if (random_below(&seed, 16) == 0 && mmu_audit(w.vm, &report))
			port_bug(__FILE__, __LINE__, report.first);
		sleep_us(50);
	}
	return NULL;
}

/* ---- the run ------------------------------------------------------------------------------ */

static bool everything_happened(void)
{
	struct mmu_stats s = world_stats(&w);

	return s.pf_fixed && s.zap_leaf && s.ballooned_out;
}

static void stress(const struct world_variant *v)
{
	pthread_t threads[WORLD_CPUS + 2];
	const char *ms = getenv("HOSTED_STRESS_MS");
	uint64_t accesses = 0, zeroes = 0;

	world_open(&w, v, TOTAL);
	atomic_store(&stop, false);
	for (gfn_t gfn = 0; gfn < TOTAL; gfn++)
		atomic_store(&gen[gfn], 0);
	for (unsigned i = 0; i < WORLD_CPUS; i++) {
		cpus[i] = (struct cpu_state){ .id = i, .seed = 0x1234567 + i * 0x9e3779b9ul };
		pthread_create(&threads[i], NULL, processor, &cpus[i]);
	}
	pthread_create(&threads[WORLD_CPUS], NULL, balloonist, NULL);
	pthread_create(&threads[WORLD_CPUS + 1], NULL, unmapper, NULL);
	sleep_us((ms ? (unsigned)atoi(ms) : 300) * 1000);
	/* On a machine with other work somebody may not have had a turn yet. */
	while (!everything_happened())
		sleep_us(1000);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WORLD_CPUS + 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < WORLD_CPUS; i++) {
		accesses += w.cpu[i].accesses;
		zeroes += cpus[i].zero_reads;
	}
	struct mmu_stats s = world_stats(&w);

	printf("# %s: %lu accesses, %lu faults (%lu spurious, %lu retried), %lu zaps, "
	       "%lu yields, %lu flushes, %lu kicks, %lu lost races, %lu zeroes\n",
	       v->name, accesses, s.pf_taken, s.pf_spurious, s.pf_retry, s.zap_leaf, s.zap_yield,
	       s.tlb_flush, s.tlb_kick, s.cmpxchg_fail, zeroes);
	CHECK_EQ(s.ballooned_in, s.ballooned_out);
	CHECK_EQ(s.ballooned_pages, 0);
	world_close(&w);
}

static void test_stress(void)
{
	world_for_each(stress);
}

/* ---- first touches at the same moment ------------------------------------------------- */

#define MEETINGS 3000

static _Atomic unsigned arrived;

/* Both arrive before either goes on. */
static void meet(unsigned round)
{
	atomic_fetch_add(&arrived, 1);
	while (atomic_load(&arrived) < 2 * (round + 1))
		port_cpu_relax();
}

/* With its page in hand, each waits a moment for the other: then both publish at once. */
static void meet_with_page(void)
{
	static _Atomic unsigned came;
	unsigned me = atomic_fetch_add(&came, 1);

	for (unsigned i = 0; i < 3000 && atomic_load(&came) <= (me | 1); i++)
		__builtin_ia32_pause();
}

/* Each round in a chunk never touched: tables, nodes and pages are all raced for. */
static void *first_toucher(void *arg)
{
	struct cpu_state *s = arg;

	for (unsigned i = 0; i < MEETINGS; i++) {
		gpa_t gpa = i * CHUNK * PAGE_SIZE + s->id * 8;
		uint64_t value = i + 1, back = 0;

		meet(i);
		if (fake_cpu_touch(&w.cpu[s->id], gpa, ACC_W, &value) != MMU_PF_FIXED ||
		    fake_cpu_touch(&w.cpu[s->id], gpa, ACC_R, &back) != MMU_PF_FIXED)
			port_bug(__FILE__, __LINE__, "memory could not be touched");
		if (back != value)
			port_bug(__FILE__, __LINE__, "a write was lost in a race of first touches");
	}
	return NULL;
}

static void first_touch(const struct world_variant *v)
{
	pthread_t threads[2];

	world_open(&w, v, MEETINGS * CHUNK);
	hosted_deny_2m(true);
	hosted_hooks.page_alloc_done = meet_with_page;
	atomic_store(&arrived, 0);
	for (unsigned i = 0; i < 2; i++) {
		cpus[i].id = i;
		pthread_create(&threads[i], NULL, first_toucher, &cpus[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	struct mmu_stats s = world_stats(&w);

	printf("# %s: %lu faults (%lu spurious), %lu lost races\n", v->name, s.pf_taken,
	       s.pf_spurious, s.cmpxchg_fail);
	CHECK_EQ(s.pages_4k, MEETINGS);
	CHECK_EQ(s.backing_pages, MEETINGS);
	CHECK_EQ(atomic_load(&w.vm->backing_reserved), MEETINGS);
	world_close(&w);
}

static void test_first_touch(void)
{
	world_for_each(first_touch);
}

static const struct ktap_test tests[] = { KTAP(test_stress), KTAP(test_first_touch) };

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
