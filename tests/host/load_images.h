/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel images built byte by byte, and a fake guest to load them into. */
#pragma once

#include <stdint.h>

#include "vmm/load/load.h"

#define MIB        (1ul << 20)
#define GUEST_SIZE (16 * MIB)
#define MB1_MAGIC  0x1badb002u
#define MB2_MAGIC  0xe85250d6u

/* ---- the guest: 16 MiB ------------------------------------------------------------- */

extern uint8_t guest[GUEST_SIZE];
extern unsigned writes; /* calls of write() and zero() */
extern int write_error; /* what they return */

/* ---- the image ------------------------------------------------------------------------ */

extern uint8_t image[0x10000];
extern uint64_t image_size;
extern struct load_request req;
extern struct load_result result;
extern char why[256];

/* A fresh image of so many bytes without any header, and a guest that holds 0xaa everywhere. */
void start(uint64_t size);
/* load_guest() of a copy of exactly the image's size, so that ASan sees what reads beyond it. */
int load(void);

/* Little-endian value of so many bytes at an offset of the image. */
void put(uint64_t at, uint64_t v, unsigned bytes);

void put_mb1(uint64_t at, uint32_t flags);
void put_kludge(uint64_t at, uint32_t header, uint32_t load_addr, uint32_t load_end,
		uint32_t bss_end, uint32_t entry);

void mb2_start(uint64_t at);
/* A tag with n 32-bit words of contents. */
void mb2_tag(uint16_t type, uint16_t flags, unsigned n, ...);

void put_elf(unsigned bits, uint64_t entry);
uint64_t phdr_at(unsigned i);
void add_phdr(uint32_t type, uint64_t offset, uint64_t vaddr, uint64_t paddr, uint64_t filesz,
	      uint64_t memsz);

/* Text at 1 MiB, data and bss at 2 MiB; multiboot1 header at 0x800. */
void build_elf(unsigned bits);
