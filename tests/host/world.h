/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM with fake processors in a fresh arena, for the tests of mm/: opened for every
 * variant of format and page size, closed with an audit and a count of what is left.
 */
#pragma once

#include "fake_cpu.h"
#include "hosted.h"
#include "mm/vm.h"

#define WORLD_CPUS 4

struct world {
	struct mmu_config cfg;
	struct mmu_vm *vm;
	struct fake_cpu cpu[WORLD_CPUS];
};

/* What a test runs in: world_open() takes the rest from here. */
struct world_variant {
	const char *name;
	enum mmu_format_id format;
	uint8_t root_level, max_leaf_level;
	bool hw_ad;
};
extern const struct world_variant world_variants[];
extern const unsigned world_variant_count;

/* One slot [0, npages), with as many processors as WORLD_CPUS, in an arena of 64 MiB. */
void world_open(struct world *w, const struct world_variant *v, uint64_t npages);
/* The same with a cap on its pages, and without a slot. */
void world_open_empty(struct world *w, const struct world_variant *v, uint64_t page_cap);
/* With a configuration that the test has changed; npages 0: without a slot. */
struct mmu_config world_config(const struct world_variant *v);
void world_open_config(struct world *w, const struct mmu_config *cfg, uint64_t npages);
void world_close(struct world *w);

/* Fails the running test with the audit's sentence, if it has one. */
void world_audit(struct world *w);
struct mmu_stats world_stats(struct world *w);

/* The leaf that maps gfn and its level, or an entry of 0. */
spte_t world_leaf(struct world *w, gfn_t gfn, unsigned *level);

/* Runs fn in every variant; the name of the variant is in the output of a failure. */
void world_for_each(void (*fn)(const struct world_variant *v));

/* One access by processor 0 with its faults, whatever comes of it; a write writes 1. */
enum mmu_pf_result world_touch(struct world *w, gfn_t gfn, unsigned access);
/* Reads, or writes value, with processor 0 at (gfn, word of it); CHECKs that it worked. */
uint64_t world_read(struct world *w, gfn_t gfn, unsigned word);
void world_write(struct world *w, gfn_t gfn, unsigned word, uint64_t value);
