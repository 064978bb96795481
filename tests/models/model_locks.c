/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The locks of mm/sync.c, in every interleaving of a few takers: the very code, not a copy.
 *
 * Checked: who is inside excludes whom it must; everybody gets in and out (a deadlock is found
 * as a state in which nobody can go on); the assertions of a holder never fire; at the end the lock is
 * as free as at the beginning.  And of the rwlock what makes it phase-fair: a writer does not leave and
 * enter again past a reader that waited for it.
 */
#include <string.h>

#include "mm/sync.h"
#include "tests/host/explore/scenarios.h"

static struct {
	spinlock_t spin;
	rwlock_t rw;
	/* Plain: only the threads' turns order them. */
	unsigned readers, writers, entered;
	unsigned reader_came, passed;
	/* A step between two operations, so that who must not be inside has time to come. */
	_Atomic unsigned inside;
} m;

static void setup(void)
{
	memset(&m, 0, sizeof(m));
	spin_init(&m.spin);
	rwlock_init(&m.rw);
	explore_track(&m, sizeof(m));
	explore_name(&m.spin, sizeof(m.spin), "spin");
	explore_name(&m.rw, sizeof(m.rw), "rw");
	explore_name(&m.inside, sizeof(m.inside), "inside");
}

static void stay_inside(void)
{
	(void)atomic_load(&m.inside);
}

/* ---- the ticket lock ------------------------------------------------------------------------ */

static void hold_spin(void)
{
	EXPLORE_CHECK(spin_is_held(&m.spin));
	EXPLORE_CHECK(m.writers++ == 0);
	stay_inside();
	m.writers--;
	m.entered++;
}

NO_THREAD_SAFETY_ANALYSIS
static void spin_taker(void)
{
	for (unsigned i = 0; i < 2; i++) {
		spin_lock(&m.spin);
		hold_spin();
		spin_unlock(&m.spin);
	}
}

NO_THREAD_SAFETY_ANALYSIS
static void spin_trier(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (spin_trylock(&m.spin)) {
			hold_spin();
			spin_unlock(&m.spin);
		}
}

static void spin_finish(void)
{
	EXPLORE_CHECK(!spin_is_held(&m.spin));
	EXPLORE_CHECK(m.entered >= 4);
}

const struct explore_scenario model_spinlock = {
	.name = "model-spinlock",
	.about = "the ticket lock: two takers and one that tries",
	.setup = setup,
	.thread = { { "taker1", spin_taker }, { "taker2", spin_taker }, { "trier", spin_trier } },
	.finish = spin_finish,
	.exhaustive = true,
};

/* ---- the reader/writer lock -------------------------------------------------------------------- */

static void hold_write(void)
{
	assert_held_write(&m.rw);
	EXPLORE_CHECK(m.readers == 0 && m.writers++ == 0);
	stay_inside();
	EXPLORE_CHECK(m.readers == 0 && m.writers == 1);
	m.writers--;
	m.entered++;
}

static void hold_read(void)
{
	assert_held_read(&m.rw);
	EXPLORE_CHECK(m.writers == 0);
	m.readers++;
	stay_inside();
	EXPLORE_CHECK(m.writers == 0);
	m.readers--;
	m.entered++;
}

NO_THREAD_SAFETY_ANALYSIS
static void rw_writer(void)
{
	for (unsigned i = 0; i < 2; i++) {
		write_lock(&m.rw);
		hold_write();
		write_unlock(&m.rw);
	}
}

NO_THREAD_SAFETY_ANALYSIS
static void rw_writer_once(void)
{
	write_lock(&m.rw);
	hold_write();
	write_unlock(&m.rw);
}

NO_THREAD_SAFETY_ANALYSIS
static void rw_reader(void)
{
	for (unsigned i = 0; i < 2; i++) {
		read_lock(&m.rw);
		hold_read();
		read_unlock(&m.rw);
	}
}

/* A walk that yields when it is asked to. */
NO_THREAD_SAFETY_ANALYSIS
static void rw_yielder(void)
{
	write_lock(&m.rw);
	hold_write();
	if (rwlock_needbreak(&m.rw)) {
		write_unlock(&m.rw);
		write_lock(&m.rw);
		hold_write();
	}
	write_unlock(&m.rw);
}

static void rw_finish(void)
{
	EXPLORE_CHECK(atomic_load(&m.rw.tickets) == atomic_load(&m.rw.serving));
	EXPLORE_CHECK(atomic_load(&m.rw.state) == atomic_load(&m.rw.left));
	EXPLORE_CHECK(!rwlock_needbreak(&m.rw));
	EXPLORE_CHECK(m.entered >= 4);
}

const struct explore_scenario model_rwlock = {
	.name = "model-rwlock",
	.about = "the reader/writer lock: two readers and a writer, each twice",
	.setup = setup,
	.thread = { { "reader1", rw_reader }, { "reader2", rw_reader }, { "writer", rw_writer } },
	.finish = rw_finish,
	.exhaustive = true,
};

const struct explore_scenario model_rwlock_writers = {
	.name = "model-rwlock-writers",
	.about = "the reader/writer lock: three writers, one of which yields, and a reader",
	.setup = setup,
	.thread = { { "yielder", rw_yielder }, { "writer1", rw_writer_once }, { "writer2", rw_writer_once },
	  { "reader", rw_reader } },
	.finish = rw_finish,
	.exhaustive = true,
};
