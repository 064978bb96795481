/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs a scenario (docs/scenarios.md): phases by all processors and hypercalls by number 0, one after the other, with
 * the others at work on the memory meanwhile where it says so.  The scenario comes as a module (lib/script.h).
 *
 * mib=N slots=N order=random seed=N; reserve=N: percent of the memory, at its end,
 * that a storm leaves alone.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/script.h"
#include "tests/guest/lib/stress.h"
#include "tests/guest/lib/x86.h"

#define RANDOM (-1)      /* as the first page of a range */
#define NESTING_MAX 8
#define WORDS_MAX 4096u  /* of a bitmap: 1 GiB */

/* Why a page is left alone. */
#define OUT 1u
#define NO_WRITE 2u
#define NO_READ 4u

static struct script script;
static const struct statement *now; /* the one that runs */
static unsigned operations;

static _Noreturn void nonsense(const char *why)
{
	guest_die("line %u: %s: %s", now->line, now->name, why);
}

/* ---- what is expected of results ---------------------------------------------------------------- */

enum relation { ANY, EQUAL, AT_MOST, AT_LEAST, LESS, MORE, OTHER };

static bool holds(int64_t value, int64_t relation, int64_t want)
{
	switch (relation) {
	case EQUAL:
		return value == want;
	case AT_MOST:
		return value <= want;
	case AT_LEAST:
		return value >= want;
	case LESS:
		return value < want;
	case MORE:
		return value > want;
	case OTHER:
		return value != want;
	}
	return true;
}

/* The statement's last two arguments say what it is to give; without: from low to high. */
static void check_result(int64_t value, int64_t low, int64_t high)
{
	int64_t relation = now->arg[now->args - 2], want = now->arg[now->args - 1];
	bool good = relation == ANY ? value >= low && value <= high : holds(value, relation, want);

	if (good)
		return;
	if (relation == ANY)
		ktap_fail("line", now->line, "%s gave %lld, not %lld to %lld", now->name,
			  (long long)value, (long long)low, (long long)high);
	else
		ktap_fail("line", now->line, "%s gave %lld: not what is expected of it", now->name,
			  (long long)value);
}

/* ---- ranges ---------------------------------------------------------------------------------------- */

static bool storming;
static bool exact; /* stress.written has every write since the dirty log was read */
static unsigned storm_pages; /* the first ones; what is behind them is the reserve */

struct range {
	unsigned first, count;
};

/* Of the first two arguments: somewhere from page `low` on. */
static struct range range_from(unsigned low)
{
	int64_t first = now->arg[0], count = now->arg[1];

	if (count == 0)
		return (struct range){ low, stress.pages - low };
	if (first == RANDOM) {
		unsigned start = low + cpu_random_below(stress.pages - low), left = stress.pages - start;
		unsigned n = 1 + cpu_random_below(count);

		return (struct range){ start, n < left ? n : left };
	}
	if (first + count > stress.pages || first < low)
		nonsense(first < low ? "the storm uses these pages" : "there are not so many pages");
	return (struct range){ first, count };
}

static struct range range_of(void)
{
	return range_from(0);
}

/* Of pages that nobody uses meanwhile. */
static struct range private_range(void)
{
	return range_from(storming ? storm_pages : 0);
}

static long on_range(unsigned long call, struct range r, unsigned long flags)
{
	return hypercall(call, stress_gpa(r.first), r.count * PAGE_SIZE, flags, 0);
}

static unsigned count_out(struct range r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r.count; i++)
		n += stress.state[r.first + i] & OUT;
	return n;
}

static void set_state(struct range r, unsigned clear, unsigned set)
{
	for (unsigned i = 0; i < r.count; i++)
		stress.state[r.first + i] = (stress.state[r.first + i] & ~clear) | set;
}

/* ---- phases: all processors ------------------------------------------------------------------------- */

static unsigned percent;
static _Atomic unsigned forbidden;

static void write_some(unsigned page)
{
	if (percent == 100 || cpu_random_below(100) < percent)
		stress_write(page);
}

static void phase(unsigned avoid, void (*fn)(unsigned page))
{
	stress.avoid = avoid;
	stress_run(fn);
}

static void op_write(void)
{
	stress_generation++;
	percent = now->arg[0];
	phase(OUT | NO_WRITE | NO_READ, write_some);
}

static void op_verify(void)
{
	phase(OUT | NO_READ, stress_verify);
}

/* Who waits for a page that is protected gets on in a way: number 0 must not wait for it in turn. */
static bool try_again(struct cpu *c, struct trap_frame *f)
{
	atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
	return true;
}

static void start_ve(void *arg)
{
	cpu_ve_start();
	this_cpu()->ve_hook = try_again;
}

static void attempt(unsigned page)
{
	if (stress_try_rewrite(page))
		atomic_fetch_add(&forbidden, 1);
}

