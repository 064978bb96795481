/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Copy-on-write as a kernel's fork() makes it: processes share pages read-only until one writes.
 * Each word that a process reads is what it, or its parent before the fork, wrote last.
 * pages=N: of each process, rounds=N: steps, seed=N: other sequences.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define PROCESSES 4u
#define PAGES_MAX 512u
#define VA 0x500000000000ul
#define WORDS 4u /* words of each page that are used, far from each other */

struct process {
	struct space space;
	uint64_t *pt;
	uint32_t model[PAGES_MAX][WORDS];
};

static struct process process[PROCESSES], *now;
static uint32_t pages, rounds;

/* Frames, how many processes have them, and those that are free. */
static uint64_t frames;
static unsigned frame_count, free_count;
static uint16_t users[PROCESSES * PAGES_MAX], free_list[PROCESSES * PAGES_MAX];
static unsigned long breaks, copies;

static uint64_t frame_get(void)
{
	unsigned n = free_list[--free_count];

	users[n] = 1;
	return frames + n * PAGE_SIZE;
}

static unsigned frame_of(uint64_t pa)
{
	return (pa - frames) / PAGE_SIZE;
}

static void frame_put(uint64_t pa)
{
	if (--users[frame_of(pa)] == 0)
		free_list[free_count++] = frame_of(pa);
}

static uint64_t va_of(unsigned page, unsigned word)
{
	return VA + page * PAGE_SIZE + word * 1028;
}

static void go_to(struct process *p)
{
	now = p;
	space_use(&p->space);
}

/* What the page-fault handler does: the last one to have a frame keeps it. */
static void break_cow(uint64_t va)
{
	uint64_t *e = &now->pt[(va - VA) / PAGE_SIZE], old = *e & PTE_ADDR, new = old;

	breaks++;
	if (users[frame_of(old)] > 1) {
		new = frame_get();
		memcpy((void *)new, (void *)old, PAGE_SIZE);
		frame_put(old);
		copies++;
	}
	*e = new | PTE_P | PTE_W | PTE_U;
	invlpg(va);
}

/* fork(): the child has the parent's pages, and neither may write. */
static void fork(struct process *parent, struct process *child)
{
	for (unsigned i = 0; i < pages; i++) {
		frame_put(child->pt[i] & PTE_ADDR);
		parent->pt[i] &= ~PTE_W;
		child->pt[i] = parent->pt[i] & ~(PTE_A | PTE_D);
		users[frame_of(child->pt[i] & PTE_ADDR)]++;
	}
	memcpy(child->model, parent->model, sizeof(child->model));
	go_to(parent); /* its translations are too good */
}

static void write_word(unsigned page, unsigned word, uint32_t value, bool user)
{
	uint64_t va = va_of(page, word);

	if (!access_check(va, ACCESS_WRITE, user, value)) {
		break_cow(va);
		CHECK(access_check(va, ACCESS_WRITE, user, value));
	}
	now->model[page][word] = value;
}

static void read_word(unsigned page, unsigned word, bool user)
{
	access_check(va_of(page, word), ACCESS_READ, user, 0);
	if (access_last.value != now->model[page][word])
		ktap_fail(__FILE__, __LINE__, "process %ld, page %u, word %u: 0x%x, not 0x%x",
			  now - process, page, word, access_last.value, now->model[page][word]);
}

static void verify_all(void)
{
	for (unsigned p = 0; p < PROCESSES; p++) {
		go_to(&process[p]);
		for (unsigned i = 0; i < pages; i++)
			for (unsigned w = 0; w < WORDS; w++)
				read_word(i, w, i & 1);
	}
}

