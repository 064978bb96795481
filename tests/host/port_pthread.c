/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mm/port.h on a hosted system; see hosted.h.
 *
 * The arena is divided into 2M chunks, each free, handed out whole, or broken into
 * 4K pages.  Pages that are free are poisoned twice: in their contents, which are
 * checked when they are handed out again, and for the address sanitizer.
 */
#include "hosted.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "mm/port.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CHUNK_PAGES 512ul
#define CHUNK_SIZE  (CHUNK_PAGES * PAGE_SIZE)

enum chunk_state { CHUNK_FREE, CHUNK_WHOLE, CHUNK_PAGED };

struct chunk {
	enum chunk_state state;
	unsigned used;          /* pages handed out, when paged */
	bool touched;           /* was handed out before: no longer zero by itself */
	bool taken[CHUNK_PAGES];
};

struct hosted_hooks hosted_hooks;

/* Everything below is protected by the mutex, or set by hosted_reset(). */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned char *arena;
static uint64_t chunk_count;
static struct chunk *chunks;
static uint64_t pages_used, objects_used, allocs;
static bool fail_armed, fail_all, fail_hit, deny_2m;
static uint64_t fail_at;

static __thread int preempt_depth;

/* ---- setting up and looking in ------------------------------------------ */

static void fill_poison(void *va, uint64_t bytes)
{
	uint64_t *word = va;

	for (uint64_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = HOSTED_POISON;
}

void hosted_reset(uint64_t bytes)
{
	uint64_t count = (bytes + CHUNK_SIZE - 1) / CHUNK_SIZE;

	if (pages_used || objects_used)
		port_bug(__FILE__, __LINE__, "the last test leaked pages or objects");
	if (arena) {
		UNPOISON(arena, chunk_count * CHUNK_SIZE);
		munmap(arena, chunk_count * CHUNK_SIZE);
		free(chunks);
	}
	arena = mmap(NULL, count * CHUNK_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	chunks = calloc(count, sizeof(*chunks));
	if (arena == MAP_FAILED || !chunks)
		port_bug(__FILE__, __LINE__, "no memory for the arena");
	POISON(arena, count * CHUNK_SIZE);
	chunk_count = count;
	allocs = 0;
	fail_armed = deny_2m = false;
	memset(&hosted_hooks, 0, sizeof(hosted_hooks));
}

static uint64_t read_locked(const uint64_t *what)
{
	pthread_mutex_lock(&mutex);
	uint64_t value = *what;
	pthread_mutex_unlock(&mutex);
	return value;
}

uint64_t hosted_pages_used(void)
{
	return read_locked(&pages_used);
}

uint64_t hosted_objects_used(void)
{
	return read_locked(&objects_used);
}

uint64_t hosted_allocs(void)
{
	return read_locked(&allocs);
}

void hosted_fail_at(uint64_t n, bool all)
{
	pthread_mutex_lock(&mutex);
	fail_at = allocs + n;
	fail_all = all;
	fail_armed = true;
	fail_hit = false;
	pthread_mutex_unlock(&mutex);
}

void hosted_fail_off(void)
{
	pthread_mutex_lock(&mutex);
	fail_armed = false;
	pthread_mutex_unlock(&mutex);
}

bool hosted_failed(void)
{
	return fail_hit;
}

void hosted_deny_2m(bool deny)
{
	deny_2m = deny;
}

/* With the mutex held: count an allocation, and say whether it has to fail. */
static bool injected_failure(void)
{
	uint64_t n = allocs++;
	bool fail = fail_armed && (n == fail_at || (fail_all && n > fail_at));

	fail_hit |= fail;
	return fail;
}

/* ---- pages ------------------------------------------------------------------ */

static struct chunk *chunk_of(hpa_t hpa)
{
	if (hpa < HOSTED_PHYS_BASE || hpa >= HOSTED_PHYS_BASE + chunk_count * CHUNK_SIZE)
		port_bug(__FILE__, __LINE__, "not an address of the arena");
	return &chunks[(hpa - HOSTED_PHYS_BASE) / CHUNK_SIZE];
}

static unsigned page_in_chunk(hpa_t hpa)
{
	return (hpa / PAGE_SIZE) % CHUNK_PAGES;
}

void *port_hpa_to_va(hpa_t hpa)
{
	chunk_of(hpa);
	return arena + (hpa - HOSTED_PHYS_BASE);
}

hpa_t port_va_to_hpa(const void *va)
{
	return HOSTED_PHYS_BASE + (uint64_t)((const unsigned char *)va - arena);
}

bool hosted_page_is_free(hpa_t hpa)
{
	pthread_mutex_lock(&mutex);
	struct chunk *c = chunk_of(hpa);
	bool taken = c->state == CHUNK_WHOLE ||
		     (c->state == CHUNK_PAGED && c->taken[page_in_chunk(hpa)]);
	pthread_mutex_unlock(&mutex);
	return !taken;
}

static struct chunk *find_chunk(enum chunk_state state, unsigned max_used)
{
	for (uint64_t i = 0; i < chunk_count; i++)
		if (chunks[i].state == state && chunks[i].used <= max_used)
			return &chunks[i];
	return NULL;
}

static hpa_t chunk_hpa(const struct chunk *c)
{
	return HOSTED_PHYS_BASE + (uint64_t)(c - chunks) * CHUNK_SIZE;
}

static hpa_t take_chunk(void)
{
	struct chunk *c = deny_2m ? NULL : find_chunk(CHUNK_FREE, 0);

	if (!c)
		return HPA_INVALID;
	c->state = CHUNK_WHOLE;
	pages_used += CHUNK_PAGES;
	return chunk_hpa(c);
}

/* 1G: so many chunks in a row, at a multiple of it, none of which was ever handed out. */
#define GIG_CHUNKS 512ul

static hpa_t take_gig(void)
{
	for (uint64_t first = 0; first + GIG_CHUNKS <= chunk_count; first += GIG_CHUNKS) {
		uint64_t n = 0;

		while (n < GIG_CHUNKS && chunks[first + n].state == CHUNK_FREE &&
		       !chunks[first + n].touched)
			n++;
		if (n < GIG_CHUNKS)
			continue;
		for (n = 0; n < GIG_CHUNKS; n++)
			chunks[first + n].state = CHUNK_WHOLE;
		pages_used += GIG_CHUNKS * CHUNK_PAGES;
		return chunk_hpa(&chunks[first]);
	}
	return HPA_INVALID;
}

static hpa_t take_page(void)
{
	struct chunk *c = find_chunk(CHUNK_PAGED, CHUNK_PAGES - 1);
	unsigned i = 0;

	if (!c)
		c = find_chunk(CHUNK_FREE, 0);
	if (!c)
		return HPA_INVALID;
	c->state = CHUNK_PAGED;
	while (c->taken[i])
		i++;
	c->taken[i] = true;
	c->used++;
	pages_used++;
	return chunk_hpa(c) + i * PAGE_SIZE;
}

/* Memory never handed out is still zero; what came back must hold its poison. */
static void check_poison(const uint64_t *word, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes / sizeof(*word); i++)
		if (word[i] != HOSTED_POISON && word[i] != 0)
			port_bug(__FILE__, __LINE__, "a page was written after it was freed");
}

hpa_t port_pages_alloc(unsigned order, unsigned flags)
{
	uint64_t bytes = PAGE_SIZE << order;
	hpa_t hpa = HPA_INVALID;

	if (hosted_hooks.page_alloc)
		hosted_hooks.page_alloc(order);
	pthread_mutex_lock(&mutex);
	if (!injected_failure())
		hpa = order == 0 ? take_page() : order == 9 ? take_chunk() :
		      order == 18 ? take_gig() : HPA_INVALID;
	pthread_mutex_unlock(&mutex);
	if (hpa == HPA_INVALID)
		return hpa;
	void *va = port_hpa_to_va(hpa);

	UNPOISON(va, bytes);
	/* Fresh from the system, so zero; looking through it would take a second. */
	if (order == 18)
		return hpa;
	check_poison(va, bytes);
	if (flags & PORT_ZERO)
		memset(va, 0, bytes);
	else
		memset(va, 0xa5, bytes);
	if (hosted_hooks.page_alloc_done)
		hosted_hooks.page_alloc_done();
	return hpa;
}

static void release_chunk(struct chunk *c, hpa_t hpa)
{
	if (c->state != CHUNK_WHOLE || page_in_chunk(hpa))
		port_bug(__FILE__, __LINE__, "freed 2M that were not allocated so");
	c->state = CHUNK_FREE;
	c->touched = true;
	pages_used -= CHUNK_PAGES;
}

static void release_page(struct chunk *c, hpa_t hpa)
{
	if (c->state != CHUNK_PAGED || !c->taken[page_in_chunk(hpa)])
		port_bug(__FILE__, __LINE__, "freed a page that was not allocated so");
	c->taken[page_in_chunk(hpa)] = false;
	pages_used--;
	c->touched = true;
	if (!--c->used)
		c->state = CHUNK_FREE;
}

void port_pages_free(hpa_t hpa, unsigned order)
{
	void *va = port_hpa_to_va(hpa);

	if (hosted_hooks.page_free)
		hosted_hooks.page_free(hpa, order);
	if (hosted_page_is_free(hpa))
		port_bug(__FILE__, __LINE__, "freed twice");
	if (order == 18)
		madvise(va, PAGE_SIZE << order, MADV_DONTNEED);
	else
		fill_poison(va, PAGE_SIZE << order);
	POISON(va, PAGE_SIZE << order);
	pthread_mutex_lock(&mutex);
	if (order == 18)
		for (unsigned i = 0; i < GIG_CHUNKS; i++)
			release_chunk(chunk_of(hpa) + i, hpa);
	else if (order == 9)
		release_chunk(chunk_of(hpa), hpa);
	else
		release_page(chunk_of(hpa), hpa);
	pthread_mutex_unlock(&mutex);
}

void port_pages_free_run(hpa_t hpa, uint64_t n)
{
	for (; n; n--, hpa += PAGE_SIZE)
		port_pages_free(hpa, 0);
}

void port_pages_split(hpa_t hpa, unsigned order)
{
	pthread_mutex_lock(&mutex);
	struct chunk *c = chunk_of(hpa);

	for (unsigned n = 1u << (order - 9); n; n--, c++) {
		if (c->state != CHUNK_WHOLE)
			port_bug(__FILE__, __LINE__, "split something not allocated whole");
		c->state = CHUNK_PAGED;
		c->used = CHUNK_PAGES;
		memset(c->taken, true, sizeof(c->taken));
	}
	pthread_mutex_unlock(&mutex);
}

/* ---- objects ------------------------------------------------------------------ */

void *port_obj_alloc(size_t size)
{
	pthread_mutex_lock(&mutex);
	bool fail = injected_failure();
	void *obj = fail ? NULL : calloc(1, size);

	objects_used += obj != NULL;
	pthread_mutex_unlock(&mutex);
	return obj;
}

void port_obj_free(void *obj, size_t size)
{
	if (!obj)
		return;
	memset(obj, 0xd5, size);
	free(obj);
	pthread_mutex_lock(&mutex);
	objects_used--;
	pthread_mutex_unlock(&mutex);
}

/* ---- processor ------------------------------------------------------------------ */

/* There are more threads than cores: a spinner has to let the others run. */
void port_cpu_relax(void)
{
	static __thread unsigned calls;

	if (++calls % 16 == 0)
		sched_yield();
	else
		__builtin_ia32_pause();
}

void port_preempt_disable(void)
{
	preempt_depth++;
}

void port_preempt_enable(void)
{
	if (--preempt_depth < 0)
		port_bug(__FILE__, __LINE__, "preemption enabled more often than disabled");
}

bool port_need_resched(void)
{
	return hosted_hooks.need_resched;
}

void port_resched(void)
{
	if (preempt_depth)
		port_bug(__FILE__, __LINE__, "rescheduled with preemption disabled");
	if (hosted_hooks.resched)
		hosted_hooks.resched();
	sched_yield();
}

uint64_t port_clock(void)
{
	struct timespec ts;

	if (hosted_hooks.clock)
		return hosted_hooks.clock();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void port_vcpu_kick(struct mmu_vcpu *vcpu)
{
	if (hosted_hooks.kick)
		hosted_hooks.kick(vcpu);
}

void port_work_kick(struct mmu_vm *vm)
{
	if (hosted_hooks.work_kick)
		hosted_hooks.work_kick(vm);
}

/* ---- diagnostics ------------------------------------------------------------------ */

void port_bug(const char *file, int line, const char *what)
{
	fflush(stdout);
	fprintf(stderr, "# BUG at %s:%d: %s\n", file, line, what);
	abort();
}

void port_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
}
