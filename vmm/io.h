/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's I/O ports. */
#pragma once

#include <stdint.h>

struct vm;

/* One access of 1, 2 or 4 bytes.  A port without a device reads all ones and swallows writes. */
uint32_t io_read(struct vm *vm, uint16_t port, unsigned size);
void io_write(struct vm *vm, uint16_t port, unsigned size, uint32_t value);
