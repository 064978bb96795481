/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's page allocator.
 *
 *   CPU 0: cache of single pages --\
 *   CPU 1: cache of single pages ---+-- buddy: one free list per order 0 ... 18
 *   ...                          --/      |
 *                                       regions: RAM without holes, each with an
 *                                       array of struct page, 12 bytes per 4K page
 *
 * Free lists link page frame numbers through those arrays, not through the
 * pages: what a stray write into freed memory can hit is contents, never the allocator.
 *
 * Lock order: one cache's lock, then buddy.lock.  Both with interrupts off.  The state of a page
 * changes under buddy.lock where it becomes or stops being PAGE_FREE; the other changes are
 * made by the owner of the page with an atomic exchange, which catches a double free.
 */
#include "host/pages.h"

#include <stdatomic.h>
#include <stddef.h>

#include "boot/boot_info.h"
#include "host/log.h"
#include "host/machine.h"
#include "lib/range.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "mm/sync.h"
#include "mm/types.h"

#define LOW_END     (1ul << 20) /* below: the AP trampoline, firmware's tables */
#define EARLY_END   (4ul << 30) /* what the early direct map covers */
#define PFN_END     (1ul << 32) /* frame numbers have 32 bits: 16 TiB */
#define RAM_MINIMUM (8ul << 20) /* less cannot hold the tables of one small guest */
#define NIL         (~0u)       /* no frame: the last one of 16 TiB is left out */

#define REGIONS_MAX  (BOOT_MMAP_MAX + BOOT_MODULES_MAX + 4)
#define RESERVED_MAX (BOOT_MMAP_MAX + BOOT_MODULES_MAX + 2)
#define CACHES_MAX   256 /* more CPUs than that share */
#define CACHE_PAGES  32
#define CACHE_BATCH  16
#define PFN_4G       (1ul << 20)

/*
 * Poisoning all of a 1G block would take seconds on an emulator, so only the
 * head of each 4K page is poisoned: where freed tables and objects are written first.
 */
#define POISON_BYTES 64
#define POISON       0x6bdead6bdead6b6bul

enum page_state {
	PAGE_TAIL, /* inside a larger block, free or used */
	PAGE_FREE, /* head of a free block */
	PAGE_USED, /* head of an allocation */
	PAGE_CACHED,
};

struct page {
	uint32_t next, prev; /* of a PAGE_FREE: neighbours in the free list, NIL at the ends */
	_Atomic uint8_t state;
	uint8_t order; /* of a head */
	bool poisoned;
};

struct region {
	uint32_t first, count; /* page frame numbers */
	struct page *pages;
};

/* Ascending; complete before the second CPU starts, constant after. */
static struct region regions[REGIONS_MAX];
static unsigned region_count;
static unsigned largest; /* which of them has most of the frames */

static struct {
	spinlock_t lock;
	/* lock must be held when using these */
	uint32_t first[PAGES_ORDER_MAX + 1];
	uint64_t blocks[PAGES_ORDER_MAX + 1];
	uint64_t total; /* 4K pages */
	uint64_t allocs, frees, failures;
	/* Without the pages in caches.  Changed under lock, read as a hint without it. */
	_Atomic uint64_t free;
} buddy = { .lock = SPINLOCK_INIT };

static struct cache {
	spinlock_t lock;
	/* lock must be held when using these */
	unsigned count;
	uint32_t pfns[CACHE_PAGES];
	uint64_t allocs, frees;
} __attribute__((aligned(64))) caches[CACHES_MAX];

/* ---- frames ---------------------------------------------------------------- */

static uint64_t pfn_to_pa(uint32_t pfn)
{
	return (uint64_t)pfn << PAGE_SHIFT;
}

static struct page *search_page(uint64_t pfn)
{
	unsigned lo = 0, hi = region_count;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		const struct region *r = &regions[mid];

		if (pfn < r->first)
			hi = mid;
		else if (pfn - r->first >= r->count)
			lo = mid + 1;
		else
			return &r->pages[pfn - r->first];
	}
	return NULL;
}

