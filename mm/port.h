/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the MMU manager needs from the world it runs in.  Two implementations:
 * arch/x86/port.c (the hypervisor) and tests/host/port_pthread.c (hosted).
 * mm/ calls nothing else.
 *
 * Unless a comment says otherwise, a function may be called with any lock held
 * and interrupts on or off.
 */
#pragma once

#include "mm/types.h"

struct mmu_vcpu;

/* ---- host pages ------------------------------------------------------ */

enum {
	PORT_ZERO = 1 << 0, /* contents zeroed; otherwise undefined */
	PORT_BELOW_4G = 1 << 1, /* where 32 bits of CR3 reach; order 0 only */
};

/*
 * 2^order naturally aligned host pages (order 0, 9 and 18 are what mm/ asks
 * for).  Returns HPA_INVALID when there are none: never sleeps, never panics.  Zeroing an order
 * above 9 lets others run in between, as port_resched().
 */
hpa_t port_pages_alloc(unsigned order, unsigned flags);
void port_pages_free(hpa_t hpa, unsigned order);
/* n neighbours, each of which could be freed by itself with order 0. */
void port_pages_free_run(hpa_t hpa, uint64_t n);

/*
 * Break an allocation of 2^order pages into 2^order single ones, each of which
 * is then freed by itself with order 0.
 */
void port_pages_split(hpa_t hpa, unsigned order);

/* The hypervisor's mapping of RAM: valid for every page allocated above. */
#ifdef PHYLLO_HOSTED
void *port_hpa_to_va(hpa_t hpa);
#else
/* A constant, because every walk needs it at every level; host/machine.h has the same. */
#define PORT_DIRECT_MAP 0xffff800000000000ul
static inline void *port_hpa_to_va(hpa_t hpa)
{
	return (void *)(PORT_DIRECT_MAP + hpa);
}
#endif
hpa_t port_va_to_hpa(const void *va);

/* Small objects: zeroed, aligned to 16; NULL when there is no memory. */
void *port_obj_alloc(size_t size);
void port_obj_free(void *obj, size_t size);

/* ---- CPU ------------------------------------------------------------- */

void port_cpu_relax(void); /* PAUSE; a scheduling point of the hosted explorer */
void port_preempt_disable(void);
void port_preempt_enable(void);
bool port_need_resched(void);
void port_resched(void); /* let others run; no spinning lock held */
uint64_t port_clock(void); /* monotonic ticks; instructions under icount */

/*
 * Ask the CPU that runs this vCPU to leave guest mode soon.  Does not wait;
 * harmless when it is not in guest mode.
 */
void port_vcpu_kick(struct mmu_vcpu *vcpu);

/*
 * There is something for mmu_work_step() to do.  The world sees to it that somebody calls it
 * soon, outside any lock.  Callable with mmu_lock held.
 */
struct mmu_vm;
void port_work_kick(struct mmu_vm *vm);

/* ---- diagnostics ----------------------------------------------------- */

/* A broken invariant of mm/: print and stop (hosted: abort). */
_Noreturn void port_bug(const char *file, int line, const char *what);
__attribute__((format(printf, 1, 2))) void port_log(const char *fmt, ...);

#define MM_BUG_ON(cond)                                        \
	do {                                                   \
		if (__builtin_expect(!!(cond), 0))             \
			port_bug(__FILE__, __LINE__, #cond);   \
	} while (0)
