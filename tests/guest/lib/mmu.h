/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory calls of the hypervisor with names, and #VE, for 64-bit kernels.  All give what the
 * hypercall gives.
 */
#pragma once

#include "tests/guest/lib/trap.h"

#define VEC_VE PHYLLO_VE_VECTOR

/* Without nested paging: the tables that the processor walks are shadows of the guest's. */
bool mmu_is_shadow(void);

static inline long unmap(uint64_t gpa, uint64_t bytes)
{
	return hypercall(PHYLLO_HC_UNMAP, gpa, bytes, PHYLLO_MAY_BLOCK, 0);
}

static inline long protect(uint64_t gpa, uint64_t bytes, unsigned how)
{
	return hypercall(PHYLLO_HC_PROTECT, gpa, bytes, how, 0);
}

static inline long zap_all(void)
{
	return hypercall(PHYLLO_HC_ZAP_ALL, 0, 0, 0, 0);
}

static inline long slot_delete(uint64_t id)
{
	return hypercall(PHYLLO_HC_SLOT_DELETE, id, 0, 0, 0);
}

static inline long slot_move(uint64_t id, uint64_t gpa)
{
	return hypercall(PHYLLO_HC_SLOT_MOVE, id, gpa, 0, 0);
}

static inline long slot_flags(uint64_t id, uint64_t flags)
{
	return hypercall(PHYLLO_HC_SLOT_FLAGS, id, flags, 0, 0);
}

long slot_create(uint64_t id, uint64_t gpa, uint64_t bytes, uint64_t flags);
long slot_info(uint64_t id, struct phyllo_slot *out);

/* bitmap has room for the range's bits, rounded up to 64. */
long age_bitmap(uint64_t gpa, uint64_t bytes, uint64_t *bitmap, uint64_t flags);

long dirty_get(uint64_t slot, uint64_t first, uint64_t pages, uint64_t *bitmap, uint64_t flags);
long dirty_clear(uint64_t slot, uint64_t first, uint64_t pages, uint64_t *bitmap);

static inline bool bit_get(const uint64_t *bitmap, unsigned n)
{
	return bitmap[n / 64] >> n % 64 & 1;
}

static inline void bit_set(uint64_t *bitmap, unsigned n)
{
	bitmap[n / 64] |= 1ull << n % 64;
}

unsigned bit_count(const uint64_t *bitmap, unsigned bits);

/* Ends the kernel when there is none. */
void mmu_mode(struct phyllo_mmu_mode *out);
/* No nested paging: the processor walks shadows of the guest's tables. */
bool mmu_is_shadow(void);

/* 4K pages that are mapped now, in pages of any size. */
static inline unsigned long long mapped_pages(void)
{
	return stat_read("pages_4k") + 512 * stat_read("pages_2m") +
	       512 * 512 * stat_read("pages_1g");
}

/* Mappings larger than 4K. */
static inline unsigned long long large_mappings(void)
{
	return stat_read("pages_2m") + stat_read("pages_1g");
}

/*
 * Let the hypervisor's deferred work go on, for at most so many calls, until done() says so.
 * false: it did not.
 */
bool work_wait(bool (*done)(void), unsigned calls);

/* This processor's translations go, as far as a guest can see to that. */
void tlb_flush(void);

/* ---- #VE ------------------------------------------------------------------------------- */

/* The information page; busy is cleared by the hook of ve_start(), which keeps a copy. */
extern struct phyllo_ve *ve_page;
extern struct phyllo_ve ve_last;
extern unsigned long ve_count;

/*
 * Takes #VE on a stack of its own.  Afterwards it goes to TRAP_TRY's label, like any exception,
 * unless a hook takes it: ve_hook gets the frame, true: go on with the frame as it is now.
 */
void ve_start(void);
extern bool (*ve_hook)(struct trap_frame *f);
