/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts from processor to processor: ping-pong, broadcasts, NMIs, every kind of destination,
 * priorities, errors.  Each arrives once, where it was sent, and nowhere else.  rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

#define VEC 0x51 /* of no importance */
#define LOWEST_PRIORITY (1u << 8)
#define NAP 400000000u /* cycles; longer than a loaded host takes to run somebody */
#define DFR_FLAT 0xffffffffu
#define DFR_CLUSTER 0x0fffffffu

static uint32_t rounds;
static struct barrier everybody;

static unsigned got(unsigned id, unsigned vector)
{
	return smp_cpu[id]->irq.of_vector[vector];
}

static bool alone(void)
{
	if (smp_count < 2)
		ktap_skip("needs two processors");
	return smp_count < 2;
}

/* What a test's job does first: a log of its own making, interrupts on. */
static void begin(void)
{
	cpu_apic_begin();
	apic_write(APIC_DFR, DFR_FLAT);
	apic_write(APIC_LDR, 0);
	barrier_wait(&everybody);
	sti();
}

static void on_all(void (*fn)(void *arg))
{
	barrier_init(&everybody, smp_count);
	smp_run_on_all(fn, NULL);
	cpu_apic_begin();
}

static void wait_vector(unsigned vector, unsigned count)
{
	struct spin s = { .what = "an IPI" };

	while (this_cpu()->irq.of_vector[vector] < count)
		spin_wait(&s);
}

/* ---- ping-pong ------------------------------------------------------------------------- */

static void ping_pong(void *arg)
{
	unsigned id = this_cpu()->id;

	begin();
	for (unsigned n = 1; id < 2 && n <= rounds; n++) {
		if (id == 0)
			apic_send_to(1, VEC);
		wait_vector(VEC, n);
		if (id == 1)
			apic_send_to(0, VEC);
	}
	barrier_wait(&everybody);
	CPU_CHECK_EQ(this_cpu()->irq.count, id < 2 ? rounds : 0);
}

static void test_ping_pong(void)
{
	if (!alone())
		on_all(ping_pong);
}

/* The same, asleep in between: each IPI must end a HLT. */
static void ping_pong_asleep(void *arg)
{
	struct cpu *c = this_cpu();

	begin();
	cli();
	for (unsigned n = 1; c->id < 2 && n <= rounds / 2; n++) {
		if (c->id == 0)
			apic_send_to(1, VEC);
		while (c->irq.count < n)
			sti_hlt();
		if (c->id == 1)
			apic_send_to(0, VEC);
	}
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.count, c->id < 2 ? rounds / 2 : 0);
}

static void test_ping_pong_asleep(void)
{
	if (!alone())
		on_all(ping_pong_asleep);
}

/* Around the ring of all, each asleep until its turn. */
static void ring(void *arg)
{
	struct cpu *c = this_cpu();
	unsigned laps = rounds / 4 / smp_count + 1;

	begin();
	cli();
	if (c->id == 0)
		apic_send_to(1 % smp_count, VEC);
	for (unsigned n = 1; n <= laps; n++) {
		while (c->irq.count < n)
			sti_hlt();
		if (c->id || n < laps)
			apic_send_to((c->id + 1) % smp_count, VEC);
	}
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.count, laps);
}

static void test_ring(void)
{
	on_all(ring);
}

/* ---- broadcasts ------------------------------------------------------------------------- */

static _Atomic unsigned acknowledged;

static void acknowledge(unsigned vector)
{
	atomic_fetch_add(&acknowledged, 1);
}

static void wait_acknowledged(unsigned count)
{
	struct spin s = { .what = "acknowledgements" };

	while (atomic_load(&acknowledged) < count)
		spin_wait(&s);
}

static void broadcast(void *arg)
{
	struct cpu *c = this_cpu();
	unsigned n = rounds / 8 + 1;

	begin();
	c->irq.action = acknowledge;
	barrier_wait(&everybody);
	for (unsigned i = 0; c->id == 0 && i < n; i++) {
		unsigned before = acknowledged;

		apic_send(APIC_TO_OTHERS | VEC);
		wait_acknowledged(before + smp_count - 1);
		apic_send(APIC_TO_ALL | (VEC + 1));
		wait_acknowledged(before + 2 * smp_count - 1);
		apic_send_to(0xff, VEC + 2);
		wait_acknowledged(before + 3 * smp_count - 1);
	}
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.of_vector[VEC], c->id ? n : 0);
	CPU_CHECK_EQ(c->irq.of_vector[VEC + 1], n);
	CPU_CHECK_EQ(c->irq.of_vector[VEC + 2], n);
}

