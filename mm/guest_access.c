/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's own reads and writes of guest memory, through the backing.
 *
 * A page is copied from or to under mmu_lock for read: pages leave the backing under
 * the write lock only, so none is freed under a copy.  What the guest does to the bytes
 * meanwhile is its business; aligned words are moved in one piece, as a processor
 * would, so that a page-table entry is never read torn.
 *
 * A guest table that is shadowed is written, and its shadows brought up to date, in one hold of mmu_lock for
 * write: a vCPU that has seen the new entry and says so (INVLPG, CR3) must not get by with the old one.
 */
#include "mm/guest_table.h"

#include "mm/backing.h"
#include "mm/cache.h"
#include "mm/dirty.h"
#include "mm/lock.h"
#include "mm/memslot.h"
#include "mm/shadow.h"

enum copy_kind { COPY_READ, COPY_WRITE, COPY_LOAD };

struct guest_copy {
	struct mmu_vm *vm;
	enum copy_kind kind;
	struct mmu_cache cache;
};

/* The guest's side is shared with running vCPUs: relaxed atomics of at most 8 bytes. */
static void copy_bytes(void *guest, unsigned char *buf, uint64_t n, bool to_guest)
{
	unsigned char *g = guest;

	while (n) {
		bool word = n >= 8 && !((uintptr_t)g % 8);
		bool half = !word && n >= 4 && !((uintptr_t)g % 4);
		unsigned step = word ? 8 : half ? 4 : 1;
		uint64_t value;

		if (word && to_guest) {
			__builtin_memcpy(&value, buf, 8);
			__atomic_store_n((uint64_t *)(void *)g, value, __ATOMIC_RELAXED);
		} else if (word) {
			value = __atomic_load_n((uint64_t *)(void *)g, __ATOMIC_RELAXED);
			__builtin_memcpy(buf, &value, 8);
		} else if (half && to_guest) {
			uint32_t value32;

			__builtin_memcpy(&value32, buf, 4);
			__atomic_store_n((uint32_t *)(void *)g, value32, __ATOMIC_RELAXED);
		} else if (half) {
			uint32_t value32 = __atomic_load_n((uint32_t *)(void *)g, __ATOMIC_RELAXED);

			__builtin_memcpy(buf, &value32, 4);
		} else if (to_guest) {
			__atomic_store_n(g, *buf, __ATOMIC_RELAXED);
		} else {
			*buf = __atomic_load_n(g, __ATOMIC_RELAXED);
		}
		g += step;
		buf += step;
		n -= step;
	}
}

static int copy_locked(struct guest_copy *c, gpa_t gpa, unsigned char *buf, uint64_t n)
	REQUIRES_SHARED(c->vm->mmu_lock)
{
	struct mmu_vm *vm = c->vm;
	gfn_t gfn = gpa >> PAGE_SHIFT;
	const struct memslot *slot = memslot_find(vm, gfn);
	struct backing_page page;
	int err = -EFAULT;

	assert_held_read(&vm->mmu_lock);
	if (slot && (c->kind != COPY_WRITE || (memslot_access(slot) & ACC_W)))
		err = backing_lookup_in(vm, slot, gfn, &page);
	/* What belongs to a device is the guest's alone: we may not even have it mapped. */
	if (!err && !page.refcounted)
		err = -EFAULT;
	if (!err) {
		hpa_t hpa = (page.pfn.n + (gfn - page.gfn)) << PAGE_SHIFT;
		unsigned char *va = port_hpa_to_va(hpa | (gpa & ~PAGE_MASK));

		copy_bytes(va, buf, n, c->kind != COPY_READ);
		if (c->kind != COPY_READ)
			dirty_mark(vm, gfn);
	}
	return err;
}

static int copy_to_table(struct guest_copy *c, gpa_t gpa, unsigned char *buf, uint64_t n)
{
	mmu_write_lock(c->vm, MMU_OP_TABLE_WRITE, gpa >> PAGE_SHIFT, 1);
	int err = copy_locked(c, gpa, buf, n);

	shadow_written(c->vm, gpa, n);
	mmu_write_unlock(c->vm);
	return err;
}

/* -ENOENT: no page there yet. */
static int copy_if_backed(struct guest_copy *c, gpa_t gpa, unsigned char *buf, uint64_t n)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	struct mmu_reading r = MMU_READING(COPY, gfn, 1);
	int err = 0;

	mmu_read_lock(c->vm, &r);
	bool table = c->kind != COPY_READ && shadow_has_table(c->vm, gfn);

	if (!table)
		err = copy_locked(c, gpa, buf, n);
	mmu_read_unlock(c->vm, &r);
	return table ? copy_to_table(c, gpa, buf, n) : err;
}

/* Bring the page that is missing. */
static int copy_touch(struct guest_copy *c, gfn_t gfn)
{
	struct mmu_reading r = MMU_READING(COPY, gfn, 1);
	struct rcu_reader reader = { 0 };

	(void)cache_topup(&c->cache, BACKING_NODES(c->vm));
	/* The slot stays while we are inside. */
	rcu_reader_add(c->vm, &reader);
	rcu_enter(c->vm, &reader);
	const struct memslot *slot = memslot_find(c->vm, gfn);
	int err = slot ? backing_touch(c->vm, &c->cache, slot, gfn, &r) : -EFAULT;

	rcu_exit(c->vm, &reader);
	rcu_reader_remove(c->vm, &reader);
	return err;
}

