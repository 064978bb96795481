/* SPDX-License-Identifier: GPL-2.0-only */
/* Running the guests of this boot; see guests.h. */
#include "vmm/guests.h"

#include "host/log.h"
#include "host/machine.h"
#include "host/pages.h"
#include "host/param.h"
#include "lib/printf.h"
#include "lib/util.h"
#include "vmm/keeper.h"

#define ONE_BY_ONE 1 /* guests= */

static void add_module(const struct boot_module *m)
{
	const struct vm_defaults defaults = vm_defaults();
	struct vm_config config;
	char why[320];

	if (vm_config_parse(m->cmdline, &defaults, &config, why, sizeof(why))) {
		log_error("%s", why);
		vms_failure(NULL, "%s", why);
		return;
	}
	if (config.owner[0])
		return;
	if (!vms_add(&config, m)) {
		log_error("%s: no memory for the guest's keeper", config.name);
		vms_failure(NULL, "%s: no memory for the guest's keeper", config.name);
	}
}

/* ---- sharing the host's memory ------------------------------------------------------------- */

/* What all of a guest's memory costs, with tables for 4K pages. */
static uint64_t whole_cost(const struct guest *g)
{
	return g->config.mem + g->config.mem / 64 + VM_MEM_MIN;
}

/* What a guest may use when nobody may use more than level. */
static uint64_t use_at(const struct guest *g, uint64_t level)
{
	return MIN(g->config.cap ? g->config.cap : whole_cost(g), level);
}

static bool all_fit(uint64_t level, uint64_t budget)
{
	for (struct guest *g = vms_next(NULL); g; g = vms_next(g)) {
		uint64_t use = g->config.off ? 0 : use_at(g, level);

		if (use > budget)
			return false;
		budget -= use;
	}
	return true;
}

/*
 * Where guests that run together were promised more memory than there is, no guest's greed may
 * take it from the others: all are capped at one level that the host can keep, but for those
 * that stay below it anyway, and those that only the prompt starts.  An eighth is left for what the caps do not count.
 */
static void share_memory(void)
{
	struct pages_stats pages;

	if (param.guests == ONE_BY_ONE || !vms_next(NULL) || !vms_next(vms_next(NULL)))
		return;
	pages_stats(&pages);
	uint64_t budget = pages.free / 8 * 7 * PAGE_SIZE, low = VM_MEM_MIN, high = VM_MEM_MAX;

	if (all_fit(2 * VM_MEM_MAX, budget))
		return;
	while (high - low > PAGE_SIZE) {
		uint64_t level = low + (high - low) / 2;

		if (all_fit(level, budget))
			low = level;
		else
			high = level;
	}
	for (struct guest *g = vms_next(NULL); g; g = vms_next(g)) {
		if (g->config.off || g->config.cap || whole_cost(g) <= low)
			continue;
		g->config.cap = low & ~(PAGE_SIZE - 1);
		log_warn("%s: the guests were promised more memory than the host has; this one may use "
			 "%lu MiB (cap= and guests=one-by-one change that)",
			 g->config.name, low >> 20);
	}
}

/* ---- adding and running ---------------------------------------------------------------------- */

void guests_add(const struct boot_info *bi)
{
	struct vms_result result;

	keeper_set_boot(bi);
	for (unsigned i = 0; i < bi->module_count; i++)
		add_module(&bi->modules[i]);
	share_memory();
	vms_result(&result);
	if (!vms_next(NULL) && !result.failed)
		vms_failure(NULL, "no guest was given (boot modules are guests; docs/boot.md)");
}

static void run_one_by_one(void)
{
	static char stage[VM_NAME_MAX + 8]; /* stays named until the next one */

	for (struct guest *g = vms_next(NULL); g; g = vms_next(g)) {
		lib_snprintf(stage, sizeof(stage), "guest %s", g->config.name);
		stage_enter(stage);
		vms_start_at_boot(g);
		vms_wait();
	}
}

void guests_run(void)
{
	if (param.guests == ONE_BY_ONE) {
		run_one_by_one();
		return;
	}
	stage_enter("guests");
	vms_start_all_at_boot();
	vms_wait();
}
