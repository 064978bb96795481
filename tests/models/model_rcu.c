/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The grace periods of mm/rcu.c in every interleaving: readers that come and go, a writer that
 * exchanges an object twice and lets the old ones go, and somebody who frees what can be freed.
 * Nobody who found an object may still look at it when it is freed; and in the end all are.
 */
#include <string.h>

#include "mm/rcu.h"
#include "mm/vm.h"
#include "tests/host/explore/scenarios.h"
#include "tests/host/hosted.h"

#define OBJECTS 2
#define READERS 2

struct item {
	struct rcu_head rcu; /* first */
	_Atomic unsigned looked_at;
	bool freed;
};

static struct model {
	struct mmu_vm vm;
	struct item item[OBJECTS];
	struct rcu_reader reader[READERS];
	_Atomic(struct item *) current;
} m;

static void item_free(void *obj)
{
	struct item *item = obj;

	EXPLORE_CHECK(!item->freed);
	item->freed = true;
}

static void setup(void)
{
	memset(&m, 0, sizeof(m));
	explore_obj_free = item_free;
	rcu_init(&m.vm);
	for (unsigned i = 0; i < READERS; i++)
		rcu_reader_add(&m.vm, &m.reader[i]);
	atomic_init(&m.current, &m.item[0]);
	explore_track(&m.vm, offsetof(struct mmu_vm, latency));
	explore_track(&m.item, sizeof(m) - offsetof(struct model, item));
	explore_name(&m.vm.rcu, sizeof(m.vm.rcu), "rcu");
	explore_name(m.reader, sizeof(m.reader), "reader");
	explore_name(&m.current, sizeof(m.current), "current");
	explore_name(m.item, sizeof(m.item), "item");
	explore_quiet(&m.vm.counters, sizeof(m.vm.counters));
}

static void look(unsigned reader)
{
	rcu_enter(&m.vm, &m.reader[reader]);
	struct item *item = atomic_load(&m.current);

	if (item) {
		(void)atomic_load(&item->looked_at);
		if (item->freed)
			explore_fail("reader %u looks at an object that was freed", reader);
	}
	rcu_exit(&m.vm, &m.reader[reader]);
}

static void reader1(void)
{
	look(0);
	look(0);
}

static void reader2(void)
{
	look(1);
}

static void exchange(struct item *new)
{
	struct item *old = atomic_exchange(&m.current, new);

	rcu_defer_obj(&m.vm, &old->rcu, sizeof(*old));
	rcu_poll(&m.vm);
}

static void writer(void)
{
	exchange(&m.item[1]);
	exchange(NULL);
}

static void finish(void)
{
	while (rcu_poll(&m.vm))
		;
	for (unsigned i = 0; i < OBJECTS; i++)
		EXPLORE_CHECK(m.item[i].freed);
}

const struct explore_scenario model_rcu = {
	.name = "model-rcu",
	.about = "grace periods: two readers that come and go, a writer that lets go twice",
	.setup = setup,
	.thread = { { "reader1", reader1 }, { "reader2", reader2 }, { "writer", writer } },
	.finish = finish,
	.exhaustive = true,
};
