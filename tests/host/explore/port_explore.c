/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mm/port.h in the explorer: an arena of fake physical memory, and the explorer's clock.
 *
 * Every atomic operation on a page looks whether it is allocated (explore_atomics.h); what is freed
 * is poisoned as well, for reads that are not atomic.  An object that is freed while the threads run
 * is no longer mapped.  A page that was freed comes back at once or not at all within an interleaving,
 * as the seed says: the one shows reuse, the other lets no late access hide.  An object never does.
 *
 * Zeroing and poisoning cost more than everything else, so pages that nobody looked at
 * (port_hpa_to_va()) are left alone: they are zero as they were.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/port.h"
#include "sched.h"
#include "tests/host/hosted.h"

#define CHUNK_PAGES  512u
#define ARENA_PAGES  (EXPLORE_ARENA_SIZE / PAGE_SIZE)
/* Single pages come first, then chunks of 2M; the second half is the one chunk of 1G. */
#define SMALL_PAGES  8192u
#define CHUNKS       16u
#define GIG_PAGES    (CHUNK_PAGES * CHUNK_PAGES)
#define GIG_FIRST    (ARENA_PAGES / 2)

#define OBJECTS_VA   (EXPLORE_ARENA_VA + EXPLORE_ARENA_SIZE)
#define OBJECTS_MAX  1024u
#define OBJECT_ROOM  (4 * PAGE_SIZE) /* each has these pages of its own, and fits */
#define OBJECTS_SIZE (OBJECTS_MAX * OBJECT_ROOM)

enum page_state { PAGE_FREE, PAGE_TAKEN, PAGE_CHUNK };
enum object_state { OBJECT_FREE, OBJECT_LIVE, OBJECT_UNMAPPED };

struct hosted_hooks hosted_hooks;
void (*explore_obj_free)(void *obj);

uint8_t explore_page_state[ARENA_PAGES];
unsigned explore_deny;
static bool page_seen[ARENA_PAGES];     /* may hold something else than zeroes */
static uint16_t chunk_used[CHUNKS];     /* pages of it that are out */
static uint32_t gig_used;
static uint32_t free_page[SMALL_PAGES]; /* freed in this interleaving */
static unsigned free_count, small_next, chunk_next, objects_next;
static bool reuse_pages;
static uint64_t pages_used, objects_used, ticks;
static uint8_t object_state[OBJECTS_MAX];

static unsigned char *arena_va(uint64_t page)
{
	return (unsigned char *)(EXPLORE_ARENA_VA + page * PAGE_SIZE);
}

static void map_objects(void);
static void catch_faults(void);

static void map_arena(void)
{
	void *want = (void *)EXPLORE_ARENA_VA;
	static bool mapped;

	if (mapped)
		return;
	mapped = true;
	catch_faults();
	if (mmap(want, EXPLORE_ARENA_SIZE + OBJECTS_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) != want)
		explore_fail("no memory for the arena");
}

/* After an interleaving that failed, things are still out. */
static void take_back(void)
{
	memset(explore_page_state, PAGE_FREE, sizeof(explore_page_state));
	memset(chunk_used, 0, sizeof(chunk_used));
	pages_used = objects_used = 0;
	gig_used = 0;
}

void port_explore_reset(bool reuse)
{
	map_arena();
	if (pages_used || objects_used)
		take_back();
	free_count = small_next = chunk_next = 0;
	explore_deny = 0;
	map_objects();
	explore_obj_free = NULL;
	ticks = 0;
	reuse_pages = reuse;
}

void port_explore_check_empty(void)
{
	for (uint64_t i = 0; pages_used && i < ARENA_PAGES; i++)
		if (explore_page_state[i] != PAGE_FREE)
			explore_fail("%lu pages leaked, the first is page %lu", pages_used, i);
	if (objects_used)
		explore_fail("%lu objects leaked", objects_used);
}

/* ---- pages --------------------------------------------------------------------------- */

static uint64_t page_of(hpa_t hpa)
{
	uint64_t page = (hpa - HOSTED_PHYS_BASE) / PAGE_SIZE;

	if (page >= ARENA_PAGES)
		explore_fail("0x%lx is no physical address", hpa);
	return page;
}

