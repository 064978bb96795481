/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two 8259s of a PC, as far as a kernel that masks them can tell: no line ever
 * rises, but masks read back what was written, and an initialisation is followed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pic {
	uint8_t mask;
	uint8_t init_left; /* initialisation words that still come to the data port */
};

struct pic_pair {
	struct pic chip[2];
};

void pic_reset(struct pic_pair *p);
static inline bool pic_owns(uint16_t port)
{
	return (port & ~0x81) == 0x20; /* 0x20, 0x21, 0xa0, 0xa1 */
}
/* Bytes, at a port that pic_owns(). */
uint8_t pic_read(const struct pic_pair *p, uint16_t port);
void pic_write(struct pic_pair *p, uint16_t port, uint8_t value);
