/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of a run. */
#include "arch/x86/cpu.h"
#include "arch/x86/serial.h"
#include "arch/x86/watchdog.h"
#include "host/machine.h"

#define PORT_ISA_DEBUG_EXIT 0xf4
#define PORT_BOCHS_SHUTDOWN 0x8900

/* Each of the two doors exists in one emulator only; on other machines nothing listens. */
_Noreturn void machine_poweroff(enum machine_end end)
{
	watchdog_stop();
	cpu_cli();
	serial_drain(); /* Bochs sends at the speed of the line */
	outb(PORT_ISA_DEBUG_EXIT, (uint8_t)end);
	for (const char *s = "Shutdown"; *s; s++)
		outb(PORT_BOCHS_SHUTDOWN, (uint8_t)*s);
	for (;;)
		__asm__ volatile("cli; hlt");
}