static hpa_t hpa_of(uint64_t page)
{
	return HOSTED_PHYS_BASE + page * PAGE_SIZE;
}

void *port_hpa_to_va(hpa_t hpa)
{
	page_seen[page_of(hpa)] = true;
	return (void *)(hpa - HOSTED_PHYS_BASE + EXPLORE_ARENA_VA);
}

hpa_t port_va_to_hpa(const void *va)
{
	return (uintptr_t)va - EXPLORE_ARENA_VA + HOSTED_PHYS_BASE;
}

bool hosted_page_is_free(hpa_t hpa)
{
	return explore_page_state[page_of(hpa)] == PAGE_FREE;
}

static void prepare_page(uint64_t page, unsigned flags)
{
	if (flags & PORT_ZERO) {
		if (page_seen[page])
			memset(arena_va(page), 0, PAGE_SIZE);
		page_seen[page] = false;
		return;
	}
	memset(arena_va(page), 0xa5, PAGE_SIZE);
	page_seen[page] = true;
}

static hpa_t alloc_page(unsigned flags)
{
	uint64_t page;

	if (free_count && (reuse_pages || small_next == SMALL_PAGES))
		page = free_page[--free_count];
	else if (small_next < SMALL_PAGES)
		page = small_next++;
	else
		return HPA_INVALID;
	explore_page_state[page] = PAGE_TAKEN;
	prepare_page(page, flags);
	pages_used++;
	return hpa_of(page);
}

static hpa_t alloc_chunk(unsigned flags)
{
	for (unsigned i = 0; i < CHUNKS; i++) {
		unsigned c = reuse_pages ? i : (chunk_next + i) % CHUNKS;
		uint64_t page = SMALL_PAGES + (uint64_t)c * CHUNK_PAGES;

		if (chunk_used[c])
			continue;
		chunk_next = c + 1;
		chunk_used[c] = CHUNK_PAGES;
		memset(&explore_page_state[page], PAGE_CHUNK, CHUNK_PAGES);
		for (unsigned k = 0; k < CHUNK_PAGES; k++)
			if (page_seen[page + k] || !(flags & PORT_ZERO))
				prepare_page(page + k, flags);
		pages_used += CHUNK_PAGES;
		return hpa_of(page);
	}
	return HPA_INVALID;
}

/* Pages that nobody looked at are zero. */
static hpa_t alloc_gig(unsigned flags)
{
	bool *seen = &page_seen[GIG_FIRST], *end = seen + GIG_PAGES;

	if (gig_used || !(flags & PORT_ZERO))
		return HPA_INVALID;
	gig_used = GIG_PAGES;
	pages_used += GIG_PAGES;
	memset(&explore_page_state[GIG_FIRST], PAGE_CHUNK, GIG_PAGES);
	while ((seen = memchr(seen, true, (size_t)(end - seen))))
		prepare_page((uint64_t)(seen - page_seen), flags);
	return hpa_of(GIG_FIRST);
}

/* A scenario may have some fail, at moments that the seed chooses. */
static bool denied(void)
{
	return explore_deny && sched.current && explore_choose(explore_deny) == explore_deny - 1;
}

hpa_t port_pages_alloc(unsigned order, unsigned flags)
{
	if (denied())
		return HPA_INVALID;
	if (order == 18)
		return alloc_gig(flags);
	return order == 0 ? alloc_page(flags) : order == 9 ? alloc_chunk(flags) : HPA_INVALID;
}

static void poison_page(uint64_t page)
{
	uint64_t *word = (uint64_t *)arena_va(page);

	explore_page_state[page] = PAGE_FREE;
	pages_used--;
	if (page >= GIG_FIRST)
		gig_used--;
	else if (page >= SMALL_PAGES)
		chunk_used[(page - SMALL_PAGES) / CHUNK_PAGES]--;
	if (!page_seen[page])
		return;
	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*word); i++)
		word[i] = HOSTED_POISON;
}

static void check_state(uint64_t page, enum page_state want)
{
	if (explore_page_state[page] == PAGE_FREE)
		explore_fail("page %lu is freed twice", page);
	if (explore_page_state[page] != want)
		explore_fail("page %lu is freed in another size than it was allocated", page);
}

