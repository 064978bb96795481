/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hosted world's side of mm/port.h: an arena of fake physical memory that can
 * run dry on request, poisons what is freed and knows what is still out, and hooks
 * that let a test step in where another CPU would.
 *
 * Hooks and limits are set while no other thread runs; everything else may be
 * called by any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mm/types.h"

struct mmu_vcpu;
struct mmu_vm;

/* Fake physical addresses begin here: an address used as a pointer crashes. */
#define HOSTED_PHYS_BASE (1ul << 32)
/* What a freed page holds, so that a stale translation shows in what it reads. */
#define HOSTED_POISON 0xdeadd1eddeadd1edul

/*
 * A fresh arena of this size (rounded up to 2M); hooks and limits cleared.
 * Aborts when pages or objects of the last one are still out.
 */
void hosted_reset(uint64_t bytes);

/* 4K pages and objects that are allocated now, allocations asked for since the reset. */
uint64_t hosted_pages_used(void);
uint64_t hosted_objects_used(void);
uint64_t hosted_allocs(void);
bool hosted_page_is_free(hpa_t hpa);

/*
 * Failure injection over pages and objects together: allocation number n from now
 * (0: the very next) fails, and with `all` every later one too.
 */
void hosted_fail_at(uint64_t n, bool all);
void hosted_fail_off(void);
/* True when an injected failure was handed out since hosted_fail_at(). */
bool hosted_failed(void);
/* 2M allocations fail although there are 2M pages. */
void hosted_deny_2m(bool deny);

struct hosted_hooks {
	void (*kick)(struct mmu_vcpu *vcpu); /* port_vcpu_kick() */
	void (*resched)(void);               /* port_resched() */
	void (*work_kick)(struct mmu_vm *vm); /* port_work_kick() */
	void (*page_alloc)(unsigned order);  /* port_pages_alloc(), before it does anything */
	void (*page_alloc_done)(void);       /* and just before it returns a page */
	void (*page_free)(hpa_t hpa, unsigned order);
	uint64_t (*clock)(void);             /* port_clock() */
	bool need_resched;                   /* what port_need_resched() says */
};
extern struct hosted_hooks hosted_hooks;
