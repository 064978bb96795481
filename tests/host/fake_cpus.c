/* SPDX-License-Identifier: GPL-2.0-only */
/* See fake_cpus.h. */
#include "tests/host/fake_cpus.h"

#include <stdbool.h>
#include <stddef.h>

#include "boot/boot_info.h"
#include "host/machine.h"
#include "host/pages.h"
#include "host/sched.h"
#include "tests/host/explore/coroutine.h"
#include "tests/host/fake_machine.h"

#define CPUS  8
#define MIB   (1ul << 20)
#define NEVER (~0ul)
#define BOOT_STACK (64ul << 10)
/* CPUs take turns in steps of this much. */
#define QUANTUM (20 * FAKE_CYCLES_PER_US)

static struct cpu {
	struct coroutine co; /* where the CPU, whatever it runs, goes on */
	uint64_t now, tick_at, alarm_at, kicked_at;
	void (*alarm)(void *arg);
	void *alarm_arg;
	bool irqs, halted;
	struct stack stack;
} cpus[CPUS];
static unsigned count = 1, this;
static unsigned char boot_stacks[CPUS][BOOT_STACK] __attribute__((aligned(64)));

/* ---- turns -------------------------------------------------------------------------- */

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t interrupt_at(const struct cpu *c)
{
	return min(min(c->tick_at, c->alarm_at), c->kicked_at);
}

/* When it does something next. */
static uint64_t turn_of(const struct cpu *c)
{
	uint64_t at = interrupt_at(c);

	return c->halted && at > c->now ? at : c->now;
}

static void take_turns(void)
{
	unsigned me = this, next = this;

	for (unsigned i = 0; i < count; i++)
		if (turn_of(&cpus[i]) < turn_of(&cpus[next]))
			next = i;
	if (next == me)
		return;
	cpus[me].irqs = machine_irqs_enabled();
	this = next;
	fake_set_cpu(next);
	machine_irq_restore(!cpus[next].irqs);
	coroutine_switch(&cpus[me].co, &cpus[next].co);
}

static void take_interrupts(void)
{
	/* The handlers may end on this CPU only, but it may have become another thread's. */
	while (interrupt_at(&cpus[this]) <= cpus[this].now) {
		struct cpu *c = &cpus[this];
		uint64_t flags = machine_irq_save();

		c->kicked_at = NEVER;
		if (c->tick_at <= c->now) {
			c->tick_at += FAKE_TICK;
			sched_tick();
		}
		if (c->alarm_at <= c->now) {
			c->alarm_at = NEVER;
			c->alarm(c->alarm_arg);
		}
		machine_irq_restore(flags);
	}
}

void fake_burn(uint64_t cycles)
{
	while (cycles) {
		uint64_t step = min(cycles, QUANTUM);

		cpus[this].now += step;
		cycles -= step;
		take_turns();
		take_interrupts();
	}
}

void fake_sleep_ms(uint64_t ms)
{
	uint64_t end = machine_cycles() + ms * FAKE_MS;

	while (thread_park_until(end))
		;
}

void fake_work(uint64_t cycles)
{
	while (cycles) {
		uint64_t step = min(cycles, QUANTUM);

		fake_burn(step);
		cycles -= step;
		if (thread_should_yield())
			thread_yield();
	}
}

/* ---- host/machine.h ------------------------------------------------------------------- */

uint64_t machine_cycles(void)
{
	return cpus[this].now;
}

uint64_t machine_cycles_per_us(void)
{
	return FAKE_CYCLES_PER_US;
}

void machine_kick_cpu(unsigned cpu)
{
	/* It takes a moment; and a CPU's own time may be behind that of the sender. */
	cpus[cpu].kicked_at = min(cpus[cpu].kicked_at, cpus[this].now + FAKE_CYCLES_PER_US);
}

void machine_alarm_set(uint64_t cycles, void (*fn)(void *arg), void *arg)
{
	struct cpu *c = &cpus[this];

	c->alarm_at = cycles;
	c->alarm = fn;
	c->alarm_arg = arg;
}

void machine_alarm_cancel(void)
{
	cpus[this].alarm_at = NEVER;
}

void machine_irq_enable(void)
{
	machine_irq_restore(false);
}

void machine_idle(void)
{
	struct cpu *c = &cpus[this];

	c->halted = true;
	machine_irq_enable();
	take_turns();
	c->halted = false;
	if (c->now < interrupt_at(c))
		c->now = interrupt_at(c);
	take_interrupts();
}

/* ---- start --------------------------------------------------------------------------------- */

static void cpu_main(void *arg)
{
	machine_irq_enable();
	for (;;)
		sched_idle();
}

static void memory_start(void)
{
	static struct boot_info bi;

	fake_ram_create(64 * MIB);
	bi.mmap_count = 1;
	bi.mmap[0] = (struct boot_mmap_entry){ MIB, 63 * MIB, BOOT_MEM_RAM };
	bi.image_base = MIB;
	bi.image_end = 2 * MIB;
	if (pages_init(&bi))
		panic("no memory");
}

void fake_cpus_start(unsigned n)
{
	static const struct stack main_stack;

	memory_start();
	count = n;
	for (unsigned i = 0; i < n; i++)
		cpus[i] = (struct cpu){
			.tick_at = FAKE_TICK + i * FAKE_TICK / n,
			.alarm_at = NEVER,
			.kicked_at = NEVER,
			.stack = { (uintptr_t)boot_stacks[i], (uintptr_t)boot_stacks[i] + BOOT_STACK },
		};
	fake_set_cpu_count(1);
	if (sched_init(&main_stack))
		panic("no memory for the first thread");
	for (unsigned i = 1; i < n; i++) {
		if (sched_cpu_prepare(i, &cpus[i].stack))
			panic("no memory for CPU %u", i);
		coroutine_prepare(&cpus[i].co, boot_stacks[i], BOOT_STACK, cpu_main, NULL);
	}
	fake_set_cpu_count(n);
}
