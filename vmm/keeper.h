/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keeper of a VM: a thread of each entry of the list, which makes the VM when it is
 * wanted, does mm/'s deferred work while it runs, sees to its time limit, and when it has
 * ended joins its vCPUs, reports, and frees it.  Nobody else creates or frees a VM.
 */
#pragma once

struct boot_info;
struct guest;

/* Where the VMs find their modules; before the first is started. */
void keeper_set_boot(const struct boot_info *bi);
/*
 * While no VM is there: what is in use of the host's memory, and whether it is what was in use
 * before the first.
 */
void keeper_log_balance(void);
/* The entry's thread, started; it waits until the VM is wanted.  NULL: no memory. */
struct thread *keeper_create(struct guest *g);
