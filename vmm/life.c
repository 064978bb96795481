/* SPDX-License-Identifier: GPL-2.0-only */
/* See life.h. */
#include "vmm/life.h"

#include "mm/errno.h"

static int ask_off(struct life *l, enum life_op op)
{
	if (op != LIFE_START && op != LIFE_RESTART)
		return -ENOENT;
	l->state = LIFE_RUNNING;
	l->again = false;
	l->starts++;
	return 0;
}

static int ask_alive(struct life *l, enum life_op op)
{
	switch (op) {
	case LIFE_START:
		return -EBUSY;
	case LIFE_PAUSE:
		l->state = LIFE_PAUSED;
		return 0;
	case LIFE_RESUME:
		l->state = LIFE_RUNNING;
		return 0;
	case LIFE_DESTROY:
	case LIFE_RESTART:
		l->state = LIFE_ENDING;
		l->again = op == LIFE_RESTART;
		/* Whoever ends it means all of it. */
		l->restarts = 0;
		return 0;
	}
	return -EINVAL;
}

/* The last word counts: a restart may be called off, a destroy be followed by a restart. */
static int ask_ending(struct life *l, enum life_op op)
{
	switch (op) {
	case LIFE_START:
		return -EBUSY;
	case LIFE_DESTROY:
	case LIFE_RESTART:
		l->again = op == LIFE_RESTART;
		l->restarts = 0;
		return 0;
	default:
		return -ENOENT;
	}
}

int life_ask(struct life *l, enum life_op op)
{
	switch (l->state) {
	case LIFE_OFF:
		return ask_off(l, op);
	case LIFE_RUNNING:
	case LIFE_PAUSED:
		return ask_alive(l, op);
	case LIFE_ENDING:
		return ask_ending(l, op);
	}
	return -EINVAL;
}

void life_ended(struct life *l)
{
	l->state = LIFE_ENDING;
}

bool life_gone(struct life *l, bool well)
{
	bool again = l->again;

	if (!again && well && l->restarts) {
		l->restarts--;
		again = true;
	}
	l->again = false;
	l->state = again ? LIFE_RUNNING : LIFE_OFF;
	l->starts += again;
	return again;
}
