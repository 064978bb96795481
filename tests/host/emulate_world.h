/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU without a processor, for the tests of instruction emulation: over the real guest walker
 * and guest memory, with a device that is plain memory.
 *
 * One layout in 64-bit code, in pages from BASE: code, two of device, two of memory, one that only
 * the host of the test may have, one that nobody has.
 */
#pragma once

#include "tests/host/ktap.h"
#include "tests/host/world.h"
#include "vmm/emulate.h"
#include "vmm/inject.h"
#include "vmm/insn.h"
#include "vmm/vm.h"

#define BASE     0x10000000ul
#define CODE     BASE
#define DEVICE   (BASE + 0x1000)
#define MEMORY   (BASE + 0x3000)
#define NATIVE   (BASE + 0x5000)
#define NOTHING  (BASE + 0x6000)

#define DEVICE_GPA 0xfee00000ul
#define CODE_GPA   0x8000ul
#define MEMORY_GPA 0x9000ul
#define TABLE(n)   ((n) * 0x1000ul) /* page-table page of level n */
#define PTE        7ul

struct emulate_world {
	struct world world;
	struct vm vm;
	struct vcpu vcpu;
	struct vm_segment segments[SEG_COUNT];
	uint64_t cr0, cr4, efer;
	unsigned cpl, single_steps, ves;
	char stopped[256]; /* what vm_stop_report() was told */
	uint8_t device[0x2000];
	unsigned reads, writes; /* of the device */
	bool refuse;            /* it takes no access */
};
extern struct emulate_world ew;

/* The vCPU in 64-bit code at CODE, with everything mapped that the guest has. */
void emulate_open(void);
void emulate_close(void);
void emulate_put(gpa_t gpa, const void *data, unsigned size);
void emulate_map(gva_t gva, gpa_t gpa, uint64_t bits);
void emulate_code(const uint8_t *bytes, unsigned n);
/* The instruction at RIP made this access. */
void emulate_touch(gpa_t gpa, unsigned access);
/* It writes there, which no mapping permits. */
void emulate_write(gpa_t gpa);

#define CODE_BYTES(...) \
	emulate_code((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
