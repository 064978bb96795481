/* SPDX-License-Identifier: GPL-2.0-only */
/* crash=: ways to break the hypervisor, so that the crash report can be seen and tested. */
#include "arch/x86/machine_init.h"

#include <stddef.h>

#include "arch/x86/cpu.h"
#include "host/machine.h"
#include "host/param.h"
#include "mm/sync.h"

#define HANG_LIMIT_US 500000

static void crash_pf(void)
{
	volatile uint64_t *null = NULL;

	__asm__("" : "+r"(null)); /* the compiler must not see that it is one */
	*null = 1;
}

/* Deeper than any stack; volatile, and added to after the call, so that it is no loop. */
#define STACK_DEPTH 1000000u

static unsigned crash_stack(unsigned depth)
{
	volatile unsigned frame[64];

	frame[0] = depth;
	return depth < STACK_DEPTH ? crash_stack(depth + 1) + frame[0] : 0;
}

static void crash_hang(void)
{
	stage_enter("waiting for what never comes");
	for (struct deadline d = deadline_in_us(HANG_LIMIT_US); !deadline_passed(&d);)
		;
	panic("a wait of %u ms ran out in stage '%s'", HANG_LIMIT_US / 1000, stage_name());
}

/* W^X, seen from its two sides: code cannot be written, data cannot be executed. */
static void crash_text(void)
{
	volatile uint8_t *code = (volatile uint8_t *)(uintptr_t)machine_crash;

	*code = *code;
}

static void crash_exec(void)
{
	static uint8_t data = 0xc3; /* RET */
	void (*fn)(void) = (void (*)(void))(uintptr_t)&data;

	fn();
}

/* For the watchdog: three times too long, then the boot goes on. */
__attribute__((noinline)) static void overstay(void)
{
	uint64_t start = machine_us();

	while (machine_us() - start < 3000 * param.watchdog)
		machine_relax();
}

__attribute__((noinline)) static void crash_irqoff(void)
{
	uint64_t flags = machine_irq_save();

	overstay();
	machine_irq_restore(flags);
	cpu_pause(); /* the tick that waits comes before this returns */
}

__attribute__((noinline)) static void crash_lockhold(void)
{
	static spinlock_t lock = SPINLOCK_INIT;

	spin_lock(&lock);
	overstay();
	spin_unlock(&lock);
}

void machine_crash(unsigned kind)
{
	switch (kind) {
	case CRASH_UD:
		__asm__ volatile("ud2");
		break;
	case CRASH_PF:
		crash_pf();
		break;
	case CRASH_STACK:
		crash_stack(0);
		break;
	case CRASH_BUG:
		BUG_ON(kind == CRASH_BUG);
		break;
	case CRASH_HANG:
		crash_hang();
		break;
	case CRASH_TEXT:
		crash_text();
		panic("crash=text: code could be written");
	case CRASH_EXEC:
		crash_exec();
		panic("crash=exec: data could be executed");
	case CRASH_IRQOFF:
		crash_irqoff();
		break;
	case CRASH_LOCKHOLD:
		crash_lockhold();
		break;
	}
}
