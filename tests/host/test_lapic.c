/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual local APIC: each register by the manual, then long random runs against a model
 * that is too simple to be wrong: bits in arrays, and a timer that counts cycle by cycle.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/host/ktap.h"
#include "vmm/lapic.h"
#include "vmm/pic.h"

static struct lapic apic;
static uint64_t now;

static uint32_t get(unsigned reg)
{
	return lapic_read(&apic, reg, now);
}

static bool put(unsigned reg, uint32_t value)
{
	return lapic_write(&apic, reg, value, now);
}

static void fresh(void)
{
	memset(&apic, 0xa5, sizeof(apic));
	now = 1000000;
	lapic_init(&apic, 3, false);
	put(LAPIC_SVR, 0x1ff);
}

static bool bit(unsigned array, unsigned vector)
{
	return get(array + vector / 32 * 16) >> vector % 32 & 1;
}

/* The processor looks: the vector that it takes, or -1. */
static int take(void)
{
	int vector = lapic_pending(&apic);

	if (vector >= 0)
		lapic_acknowledge(&apic, (uint8_t)vector);
	return vector;
}

static uint32_t errors(void)
{
	put(LAPIC_ESR, 0);
	return get(LAPIC_ESR);
}

/* ---- registers ---------------------------------------------------------------------- */

/* The processor took it, and its delivery failed: as if it had not. */
static void test_put_back(void)
{
	fresh();
	lapic_accept(&apic, 0x41);
	CHECK_EQ(take(), 0x41);
	lapic_accept(&apic, 0x42);
	CHECK_EQ(take(), -1);
	lapic_put_back(&apic, 0x41);
	CHECK(!bit(LAPIC_ISR, 0x41));
	CHECK_EQ(take(), 0x42);
	put(LAPIC_EOI, 0);
	CHECK_EQ(take(), 0x41);
	put(LAPIC_EOI, 0);
}