static inline struct page *find_page(uint64_t pfn)
{
	const struct region *r = &regions[largest];

	/* Below its first frame the difference is large, too. */
	return pfn - r->first < r->count ? &r->pages[pfn - r->first] : search_page(pfn);
}

static uint8_t page_state(const struct page *p)
{
	return atomic_load_explicit(&p->state, memory_order_relaxed);
}

static void page_set_state(struct page *p, enum page_state state)
{
	atomic_store_explicit(&p->state, state, memory_order_relaxed);
}

/* Why pa cannot be freed, for the panic. */
static _Noreturn void panic_bad_free(uint64_t pa, unsigned order)
{
	uint64_t pfn = pa >> PAGE_SHIFT;
	const struct page *p = find_page(pfn);

	if (!p || order > PAGES_ORDER_MAX || pfn & (BIT(order) - 1))
		panic("pages: free of 0x%lx, order %u: not a block of allocator memory", pa, order);
	for (unsigned o = 0; o <= PAGES_ORDER_MAX; o++) {
		uint64_t head = pfn & ~(BIT(o) - 1);
		const struct page *h = find_page(head);
		uint8_t state = h ? page_state(h) : PAGE_TAIL;

		if (state == PAGE_TAIL || h->order < o)
			continue;
		if (state == PAGE_USED)
			panic("pages: free of 0x%lx, order %u: allocated as 0x%lx, order %u", pa,
			      order, head << PAGE_SHIFT, h->order);
		panic("pages: double free of 0x%lx, order %u", pa, order);
	}
	panic("pages: free of 0x%lx, order %u: in no block", pa, order);
}

static struct page *used_page(uint64_t pa, unsigned order)
{
	struct page *p = find_page(pa >> PAGE_SHIFT);

	if (!p || pa & (PAGE_SIZE - 1) || order > PAGES_ORDER_MAX || page_state(p) != PAGE_USED ||
	    p->order != order)
		panic_bad_free(pa, order);
	return p;
}

/* ---- poison (debug builds) ---------------------------------------------------- */

static void poison_pages(uint32_t pfn, struct page *p, unsigned order)
{
	for (uint64_t i = 0; i < BIT(order); i++) {
		uint64_t *words = machine_phys_to_virt(pfn_to_pa(pfn + i));

		for (unsigned w = 0; w < POISON_BYTES / 8; w++)
			words[w] = POISON;
		p[i].poisoned = true;
	}
}

static void check_poison(uint32_t pfn, unsigned order)
{
	struct page *p = find_page(pfn);

	for (uint64_t i = 0; i < BIT(order); i++) {
		const uint64_t *words = machine_phys_to_virt(pfn_to_pa(pfn + i));

		/* Memory that was never freed holds what the firmware left. */
		for (unsigned w = 0; p[i].poisoned && w < POISON_BYTES / 8; w++)
			if (words[w] != POISON)
				panic("pages: 0x%lx was written to after it was freed (offset %u: 0x%lx)",
				      pfn_to_pa(pfn + i), w * 8, words[w]);
		p[i].poisoned = false;
	}
}

/* ---- buddy ------------------------------------------------------------------- */

static void list_push(uint32_t pfn, struct page *p, unsigned order) REQUIRES(buddy.lock)
{
	uint32_t next = buddy.first[order];

	p->order = order;
	p->prev = NIL;
	p->next = next;
	if (next != NIL)
		find_page(next)->prev = pfn;
	buddy.first[order] = pfn;
	buddy.blocks[order]++;
	page_set_state(p, PAGE_FREE);
}

static void list_remove(struct page *p) REQUIRES(buddy.lock)
{
	if (p->prev != NIL)
		find_page(p->prev)->next = p->next;
	else
		buddy.first[p->order] = p->next;
	if (p->next != NIL)
		find_page(p->next)->prev = p->prev;
	buddy.blocks[p->order]--;
	page_set_state(p, PAGE_TAIL);
}

