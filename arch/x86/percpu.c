/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of the CPUs that are up; written while they start, one after the other. */
#include "arch/x86/percpu.h"

#include "arch/x86/cpu.h"
#include "host/object.h"
#include "mm/errno.h"

struct percpu percpu_boot;

static struct percpu *boot_table[1] = { &percpu_boot };
static struct percpu **table = boot_table;
static _Atomic unsigned count = 1;
bool percpu_ready;

void percpu_install(struct percpu *p)
{
	p->self = p;
	wrmsr(MSR_GS_BASE, (uint64_t)p);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
}

void percpu_init_boot(void)
{
	atomic_store_explicit(&percpu_boot.online, true, memory_order_relaxed);
	percpu_install(&percpu_boot);
	percpu_ready = true;
}

int percpu_table_alloc(unsigned cpus)
{
	struct percpu **t = object_alloc(cpus * sizeof(*t));

	if (!t)
		return -ENOMEM;
	t[0] = &percpu_boot;
	table = t;
	return 0;
}

void percpu_publish(struct percpu *p)
{
	table[p->id] = p;
	/* pairs with percpu_count(): who sees the number sees the entry */
	atomic_store_explicit(&count, p->id + 1, memory_order_release);
}

unsigned percpu_count(void)
{
	return atomic_load_explicit(&count, memory_order_acquire);
}

struct percpu *percpu_get(unsigned id)
{
	return table[id];
}
