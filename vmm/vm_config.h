/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A boot module's command line: "FILE [vm options] [-- guest command line]".
 * Pure text work, tested hosted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/thread.h"

#define VM_NAME_MAX 32
#define VM_CMDLINE_MAX 512
#define VM_MEM_MIN (1ul << 20)
#define VM_MEM_MAX (1ul << 40) /* what four table levels and our slots are tested with */
#define VM_VCPUS_MAX 64
#define VM_RESTARTS_MAX 1000000
#define VM_PIN_ANY UINT16_MAX

/* mmu=, in the order of the boot option's words. */
enum vm_mmu {
	VM_MMU_AUTO,   /* nested paging where the processor has it, else shadow paging */
	VM_MMU_TDP,    /* nested paging */
	VM_MMU_SHADOW,
};

struct vm_config {
	char name[VM_NAME_MAX]; /* name=, or the file's name without directory and ending */
	char file[VM_NAME_MAX]; /* the file's name without directory, for sentences */
	char owner[VM_NAME_MAX]; /* for=: a module of that guest, not a guest itself; or "" */
	uint64_t mem;           /* mem=: bytes, a multiple of 4K */
	uint64_t cap;           /* cap=: most host memory for it, tables included; 0: not said */
	enum vm_mmu mmu;        /* mmu= */
	unsigned vcpus;         /* vcpus=: 1 to VM_VCPUS_MAX */
	struct cpu_set cpus;    /* cpus=: where its vCPUs may run; empty: anywhere */
	uint16_t pin[VM_VCPUS_MAX]; /* vcpu.pin=: the one CPU of vCPU i, or VM_PIN_ANY */
	unsigned restarts;      /* restart=: how often it is started again after it ended well */
	bool privileged;        /* may name other VMs in its hypercalls */
	bool paused;            /* waits for "resume" when it is started at boot */
	bool off;               /* is not started at boot: the prompt does that, or another VM */
	char with[VM_NAME_MAX]; /* with=: off, too, and started at the prompt together with that guest; or "" */
	char cmdline[VM_CMDLINE_MAX]; /* what the guest sees: FILE, then what follows -- */
};

/* What a guest gets that does not say its own. */
struct vm_defaults {
	uint64_t mem;
	unsigned vcpus;
	const char *pin; /* as vcpu.pin=; "" or NULL: none */
	enum vm_mmu mmu;
};

/* 0, or -EINVAL with one sentence in why. */
int vm_config_parse(const char *text, const struct vm_defaults *defaults, struct vm_config *out,
		    char *why, size_t why_size);

/*
 * "0,2-3" as single numbers below CPUS_MAX, in the order in which they are written, at most max
 * of them; -> how many, or -EINVAL.
 */
int vm_config_cpu_list(const char *s, size_t len, uint16_t *out, unsigned max);
