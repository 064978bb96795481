/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions that a vCPU exited at before.  Where the processor does not tell their length, and for devices'
 * memory, each exit needs the instruction; a guest exits at few places, again and again, so what was
 * decoded is kept with what it was decoded from, and checked: registers, page-table entries, bytes.
 */
#pragma once

#include "vmm/decode.h"
#include "vmm/virt_ops.h"

struct insn_memo {
	bool valid;
	struct vm_code code;
	struct mmu_memo where;
	struct insn insn;
};

#define INSN_MEMOS 8u
