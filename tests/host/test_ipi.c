/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interprocessor interrupts: what the ICR says, who is addressed, what becomes of it.  The local
 * APICs and ipi.c are the real ones; what is posted to whom is written down here.
 */
#include <string.h>

#include "tests/host/ktap.h"
#include "vmm/intr.h"
#include "vmm/ipi.h"
#include "vmm/vm.h"

static struct lapic apic;

static uint32_t get(unsigned reg)
{
	return lapic_read(&apic, reg, 0);
}

static bool put(unsigned reg, uint32_t value)
{
	return lapic_write(&apic, reg, value, 0);
}

static void fresh(void)
{
	memset(&apic, 0xa5, sizeof(apic));
	lapic_init(&apic, 3, false);
	put(LAPIC_SVR, 0x1ff);
}

static bool bit(unsigned array, unsigned vector)
{
	return get(array + vector / 32 * 16) >> vector % 32 & 1;
}

static uint32_t errors(void)
{
	put(LAPIC_ESR, 0);
	return get(LAPIC_ESR);
}

/* ---- ICR ----------------------------------------------------------------------------------- */

static struct lapic_ipi icr(uint32_t high, uint32_t low)
{
	struct lapic_ipi ipi;

	put(LAPIC_ICR_HIGH, high);
	CHECK(put(LAPIC_ICR_LOW, low));
	CHECK(lapic_get_ipi(&apic, &ipi));
	return ipi;
}

static bool reaches(uint32_t high, uint32_t low, bool self)
{
	struct lapic_ipi ipi = icr(high, low);

	return lapic_is_addressed(lapic_address(&apic), &ipi, self);
}

static void test_icr_decode(void)
{
	struct lapic_ipi ipi;

	fresh();
	ipi = icr(0x12000000, 0x000c4512);
	CHECK_EQ(ipi.delivery, LAPIC_INIT);
	CHECK_EQ(ipi.vector, 0x12);
	CHECK_EQ(ipi.shorthand, 3);
	CHECK_EQ(ipi.dest, 0x12);
	CHECK(!ipi.logical);
	CHECK(icr(0, 0x0800 | 0x30).logical);
	CHECK_EQ(icr(0, 0x608).delivery, LAPIC_STARTUP);
	CHECK_EQ(icr(0, 0x400).delivery, LAPIC_NMI);
	/* INIT de-assert; INIT and STARTUP that would reach the sender. */
	static const uint32_t unsent[] = { 0x8500, 0xc8500, 0x44500, 0x84500, 0x44608, 0x84608 };

	for (unsigned i = 0; i < sizeof(unsent) / sizeof(unsent[0]); i++) {
		put(LAPIC_ICR_LOW, unsent[i]);
		CHECK(!lapic_get_ipi(&apic, &ipi));
	}
	CHECK_EQ(errors(), 0);
	put(LAPIC_ICR_LOW, 0x4000f);
	CHECK(!lapic_get_ipi(&apic, &ipi));
	CHECK_EQ(errors(), LAPIC_ERROR_SEND_VECTOR);
}

static void test_icr_destination(void)
{
	fresh();
	for (unsigned self = 0; self < 2; self++) {
		CHECK_EQ(reaches(0, 0x40030, self), self);
		CHECK(reaches(0, 0x80030, self));
		CHECK_EQ(reaches(0, 0xc0030, self), !self);
		CHECK(reaches(3u << 24, 0x30, self));
		CHECK(!reaches(2u << 24, 0x30, self));
		CHECK(reaches(0xffu << 24, 0x30, self));
	}
	put(LAPIC_LDR, 0x24000000);
	CHECK(reaches(0x04000000, 0x830, true));
	CHECK(reaches(0xe0000000, 0x830, true)); /* flat: any common bit */
	CHECK(!reaches(0xdb000000, 0x830, true));
	put(LAPIC_DFR, 0);
	CHECK(reaches(0x2c000000, 0x830, true));
	CHECK(!reaches(0x3c000000, 0x830, true)); /* another cluster */
	CHECK(!reaches(0x2b000000, 0x830, true));
	CHECK(reaches(0xff000000, 0x830, true));
}