static void attempt_all(void *arg)
{
	stress_step_over();
	stress_each(attempt);
	start_ve(NULL);
}

static void op_attempt(void)
{
	unsigned want = 0;

	for (unsigned page = 0; page < stress.pages; page++)
		want += !(stress.state[page] & OUT) && stress.state[page] & (NO_WRITE | NO_READ);
	stress.avoid = OUT;
	atomic_store(&forbidden, 0);
	smp_run_on_all(attempt_all, NULL);
	check_result(atomic_load(&forbidden), want, want);
}

static void toggle_wp(void *times)
{
	for (int64_t i = 0; i < *(int64_t *)times; i++) {
		write_cr0(read_cr0() ^ CR0_WP);
		atomic_fetch_add_explicit(&this_cpu()->progress, 1, memory_order_relaxed);
	}
	write_cr0(read_cr0() | CR0_WP);
}

static void op_wp_toggle(void)
{
	int64_t times = now->arg[0];

	smp_run_on_all(toggle_wp, &times);
}

/* ---- the storm: all but number 0 -------------------------------------------------------------------- */

static _Atomic bool calm;

static void verify_and_write(unsigned page)
{
	if (page >= storm_pages || atomic_load_explicit(&calm, memory_order_relaxed))
		return;
	stress_verify(page);
	stress_write(page);
}

static void storm(void *arg)
{
	while (!atomic_load(&calm))
		stress_each(verify_and_write);
}

static void op_storm_start(void)
{
	stress.avoid = OUT;
	atomic_store(&calm, false);
	smp_give(smp_all() & ~1ull, storm, NULL);
	storming = true;
	exact = false; /* a write is noted a moment after it was done */
}

static void op_storm_stop(void)
{
	for (unsigned page = 0; page < storm_pages; page++)
		if (stress.state[page] & (NO_WRITE | NO_READ))
			nonsense("it waits for protected pages: protect them how=rw first");
	atomic_store(&calm, true);
	smp_finish(smp_all() & ~1ull);
	storming = false;
}

/* Number 0 works as the others do, on its own part; then lets them get on. */
static void op_step(void)
{
	unsigned mine = (storming ? storm_pages : stress.pages) / smp_count;

	for (int64_t i = 0; i < now->arg[0]; i++) {
		unsigned page = cpu_random_below(mine);

		if (stress.state[page])
			continue;
		stress_verify(page);
		stress_write(page);
	}
	if (storming)
		smp_let_others_step(now->arg[0]);
	smp_report();
}

/* ---- hypercalls on ranges ------------------------------------------------------------------------------ */

static void op_unmap(void)
{
	check_result(on_range(PHYLLO_HC_UNMAP, range_of(), now->arg[2]), 0, 0);
}

static void op_age(void)
{
	struct range r = range_of();

	check_result(on_range(PHYLLO_HC_AGE, r, 0), 0, r.count);
}

static void op_test_age(void)
{
	check_result(on_range(PHYLLO_HC_TEST_AGE, range_of(), 0), 0, 1);
}

static void op_migrate(void)
{
	struct range r = range_of();

	check_result(on_range(PHYLLO_HC_MIGRATE, r, now->arg[2]), 0, r.count);
}

static void op_protect(void)
{
	static const unsigned hows[] = { PHYLLO_PROTECT_RW, PHYLLO_PROTECT_RO,
					 PHYLLO_PROTECT_NONE };
	static const unsigned states[] = { 0, NO_WRITE, NO_WRITE | NO_READ };
	struct range r = range_of();

	check_result(on_range(PHYLLO_HC_PROTECT, r, hows[now->arg[3]] | now->arg[2]), 0, 0);
	set_state(r, NO_WRITE | NO_READ, states[now->arg[3]]);
}

static void op_balloon_out(void)
{
	struct range r = private_range();
	unsigned want = r.count - count_out(r);

	check_result(on_range(PHYLLO_HC_BALLOON_OUT, r, now->arg[2]), want, want);
	set_state(r, 0, OUT);
}

static void op_balloon_in(void)
{
	struct range r = private_range();
	unsigned want = count_out(r);

	check_result(on_range(PHYLLO_HC_BALLOON_IN, r, now->arg[2]), want, want);
	for (unsigned i = 0; i < r.count; i++)
		if (stress.state[r.first + i] & OUT)
			stress_forget(r.first + i, 1);
	set_state(r, OUT, 0);
}

/* ---- hypercalls on the whole ---------------------------------------------------------------------------- */

static void op_zap_all(void)
{
	check_result(zap_all(), 0, 0);
}

static void op_audit(void)
{
	check_result(audit(), 0, 0);
}

static void op_nx_recover(void)
{
	check_result(hypercall(PHYLLO_HC_NX_RECOVER, 0, 0, 0, 0), 0, 0);
}