static uint64_t buddy_free_pages(void)
{
	return atomic_load_explicit(&buddy.free, memory_order_relaxed);
}

static void buddy_count(int64_t pages) REQUIRES(buddy.lock)
{
	atomic_store_explicit(&buddy.free, buddy_free_pages() + pages, memory_order_relaxed);
}

static uint32_t smallest_block(unsigned order) REQUIRES(buddy.lock)
{
	while (order <= PAGES_ORDER_MAX && buddy.first[order] == NIL)
		order++;
	return order <= PAGES_ORDER_MAX ? buddy.first[order] : NIL;
}

/* One that begins below 4 GiB.  From the large ones down: of those there are few. */
static uint32_t low_block(unsigned order) REQUIRES(buddy.lock)
{
	for (unsigned o = PAGES_ORDER_MAX + 1; o-- > order;)
		for (uint32_t pfn = buddy.first[o]; pfn != NIL; pfn = find_page(pfn)->next)
			if (pfn + BIT(order) <= PFN_4G)
				return pfn;
	return NIL;
}

/* Take a block off the lists; its head gets the given state.  NIL: there is none. */
static uint32_t buddy_take(unsigned order, enum page_state state, bool low) REQUIRES(buddy.lock)
{
	uint32_t pfn = low ? low_block(order) : smallest_block(order);

	if (pfn == NIL)
		return NIL;
	struct page *p = find_page(pfn);
	unsigned o = p->order;

	list_remove(p);
	while (o > order) {
		o--;
		list_push(pfn + (uint32_t)BIT(o), p + BIT(o), o);
	}
	p->order = order;
	page_set_state(p, state);
	buddy_count(-(int64_t)BIT(order));
	return pfn;
}

/* Put back a block whose head p is PAGE_TAIL by now; merge it as far as it goes. */
static void buddy_put(uint32_t pfn, struct page *p, unsigned order) REQUIRES(buddy.lock)
{
	buddy_count((int64_t)BIT(order));
	while (order < PAGES_ORDER_MAX) {
		struct page *b = find_page(pfn ^ BIT(order));

		if (!b || page_state(b) != PAGE_FREE || b->order != order)
			break;
		list_remove(b);
		p = pfn & BIT(order) ? b : p;
		pfn &= ~(uint32_t)BIT(order);
		order++;
	}
	list_push(pfn, p, order);
}

/* The same of n frames of one region, in the largest blocks that there are. */
static void buddy_put_run(uint64_t pfn, struct page *p, uint64_t n) REQUIRES(buddy.lock)
{
	while (n) {
		unsigned order = MIN(__builtin_ctzl(pfn), PAGES_ORDER_MAX);

		while (BIT(order) > n)
			order--;
		buddy_put((uint32_t)pfn, p, order);
		pfn += BIT(order);
		p += BIT(order);
		n -= BIT(order);
	}
}

static uint32_t buddy_alloc(unsigned order, bool low)
{
	uint32_t pfn;

	spin_lock(&buddy.lock);
	pfn = buddy_take(order, PAGE_USED, low);
	if (pfn != NIL)
		buddy.allocs++;
	spin_unlock(&buddy.lock);
	return pfn;
}

static void buddy_free(uint32_t pfn, struct page *p, unsigned order)
{
	/* Of two CPUs that free the same block, one sees that it comes second. */
	if (atomic_exchange_explicit(&p->state, PAGE_TAIL, memory_order_relaxed) != PAGE_USED)
		panic("pages: double free of 0x%lx, order %u", pfn_to_pa(pfn), order);
	spin_lock(&buddy.lock);
	buddy_put(pfn, p, order);
	buddy.frees++;
	spin_unlock(&buddy.lock);
}

/* ---- CPU caches ----------------------------------------------------------------- */

/*
 * When so little is left that the caches could hold it all, they are not
 * filled any more: a page that is free must be found by whoever asks.
 */
static bool memory_is_short(void)
{
	return buddy_free_pages() < (uint64_t)machine_cpu_count() * CACHE_PAGES;
}