static void test_reset_state(void)
{
	memset(&apic, 0xa5, sizeof(apic));
	lapic_init(&apic, 3, true);
	CHECK_EQ(apic.base, 0xfee00900);
	CHECK(lapic_is_enabled(&apic));
	CHECK_EQ(get(LAPIC_ID), 3u << 24);
	CHECK_EQ(get(LAPIC_VERSION), 0x50014);
	CHECK_EQ(get(LAPIC_SVR), 0xff);
	CHECK_EQ(get(LAPIC_DFR), 0xffffffff);
	for (unsigned reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 16)
		CHECK_EQ(get(reg), 0x10000);
	static const unsigned zero[] = { LAPIC_TPR, LAPIC_APR, LAPIC_PPR, LAPIC_EOI, LAPIC_RRD,
					 LAPIC_LDR, LAPIC_ESR, LAPIC_ICR_LOW, LAPIC_ICR_HIGH,
					 LAPIC_TIMER_INITIAL, LAPIC_TIMER_CURRENT,
					 LAPIC_TIMER_DIVIDE };

	for (unsigned i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
		CHECK_EQ(get(zero[i]), 0);
	for (unsigned i = 0; i < 24; i++)
		CHECK_EQ(get(LAPIC_ISR + i * 16), 0);
	lapic_init(&apic, 3, false);
	CHECK_EQ(apic.base, 0xfee00800);
}

static void test_writable_bits(void)
{
	static const struct {
		unsigned reg;
		uint32_t bits, ones;
	} regs[] = {
		{ LAPIC_TPR, 0xff, 0 },
		{ LAPIC_LDR, 0xff000000, 0 },
		{ LAPIC_DFR, 0xf0000000, 0x0fffffff },
		{ LAPIC_ICR_HIGH, 0xff000000, 0 },
		{ LAPIC_ICR_LOW, 0x000ccfff, 0 },
		{ LAPIC_LVT_THERMAL, 0x107ff, 0 },
		{ LAPIC_LVT_PERF, 0x107ff, 0 },
		{ LAPIC_LVT_LINT0, 0x1a7ff, 0 },
		{ LAPIC_LVT_LINT1, 0x1a7ff, 0 },
		{ LAPIC_LVT_ERROR, 0x100ff, 0 },
		{ LAPIC_LVT_TIMER, 0x300ff, 0 },
		{ LAPIC_TIMER_INITIAL, 0xffffffff, 0 },
		{ LAPIC_TIMER_DIVIDE, 0xb, 0 },
		{ LAPIC_SVR, 0x3ff, 0 },
	};

	fresh();
	for (unsigned i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		CHECK_EQ(put(regs[i].reg, 0xffffffff), regs[i].reg == LAPIC_ICR_LOW);
		CHECK_EQ(get(regs[i].reg), regs[i].bits | regs[i].ones);
		if (regs[i].reg == LAPIC_SVR)
			continue;
		put(regs[i].reg, 0);
		CHECK_EQ(get(regs[i].reg), regs[i].ones);
	}
	CHECK_EQ(errors(), 0);
}

static void test_read_only(void)
{
	static const unsigned regs[] = { LAPIC_ID,  LAPIC_VERSION, LAPIC_APR,      LAPIC_PPR,
					 LAPIC_RRD, LAPIC_ISR,     LAPIC_TMR + 16, LAPIC_IRR + 112,
					 LAPIC_TIMER_CURRENT };

	fresh();
	for (unsigned i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		uint32_t value = get(regs[i]);

		put(regs[i], ~value);
		CHECK_EQ(get(regs[i]), value);
	}
	CHECK_EQ(errors(), 0);
}

static void test_errors(void)
{
	fresh();
	CHECK_EQ(get(0x40), 0);
	put(0x3f0, 1);
	CHECK_EQ(get(LAPIC_ESR), 0); /* not before it is latched */
	CHECK_EQ(errors(), LAPIC_ERROR_REGISTER);
	CHECK_EQ(errors(), 0);
	lapic_accept(&apic, 15);
	CHECK_EQ(errors(), LAPIC_ERROR_RECEIVE_VECTOR);
	put(LAPIC_LVT_ERROR, 0x55);
	get(0);
	CHECK_EQ(take(), 0x55);
	get(0x10); /* not armed: no second interrupt */
	put(LAPIC_EOI, 0);
	CHECK_EQ(take(), -1);
	CHECK_EQ(errors(), LAPIC_ERROR_REGISTER);
	get(0x10);
	CHECK_EQ(take(), 0x55);
	/* An error vector that is an error itself ends there. */
	fresh();
	put(LAPIC_LVT_ERROR, 7);
	get(0);
	CHECK_EQ(take(), -1);
	CHECK_EQ(errors(), LAPIC_ERROR_REGISTER);
}

static void test_software_disable(void)
{
	fresh();
	put(LAPIC_LVT_TIMER, 0x40);
	lapic_accept(&apic, 0x50);
	put(LAPIC_SVR, 0xff);
	for (unsigned reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 16)
		CHECK(get(reg) & LAPIC_LVT_MASKED);
	put(LAPIC_LVT_TIMER, 0x40);
	CHECK_EQ(get(LAPIC_LVT_TIMER), 0x10040);
	lapic_accept(&apic, 0x60);
	CHECK(!bit(LAPIC_IRR, 0x60));
	CHECK(bit(LAPIC_IRR, 0x50)); /* what it had, it keeps */
	CHECK_EQ(take(), 0x50);
}

static void test_hardware_disable(void)
{
	struct lapic_ipi ipi = { .shorthand = 2 };

	fresh();
	lapic_accept(&apic, 0x50);
	put(LAPIC_TIMER_INITIAL, 100);
	put(LAPIC_LVT_TIMER, 0x40);
	apic.base &= ~LAPIC_BASE_ENABLE;
	CHECK_EQ(take(), -1);
	CHECK(!lapic_is_addressed(lapic_address(&apic), &ipi, true));
	CHECK(lapic_timer_deadline(&apic) == LAPIC_NEVER);
	lapic_reset(&apic);
	CHECK_EQ(apic.base, 0xfee00000);
	CHECK_EQ(apic.id, 3);
	CHECK(!bit(LAPIC_IRR, 0x50));
}

/* ---- priorities ----------------------------------------------------------------------- */

static void test_order(void)
{
	fresh();
	lapic_accept(&apic, 0x31);
	lapic_accept(&apic, 0xff);
	lapic_accept(&apic, 0x45);
	lapic_accept(&apic, 0x10);
	CHECK_EQ(take(), 0xff);
	CHECK_EQ(take(), -1);
	put(LAPIC_EOI, 0);
	CHECK_EQ(take(), 0x45);
	lapic_accept(&apic, 0x4f); /* the same class waits */
	CHECK_EQ(take(), -1);
	lapic_accept(&apic, 0x50);
	CHECK_EQ(take(), 0x50);
	CHECK_EQ(get(LAPIC_PPR), 0x50);
	put(LAPIC_EOI, 0);
	CHECK_EQ(get(LAPIC_PPR), 0x40);
	CHECK_EQ(take(), -1);
	put(LAPIC_EOI, 0);
	CHECK_EQ(take(), 0x4f);
	put(LAPIC_EOI, 0);
	CHECK_EQ(take(), 0x31);
	put(LAPIC_EOI, 0);
	CHECK_EQ(take(), 0x10);
	put(LAPIC_EOI, 0);
	put(LAPIC_EOI, 0); /* of nothing */
	CHECK_EQ(take(), -1);
}

static void test_tpr(void)
{
	fresh();
	lapic_accept(&apic, 0x5f);
	CHECK(!lapic_held_by_tpr(&apic));
	put(LAPIC_TPR, 0x50);
	CHECK_EQ(lapic_pending(&apic), -1);
	CHECK(lapic_held_by_tpr(&apic));
	CHECK_EQ(get(LAPIC_PPR), 0x50);
	put(LAPIC_TPR, 0x4f);
	CHECK_EQ(lapic_pending(&apic), 0x5f);
	CHECK_EQ(get(LAPIC_PPR), 0x4f);
	CHECK_EQ(take(), 0x5f);
	CHECK_EQ(get(LAPIC_PPR), 0x50);
	put(LAPIC_TPR, 0x53);
	CHECK_EQ(get(LAPIC_PPR), 0x53);
	/* What is in service holds it, not the TPR. */
	put(LAPIC_TPR, 0xf0);
	lapic_accept(&apic, 0x51);
	CHECK(!lapic_held_by_tpr(&apic));
	put(LAPIC_EOI, 0);
	CHECK(lapic_held_by_tpr(&apic));
}

/* ---- timer ------------------------------------------------------------------------------ */

static void test_timer_one_shot(void)
{
	fresh();
	put(LAPIC_LVT_TIMER, 0x40);
	put(LAPIC_TIMER_DIVIDE, 0xb);
	put(LAPIC_TIMER_INITIAL, 1000);
	CHECK_EQ(lapic_timer_deadline(&apic), now + 1000);
	now += 999;
	CHECK_EQ(get(LAPIC_TIMER_CURRENT), 1);
	CHECK_EQ(take(), -1);
	now += 1;
	CHECK_EQ(get(LAPIC_TIMER_CURRENT), 0);
	CHECK_EQ(take(), 0x40);
	CHECK(lapic_timer_deadline(&apic) == LAPIC_NEVER);
	CHECK_EQ(get(LAPIC_TIMER_INITIAL), 1000);
	put(LAPIC_EOI, 0);
	now += 100000;
	get(LAPIC_TPR);
	CHECK_EQ(take(), -1);
}

static void test_timer_periodic(void)
{
	fresh();
	put(LAPIC_LVT_TIMER, 0x20040);
	put(LAPIC_TIMER_DIVIDE, 0);
	put(LAPIC_TIMER_INITIAL, 50);
	uint64_t start = now;

	for (unsigned i = 1; i <= 10; i++) {
		now = start + 100 * i;
		get(LAPIC_TPR);
		CHECK_EQ(take(), 0x40);
		put(LAPIC_EOI, 0);
		CHECK_EQ(lapic_timer_deadline(&apic), start + 100 * i + 100);
	}
	/* Missed periods are one interrupt, and the phase stays. */
	now = start + 5051;
	CHECK_EQ(get(LAPIC_TIMER_CURRENT), 50 - 25);
	CHECK_EQ(take(), 0x40);
	put(LAPIC_EOI, 0);
	CHECK_EQ(take(), -1);
	CHECK_EQ(lapic_timer_deadline(&apic), start + 5100);
	put(LAPIC_TIMER_INITIAL, 0);
	CHECK(lapic_timer_deadline(&apic) == LAPIC_NEVER);
	now += 1000;
	CHECK_EQ(get(LAPIC_TIMER_CURRENT), 0);
	CHECK_EQ(take(), -1);
}

static void test_timer_divide(void)
{
	static const uint8_t codes[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };

	fresh();
	for (unsigned i = 0; i < 8; i++) {
		put(LAPIC_TIMER_DIVIDE, codes[i]);
		put(LAPIC_TIMER_INITIAL, 0xffffffff);
		now += 5 << i;
		CHECK_EQ(get(LAPIC_TIMER_CURRENT), 0xffffffff - 5);
		now += (1 << i) - 1;
		CHECK_EQ(get(LAPIC_TIMER_CURRENT), 0xffffffff - 5);
		put(LAPIC_LVT_TIMER, 0x40);
		CHECK_EQ(lapic_timer_deadline(&apic),
			 now - (6 << i) + 1 + ((uint64_t)0xffffffff << i));
	}
	/* Changed while it runs: the count stays. */
	put(LAPIC_TIMER_DIVIDE, 0xb);
	put(LAPIC_TIMER_INITIAL, 1000);
	now += 400;
	put(LAPIC_TIMER_DIVIDE, 3);
	CHECK_EQ(get(LAPIC_TIMER_CURRENT), 600);
	CHECK_EQ(lapic_timer_deadline(&apic), now + 9600);
}

static void test_timer_masked(void)
{
	fresh();
	put(LAPIC_TIMER_DIVIDE, 0xb);
	put(LAPIC_TIMER_INITIAL, 100);
	CHECK(lapic_timer_deadline(&apic) == LAPIC_NEVER);
	now += 100;
	put(LAPIC_LVT_TIMER, 0x40); /* too late for that expiry */
	CHECK_EQ(take(), -1);
	put(LAPIC_LVT_TIMER, 5);
	put(LAPIC_TIMER_INITIAL, 100);
	now += 100;
	get(LAPIC_TPR);
	CHECK_EQ(errors(), LAPIC_ERROR_RECEIVE_VECTOR);
}

/* A TSC that goes back a little, as another CPU's may, is no expiry and no overflow. */
static void test_timer_clock_goes_back(void)
{
	fresh();
	put(LAPIC_TIMER_DIVIDE, 0xb);
	put(LAPIC_LVT_TIMER, 0x40);
	put(LAPIC_TIMER_INITIAL, 100);
	now -= 50;
	CHECK_EQ(get(LAPIC_TIMER_CURRENT), 100);
	CHECK_EQ(take(), -1);
}

/* ---- random runs against the simple model ---------------------------------------------------- */

static struct {
	bool irr[256], isr[256];
	uint32_t svr, tpr, timer_lvt, error_lvt, initial, divide, errors, esr;
	uint64_t cycles_left;
} m;

static void model_accept(unsigned vector);

static void model_error(uint32_t bits)
{
	bool armed = !m.errors;

	m.errors |= bits;
	if (armed && !(m.error_lvt >> 16) && (m.error_lvt & 0xff) >= 16)
		model_accept(m.error_lvt & 0xff);
}

static void model_accept(unsigned vector)
{
	if (!(m.svr >> 8 & 1))
		return;
	if (vector < 16)
		model_error(LAPIC_ERROR_RECEIVE_VECTOR);
	else
		m.irr[vector] = true;
}

static int model_highest(const bool bits[256])
{
	for (int v = 255; v >= 0; v--)
		if (bits[v])
			return v;
	return -1;
}

static uint32_t model_ppr(void)
{
	int in_service = model_highest(m.isr);

	if (in_service < 0 || m.tpr / 16 >= (uint32_t)in_service / 16)
		return m.tpr;
	return (uint32_t)in_service / 16 * 16;
}

static int model_pending(void)
{
	int vector = model_highest(m.irr);

	return vector >= 0 && (uint32_t)vector / 16 > model_ppr() / 16 ? vector : -1;
}

static uint64_t model_divisor(void)
{
	static const uint8_t divisors[] = { 2, 4, 8, 16, 32, 64, 128, 1 };

	return divisors[(m.divide & 3) | (m.divide & 8) >> 1];
}

static uint32_t model_current(void)
{
	return (uint32_t)((m.cycles_left + model_divisor() - 1) / model_divisor());
}

static void model_cycle(void)
{
	if (!m.cycles_left || --m.cycles_left)
		return;
	if (m.timer_lvt & LAPIC_LVT_PERIODIC)
		m.cycles_left = m.initial * model_divisor();
	if (!(m.timer_lvt & LAPIC_LVT_MASKED))
		model_accept(m.timer_lvt & 0xff);
}

static void model_write(unsigned reg, uint32_t value)
{
	uint32_t masked = m.svr & 0x100 ? 0 : LAPIC_LVT_MASKED, current = model_current();

	switch (reg) {
	case LAPIC_TPR:
		m.tpr = value & 0xff;
		break;
	case LAPIC_EOI:
		if (model_highest(m.isr) >= 0)
			m.isr[model_highest(m.isr)] = false;
		break;
	case LAPIC_SVR:
		m.svr = value & 0x3ff;
		if (!(m.svr & 0x100)) {
			m.timer_lvt |= LAPIC_LVT_MASKED;
			m.error_lvt |= LAPIC_LVT_MASKED;
		}
		break;
	case LAPIC_LVT_TIMER:
		m.timer_lvt = (value & 0x300ff) | masked;
		break;
	case LAPIC_LVT_ERROR:
		m.error_lvt = (value & 0x100ff) | masked;
		break;
	case LAPIC_TIMER_INITIAL:
		m.initial = value;
		m.cycles_left = value * model_divisor();
		break;
	case LAPIC_TIMER_DIVIDE:
		m.divide = value & 0xb;
		m.cycles_left = current * model_divisor();
		break;
	case LAPIC_ESR:
		m.esr = m.errors;
		m.errors = 0;
		break;
	}
}

static void both_write(unsigned reg, uint32_t value)
{
	put(reg, value);
	model_write(reg, value);
}

static bool same(void)
{
	for (unsigned v = 0; v < 256; v++)
		if (bit(LAPIC_IRR, v) != m.irr[v] || bit(LAPIC_ISR, v) != m.isr[v])
			return false;
	return get(LAPIC_TPR) == m.tpr && get(LAPIC_PPR) == model_ppr() &&
	       get(LAPIC_SVR) == m.svr && get(LAPIC_LVT_TIMER) == m.timer_lvt &&
	       get(LAPIC_LVT_ERROR) == m.error_lvt && get(LAPIC_ESR) == m.esr &&
	       get(LAPIC_TIMER_INITIAL) == m.initial &&
	       get(LAPIC_TIMER_CURRENT) == model_current() &&
	       lapic_pending(&apic) == model_pending();
}

static uint32_t rnd(uint32_t below)
{
	return (uint32_t)random() % below;
}

static void random_step(void)
{
	unsigned vector = rnd(8) ? rnd(256) : rnd(20);

	switch (rnd(14)) {
	case 0: case 1: case 2:
		lapic_accept(&apic, (uint8_t)vector);
		model_accept(vector);
		break;
	case 3: case 4:
		if (take() >= 0) {
			int taken = model_pending();

			if (taken < 0)
				break; /* same() will tell */
			m.irr[taken] = false;
			m.isr[taken] = true;
		}
		break;
	case 5: case 6:
		both_write(LAPIC_EOI, 0);
		break;
	case 7:
		both_write(LAPIC_TPR, rnd(2) ? 0 : rnd(256));
		break;
	case 8:
		both_write(LAPIC_LVT_TIMER, rnd(4) << 16 | vector);
		break;
	case 9:
		both_write(LAPIC_TIMER_INITIAL, rnd(4) ? rnd(300) : 0);
		break;
	case 10:
		both_write(LAPIC_TIMER_DIVIDE, rnd(16));
		break;
	case 11:
		both_write(LAPIC_LVT_ERROR, rnd(2) << 16 | vector);
		break;
	case 12:
		both_write(LAPIC_ESR, 0);
		break;
	case 13:
		both_write(LAPIC_SVR, rnd(6) ? 0x1ff : rnd(1024));
		break;
	}
}

static void test_random(void)
{
	for (unsigned seed = 1; seed <= 20; seed++) {
		srandom(seed);
		fresh();
		memset(&m, 0, sizeof(m));
		m.svr = 0x1ff;
		m.timer_lvt = m.error_lvt = LAPIC_LVT_MASKED;
		for (unsigned step = 0; step < 5000; step++) {
			random_step();
			for (unsigned n = rnd(3) ? rnd(60) : rnd(600); n; n--) {
				now++;
				model_cycle();
			}
			get(LAPIC_TPR); /* the clock alone moves nothing */
			if (!same()) {
				ktap_fail(__FILE__, __LINE__, "seed %u step %u differs", seed,
					  step);
				return;
			}
		}
	}
}

/* ---- the 8259s ---------------------------------------------------------------------------- */

static void test_pic(void)
{
	struct pic_pair p;

	pic_reset(&p);
	CHECK(pic_owns(0x20) && pic_owns(0x21) && pic_owns(0xa0) && pic_owns(0xa1));
	CHECK(!pic_owns(0x22) && !pic_owns(0x120) && !pic_owns(0xa2) && !pic_owns(0x1f));
	CHECK_EQ(pic_read(&p, 0x21), 0xff);
	pic_write(&p, 0x21, 0x12);
	pic_write(&p, 0xa1, 0x34);
	CHECK_EQ(pic_read(&p, 0x21), 0x12);
	CHECK_EQ(pic_read(&p, 0xa1), 0x34);
	CHECK_EQ(pic_read(&p, 0x20), 0);
	pic_write(&p, 0x20, 0x20); /* an EOI changes nothing */
	CHECK_EQ(pic_read(&p, 0x21), 0x12);
	static const struct {
		uint8_t icw1, words;
	} inits[] = { { 0x10, 2 }, { 0x11, 3 }, { 0x12, 1 }, { 0x13, 2 } };

	for (unsigned i = 0; i < 4; i++) {
		pic_write(&p, 0xa0, inits[i].icw1);
		for (unsigned n = 0; n < inits[i].words; n++)
			pic_write(&p, 0xa1, 0x55);
		CHECK_EQ(pic_read(&p, 0xa1), 0);
		pic_write(&p, 0xa1, 0xaa);
		CHECK_EQ(pic_read(&p, 0xa1), 0xaa);
	}
	CHECK_EQ(pic_read(&p, 0x21), 0x12);
}

static const struct ktap_test tests[] = {
	KTAP(test_reset_state), KTAP(test_put_back),
	KTAP(test_writable_bits),
	KTAP(test_read_only),
	KTAP(test_errors),
	KTAP(test_software_disable),
	KTAP(test_hardware_disable),
	KTAP(test_order),
	KTAP(test_tpr),
	KTAP(test_timer_one_shot),
	KTAP(test_timer_periodic),
	KTAP(test_timer_divide),
	KTAP(test_timer_masked),
	KTAP(test_timer_clock_goes_back),
	KTAP(test_random),
	KTAP(test_pic),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
