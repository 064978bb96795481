/* SPDX-License-Identifier: GPL-2.0-only */
/* See pic.h. */
#include "vmm/pic.h"

#define ICW1 (1u << 4)        /* begins an initialisation */
#define ICW1_SINGLE (1u << 1) /* no ICW3 */
#define ICW1_ICW4 (1u << 0)

/* All masked, as a loader leaves them. */
void pic_reset(struct pic_pair *p)
{
	for (unsigned i = 0; i < 2; i++)
		p->chip[i] = (struct pic){ .mask = 0xff };
}

static bool is_data(uint16_t port)
{
	return port & 1;
}

uint8_t pic_read(const struct pic_pair *p, uint16_t port)
{
	/* The command port shows IRR or ISR: nothing requests, nothing is in service. */
	return is_data(port) ? p->chip[port >> 7].mask : 0;
}

void pic_write(struct pic_pair *p, uint16_t port, uint8_t value)
{
	struct pic *chip = &p->chip[port >> 7];

	if (!is_data(port)) {
		if (value & ICW1)
			*chip = (struct pic){
				.init_left = (uint8_t)(1 + !(value & ICW1_SINGLE) +
						       !!(value & ICW1_ICW4)),
			};
	} else if (chip->init_left) {
		chip->init_left--;
	} else {
		chip->mask = value;
	}
}
