/* SPDX-License-Identifier: GPL-2.0-only */
/* See vms.h. */
#include "vmm/vms.h"

#include "host/log.h"
#include "host/machine.h"
#include "host/param.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/sync.h"
#include "vmm/keeper.h"

/*
 * Held for a moment by threads, never in interrupt context.  Threads are woken and vCPUs kicked
 * under it: the scheduler's locks come behind it.
 */
static spinlock_t vms_lock = SPINLOCK_INIT;

static struct guest guests[BOOT_MODULES_MAX];
static unsigned guest_count; /* changes at boot only */

/* vms_lock must be held when using these. */
static struct vms_result result;
static struct thread *waiter; /* in vms_wait() */

/* ---- the list ------------------------------------------------------------------------ */

struct guest *vms_add(const struct vm_config *config, const struct boot_module *image)
{
	struct guest *g = &guests[guest_count];

	if (guest_count == BOOT_MODULES_MAX)
		return NULL;
	*g = (struct guest){
		.id = guest_count + 1,
		.config = *config,
		.image = image,
		.life.restarts = config->restarts,
		.exit_code = VMS_NO_CODE,
	};
	g->keeper = keeper_create(g);
	if (!g->keeper)
		return NULL;
	guest_count++;
	return g;
}

struct guest *vms_find(unsigned long id)
{
	return id - 1 < guest_count ? &guests[id - 1] : NULL;
}

struct guest *vms_find_name(const char *name)
{
	for (unsigned i = 0; i < guest_count; i++)
		if (!strcmp(name, guests[i].config.name))
			return &guests[i];
	return NULL;
}

struct guest *vms_next(const struct guest *g)
{
	return vms_find(g ? g->id + 1ul : 1);
}

/* ---- asking --------------------------------------------------------------------------- */

/* What the state means for a VM that is there. */
static void apply(struct guest *g) REQUIRES(vms_lock)
{
	if (waiter)
		thread_unpark(waiter);
	if (!g->vm) {
		thread_unpark(g->keeper);
		return;
	}
	switch (g->life.state) {
	case LIFE_RUNNING:
		vm_pause(g->vm, false);
		break;
	case LIFE_PAUSED:
		vm_pause(g->vm, true);
		break;
	case LIFE_ENDING:
		vm_stop(g->vm, VM_END_DESTROYED);
		break;
	case LIFE_OFF:
		break;
	}
}

static int ask(struct guest *g, enum life_op op) REQUIRES(vms_lock)
{
	bool was_off = g->life.state == LIFE_OFF;
	int err = life_ask(&g->life, op);

	if (!err && was_off) {
		g->failed = false;
		result.run++;
	}
	return err;
}

int vms_ask(struct guest *g, enum life_op op)
{
	spin_lock(&vms_lock);
	int err = ask(g, op);

	if (!err)
		apply(g);
	spin_unlock(&vms_lock);
	return err;
}

/* One that begins paused is so before anybody can run it. */
static void start_at_boot(struct guest *g) REQUIRES(vms_lock)
{
	if (g->config.off)
		return;
	int err = ask(g, LIFE_START);

	if (!err && g->config.paused)
		err = ask(g, LIFE_PAUSE);
	if (!err)
		apply(g);
}

void vms_start_at_boot(struct guest *g)
{
	spin_lock(&vms_lock);
	start_at_boot(g);
	spin_unlock(&vms_lock);
}

void vms_start_all_at_boot(void)
{
	spin_lock(&vms_lock);
	for (unsigned i = 0; i < guest_count; i++)
		start_at_boot(&guests[i]);
	spin_unlock(&vms_lock);
}

void vms_stop_all(void)
{
	spin_lock(&vms_lock);
	for (unsigned i = 0; i < guest_count; i++) {
		struct guest *g = &guests[i];

		if (g->vm)
			vm_stop(g->vm, VM_END_USER);
		if (!life_ask(&g->life, LIFE_DESTROY))
			apply(g);
	}
	spin_unlock(&vms_lock);
}

static void running_info(struct vm *vm, struct vms_info *out)
{
	struct mmu_stats mmu;

	mmu_stats_read(vm->mmu, &mmu);
	out->used_pages = mmu.backing_pages + mmu.tables;
	out->cpu_us = vm_cpu_us(vm);
	out->us = machine_us() - vm->start_us;
	if (out->state == LIFE_PAUSED && !vm_is_still(vm))
		out->state = LIFE_RUNNING;
}

