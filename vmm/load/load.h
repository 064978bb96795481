/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest image loaders: multiboot1 and multiboot2 kernels (ELF32, ELF64, a.out-kludge
 * flat).  Pure: they see the image as bytes and write guest memory through struct
 * load_target, so that hosted tests and fuzzers run this very code.
 *
 * Every field of an image is hostile.  Nothing is written before the whole image
 * has been checked: a refused image leaves guest memory as it was.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_range {
	uint64_t base, size;
};

#define LOAD_RAM_MAX 8
#define LOAD_MODULES_MAX 16

struct load_module {
	const void *data;
	uint64_t size;
	const char *cmdline;
};

/* What is loaded, and where to. */
struct load_request {
	const char *file;    /* name, for sentences */
	const void *image;
	uint64_t size;
	const char *cmdline; /* as the guest is to see it: name, then arguments */
	unsigned module_count;
	struct load_module modules[LOAD_MODULES_MAX];
	/* guest RAM, ascending, not overlapping; the loader derives the memory map from it */
	unsigned ram_count;
	struct load_range ram[LOAD_RAM_MAX];
	/* 0 or -E...; range was checked to lie inside ram[] */
	int (*write)(void *ctx, uint64_t gpa, const void *data, uint64_t size);
	int (*zero)(void *ctx, uint64_t gpa, uint64_t size);
	void *ctx;
};

enum load_protocol { LOAD_MULTIBOOT1, LOAD_MULTIBOOT2 };

/* The state in which the guest starts: 32-bit protected mode, paging off, flat segments. */
struct load_result {
	enum load_protocol protocol;
	uint32_t entry;  /* EIP */
	uint32_t eax;    /* the boot loader magic of the protocol */
	uint32_t ebx;    /* gpa of the information structure */
};

/*
 * 0, or -ENOEXEC (not an image we know / broken), -E2BIG (does not fit into guest
 * memory), or what write() returned; then why holds one sentence that names the file and
 * the reason.
 */
int load_guest(const struct load_request *req, struct load_result *out, char *why, size_t why_size);
