/* SPDX-License-Identifier: GPL-2.0-only */
/* Choice of the virtualisation extension; see virt.h. */
#include "vmm/virt.h"

#include <stdatomic.h>

#include "host/log.h"
#include "host/machine.h"
#include "host/param.h"
#include "lib/string.h"

const struct virt_ops *virt;
struct virt_caps virt_caps;

const struct virt_ops *const virt_backends[] = { &svm_ops, &vmx_ops, NULL };

static _Atomic unsigned enable_failures;

static void enable_here(void *unused)
{
	if (virt->cpu_enable())
		atomic_fetch_add_explicit(&enable_failures, 1, memory_order_relaxed);
}

static int enable_everywhere(void)
{
	uint64_t flags = machine_irq_save();

	enable_here(NULL);
	machine_irq_restore(flags);
	int err = machine_run_on_others(enable_here, NULL);
	if (err)
		return err;
	if (atomic_load_explicit(&enable_failures, memory_order_relaxed)) {
		log_error("%s could not be switched on on every CPU", virt->name);
		return -ENODEV;
	}
	return 0;
}

/* A dirty log that was asked for by name and cannot be had would be a silent other one. */
static int check_dirty_style(void)
{
	if (param.dirty == 2 && !virt_caps.hw_ad)
		log_error("dirty=dbit needs Accessed and Dirty bits in the nested tables");
	else if (param.dirty == 3 && !virt_caps.pml)
		log_error("dirty=pml needs a processor that logs what it dirties (PML)");
	else
		return 0;
	return -ENODEV;
}

int virt_init(const char *vendor)
{
	char why[192];

	for (unsigned i = 0; virt_backends[i]; i++) {
		const struct virt_ops *ops = virt_backends[i];

		if (strcmp(vendor, "auto") && strcmp(vendor, ops->name))
			continue;
		if (ops->probe(&virt_caps, why, sizeof(why))) {
			log_warn("%s: %s", ops->name, why);
			continue;
		}
		virt = ops;
		if (param.ad == 1)
			virt_caps.hw_ad = virt_caps.pml = false;
		log_info("virtualisation: %s (%s)", ops->name, virt_caps.text);
		return check_dirty_style() ? -ENODEV : enable_everywhere();
	}
	return -ENODEV;
}

const char *exit_reason_name(enum exit_reason reason)
{
	static const char *const names[] = {
#define EXIT_REASON_NAME(id, name) name,
		EXIT_REASONS(EXIT_REASON_NAME)
#undef EXIT_REASON_NAME
	};

	return reason < EXIT_REASON_COUNT ? names[reason] : "?";
}