static void test_address(void)
{
	struct lapic_ipi ipi = { .shorthand = 2 };

	fresh();
	CHECK(lapic_address_accepts(lapic_address(&apic)));
	put(LAPIC_SVR, 0xff);
	CHECK(!lapic_address_accepts(lapic_address(&apic)));
	/* INIT and NMI get to one that is only software-disabled. */
	CHECK(lapic_is_addressed(lapic_address(&apic), &ipi, false));
	apic.base &= ~LAPIC_BASE_ENABLE;
	CHECK(!lapic_is_addressed(lapic_address(&apic), &ipi, false));
	/* Eight receivers in the flat model, each with a bit of its own. */
	for (unsigned id = 0; id < 8; id++) {
		lapic_init(&apic, (uint8_t)id, false);
		put(LAPIC_LDR, 1u << (24 + id));
		for (unsigned dest = 0; dest < 256; dest++) {
			struct lapic_ipi to = { .logical = true, .dest = (uint8_t)dest };

			CHECK_EQ(lapic_is_addressed(lapic_address(&apic), &to, false),
				 (bool)(dest & 1u << id));
		}
	}
	/* Fifteen clusters of four. */
	for (unsigned id = 0; id < 60; id++) {
		lapic_init(&apic, (uint8_t)id, false);
		put(LAPIC_DFR, 0);
		put(LAPIC_LDR, (id / 4) << 28 | 1u << (24 + id % 4));
		for (unsigned dest = 0; dest < 255; dest++) {
			struct lapic_ipi to = { .logical = true, .dest = (uint8_t)dest };
			bool want = dest / 16 == id / 4 && (dest & 1u << id % 4);

			CHECK_EQ(lapic_is_addressed(lapic_address(&apic), &to, false), want);
		}
	}
}

static void test_accept_word(void)
{
	fresh();
	lapic_accept_word(&apic, 2, 1u << 1 | 1u << 31);
	CHECK(bit(LAPIC_IRR, 65) && bit(LAPIC_IRR, 95));
	CHECK_EQ(lapic_pending(&apic), 95);
	put(LAPIC_SVR, 0xff);
	lapic_accept_word(&apic, 3, 1);
	CHECK(!bit(LAPIC_IRR, 96));
}

/* INIT: all but the id and the base (SDM vol. 3A, 11.4.7.3). */
static void test_init(void)
{
	fresh();
	put(LAPIC_LDR, 0xff000000);
	put(LAPIC_TPR, 0x80);
	lapic_accept(&apic, 0x90);
	put(LAPIC_LVT_TIMER, 0x40);
	put(LAPIC_TIMER_INITIAL, 100);
	apic.base = 0xfed00000 | LAPIC_BASE_ENABLE;
	lapic_reset(&apic);
	CHECK_EQ(get(LAPIC_ID), 3u << 24);
	CHECK_EQ(apic.base, 0xfed00000 | LAPIC_BASE_ENABLE);
	CHECK_EQ(get(LAPIC_LDR), 0);
	CHECK_EQ(get(LAPIC_TPR), 0);
	CHECK(!bit(LAPIC_IRR, 0x90));
	CHECK_EQ(get(LAPIC_SVR), 0xff);
	CHECK_EQ(get(LAPIC_LVT_TIMER), LAPIC_LVT_MASKED);
	CHECK(lapic_timer_deadline(&apic) == LAPIC_NEVER);
}

/* ---- sending ------------------------------------------------------------------------------- */

#define VCPUS 5

static struct vm vm;
static struct vcpu vcpus[VCPUS];
static struct {
	unsigned vectors, events, inits, startups;
	uint8_t vector;
} arrived[VCPUS];

void intr_post_vector(struct vcpu *vcpu, uint8_t vector)
{
	arrived[vcpu->id].vectors++;
	arrived[vcpu->id].vector = vector;
}

void intr_post(struct vcpu *vcpu, uint32_t events)
{
	CHECK_EQ(events, INTR_NMI);
	arrived[vcpu->id].events++;
}

void intr_post_init(struct vcpu *vcpu)
{
	arrived[vcpu->id].inits++;
}

void intr_post_startup(struct vcpu *vcpu, uint8_t vector)
{
	arrived[vcpu->id].startups++;
	arrived[vcpu->id].vector = vector;
}

static void publish(unsigned id)
{
	atomic_store(&vcpus[id].lapic_address, lapic_address(&vcpus[id].lapic));
}

static void machine(void)
{
	memset(&vm, 0, sizeof(vm));
	memset(arrived, 0, sizeof(arrived));
	vm.vcpu_count = VCPUS;
	for (unsigned i = 0; i < VCPUS; i++) {
		vm.vcpus[i] = &vcpus[i];
		vcpus[i].id = i;
		vcpus[i].vm = &vm;
		lapic_init(&vcpus[i].lapic, (uint8_t)i, !i);
		lapic_write(&vcpus[i].lapic, LAPIC_SVR, 0x1ff, 0);
		lapic_write(&vcpus[i].lapic, LAPIC_LDR, 1u << (24 + i), 0);
		publish(i);
	}
}