static void op_wait(void)
{
	for (int64_t i = 0; i < now->arg[0]; i++)
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
}

/* ---- the dirty log ----------------------------------------------------------------------------------------- */

static void op_dirty_start(void)
{
	check_result(stress_dirty_start(now->arg[0], now->arg[1]), 0, 0);
	memset(stress.written, 0, stress.pages);
	exact = !storming;
}

static void compare(const uint64_t *bitmap, unsigned first)
{
	for (unsigned i = 0; i < stress.slot_pages; i++) {
		unsigned page = first + i;

		if (stress.written[page] && !(stress.state[page] & OUT) && !bit_get(bitmap, i)) {
			ktap_fail("line", now->line, "the log misses a write to page %u", page);
			return;
		}
	}
}

/* get: fills in the bitmap; clear: of what it reports; -> pages. */
static int64_t each_log(bool get, bool clear)
{
	static uint64_t bitmap[WORDS_MAX];
	unsigned flags = get && clear ? PHYLLO_DIRTY_GET_CLEAR : 0;
	int64_t sum = 0;

	for (unsigned i = 0; i < stress.slots; i++) {
		uint64_t slot = STRESS_SLOT + i;
		long n = dirty_get(slot, 0, stress.slot_pages, bitmap, flags);

		if (n >= 0 && exact)
			compare(bitmap, i * stress.slot_pages);
		if (n >= 0 && !get)
			n = dirty_clear(slot, 0, stress.slot_pages, bitmap);
		if (n < 0)
			return n;
		sum += n;
	}
	if (clear) {
		memset(stress.written, 0, stress.pages);
		exact = !storming;
	}
	return sum;
}

static void op_dirty_get(void)
{
	check_result(each_log(true, now->arg[0]), 0, stress.pages);
}

static void op_dirty_clear(void)
{
	check_result(each_log(false, true), 0, 0);
}

static void op_dirty_stop(void)
{
	check_result(stress_dirty_stop(), 0, 0);
}

/* ---- slots beside the memory ----------------------------------------------------------------------------- */

#define EXTRA_SLOTS 4u
#define EXTRA_ID 8u
#define EXTRA_GPA 0x60000000ul
#define EXTRA_PLACES 3u
#define EXTRA_ROOM 0xa00000ul /* for the largest, wherever it begins */

static struct extra {
	uint64_t gpa, bytes, key; /* key 0: never written */
} extras[EXTRA_SLOTS];

static struct extra *extra_of(void)
{
	return &extras[now->arg[0]];
}

/* Places differ in how well large pages fit. */
static uint64_t place_of(int64_t id, int64_t place)
{
	return EXTRA_GPA + (id * EXTRA_PLACES + place) * EXTRA_ROOM + place * PAGE_SIZE;
}

static void op_slot_create(void)
{
	struct extra *e = extra_of();
	struct extra fresh = { place_of(now->arg[0], now->arg[2]), now->arg[1] * PAGE_SIZE, 0 };
	long ret = slot_create(EXTRA_ID + now->arg[0], fresh.gpa, fresh.bytes, 0);

	check_result(ret, 0, 0);
	if (!ret)
		*e = fresh;
}

static void op_slot_move(void)
{
	uint64_t gpa = place_of(now->arg[0], now->arg[1]);
	long ret = slot_move(EXTRA_ID + now->arg[0], gpa);

	check_result(ret, 0, 0);
	if (!ret)
		extra_of()->gpa = gpa;
}

static void op_slot_delete(void)
{
	long ret = slot_delete(EXTRA_ID + now->arg[0]);

	check_result(ret, 0, 0);
	if (!ret)
		*extra_of() = (struct extra){ 0 };
}

/* Every page holds what it held at the last use. */
static void op_slot_use(void)
{
	struct extra *e = extra_of();
	uint64_t key = cpu_random() | 1;

	for (uint64_t o = 0; o < e->bytes; o += PAGE_SIZE) {
		volatile uint64_t *word = (volatile uint64_t *)(e->gpa + o);

		if (*word != (e->key ? e->key + o : 0))
			ktap_fail("line", now->line, "page %u of slot %u does not keep its contents",
				  (unsigned)(o / PAGE_SIZE), (unsigned)now->arg[0]);
		*word = key + o;
	}
	e->key = key;
}

/* ---- statistics ------------------------------------------------------------------------------------------- */

#define MARKS_MAX 16u

/* What each statistic was at the mark, of those that an expectation with a '+' names. */
static struct mark {
	const char *name;
	unsigned long long value;
} marks[MARKS_MAX];

static struct mark *mark_of(const char *name)
{
	unsigned i = 0;

