/* SPDX-License-Identifier: GPL-2.0-only */
/* Between boot/entry.asm, boot/boot.c and vmm/main.c. */
#pragma once

#include <stdint.h>

#include "boot/boot_info.h"

/* Called by boot/entry.asm: eax and ebx as the boot loader left them. */
_Noreturn void boot_main(uint32_t magic, uint32_t info_pa);

/* The hypervisor, vmm/main.c: never returns.  bi stays valid. */
void phyllo_main(struct boot_info *bi);