void port_pages_free(hpa_t hpa, unsigned order)
{
	uint64_t page = page_of(hpa);

	explore_note("frees %u pages: page %lu", 1u << order, page);
	if (order)
		for (unsigned i = 0; i < 1u << order; i++) {
			check_state(page + i, PAGE_CHUNK);
			poison_page(page + i);
		}
	if (order)
		return;
	check_state(page, PAGE_TAKEN);
	poison_page(page);
	if (page < SMALL_PAGES)
		free_page[free_count++] = (uint32_t)page;
}

void port_pages_free_run(hpa_t hpa, uint64_t n)
{
	for (; n; n--, hpa += PAGE_SIZE)
		port_pages_free(hpa, 0);
}

void port_pages_split(hpa_t hpa, unsigned order)
{
	uint64_t page = page_of(hpa);

	check_state(page, PAGE_CHUNK);
	memset(&explore_page_state[page], PAGE_TAKEN, 1ul << order);
}

/* ---- objects ------------------------------------------------------------------------------ */

static void *object_va(unsigned i)
{
	return (void *)(OBJECTS_VA + i * OBJECT_ROOM);
}

void *port_obj_alloc(size_t size)
{
	if (objects_next == OBJECTS_MAX || size > OBJECT_ROOM || denied())
		return NULL;
	unsigned i = objects_next++;

	object_state[i] = OBJECT_LIVE;
	memset(object_va(i), 0, size);
	objects_used++;
	return object_va(i);
}

void port_obj_free(void *obj, size_t size)
{
	uint64_t i = ((uintptr_t)obj - OBJECTS_VA) / OBJECT_ROOM;

	if (!obj)
		return;
	if (explore_obj_free) {
		explore_obj_free(obj);
		return;
	}
	if (i >= OBJECTS_MAX || object_va((unsigned)i) != obj || object_state[i] != OBJECT_LIVE)
		explore_fail("an object is freed that is not there, or no longer");
	objects_used--;
	object_state[i] = OBJECT_FREE;
	if (!sched.current || mprotect(obj, OBJECT_ROOM, PROT_NONE))
		return;
	object_state[i] = OBJECT_UNMAPPED;
}

static void map_objects(void)
{
	for (unsigned i = 0; i < objects_next; i++) {
		if (object_state[i] == OBJECT_UNMAPPED)
			mprotect(object_va(i), OBJECT_ROOM, PROT_READ | PROT_WRITE);
		object_state[i] = OBJECT_FREE;
	}
	objects_next = 0;
}

/* ---- bad accesses --------------------------------------------------------------------------- */

void explore_freed(const void *p, enum explore_op op)
{
	uint64_t page = ((uintptr_t)p - EXPLORE_ARENA_VA) / PAGE_SIZE;

	explore_fail("%s page %lu, which is free", op == EXPLORE_LOAD ? "reads" : "writes to", page);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	uint64_t offset = (uintptr_t)info->si_addr - OBJECTS_VA;

	if (offset < OBJECTS_SIZE)
		explore_fail("touches object %lu, which was freed", offset / OBJECT_ROOM);
	explore_fail("bad access to %p", info->si_addr);
}

static void catch_faults(void)
{
	static unsigned char stack[64 << 10];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	action.sa_sigaction = on_fault;
	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* ---- processor ----------------------------------------------------------------------------- */

void port_cpu_relax(void)
{
	explore_relax();
}

void port_preempt_disable(void)
{
}

void port_preempt_enable(void)
{
}

bool port_need_resched(void)
{
	return sched.current && !explore_choose(4);
}

void port_resched(void)
{
	explore_yield();
}

/* Time goes by where it is looked at; in a model it does not, or no state would come twice. */
uint64_t port_clock(void)
{
	return sched.mode == MODE_SEARCH ? 0 : ticks++;
}

void port_vcpu_kick(struct mmu_vcpu *vcpu)
{
	if (hosted_hooks.kick)
		hosted_hooks.kick(vcpu);
}

/* The scenarios that have a worker run it anyway. */
void port_work_kick(struct mmu_vm *vm)
{
}

void port_bug(const char *file, int line, const char *what)
{
	explore_fail("BUG at %s:%d: %s", file, line, what);
}

void port_log(const char *fmt, ...)
{
	va_list ap;

	if (!trace_on)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}