static void cache_refill(struct cache *c) REQUIRES(c->lock)
{
	uint32_t pfn;

	spin_lock(&buddy.lock);
	for (unsigned n = memory_is_short() ? 1 : CACHE_BATCH; n; n--) {
		pfn = buddy_take(0, PAGE_CACHED, false);
		if (pfn == NIL)
			break;
		c->pfns[c->count++] = pfn;
	}
	spin_unlock(&buddy.lock);
	/* The first goes out first: who takes many gets neighbours, in order. */
	for (unsigned i = 0, last = c->count; i + 1 < last--; i++) {
		pfn = c->pfns[i];
		c->pfns[i] = c->pfns[last];
		c->pfns[last] = pfn;
	}
}

/* Give pages back until at most keep are left. */
static void cache_drain(struct cache *c, unsigned keep) REQUIRES(c->lock)
{
	spin_lock(&buddy.lock);
	while (c->count > keep) {
		uint32_t pfn = c->pfns[--c->count];

		struct page *p = find_page(pfn);

		page_set_state(p, PAGE_TAIL);
		buddy_put(pfn, p, 0);
	}
	spin_unlock(&buddy.lock);
}

static struct cache *local_cache(void)
{
	return &caches[machine_cpu_id() % CACHES_MAX];
}

static uint32_t cache_alloc(void)
{
	struct cache *c = local_cache();
	uint32_t pfn = NIL;

	spin_lock(&c->lock);
	if (!c->count)
		cache_refill(c);
	if (c->count) {
		pfn = c->pfns[--c->count];
		page_set_state(find_page(pfn), PAGE_USED);
		c->allocs++;
	}
	spin_unlock(&c->lock);
	return pfn;
}

static void cache_free(uint32_t pfn, struct page *p)
{
	struct cache *c = local_cache();

	if (atomic_exchange_explicit(&p->state, PAGE_CACHED, memory_order_relaxed) != PAGE_USED)
		panic("pages: double free of 0x%lx", pfn_to_pa(pfn));
	spin_lock(&c->lock);
	if (c->count == CACHE_PAGES)
		cache_drain(c, CACHE_PAGES - CACHE_BATCH);
	c->pfns[c->count++] = pfn;
	c->frees++;
	if (memory_is_short())
		cache_drain(c, 0);
	spin_unlock(&c->lock);
}

static void drain_all(void)
{
	for (unsigned i = 0; i < CACHES_MAX; i++) {
		spin_lock(&caches[i].lock);
		if (caches[i].count)
			cache_drain(&caches[i], 0);
		spin_unlock(&caches[i].lock);
	}
}

/* ---- the interface ---------------------------------------------------------------- */

static uint32_t alloc_block(unsigned order, bool low)
{
	uint64_t irq = machine_irq_save();
	uint32_t pfn = order || low ? buddy_alloc(order, low) : cache_alloc();

	if (pfn == NIL) {
		/* What is missing may lie in the caches, or keep neighbours from merging. */
		drain_all();
		pfn = buddy_alloc(order, low);
	}
	if (pfn == NIL) {
		spin_lock(&buddy.lock);
		buddy.failures++;
		spin_unlock(&buddy.lock);
	}
	machine_irq_restore(irq);
	return pfn;
}

uint64_t pages_alloc(unsigned order, unsigned flags)
{
	uint32_t pfn = order <= PAGES_ORDER_MAX ? alloc_block(order, flags & PAGES_BELOW_4G) : NIL;

	if (pfn == NIL)
		return PAGES_NONE;
	/* The block is ours: the slow part runs without locks and with interrupts on. */
	if (PHYLLO_DEBUG)
		check_poison(pfn, order);
	if (flags & PAGES_ZERO)
		memset(machine_phys_to_virt(pfn_to_pa(pfn)), 0, PAGE_SIZE << order);
	return pfn_to_pa(pfn);
}

