/* SPDX-License-Identifier: GPL-2.0-only */
/* See keeper.h. */
#include "vmm/keeper.h"

#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/pages.h"
#include "host/param.h"
#include "lib/printf.h"
#include "lib/util.h"
#include "mm/sync.h"
#include "vmm/report.h"
#include "vmm/vms.h"

/* Some of mm/'s work is due by the clock alone; and the time limit wants to be looked at. */
#define PERIOD_US 200000

static const struct boot_info *boot;

void keeper_set_boot(const struct boot_info *bi)
{
	boot = bi;
}

/* ---- the balance ------------------------------------------------------------------------ */

/*
 * While no VM is there, as many pages and objects are in use as at any other such time.
 * Held for a moment by the keepers.
 */
static spinlock_t balance_lock = SPINLOCK_INIT;
static unsigned alive;
static struct balance {
	uint64_t pages, objects;
} at_rest;

static struct balance balance_now(void)
{
	struct pages_stats pages;
	struct object_stats objects;

	pages_stats(&pages);
	object_stats(&objects);
	return (struct balance){ pages.total - pages.free - objects.pages, objects.live_objects };
}

static void balance_begin(void)
{
	static bool known;

	spin_lock(&balance_lock);
	if (!alive++ && !known) {
		at_rest = balance_now();
		known = true;
	}
	spin_unlock(&balance_lock);
}

/* With the VM freed. */
static void balance_end(struct guest *g)
{
	struct balance now = { 0 };
	bool last;

	spin_lock(&balance_lock);
	last = !--alive;
	if (last)
		now = balance_now();
	spin_unlock(&balance_lock);
	if (!last || (now.pages == at_rest.pages && now.objects == at_rest.objects))
		return;
	log_error("%s: not all memory came back: %ld pages, %ld objects", g->config.name,
		  (long)(now.pages - at_rest.pages), (long)(now.objects - at_rest.objects));
	vms_failure(g, "%s: not all memory came back", g->config.name);
}

void keeper_log_balance(void)
{
	struct balance now = balance_now();
	unsigned starts = 0;

	for (struct guest *g = vms_next(NULL); g; g = vms_next(g))
		starts += g->life.starts;
	log_info("balance: after %u starts of VMs %lu pages and %lu objects are in use, %lu and %lu before",
		 starts, now.pages, now.objects, at_rest.pages, at_rest.objects);
}

/* ---- while it runs ------------------------------------------------------------------------ */

/* Against 2^n of a thread's that has guests to run: else a VM that makes work would have two threads' share. */
#define WORK_BACKGROUND 2

static void do_work(struct vm *vm)
{
	while (vm_is_running(vm) && mmu_work_step(vm->mmu))
		thread_yield();
}

/* crash=running: so that there is something to report. */
static void check_crash(const struct vm *vm)
{
	if (param.crash == CRASH_RUNNING)
		panic("crash=running: %s runs", vm->config.name);
}

static void check_time(struct vm *vm)
{
	if (param.guest_timeout && machine_us() - vm->start_us > param.guest_timeout * 1000000)
		vm_stop_why(vm, VM_END_TIMEOUT,
			    "it did not end within guest_timeout=%lu seconds", param.guest_timeout);
}

static void supervise(struct vm *vm)
{
	thread_set_background(WORK_BACKGROUND);
	while (vm_is_running(vm)) {
		do_work(vm);
		check_time(vm);
		if (vm_is_running(vm))
			thread_park_until(machine_cycles() + PERIOD_US * machine_cycles_per_us());
		check_crash(vm);
	}
	thread_set_background(0);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void note_end(struct guest *g, struct vm *vm)
{
	if (vm_succeeded(vm))
		return;
	if (vm_end(vm) == VM_END_EXIT)
		vms_failure(g, "%s: exit code %lu", vm->config.name, vm->exit_code);
	else
		vms_failure(g, "%s: %s", vm->config.name,
			    vm->why[0] ? vm->why : "stopped from the console");
}

/* Of a series of restarts only the last run, or one that fails, is told in full. */
static void report_end(struct guest *g, struct vm *vm)
{
	struct mmu_audit_report audit;
	bool told = !vms_is_in_series(g) || !vm_succeeded(vm);

	guest_console_flush(&vm->console);
	if (mmu_audit(vm->mmu, &audit)) {
		vms_failure(g, "%s: the MMU audit found errors", g->config.name);
		told = true;
	}
	if (told)
		report_summary(vm, &audit);
	note_end(g, vm);
}

/* From nothing to nothing; did it end well? */
static bool run_once(struct guest *g, uint64_t *exit_code)
{
	struct vm *vm;
	char why[256];

	*exit_code = VMS_NO_CODE;
	if (vm_create(&g->config, g->image, boot, g->id, &vm, why, sizeof(why))) {
		log_error("%s", why);
		vms_failure(g, "%s", why);
		return false;
	}
	vms_publish(g, vm);
	vm_start(vm);
	supervise(vm);
	vms_withdraw(g);
	vm_join(vm);
	report_end(g, vm);
	bool well = vm_succeeded(vm);

	if (vm_end(vm) == VM_END_EXIT)
		*exit_code = vm->exit_code;
	vm_destroy(vm);
	return well;
}

static void keeper_main(void *arg)
{
	struct guest *g = arg;
	uint64_t exit_code;
	bool again;

	for (;;) {
		while (!vms_is_wanted(g))
			thread_park();
		log_info("%s: %lu MiB of memory, %u vCPU%s, image %s (%lu bytes)", g->config.name,
			 g->config.mem >> 20, g->config.vcpus, &"s"[g->config.vcpus == 1],
			 g->config.file, g->image->size);
		do {
			balance_begin();
			bool well = run_once(g, &exit_code);

			balance_end(g);
			again = vms_gone(g, well, exit_code);
		} while (again);
	}
}

struct thread *keeper_create(struct guest *g)
{
	char name[THREAD_NAME_MAX];
	struct thread *t;

	lib_snprintf(name, sizeof(name), "%s", g->config.name);
	t = thread_create(name, keeper_main, g, NULL);
	if (t)
		thread_start(t);
	return t;
}