static void test_broadcast(void)
{
	on_all(broadcast);
}

/* Everybody interrupts everybody; equal vectors may merge while they wait, different ones never. */
static void crossfire(void *arg)
{
	struct cpu *c = this_cpu();

	begin();
	for (unsigned i = 0; i < rounds / 8 + 1; i++) {
		apic_send(APIC_TO_ALL | (0x40 + c->id));
		for (unsigned from = 0; from < smp_count; from++)
			wait_vector(0x40 + from, i + 1);
		barrier_wait(&everybody);
	}
	CPU_CHECK_EQ(c->irq.count, smp_count * (rounds / 8 + 1));
}

static void test_crossfire(void)
{
	on_all(crossfire);
}

/* All 200-odd vectors at one that has its interrupts off: all arrive, highest first. */
static void flood(void *arg)
{
	struct cpu *c = this_cpu();

	begin();
	cli();
	barrier_wait(&everybody);
	if (c->id == 0)
		for (unsigned v = 0x20; v < 0xf8; v++)
			if (v != VEC_USER_RETURN)
				apic_send(APIC_TO_ALL | v);
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.count, 0);
	sti();
	cpu_irq_wait(0xf8 - 0x20 - 1);
	cli();
	for (unsigned v = 0x20; v < 0xf8; v++)
		CPU_CHECK_EQ(c->irq.of_vector[v], v != VEC_USER_RETURN);
	/* The newest of the log are the lowest vectors, in order. */
	for (unsigned i = 1; i < IRQ_LOG_SIZE; i++)
		CPU_CHECK_EQ(c->irq.log[(c->irq.count - i) % IRQ_LOG_SIZE], 0x20 + i - 1);
}

static void test_flood(void)
{
	on_all(flood);
}

/* ---- NMIs --------------------------------------------------------------------------------- */

static void wait_nmis(unsigned count)
{
	struct spin s = { .what = "an NMI" };

	while (this_cpu()->irq.nmis < count)
		spin_wait(&s);
}

static void nmis(void *arg)
{
	struct cpu *c = this_cpu();
	unsigned n = rounds / 8 + 1;

	begin();
	cli(); /* which holds no NMI back */
	barrier_wait(&everybody);
	for (unsigned i = 1; i <= n; i++) {
		if (c->id == 0)
			apic_send(APIC_TO_OTHERS | APIC_NMI);
		else
			wait_nmis(i);
		barrier_wait(&everybody);
	}
	CPU_CHECK_EQ(c->irq.nmis, c->id ? n : 0);
	CPU_CHECK_EQ(c->irq.count, 0);
	CPU_CHECK(c->irq.nmi_depth_max <= 1);
}

static void test_nmi(void)
{
	on_all(nmis);
}

/*
 * The NMI may also come right before the HLT, which it then does not end: a timer does, seldom.  It
 * is late when the timer had to end a sleep in which the NMI came, too.
 */
static bool sleep_for_nmi(struct cpu *c, unsigned round)
{
	unsigned timers = c->irq.count, nmis = c->irq.nmis;

	apic_timer(VEC, APIC_DIVIDE_BY_1, NAP);
	atomic_store(&c->progress, round);
	sti_hlt();
	return c->irq.count != timers && c->irq.nmis != nmis;
}

static void nmi_wakes(void *arg)
{
	struct spin s = { .what = "the sleeper" };
	struct cpu *c = this_cpu();
	unsigned n = rounds / 16 + 1, late = 0;

	begin();
	cli();
	for (unsigned i = 1; i <= n; i++) {
		barrier_wait(&everybody);
		while (c->id == 1 && atomic_load(&smp_cpu[0]->progress) < i)
			spin_wait(&s);
		if (c->id == 1) {
			irq_spend(200000);
			apic_send_to(0, APIC_NMI);
		}
		while (c->id == 0 && c->irq.nmis < i)
			late += sleep_for_nmi(c, i);
	}
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.nmis, c->id ? 0 : n);
	CPU_CHECK(late <= n / 2 + 1);
}

static void test_nmi_wakes(void)
{
	if (!alone())
		on_all(nmi_wakes);
}

/* ---- destinations ----------------------------------------------------------------------------- */

/* Number 0 sends; who got it is compared with the mask. */
static void expect_at(unsigned vector, uint64_t mask)
{
	struct spin s = { .what = "an IPI at its destination" };

	for (unsigned i = 0; i < smp_count; i++)
		while (mask >> i & 1 && !got(i, vector))
			spin_wait(&s);
	irq_spend(20000);
	for (unsigned i = 0; i < smp_count; i++)
		CPU_CHECK_EQ(got(i, vector), mask >> i & 1);
}