void pages_free(uint64_t pa, unsigned order)
{
	struct page *p = used_page(pa, order);
	uint32_t pfn = (uint32_t)(pa >> PAGE_SHIFT);
	uint64_t irq;

	if (PHYLLO_DEBUG)
		poison_pages(pfn, p, order);
	irq = machine_irq_save();
	if (order)
		buddy_free(pfn, p, order);
	else
		cache_free(pfn, p);
	machine_irq_restore(irq);
}

/*
 * The page p of a run that begins with first, at pfn.  Of two who free the same page one sees that
 * it comes second.
 */
static inline void take_back(uint64_t pfn, const struct page *first, struct page *p)
{
	if (PHYLLO_DEBUG && page_state(p) == PAGE_USED && !p->order)
		poison_pages((uint32_t)(pfn + (uint64_t)(p - first)), p, 0);
	if (p->order || atomic_exchange_explicit(&p->state, PAGE_TAIL,
						 memory_order_relaxed) != PAGE_USED)
		panic("pages: free of 0x%lx, which is not allocated as a single page",
		      pfn_to_pa(pfn + (uint64_t)(p - first)));
}

void pages_free_run(uint64_t pa, uint64_t n)
{
	uint64_t pfn = pa >> PAGE_SHIFT, irq;
	/* One page goes where it will be taken from next. */
	struct page *p = n > 1 ? find_page(pfn) : NULL;

	if (!p || find_page(pfn + n - 1) != p + n - 1) {
		for (; n; n--, pa += PAGE_SIZE)
			pages_free(pa, 0);
		return;
	}
	for (struct page *at = p; at < p + n; at++)
		take_back(pfn, p, at);
	irq = machine_irq_save();
	spin_lock(&buddy.lock);
	buddy_put_run(pfn, p, n);
	buddy.frees += n;
	spin_unlock(&buddy.lock);
	machine_irq_restore(irq);
}

void pages_split(uint64_t pa, unsigned order)
{
	struct page *p = used_page(pa, order);

	for (uint64_t i = 0; i < BIT(order); i++) {
		p[i].order = 0;
		page_set_state(&p[i], PAGE_USED);
	}
}

void pages_drain_local(void)
{
	uint64_t irq = machine_irq_save();
	struct cache *c = local_cache();

	spin_lock(&c->lock);
	cache_drain(c, 0);
	spin_unlock(&c->lock);
	machine_irq_restore(irq);
}

/* Pages in caches count as free blocks of order 0. */
void pages_stats(struct pages_stats *out)
{
	uint64_t irq = machine_irq_save();

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < CACHES_MAX; i++) {
		spin_lock(&caches[i].lock);
		out->free += caches[i].count;
		out->allocs += caches[i].allocs;
		out->frees += caches[i].frees;
		spin_unlock(&caches[i].lock);
	}
	out->free_by_order[0] = out->free;
	spin_lock(&buddy.lock);
	out->total = buddy.total;
	out->free += buddy_free_pages();
	out->allocs += buddy.allocs;
	out->frees += buddy.frees;
	out->failures = buddy.failures;
	for (unsigned o = 0; o <= PAGES_ORDER_MAX; o++)
		out->free_by_order[o] += buddy.blocks[o];
	spin_unlock(&buddy.lock);
	machine_irq_restore(irq);
}

/* ---- taking over the RAM of the boot memory map --------------------------------------- */

/* Cut the bookkeeping of a piece off its end, or off its head where that is ragged anyway. */
static struct page *carve_pages(struct range *piece)
{
	uint64_t count = (piece->end - piece->base) >> PAGE_SHIFT;
	uint64_t bytes = ALIGN_UP(count * sizeof(struct page), PAGE_SIZE);
	uint64_t block = PAGE_SIZE << PAGES_ORDER_MAX;
	struct page *pages;

	if (bytes >= piece->end - piece->base)
		return NULL;
	if (ALIGN_UP(piece->base, block) - piece->base >= bytes) {
		pages = machine_phys_to_virt(piece->base);
		piece->base += bytes;
	} else {
		piece->end -= bytes;
		pages = machine_phys_to_virt(piece->end);
	}
	memset(pages, 0, bytes);
	return pages;
}

