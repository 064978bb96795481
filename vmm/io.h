/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's I/O ports. */
#pragma once

#include <stdint.h>

struct vm;

/*
 * One access of 1, 2 or 4 bytes.  A port without a device reads all ones and swallows writes.
 * The VM's vCPUs share its devices: vm->devices is taken here and in the next two.
 */
uint32_t io_read(struct vm *vm, uint16_t port, unsigned size);
void io_write(struct vm *vm, uint16_t port, unsigned size, uint32_t value);
/* The guest's console; its text is never torn by another vCPU's. */
void io_console_write(struct vm *vm, const char *s, uint64_t n);
void io_console_flush(struct vm *vm);
