/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A boot module's command line: "FILE [vm options] [-- guest command line]".
 * Pure text work, tested hosted.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VM_NAME_MAX 32
#define VM_CMDLINE_MAX 512
#define VM_MEM_MIN (1ul << 20)
#define VM_MEM_MAX (1ul << 40) /* what four table levels and our slots are tested with */

struct vm_config {
	char name[VM_NAME_MAX]; /* name=, or the file's name without directory and ending */
	char file[VM_NAME_MAX]; /* the file's name without directory, for sentences */
	char owner[VM_NAME_MAX]; /* for=: a module of that guest, not a guest itself; or "" */
	uint64_t mem;           /* mem=: bytes, a multiple of 4K */
	char cmdline[VM_CMDLINE_MAX]; /* what the guest sees: FILE, then what follows -- */
};

/* 0, or -EINVAL with one sentence in why. */
int vm_config_parse(const char *text, uint64_t default_mem, struct vm_config *out, char *why,
		    size_t why_size);