static void region_add(struct range piece)
{
	struct page *pages = carve_pages(&piece);
	struct region *r = &regions[region_count];
	uint64_t pfn = piece.base >> PAGE_SHIFT, end = piece.end >> PAGE_SHIFT;

	/* A piece too small for its own bookkeeping is not worth having. */
	if (!pages)
		return;
	BUG_ON(region_count == REGIONS_MAX);
	r->first = (uint32_t)pfn;
	r->count = (uint32_t)(end - pfn);
	r->pages = pages;
	if (r->count > regions[largest].count)
		largest = region_count;
	region_count++;
	spin_lock(&buddy.lock);
	buddy.total += end - pfn;
	buddy_count((int64_t)(end - pfn));
	while (pfn < end) {
		unsigned order = MIN(__builtin_ctzl(pfn), PAGES_ORDER_MAX);

		while (BIT(order) > end - pfn)
			order--;
		list_push((uint32_t)pfn, find_page(pfn), order);
		pfn += BIT(order);
	}
	spin_unlock(&buddy.lock);
}

static struct range page_outer(uint64_t base, uint64_t size)
{
	struct range r = range_clamped(base, size);

	r.base &= PAGE_MASK;
	r.end = r.end > UINT64_MAX - PAGE_SIZE ? UINT64_MAX & PAGE_MASK
					       : ALIGN_UP(r.end, PAGE_SIZE);
	return r;
}

static struct range page_inner(uint64_t base, uint64_t size)
{
	struct range r = range_clamped(base, size);

	r.base = r.base > UINT64_MAX - PAGE_SIZE ? UINT64_MAX & PAGE_MASK
						 : ALIGN_UP(r.base, PAGE_SIZE);
	r.end &= PAGE_MASK;
	return r;
}

/* Give the allocator all that is free in [from, to).  Where ranges overlap, reserved wins. */
static void add_ram(const struct boot_info *bi, uint64_t from, uint64_t to)
{
	static struct range ram[BOOT_MMAP_MAX], reserved[RESERVED_MAX];
	struct range_set set = { .have = ram, .taken = reserved };
	struct range piece;

	for (unsigned i = 0; i < MIN(bi->mmap_count, BOOT_MMAP_MAX); i++) {
		const struct boot_mmap_entry *e = &bi->mmap[i];

		if (e->type == BOOT_MEM_RAM)
			ram[set.have_count++] = page_inner(e->base, e->size);
		else if (e->size)
			reserved[set.taken_count++] = page_outer(e->base, e->size);
	}
	for (unsigned i = 0; i < MIN(bi->module_count, BOOT_MODULES_MAX); i++)
		reserved[set.taken_count++] = page_outer(bi->modules[i].base, bi->modules[i].size);
	reserved[set.taken_count++] = page_outer(bi->image_base, bi->image_end - bi->image_base);
	while (from < to && range_next_piece(&set, from, &piece)) {
		from = piece.end;
		piece.end = MIN(piece.end, to);
		if (piece.base < piece.end)
			region_add(piece);
	}
}

int pages_init(const struct boot_info *bi)
{
	struct pages_stats st;

	for (unsigned o = 0; o <= PAGES_ORDER_MAX; o++)
		buddy.first[o] = NIL;
	add_ram(bi, LOW_END, EARLY_END);
	pages_stats(&st);
	if (st.total >= RAM_MINIMUM >> PAGE_SHIFT)
		return 0;
	log_error("too little memory: %lu KiB are free below 4 GiB, %lu KiB are needed",
		  st.total * (PAGE_SIZE / 1024), RAM_MINIMUM / 1024);
	return -ENOMEM;
}

void pages_add_high(const struct boot_info *bi)
{
	/* Without the last frame, whose number would be NIL. */
	add_ram(bi, EARLY_END, (PFN_END - 1) << PAGE_SHIFT);
}
