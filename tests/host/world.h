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
void world_close(struct world *w);

/* Fails the running test with the audit's sentence, if it has one. */
void world_audit(struct world *w);
struct mmu_stats world_stats(struct world *w);

/* Runs fn in every variant; the name of the variant is in the output of a failure. */
void world_for_each(void (*fn)(const struct world_variant *v));

/* Reads, or writes value, with processor 0 at (gfn, word of it); CHECKs that it worked. */
uint64_t world_read(struct world *w, gfn_t gfn, unsigned word);
void world_write(struct world *w, gfn_t gfn, unsigned word, uint64_t value);