/* Within one page. */
static int copy_in_page(struct guest_copy *c, gpa_t gpa, unsigned char *buf, uint64_t n)
{
	for (;;) {
		int err = copy_if_backed(c, gpa, buf, n);

		if (err != -ENOENT)
			return err;
		/* The balloon may take it again before we come back: then once more. */
		err = copy_touch(c, gpa >> PAGE_SHIFT);
		if (err && err != -EAGAIN)
			return err;
	}
}

static int guest_copy(struct mmu_vm *vm, gpa_t gpa, void *buf, uint64_t size, enum copy_kind kind)
{
	struct guest_copy c = { .vm = vm, .kind = kind };
	unsigned char *p = buf;
	int err = gpa + size < gpa ? -EFAULT : 0;

	while (size && !err) {
		uint64_t room = PAGE_SIZE - (gpa & ~PAGE_MASK);
		uint64_t n = size < room ? size : room;

		err = copy_in_page(&c, gpa, p, n);
		gpa += n;
		p += n;
		size -= n;
	}
	cache_drain(&c.cache);
	return err;
}

/* ---- single words -------------------------------------------------------------------- */

void *guest_page_va(struct mmu_vm *vm, gfn_t gfn)
{
	const struct memslot *slot = memslot_find(vm, gfn);
	struct backing_page page;

	assert_held_read(&vm->mmu_lock);
	if (!slot || backing_lookup_in(vm, slot, gfn, &page) || !page.refcounted)
		return NULL;
	return port_hpa_to_va((page.pfn.n + (gfn - page.gfn)) << PAGE_SHIFT);
}

/* As a locked instruction of the guest's processor orders it. */
#define CMPXCHG(type, at, old, new)                                                        \
	({                                                                                 \
		type expected = (type)(old);                                               \
		atomic_compare_exchange_strong_explicit((_Atomic type *)(at), &expected,   \
							(type)(new), memory_order_acq_rel, \
							memory_order_relaxed);             \
	})

static bool cmpxchg_word(void *at, unsigned size, uint64_t old, uint64_t new)
{
	switch (size) {
	case 1: return CMPXCHG(uint8_t, at, old, new);
	case 2: return CMPXCHG(uint16_t, at, old, new);
	case 4: return CMPXCHG(uint32_t, at, old, new);
	default: return CMPXCHG(uint64_t, at, old, new);
	}
}

static int cmpxchg_locked(struct mmu_vm *vm, gpa_t gpa, unsigned size, uint64_t old, uint64_t new)
	REQUIRES_SHARED(vm->mmu_lock)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	const struct memslot *slot = memslot_find(vm, gfn);
	int err = -EFAULT;

	assert_held_read(&vm->mmu_lock);
	unsigned char *page = slot && (memslot_access(slot) & ACC_W) ? guest_page_va(vm, gfn) : NULL;

	if (page)
		err = cmpxchg_word(page + (gpa & ~PAGE_MASK), size, old, new) ? 0 : -EAGAIN;
	if (!err)
		dirty_mark(vm, gfn);
	return err;
}

int guest_cmpxchg(struct mmu_vm *vm, gpa_t gpa, unsigned size, uint64_t old, uint64_t new)
{
	struct mmu_reading r = MMU_READING(COPY, gpa >> PAGE_SHIFT, 1);

	mmu_read_lock(vm, &r);
	int err = cmpxchg_locked(vm, gpa, size, old, new);

	mmu_read_unlock(vm, &r);
	return err;
}

static int cmpxchg_in_table(struct mmu_vm *vm, gpa_t gpa, unsigned size, uint64_t old, uint64_t new)
{
	mmu_write_lock(vm, MMU_OP_TABLE_WRITE, gpa >> PAGE_SHIFT, 1);
	int err = cmpxchg_locked(vm, gpa, size, old, new);

	shadow_written(vm, gpa, size);
	mmu_write_unlock(vm);
	return err;
}

int mmu_cmpxchg_guest(struct mmu_vm *vm, gpa_t gpa, unsigned size, uint64_t old, uint64_t new)
{
	struct mmu_reading r = MMU_READING(COPY, gpa >> PAGE_SHIFT, 1);
	int err = 0;

	mmu_read_lock(vm, &r);
	bool table = shadow_has_table(vm, gpa >> PAGE_SHIFT);

	if (!table)
		err = cmpxchg_locked(vm, gpa, size, old, new);
	mmu_read_unlock(vm, &r);
	return table ? cmpxchg_in_table(vm, gpa, size, old, new) : err;
}

int mmu_read_guest(struct mmu_vm *vm, gpa_t gpa, void *buf, uint64_t size)
{
	return guest_copy(vm, gpa, buf, size, COPY_READ);
}

/* The buffer is only read then; one type serves both directions. */
int mmu_write_guest(struct mmu_vm *vm, gpa_t gpa, const void *buf, uint64_t size)
{
	return guest_copy(vm, gpa, (void *)(uintptr_t)buf, size, COPY_WRITE);
}

int mmu_load_guest(struct mmu_vm *vm, gpa_t gpa, const void *buf, uint64_t size)
{
	return guest_copy(vm, gpa, (void *)(uintptr_t)buf, size, COPY_LOAD);
}