static void physical(void *arg)
{
	begin();
	barrier_wait(&everybody);
	if (this_cpu()->id == 0) {
		for (unsigned i = 0; i < smp_count; i++) {
			apic_send_to(i, 0x40 + i);
			expect_at(0x40 + i, 1ull << i);
		}
		apic_send_to(smp_count, VEC + 64); /* nobody */
		expect_at(VEC + 64, 0);
	}
	barrier_wait(&everybody);
}

static void test_physical(void)
{
	on_all(physical);
}

static uint64_t flat_mask(unsigned dest)
{
	return dest & smp_all() & 0xff;
}

static void flat(void *arg)
{
	unsigned id = this_cpu()->id;

	begin();
	if (id < 8)
		apic_write(APIC_LDR, 1u << (24 + id));
	barrier_wait(&everybody);
	for (unsigned n = 0; id == 0 && n < 40; n++) {
		unsigned dest = n < 8 ? 1u << n : cpu_random_below(255);

		apic_send_to(dest, APIC_LOGICAL | (0x40 + n));
		expect_at(0x40 + n, flat_mask(dest));
	}
	barrier_wait(&everybody);
}

static void test_logical_flat(void)
{
	on_all(flat);
}

/* Four to a cluster, so that with eight there are two. */
static uint64_t cluster_mask(unsigned dest)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < smp_count && i < 60; i++)
		if (dest >> 4 == i / 4 && dest >> (i % 4) & 1)
			mask |= 1ull << i;
	return mask;
}

static void cluster(void *arg)
{
	unsigned id = this_cpu()->id;

	begin();
	apic_write(APIC_DFR, DFR_CLUSTER);
	apic_write(APIC_LDR, id < 60 ? (id / 4) << 28 | 1u << (24 + id % 4) : 0);
	barrier_wait(&everybody);
	for (unsigned n = 0; id == 0 && n < 40; n++) {
		unsigned dest = n < 4 ? 1u << n : cpu_random_below(0x40);

		apic_send_to(dest, APIC_LOGICAL | (0x40 + n));
		expect_at(0x40 + n, cluster_mask(dest));
	}
	barrier_wait(&everybody);
}

static void test_logical_cluster(void)
{
	on_all(cluster);
}

/* Exactly one of those that it is for. */
static void lowest(void *arg)
{
	unsigned id = this_cpu()->id;

	begin();
	if (id < 8)
		apic_write(APIC_LDR, 1u << (24 + id));
	barrier_wait(&everybody);
	for (unsigned n = 0; id == 0 && n < 20; n++) {
		unsigned dest = cpu_random_below(255), sum = 0;

		apic_send_to(dest, APIC_LOGICAL | LOWEST_PRIORITY | (0x40 + n));
		irq_spend(50000);
		for (unsigned i = 0; i < smp_count; i++) {
			sum += got(i, 0x40 + n);
			if (got(i, 0x40 + n))
				CPU_CHECK(flat_mask(dest) >> i & 1);
		}
		if (!flat_mask(dest)) {
			CPU_CHECK_EQ(sum, 0);
			continue;
		}
		struct spin s = { .what = "a lowest-priority interrupt" };

		while (!sum)
			for (unsigned i = 0; i < smp_count; i++, spin_wait(&s))
				sum += got(i, 0x40 + n);
		CPU_CHECK_EQ(sum, 1);
	}
	barrier_wait(&everybody);
}

static void test_lowest_priority(void)
{
	on_all(lowest);
}

/* ---- priorities ------------------------------------------------------------------------------- */

static void priorities(void *arg)
{
	struct cpu *c = this_cpu();
	static const uint8_t order[] = { 0xe1, 0x93, 0x92, 0x61, 0x41 };

	begin();
	if (c->id == 0)
		apic_write(APIC_TPR, 0x95);
	barrier_wait(&everybody);
	if (c->id == smp_count - 1)
		for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
			apic_send_to(0, order[ARRAY_SIZE(order) - 1 - i]);
	barrier_wait(&everybody);
	if (c->id == 0) {
		cpu_irq_wait(1);
		irq_spend(20000);
		CPU_CHECK_EQ(c->irq.count, 1); /* 0x9x are not above the TPR's class */
		CPU_CHECK(apic_bit(APIC_IRR, 0x93) && apic_bit(APIC_IRR, 0x41));
		apic_write(APIC_TPR, 0x60);
		cpu_irq_wait(3);
		irq_spend(20000);
		CPU_CHECK_EQ(c->irq.count, 3);
		apic_write(APIC_TPR, 0);
		cpu_irq_wait(5);
		for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
			CPU_CHECK_EQ(c->irq.log[i], order[i]);
	}
	barrier_wait(&everybody);
}

