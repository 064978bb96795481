/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The list of this boot's VMs.  An entry (struct guest) is made of a boot module and stays, and
 * with it its id; the VM itself (struct vm) comes when it is started and goes when it has ended, as
 * often as somebody asks for it.  The keeper, a thread of each entry, makes and frees it; everybody
 * else asks: the prompt, hypercalls of privileged VMs, the boot.
 */
#pragma once

#include "vmm/life.h"
#include "vmm/vm.h"

#define VMS_NO_CODE UINT64_MAX

struct guest {
	/* set when it is added */
	unsigned id; /* 1 … */
	struct vm_config config;
	const struct boot_module *image;
	struct thread *keeper;

	/* vms_lock must be held when using these */
	struct life life;
	struct vm *vm;      /* while it can be named: complete, and not about to be freed */
	unsigned refs;      /* on vm; the keeper waits for 0 */
	bool failed;        /* in a run since it was last started from OFF */
	uint64_t exit_code; /* of the last run; VMS_NO_CODE */
};

/* What the list says of one, at one moment. */
struct vms_info {
	enum life_state state; /* LIFE_PAUSED once no vCPU runs, LIFE_RUNNING before */
	unsigned starts;
	uint64_t exit_code;
	uint64_t used_pages;   /* backing and tables; 0 when it is off */
	uint64_t cpu_us, us;   /* that its vCPUs had a CPU; since it was started */
};

struct vms_result {
	unsigned run, failed;
	char first_failure[320]; /* one sentence; "" when none failed */
};

/* ---- the list; entries are added at boot, before the first is started ---------------------- */

/* NULL: no memory for its keeper, or the list is full. */
struct guest *vms_add(const struct vm_config *config, const struct boot_module *image);
struct guest *vms_find(unsigned long id); /* NULL: none */
struct guest *vms_find_name(const char *name);
struct guest *vms_next(const struct guest *g); /* NULL: the first; -> NULL behind the last */

/* ---- asking: any thread ---------------------------------------------------------------------- */

/* Returns at once; the errors of life_ask(). */
int vms_ask(struct guest *g, enum life_op op);
/* As its configuration says: running, paused before it has run, or not at all. */
void vms_start_at_boot(struct guest *g);
/* At once: none of them finds another off that is about to be started. */
void vms_start_all_at_boot(void);
/* Ctrl-C: all that live end, as failures. */
void vms_stop_all(void);
void vms_info(struct guest *g, struct vms_info *out);

/*
 * The VM that has this id now, with a reference: it is not freed before vms_put().  NULL: none, or
 * it is off.  Whoever holds one does not wait for that VM's end.
 */
struct vm *vms_get(unsigned long id);
void vms_put(struct vm *vm);

/*
 * Wait until all are off.  Where nobody could resume them (no prompt), VMs that are all paused are
 * ended, with a sentence.
 */
void vms_wait(void);
/* Of all runs so far. */
void vms_result(struct vms_result *out);
__attribute__((format(printf, 2, 3)))
void vms_failure(struct guest *g, const char *fmt, ...); /* g NULL: of none in particular */

/* ---- for the keeper ---------------------------------------------------------------------------- */

bool vms_is_wanted(struct guest *g); /* it was started, or is to end before it was made */
/* It is complete: from now on it can be named; what was asked meanwhile takes effect. */
void vms_publish(struct guest *g, struct vm *vm);
/* It has ended: nobody names it from now on; waits for those who still do. */
void vms_withdraw(struct guest *g);
/* As it looks now, it starts again if this run ends well. */
bool vms_is_in_series(struct guest *g);
/* Nothing is left of it; true: start it again. */
bool vms_gone(struct guest *g, bool well, uint64_t exit_code);
