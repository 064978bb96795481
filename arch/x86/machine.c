/* SPDX-License-Identifier: GPL-2.0-only */
/* The order in which the machine is brought up, and the small change of host/machine.h. */
#include "arch/x86/machine_init.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/fpu.h"
#include "arch/x86/gdt.h"
#include "arch/x86/idt.h"
#include "arch/x86/layout.h"
#include "arch/x86/percpu.h"
#include "arch/x86/pic.h"
#include "arch/x86/serial.h"
#include "arch/x86/smp.h"
#include "arch/x86/stack.h"
#include "arch/x86/timer.h"
#include "boot/boot_info.h"
#include "host/acpi.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/sched.h"
#include "mm/errno.h"

void machine_init_early(const struct boot_info *bi)
{
	timer_mark_boot();
	serial_init();
	layout_boot_stacks(&percpu_boot);
	gdt_load(&percpu_boot);
	percpu_init_boot();
	idt_init();
	idt_load();
	pic_disable();
}

/* Without ACPI there is one CPU, this one. */
static void find_cpus(const struct boot_info *bi, struct acpi_info *acpi)
{
	const char *why = "";

	if (!acpi_parse(bi->acpi_rsdp, layout_map_firmware, (void *)bi, acpi, &why))
		return;
	log_warn("ACPI: %s: only the boot CPU is used", why);
	acpi->cpu_count = 0;
}

int machine_init_cpus(const struct boot_info *bi, unsigned max_cpus)
{
	static struct acpi_info acpi;
	int err;

	find_cpus(bi, &acpi);
	fpu_cpu_init();
	err = apic_init();
	if (err)
		return err;
	apic_enable();
	percpu_boot.apic_id = apic_id();
	err = timer_calibrate();
	if (err)
		return err;
	if (stack_init() || sched_init(&percpu_boot.stack)) {
		log_error("no memory for the first threads");
		return -ENOMEM;
	}
	timer_start();
	machine_irq_enable();
	smp_start(bi, &acpi, max_cpus);
	return 0;
}

unsigned machine_cpu_id(void)
{
	return percpu_is_ready() ? percpu_this()->id : 0;
}

unsigned machine_cpu_count(void)
{
	return percpu_count();
}

void machine_relax(void)
{
	cpu_pause();
}

uint64_t machine_irq_save(void)
{
	uint64_t flags = cpu_flags();

	cpu_cli();
	return flags;
}

void machine_irq_restore(uint64_t flags)
{
	if (flags & RFLAGS_IF)
		cpu_sti();
}

void machine_irq_enable(void)
{
	cpu_sti();
}

bool machine_irqs_enabled(void)
{
	return cpu_flags() & RFLAGS_IF;
}

int machine_getchar(void)
{
	return serial_getchar();
}

void machine_idle(void)
{
	machine_alive();
	timer_before_idle();
	cpu_sti_hlt();
}
