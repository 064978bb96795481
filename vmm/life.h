/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of a VM's life, as its list keeps them: what may be asked for when, and what then
 * happens.  Pure: the list calls it under its lock and does what the new state says.
 *
 *              start                pause
 *       OFF ----------> RUNNING <----------> PAUSED
 *        ^   restart      |  |     resume      |
 *        |                +--|-----------------+
 *        |     gone          v  destroy, restart, or it ended by itself
 *        +--------------- ENDING ----> RUNNING: gone, and it is to start again
 */
#pragma once

#include <stdbool.h>

enum life_state {
	LIFE_OFF, /* nothing is left of it, or it never was */
	LIFE_RUNNING, /* also while it is being made */
	LIFE_PAUSED,
	LIFE_ENDING,
};

enum life_op {
	LIFE_START,
	LIFE_PAUSE,
	LIFE_RESUME,
	LIFE_DESTROY,
	LIFE_RESTART, /* of one that is off: start */
};

struct life {
	enum life_state state;
	bool again;        /* when it is gone, it starts afresh */
	unsigned restarts; /* left of restart=: starts after a good end */
	unsigned starts;   /* so far */
};

/*
 * 0; -EBUSY: start of one that is not off; -ENOENT: it is off (or about to be).  Pausing what is paused and
 * resuming what runs is no error.
 */
int life_ask(struct life *l, enum life_op op);
/* It ended by itself. */
void life_ended(struct life *l);
/*
 * Nothing is left of it.  well: as a guest should end.  true: it starts again, and is RUNNING from
 * here on; else OFF.
 */
bool life_gone(struct life *l, bool well);
