/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boot-protocol parsers: pure functions from the bytes a loader left in memory to
 * struct boot_info.  Hosted tests and fuzzers run them on garbage.
 */
#pragma once

#include <stddef.h>

#include "boot/boot_info.h"

/* Physical memory as the parser may see it: size readable bytes at pa, or NULL. */
struct boot_phys {
	const void *(*map)(void *ctx, uint64_t pa, uint64_t size);
	void *ctx;
};

/* All return 0 or -EINVAL (why: one sentence), and fill all of bi but image_base/end. */
int boot_parse_multiboot2(const void *info, size_t size, struct boot_info *bi, const char **why);
int boot_parse_pvh(uint64_t start_info_pa, const struct boot_phys *phys, struct boot_info *bi,
		   const char **why);

/*
 * When the only module is a bundle (cpio "newc" archive holding phyllo.cfg), replace it
 * by the modules that phyllo.cfg lists; bundle members are used in place.
 * phyllo.cfg, also read by the EFI loader: lines "cmdline WORDS…" and "module FILE [vm options]
 * [-- guest command line]"; # starts a comment.
 */
int boot_unbundle(const struct boot_phys *phys, struct boot_info *bi, const char **why);

/*
 * One phyllo.cfg: calls module() per module line (FILE's length first), appends cmdline lines to
 * bi->cmdline.
 */
int boot_parse_config(const char *text, size_t size, struct boot_info *bi,
		      int (*module)(void *ctx, const char *file, size_t file_len, struct boot_module *m),
		      void *ctx, const char **why);