/* Its own it has in its APIC at once. */
static void take_own(struct vcpu *vcpu)
{
	int vector = lapic_pending(&vcpu->lapic);

	if (vector < 0)
		return;
	CHECK_EQ(vcpu->pending, INTR_CHECK);
	vcpu->pending = 0;
	lapic_acknowledge(&vcpu->lapic, (uint8_t)vector);
	lapic_write(&vcpu->lapic, LAPIC_EOI, 0, 0);
	intr_post_vector(vcpu, (uint8_t)vector);
}

static void send(unsigned from, uint32_t high, uint32_t low)
{
	memset(arrived, 0, sizeof(arrived));
	vcpus[from].lapic.icr_high = high;
	vcpus[from].lapic.icr_low = low;
	ipi_send(&vcpus[from]);
	take_own(&vcpus[from]);
}

/* Who got a vector, one bit each. */
static unsigned got(void)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < VCPUS; i++)
		mask |= arrived[i].vectors << i;
	return mask;
}

static void test_send_fixed(void)
{
	machine();
	send(1, 0, 0x40041);
	CHECK_EQ(got(), 0x02);
	CHECK_EQ(arrived[1].vector, 0x41);
	send(1, 0, 0x80041);
	CHECK_EQ(got(), 0x1f);
	send(1, 0, 0xc0041);
	CHECK_EQ(got(), 0x1d);
	send(1, 3u << 24, 0x41);
	CHECK_EQ(got(), 0x08);
	send(1, 0xffu << 24, 0x41);
	CHECK_EQ(got(), 0x1f);
	send(1, 0x15u << 24, 0x841);
	CHECK_EQ(got(), 0x15);
	send(1, 9u << 24, 0x41); /* nobody */
	CHECK_EQ(got(), 0);
	vcpus[2].lapic.base &= ~LAPIC_BASE_ENABLE;
	publish(2);
	send(1, 0, 0xc0041);
	CHECK_EQ(got(), 0x19);
}

static void test_send_others(void)
{
	machine();
	send(0, 0, 0xc4400);
	for (unsigned i = 0; i < VCPUS; i++)
		CHECK_EQ(arrived[i].events, i != 0);
	send(0, 0, 0xc4500);
	for (unsigned i = 0; i < VCPUS; i++)
		CHECK_EQ(arrived[i].inits, i != 0);
	send(0, 2u << 24, 0x4608);
	for (unsigned i = 0; i < VCPUS; i++)
		CHECK_EQ(arrived[i].startups, i == 2);
	CHECK_EQ(arrived[2].vector, 8);
	send(0, 0, 0xc8500); /* de-assert */
	send(0, 0, 0xc4200); /* SMI */
	send(0, 0, 0xc4700);
	CHECK_EQ(got(), 0);
	for (unsigned i = 0; i < VCPUS; i++)
		CHECK_EQ(arrived[i].inits + arrived[i].startups + arrived[i].events, 0);
}

/* One each time, each in its turn, and none that would not take it. */
static void test_send_lowest(void)
{
	unsigned turns[VCPUS] = { 0 };

	machine();
	lapic_write(&vcpus[3].lapic, LAPIC_SVR, 0xff, 0);
	publish(3);
	for (unsigned n = 0; n < 8 * VCPUS; n++) {
		send(n % VCPUS, 0x1eu << 24, 0x941);
		CHECK_EQ(__builtin_popcount(got()), 1);
		for (unsigned i = 0; i < VCPUS; i++)
			turns[i] += arrived[i].vectors;
	}
	CHECK_EQ(turns[0] + turns[3], 0);
	for (unsigned i = 0; i < VCPUS; i++)
		if (i == 1 || i == 2 || i == 4)
			CHECK(turns[i] > 10);
	send(0, 8u << 24, 0x941);
	CHECK_EQ(got(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_icr_decode), KTAP(test_icr_destination), KTAP(test_address),
	KTAP(test_accept_word), KTAP(test_init), KTAP(test_send_fixed), KTAP(test_send_others),
	KTAP(test_send_lowest),
};

int main(int argc, char **argv)
{
	return KTAP_MAIN(tests, argc, argv);
}