	while (i < MARKS_MAX && marks[i].name && strcmp(marks[i].name, name))
		i++;
	if (i == MARKS_MAX)
		nonsense("too many statistics");
	marks[i].name = name;
	return &marks[i];
}

static int64_t stat_of(const char *name)
{
	unsigned long long value = stat_read(name);

	if (value == STAT_NONE)
		nonsense("there is no such statistic");
	return value;
}

static void op_mark(void)
{
	for (unsigned i = 0; i < MARKS_MAX && marks[i].name; i++)
		marks[i].value = stat_of(marks[i].name);
}

static void op_expect(void)
{
	bool change = now->word[0] == '+';
	const char *name = now->word + change;
	int64_t value = stat_of(name) - (change ? (int64_t)mark_of(name)->value : 0);

	if (!holds(value, now->arg[0], now->arg[1]))
		ktap_fail("line", now->line, "%s is %lld: not what is expected", now->word,
			  (long long)value);
}

/* ---- the interpreter ------------------------------------------------------------------------------------------ */

static const struct op {
	const char *name;
	unsigned args;
	void (*fn)(void);
} ops[] = {
	{ "write", 1, op_write },
	{ "verify", 0, op_verify },
	{ "attempt", 2, op_attempt },
	{ "wp_toggle", 1, op_wp_toggle },
	{ "storm_start", 0, op_storm_start },
	{ "storm_stop", 0, op_storm_stop },
	{ "step", 1, op_step },
	{ "unmap", 5, op_unmap },
	{ "age", 4, op_age },
	{ "test_age", 4, op_test_age },
	{ "migrate", 5, op_migrate },
	{ "protect", 6, op_protect },
	{ "balloon_out", 5, op_balloon_out },
	{ "balloon_in", 5, op_balloon_in },
	{ "zap_all", 2, op_zap_all },
	{ "audit", 2, op_audit },
	{ "nx_recover", 2, op_nx_recover },
	{ "wait", 1, op_wait },
	{ "dirty_start", 4, op_dirty_start },
	{ "dirty_get", 3, op_dirty_get },
	{ "dirty_clear", 2, op_dirty_clear },
	{ "dirty_stop", 2, op_dirty_stop },
	{ "slot_create", 5, op_slot_create },
	{ "slot_move", 4, op_slot_move },
	{ "slot_delete", 3, op_slot_delete },
	{ "slot_use", 1, op_slot_use },
	{ "mark", 0, op_mark },
	{ "expect", 2, op_expect },
	/* these two are the interpreter's own */
	{ "repeat", 1, NULL },
	{ "end", 0, NULL },
};

static const struct op *op_of(const struct statement *st)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		if (!strcmp(ops[i].name, st->name) && ops[i].args == st->args)
			return &ops[i];
	now = st;
	nonsense("this kernel knows no such statement with so many arguments");
}

struct loop {
	unsigned body;
	int64_t left;
};

/* -> the index of the next statement. */
static unsigned run_loop(unsigned at, struct loop *loops, unsigned *depth)
{
	if (now->args) { /* repeat */
		if (*depth == NESTING_MAX)
			nonsense("too deep");
		loops[(*depth)++] = (struct loop){ at + 1, now->arg[0] };
		return at + 1;
	}
	if (!*depth)
		nonsense("nothing is repeated");
	if (--loops[*depth - 1].left > 0)
		return loops[*depth - 1].body;
	(*depth)--;
	return at + 1;
}

static void run(void)
{
	struct loop loops[NESTING_MAX];
	unsigned at = 0, depth = 0;

	while (at < script.count) {
		const struct op *op = op_of(now = &script.statements[at]);

		if (!op->fn) {
			at = run_loop(at, loops, &depth);
			continue;
		}
		op->fn();
		operations++;
		at++;
	}
}

/* Statistics that count from a mark are known before the first one. */
static void prepare(void)
{
	for (unsigned i = 0; i < script.count; i++) {
		now = &script.statements[i];
		op_of(now);
		if (now->word[0] == '+')
			mark_of(now->word + 1);
	}
	op_mark();
}

static void test_scenario(void)
{
	smp_run_on_all(start_ve, NULL);
	prepare();
	run();
	stress.avoid = OUT | NO_READ;
	stress_verify_all();
	CHECK_EQ(audit(), 0);
	printf("# %u operations, %llu faults\n", operations, stat_read("pf_taken"));
}

static const struct ktap_test tests[] = { KTAP(test_scenario) };

int guest_main(void)
{
	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	stress_init(16, 1);
	storm_pages = stress.pages - (uint64_t)stress.pages * info_number_or("reserve", 25) / 100;
	if (!storm_pages || stress.slot_pages > WORDS_MAX * 64)
		guest_die("reserve=: nothing is left for the storm, or the slots are too large");
	script_read(&script);
	return KTAP_MAIN(tests);
}