void vms_info(struct guest *g, struct vms_info *out)
{
	spin_lock(&vms_lock);
	*out = (struct vms_info){
		.state = g->life.state,
		.starts = g->life.starts,
		.exit_code = g->exit_code,
	};
	if (g->vm)
		running_info(g->vm, out);
	spin_unlock(&vms_lock);
}

struct vm *vms_get(unsigned long id)
{
	struct guest *g = vms_find(id);
	struct vm *vm = NULL;

	if (!g)
		return NULL;
	spin_lock(&vms_lock);
	vm = g->vm;
	g->refs += vm != NULL;
	spin_unlock(&vms_lock);
	return vm;
}

void vms_put(struct vm *vm)
{
	struct guest *g = vms_find(vm->id);

	spin_lock(&vms_lock);
	if (!--g->refs && !g->vm)
		thread_unpark(g->keeper);
	spin_unlock(&vms_lock);
}

/* ---- waiting for the end of all ---------------------------------------------------------- */

/*
 * Nobody could ever resume them: there is no prompt, and none runs that might.  One whose VM its
 * keeper is still making is waited for: what became of it is told by its VM.
 */
static bool all_are_stuck(void) REQUIRES(vms_lock)
{
	unsigned paused = 0;

	for (unsigned i = 0; i < guest_count; i++) {
		const struct guest *g = &guests[i];

		if (g->life.state == LIFE_OFF)
			continue;
		if (g->life.state != LIFE_PAUSED || !g->vm)
			return false;
		paused++;
	}
	return paused && param.end != 1;
}

static void end_the_stuck(void) REQUIRES(vms_lock)
{
	for (unsigned i = 0; i < guest_count; i++) {
		struct guest *g = &guests[i];

		if (g->life.state != LIFE_PAUSED)
			continue;
		vm_stop_why(g->vm, VM_END_STOPPED, "it is paused, and nobody can resume it");
		if (!life_ask(&g->life, LIFE_DESTROY))
			apply(g);
	}
}

static bool all_are_off(void) REQUIRES(vms_lock)
{
	for (unsigned i = 0; i < guest_count; i++)
		if (guests[i].life.state != LIFE_OFF)
			return false;
	return true;
}

void vms_wait(void)
{
	bool done;

	do {
		spin_lock(&vms_lock);
		waiter = thread_current();
		done = all_are_off();
		if (all_are_stuck())
			end_the_stuck();
		if (done)
			waiter = NULL;
		spin_unlock(&vms_lock);
		if (!done)
			thread_park();
	} while (!done);
}

void vms_result(struct vms_result *out)
{
	spin_lock(&vms_lock);
	*out = result;
	spin_unlock(&vms_lock);
}

void vms_failure(struct guest *g, const char *fmt, ...)
{
	va_list ap;

	spin_lock(&vms_lock);
	if (!result.first_failure[0]) {
		va_start(ap, fmt);
		lib_vsnprintf(result.first_failure, sizeof(result.first_failure), fmt, ap);
		va_end(ap);
	}
	/* A guest that fails in two ways, or in two of its runs, is one that failed. */
	result.failed += !g || !g->failed;
	if (g)
		g->failed = true;
	spin_unlock(&vms_lock);
}

/* ---- for the keeper --------------------------------------------------------------------------- */

bool vms_is_wanted(struct guest *g)
{
	spin_lock(&vms_lock);
	bool wanted = g->life.state != LIFE_OFF;

	spin_unlock(&vms_lock);
	return wanted;
}

void vms_publish(struct guest *g, struct vm *vm)
{
	spin_lock(&vms_lock);
	g->vm = vm;
	apply(g);
	spin_unlock(&vms_lock);
}

void vms_withdraw(struct guest *g)
{
	unsigned refs;

	do {
		spin_lock(&vms_lock);
		life_ended(&g->life);
		g->vm = NULL;
		refs = g->refs;
		spin_unlock(&vms_lock);
		if (refs)
			thread_park();
	} while (refs);
}

bool vms_is_in_series(struct guest *g)
{
	spin_lock(&vms_lock);
	bool more = g->life.again || g->life.restarts;

	spin_unlock(&vms_lock);
	return more;
}

bool vms_gone(struct guest *g, bool well, uint64_t exit_code)
{
	spin_lock(&vms_lock);
	bool again = life_gone(&g->life, well && !g->failed);

	g->exit_code = exit_code;
	if (waiter)
		thread_unpark(waiter);
	spin_unlock(&vms_lock);
	return again;
}