static void test_priorities(void)
{
	on_all(priorities);
}

/* A handler with interrupts on is interrupted by higher classes only. */
static _Atomic unsigned depth, depth_max, stage;

static void nested(unsigned vector)
{
	struct spin s = { .what = "the nested interrupt" };
	unsigned d = atomic_fetch_add(&depth, 1) + 1;

	if (d > depth_max)
		atomic_store(&depth_max, d);
	if (vector == 0x61) {
		atomic_store(&stage, 1);
		sti();
		while (this_cpu()->irq.of_vector[0x71] < 1)
			spin_wait(&s);
		irq_spend(20000);
		cli();
		CPU_CHECK_EQ(this_cpu()->irq.of_vector[0x62], 0); /* the same class waits */
		CPU_CHECK(apic_bit(APIC_ISR, 0x61));
		CPU_CHECK(!apic_bit(APIC_ISR, 0x71));
	}
	atomic_fetch_sub(&depth, 1);
}

static void nesting(void *arg)
{
	struct cpu *c = this_cpu();
	struct spin s = { .what = "the handler" };

	begin();
	if (c->id == 0)
		c->irq.action = nested;
	barrier_wait(&everybody);
	if (c->id == 1) {
		apic_send_to(0, 0x61);
		while (!atomic_load(&stage))
			spin_wait(&s);
		apic_send_to(0, 0x62);
		apic_send_to(0, 0x71);
	}
	if (c->id == 0) {
		cpu_irq_wait(3);
		CPU_CHECK_EQ(c->irq.of_vector[0x62], 1);
		CPU_CHECK_EQ(depth_max, 2);
	}
	barrier_wait(&everybody);
}

static void test_nesting(void)
{
	if (alone())
		return;
	depth = depth_max = stage = 0;
	on_all(nesting);
}

/* ---- errors -------------------------------------------------------------------------------------- */

static uint32_t esr(void)
{
	apic_write(APIC_ESR, 0);
	return apic_read(APIC_ESR);
}

/* A vector below 16: the sender's error. */
static void bad_vector(void *arg)
{
	begin();
	barrier_wait(&everybody);
	if (this_cpu()->id == 0) {
		apic_send(APIC_TO_OTHERS | 3);
		CPU_CHECK_EQ(esr() & ~0x40u, 0x20);
		CPU_CHECK_EQ(esr(), 0);
	}
	irq_spend(20000);
	barrier_wait(&everybody);
	CPU_CHECK_EQ(this_cpu()->irq.count, 0);
}

static void test_bad_vector(void)
{
	if (ktap_need_phyllo()) /* QEMU's knows no such error */
		on_all(bad_vector);
}

/* One that is software-disabled takes NMIs and INIT, but no interrupts. */
static void disabled(void *arg)
{
	struct cpu *c = this_cpu();

	begin();
	if (c->id == 1)
		apic_write(APIC_SVR, 0xff);
	barrier_wait(&everybody);
	if (c->id == 0) {
		apic_send_to(1, VEC);
		apic_send_to(1, APIC_NMI);
	}
	if (c->id == 1)
		wait_nmis(1);
	irq_spend(50000);
	barrier_wait(&everybody);
	CPU_CHECK_EQ(c->irq.count, 0);
	if (c->id == 1)
		apic_write(APIC_SVR, APIC_SVR_ON);
	irq_spend(20000);
	CPU_CHECK_EQ(c->irq.count, 0); /* it is gone, not late */
	barrier_wait(&everybody);
}

static void test_disabled(void)
{
	if (!alone() && ktap_need_phyllo())
		on_all(disabled);
}

static void test_audit(void)
{
	if (ktap_need_phyllo())
		CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_ping_pong), KTAP(test_ping_pong_asleep), KTAP(test_ring), KTAP(test_broadcast),
	KTAP(test_crossfire), KTAP(test_flood), KTAP(test_nmi), KTAP(test_nmi_wakes),
	KTAP(test_physical), KTAP(test_logical_flat), KTAP(test_logical_cluster),
	KTAP(test_lowest_priority), KTAP(test_priorities), KTAP(test_nesting),
	KTAP(test_bad_vector), KTAP(test_disabled), KTAP(test_audit),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", 2000);
	smp_init();
	smp_start_all();
	printf("# %u processors, %u rounds\n", smp_count, rounds);
	return KTAP_MAIN(tests);
}
