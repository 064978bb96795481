/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Some CPUs in virtual time, above fake_machine.h: one host thread runs them in turns, always the one
 * that is furthest behind, and interrupts (ticks, alarms, kicks) come when their time has come.
 * So what takes long takes no time, and the same test runs the same way again.
 *
 * A CPU is left only where it idles or burns time.
 */
#pragma once

#include <stdint.h>

#define FAKE_CYCLES_PER_US 1000ul
#define FAKE_MS            (1000 * FAKE_CYCLES_PER_US)
#define FAKE_TICK          (10000 * FAKE_CYCLES_PER_US)

/*
 * With 64 MiB of memory.  The caller goes on as thread main on CPU 0; the others idle.  Once per
 * process (fake_child()).
 */
void fake_cpus_start(unsigned count);
/* The calling thread runs for so many cycles, with interrupts. */
void fake_burn(uint64_t cycles);
/* It sleeps, whoever else wakes it up. */
void fake_sleep_ms(uint64_t ms);
/* For as long as burn, and yields when it should. */
void fake_work(uint64_t cycles);
