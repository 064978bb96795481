/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * On every processor two processes that fork each other: pages are shared read-only until one writes, the handler of its
 * page fault copies.  Meanwhile number 0 unmaps, migrates, ages and protects the memory of all of them.  What a process
 * reads is what it, or its parent before the fork, wrote last.
 *
 * pages=N: of a process; rounds=N: operations; seed=N
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/storm.h"
#include "tests/guest/lib/stress.h"
#include "tests/guest/lib/x86.h"

#define FORK_VA (1ul << 46)
#define PAGES_MAX 512u /* one table */
#define PF_WRITE_PROTECTED 3 /* P, W */

struct process {
	uint64_t *root, *table;
	uint32_t wrote[PAGES_MAX]; /* 0: nothing */
};

/* What one processor has. */
struct family {
	struct process process[2];
	struct process *now;
	uint64_t frames;
	uint8_t users[2 * PAGES_MAX]; /* of each frame */
	uint16_t free[2 * PAGES_MAX];
	unsigned free_count;
	unsigned long forks, copies, breaks;
};

static struct family *families;
static struct storm memory; /* the frames of all, for the operations */
static uint32_t pages;
static bool (*other_traps)(struct trap_frame *f);

static struct family *mine(void)
{
	return &families[this_cpu()->id];
}

static volatile uint32_t *word_of(unsigned page)
{
	return (volatile uint32_t *)(FORK_VA + page * PAGE_SIZE + page % 1000 * 4);
}

/* ---- frames ------------------------------------------------------------------------------------ */

static unsigned frame_of(const struct family *f, uint64_t entry)
{
	return ((entry & PTE_ADDR) - f->frames) / PAGE_SIZE;
}

static uint64_t frame_get(struct family *f)
{
	unsigned n = f->free[--f->free_count];

	f->users[n] = 1;
	return f->frames + n * PAGE_SIZE;
}

static void frame_put(struct family *f, uint64_t entry)
{
	unsigned n = frame_of(f, entry);

	if (!--f->users[n])
		f->free[f->free_count++] = n;
}

/* ---- processes ----------------------------------------------------------------------------------- */

static void go_to(struct family *f, struct process *p)
{
	f->now = p;
	write_cr3((uintptr_t)p->root);
}

static struct process *other_of(struct family *f)
{
	return f->now == &f->process[0] ? &f->process[1] : &f->process[0];
}

/* The child is what the parent is, and neither may write. */
static void fork(struct family *f)
{
	struct process *parent = f->now, *child = other_of(f);

	for (unsigned i = 0; i < pages; i++) {
		frame_put(f, child->table[i]);
		parent->table[i] &= ~PTE_W;
		child->table[i] = parent->table[i] & ~(PTE_A | PTE_D);
		f->users[frame_of(f, child->table[i])]++;
	}
	memcpy(child->wrote, parent->wrote, sizeof(child->wrote));
	f->forks++;
	go_to(f, parent); /* what it has translated allows too much */
}

/* The last one that has a frame keeps it. */
static void break_cow(struct family *f, unsigned page)
{
	uint64_t *entry = &f->now->table[page], old = *entry, frame = old & PTE_ADDR;

	f->breaks++;
	if (f->users[frame_of(f, old)] > 1) {
		frame = frame_get(f);
		memcpy((void *)frame, (void *)(old & PTE_ADDR), PAGE_SIZE);
		frame_put(f, old);
		f->copies++;
	}
	*entry = frame | PTE_P | PTE_W;
	invlpg((uintptr_t)word_of(page));
}

static bool take_fault(struct trap_frame *t)
{
	uint64_t va = read_cr2();

	if (t->vector != VEC_PF || va < FORK_VA || va >= FORK_VA + pages * PAGE_SIZE)
		return other_traps(t);
	CPU_CHECK_EQ(t->error, PF_WRITE_PROTECTED);
	break_cow(mine(), (va - FORK_VA) / PAGE_SIZE);
	return true;
}