static void leave(void)
{
	unsigned in_use = 0;

	space_leave();
	for (unsigned i = 0; i < frame_count; i++)
		in_use += users[i] != 0;
	CHECK_EQ(in_use + free_count, frame_count);
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

/* ---- tests ------------------------------------------------------------------------------ */

/* One writes everything, forks, both write, and nobody sees the other's. */
static void test_parent_and_child(void)
{
	struct process *parent = &process[0], *child = &process[1];

	go_to(parent);
	for (unsigned i = 0; i < pages; i++)
		write_word(i, 0, 0x1000 + i, USER);
	for (unsigned round = 0; round < 3; round++) {
		fork(parent, child);
		go_to(child);
		for (unsigned i = 0; i < pages; i += 2)
			write_word(i, 1, 0xc0000 + round * 0x1000 + i, USER);
		go_to(parent);
		for (unsigned i = 0; i < pages; i += 3)
			write_word(i, 1, 0xa0000 + round * 0x1000 + i, SUPERVISOR);
		verify_all();
	}
	leave();
}

/* A chain of children, each of which changes some. */
static void test_grandchildren(void)
{
	for (unsigned p = 0; p < PROCESSES; p++) {
		if (p)
			fork(&process[p - 1], &process[p]);
		go_to(&process[p]);
		for (unsigned i = p; i < pages; i += 5)
			write_word(i, 2, 0x9000 + 0x100 * p + i, i & 1);
	}
	verify_all();
	leave();
}

static void test_random(void)
{
	go_to(&process[0]);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned what = random32() % 256;
		struct process *p = &process[random32() % PROCESSES];

		if (what == 0) {
			if (p != now)
				fork(now, p);
		} else if (what < 24) {
			go_to(p);
		} else if (what < 120) {
			write_word(random32() % pages, random32() % WORDS, random32(), what & 1);
		} else {
			read_word(random32() % pages, random32() % WORDS, what & 1);
		}
	}
	verify_all();
	leave();
	printf("# %lu faults for writing, %lu pages copied\n", breaks, copies);
}

static bool handler_on;

/* By a handler proper: the instruction itself goes on. */
static bool cow_trap(struct trap_frame *f)
{
	uint64_t va = read_cr2();

	if (!handler_on || f->vector != VEC_PF || va < VA || va >= VA + pages * PAGE_SIZE)
		return false;
	CHECK_EQ(f->error, PF_P | PF_W);
	break_cow(va);
	return true;
}

static void write_native(unsigned page, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(va_of(page, 3)) : "memory");
	now->model[page][3] = value;
}

static void test_handler(void)
{
	unsigned long before = breaks;

	handler_on = true;
	for (unsigned round = 0; round < 1 + rounds / 1000; round++) {
		struct process *parent = &process[round % PROCESSES];
		struct process *child = &process[(round + 1) % PROCESSES];

		fork(parent, child);
		for (unsigned turn = 0; turn < 2; turn++) {
			go_to(turn ? parent : child);
			for (unsigned i = turn; i < pages; i += 2)
				write_native(i, random32());
		}
	}
	verify_all();
	handler_on = false;
	CHECK(breaks >= before + pages);
	leave();
}

/* The hypervisor takes host pages and mappings away between two writes. */
static void test_beside_operations(void)
{
	uint64_t bytes = frame_count * PAGE_SIZE;

	if (!ktap_need_phyllo())
		return;
	for (unsigned i = 0; i < 24; i++) {
		struct process *p = &process[i % PROCESSES];

		fork(now, &process[(now - process + 1) % PROCESSES]);
		go_to(p);
		for (unsigned n = i % 4; n < pages; n += 4)
			write_word(n, n % WORDS, random32(), n & 1);
		if (i % 4 == 0)
			CHECK_EQ(unmap(frames, bytes), 0);
		else if (i % 4 == 1)
			CHECK(hypercall(PHYLLO_HC_MIGRATE, frames, bytes, 0, 0) >= 0);
		else if (i % 4 == 2)
			CHECK_EQ(zap_all(), 0);
		else
			CHECK(hypercall(PHYLLO_HC_AGE, frames, bytes, 0, 0) > 0);
	}
	verify_all();
	leave();
}

static const struct ktap_test tests[] = {
	KTAP(test_parent_and_child), KTAP(test_grandchildren), KTAP(test_random),
	KTAP(test_handler), KTAP(test_beside_operations),
};

int guest_main(void)
{
	pages = info_number_or("pages", 128);
	rounds = info_number_or("rounds", 12000);
	if (!pages || pages > PAGES_MAX)
		guest_die("pages=%u: 1 to %u", pages, PAGES_MAX);
	for (uint32_t n = info_number_or("seed", 0); n; n--)
		random32();
	frame_count = PROCESSES * pages;
	frames = ram_take(frame_count * PAGE_SIZE, SIZE_2M);
	if (!frames || frames + frame_count * PAGE_SIZE > ACCESS_USER_VA)
		guest_die("no memory for %u pages", frame_count);
	for (unsigned i = 0; i < frame_count; i++)
		free_list[free_count++] = frame_count - 1 - i;
	trap_hook = cow_trap;
	access_init();
	for (unsigned p = 0; p < PROCESSES; p++) {
		space_init(&process[p].space);
		process[p].pt = paging_entry(process[p].space.root, VA, 1);
		for (unsigned i = 0; i < pages; i++)
			process[p].pt[i] = frame_get() | PTE_P | PTE_W | PTE_U;
	}
	now = &process[0];
	return KTAP_MAIN(tests);
}