static void step(struct family *f)
{
	unsigned dice = cpu_random_below(256), page = cpu_random_below(pages);
	uint32_t value = (uint32_t)cpu_random() | 1;

	if (dice == 0) {
		fork(f);
	} else if (dice < 16) {
		go_to(f, other_of(f));
	} else if (dice < 128) {
		*word_of(page) = value;
		f->now->wrote[page] = value;
	} else {
		CPU_CHECK_EQ(*word_of(page), f->now->wrote[page]);
	}
	atomic_fetch_add_explicit(&this_cpu()->progress, 1, memory_order_relaxed);
}

static void verify_all(struct family *f)
{
	for (unsigned p = 0; p < 2; p++) {
		go_to(f, other_of(f));
		for (unsigned i = 0; i < pages; i++)
			CPU_CHECK_EQ(*word_of(i), f->now->wrote[i]);
	}
}

/* ---- the storm -------------------------------------------------------------------------------------- */

static void operate(struct family *f)
{
	static void (*const ops[])(struct storm *, unsigned) = {
		storm_op_unmap, storm_op_migrate, storm_op_age, storm_op_protect, storm_op_zap_all,
	};

	for (unsigned i = 0; i < memory.rounds; i++) {
		ops[cpu_random_below(ARRAY_SIZE(ops))](&memory, i);
		smp_let_others_step(64);
		for (unsigned n = 0; n < 64; n++)
			step(f);
	}
	atomic_store(&memory.stop, true);
}

static void live(void *arg)
{
	struct family *f = mine();

	cpu_ve_start();
	go_to(f, f->now);
	fork(f); /* once at least, and before any write */
	if (this_cpu()->id == 0)
		operate(f);
	while (!atomic_load(&memory.stop))
		step(f);
	verify_all(f);
	write_cr3((uintptr_t)boot_pml4);
}

static void test_fork_storm(void)
{
	struct family sum = { .forks = 0 };

	stress_phase_job("fork storm", live);
	for (unsigned i = 0; i < smp_count; i++) {
		sum.forks += families[i].forks;
		sum.breaks += families[i].breaks;
		sum.copies += families[i].copies;
	}
	printf("# %lu forks, %lu faults for writing, %lu pages copied\n", sum.forks, sum.breaks,
	       sum.copies);
	CHECK(sum.forks >= smp_count && sum.breaks > 0 && sum.copies > 0);
	CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = { KTAP(test_fork_storm) };

static void make_process(struct family *f, struct process *p)
{
	p->root = paging_new_root();
	p->table = paging_entry(p->root, FORK_VA, 1);
	for (unsigned i = 0; i < pages; i++)
		p->table[i] = frame_get(f) | PTE_P | PTE_W;
}

static void make_family(struct family *f, uint64_t frames)
{
	f->frames = frames;
	for (unsigned i = 0; i < 2 * pages; i++)
		f->free[f->free_count++] = i;
	make_process(f, &f->process[0]);
	make_process(f, &f->process[1]);
	f->now = &f->process[0];
}

int guest_main(void)
{
	uint64_t bytes;

	if (!phyllo_present())
		return ktap_skip_all("needs Phyllo below");
	pages = info_number_or("pages", 256);
	if (!pages || pages > PAGES_MAX)
		guest_die("pages=%u: 1 to %u", pages, PAGES_MAX);
	stress_init_processors();
	bytes = smp_count * 2 * pages * PAGE_SIZE;
	memory.base = (uintptr_t)stress_take(bytes);
	memory.pages = bytes / PAGE_SIZE;
	memory.rounds = info_number_or("rounds", 60);
	families = stress_take(smp_count * sizeof(struct family));
	for (unsigned i = 0; i < smp_count; i++)
		make_family(&families[i], memory.base + i * 2 * pages * PAGE_SIZE);
	other_traps = trap_hook;
	trap_hook = take_fault;
	printf("# %u processors with two processes of %u pages each\n", smp_count, pages);
	return KTAP_MAIN(tests);
}
