/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Starting the other CPUs, one after the other: INIT, STARTUP, STARTUP (SDM vol. 3A, 9.4.4),
 * boot/trampoline.asm, smp_entry(), and from there into the scheduler.
 *
 * The trampoline and a root of its own, which has the trampoline's page mapped where it is,
 * take two pages below 1 MiB; the CPU leaves that root as soon as it is in C, so the
 * hypervisor's own address space never has a low, or a writable and executable, page.
 */
#include "arch/x86/smp.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/fpu.h"
#include "arch/x86/idt.h"
#include "arch/x86/layout.h"
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "arch/x86/timer.h"
#include "boot/boot_info.h"
#include "boot/trampoline.h"
#include "host/acpi.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/sched.h"
#include "lib/string.h"
#include "lib/util.h"
#include "mm/errno.h"
#include "mm/types.h"

/*
 * The 10 ms of the manuals' example are for APICs in a chip of their own: a processor that can virtualise takes
 * INIT at once, and if not, then by the second STARTUP.
 */
#define INIT_WAIT_US 200
#define STARTUP_WAIT_US 300
/* An emulator on a loaded machine may take long. */
#define ONLINE_WAIT_US 3000000
/* 0-0x7fff: interrupt vectors, BIOS data, boot loaders' leftovers. */
#define LOW_START 0x8000ul
#define LOW_END 0xa0000ul
#define LOW_PAGES 2

struct launch_pad {
	uint64_t code; /* the trampoline's page */
	uint64_t root; /* the page above it */
	struct trampoline_params *params;
};

static bool is_used(const struct boot_info *bi, uint64_t pa, uint64_t size)
{
	for (unsigned i = 0; i < bi->module_count; i++) {
		const struct boot_module *m = &bi->modules[i];

		if (pa < m->base + m->size && m->base < pa + size)
			return true;
	}
	return false;
}

/* The highest unused RAM below 640 KiB; 0: none.  pages_init() leaves all of it alone. */
static uint64_t find_low_pages(const struct boot_info *bi)
{
	uint64_t size = LOW_PAGES * PAGE_SIZE, found = 0;

	for (unsigned i = 0; i < bi->mmap_count; i++) {
		const struct boot_mmap_entry *e = &bi->mmap[i];
		uint64_t end = MIN(e->base + e->size, LOW_END);

		if (e->type != BOOT_MEM_RAM || e->base >= LOW_END || end < size)
			continue;
		uint64_t pa = ALIGN_DOWN(end - size, PAGE_SIZE);

		while (pa >= MAX(e->base, LOW_START) && is_used(bi, pa, size))
			pa -= PAGE_SIZE;
		if (pa >= MAX(e->base, LOW_START) && pa > found)
			found = pa;
	}
	return found;
}

static int pad_build(const struct boot_info *bi, struct launch_pad *pad)
{
	uint64_t pa = find_low_pages(bi);
	int err;

	if (!pa) {
		log_error("no free memory below 640 KiB: the other CPUs cannot be started");
		return -ENOMEM;
	}
	pad->code = pa;
	pad->root = pa + PAGE_SIZE;
	memcpy(machine_phys_to_virt(pad->code), trampoline_start, trampoline_size());
	memset(machine_phys_to_virt(pad->root), 0, PAGE_SIZE);
	err = paging_map_in(pad->root, pa, pa, PAGE_SIZE, PAGING_W | PAGING_X | PAGING_4K);
	if (err) {
		paging_free_low(pad->root);
		log_error("no memory for page tables: the other CPUs cannot be started");
		return err;
	}
	pad->params = trampoline_params_in(machine_phys_to_virt(pad->code));
	return 0;
}

/* ---- on the new CPU ------------------------------------------------------------------ */

_Noreturn static void smp_entry(void *arg)
{
	struct percpu *p = arg;

	paging_load();
	gdt_load(p);
	percpu_install(p);
	idt_load();
	fpu_cpu_init();
	apic_enable();
	timer_start();
	/* pairs with the acquire in wait_online() */
	atomic_store_explicit(&p->online, true, memory_order_release);
	machine_irq_enable();
	for (;;)
		sched_idle();
}

/* ---- on the boot CPU -------------------------------------------------------------------- */

static void delay_us(uint64_t us)
{
	for (struct deadline d = deadline_in_us(us); !deadline_passed(&d);)
		cpu_pause();
}

static bool wait_online(struct percpu *p, uint64_t us)
{
	for (struct deadline d = deadline_in_us(us);
	     !atomic_load_explicit(&p->online, memory_order_acquire); cpu_pause())
		if (deadline_passed(&d))
			return false;
	return true;
}

static const char *stage_text(uint32_t stage)
{
	switch (stage) {
	case TRAMPOLINE_NOT_STARTED:
		return "it never ran the start code";
	case TRAMPOLINE_REAL_MODE:
		return "it stopped on the way to long mode";
	default:
		return "it stopped before it was set up";
	}
}

/* Each time: the first stack that is made adds an entry to the final root. */
static void pad_copy_upper_half(const struct launch_pad *pad)
{
	uint8_t *to = machine_phys_to_virt(pad->root);
	const uint8_t *from = machine_phys_to_virt(paging_root());

	memcpy(to + PAGE_SIZE / 2, from + PAGE_SIZE / 2, PAGE_SIZE / 2);
}

static int cpu_launch(const struct launch_pad *pad, struct percpu *p)
{
	pad_copy_upper_half(pad);
	*pad->params = (struct trampoline_params){
		.cr3 = pad->root,
		.cr0 = read_cr0(),
		.cr4 = CR4_PAE,
		.efer = rdmsr(MSR_EFER) & (EFER_NXE | EFER_LME),
		.stack_top = p->stack.top,
		.entry = (uint64_t)smp_entry,
		.arg = (uint64_t)p,
	};
	if (apic_send_init(p->apic_id))
		return -ETIMEDOUT;
	delay_us(INIT_WAIT_US);
	for (unsigned i = 0; i < 2 && pad->params->stage == TRAMPOLINE_NOT_STARTED; i++) {
		if (apic_send_startup(p->apic_id, (uint8_t)(pad->code >> PAGE_SHIFT)))
			return -ETIMEDOUT;
		delay_us(STARTUP_WAIT_US);
	}
	if (wait_online(p, ONLINE_WAIT_US))
		return 0;
	/* It must not wake up later, when the parameters are another CPU's. */
	apic_send_init(p->apic_id);
	delay_us(INIT_WAIT_US);
	return -ETIMEDOUT;
}

static struct percpu *percpu_create(unsigned id)
{
	struct percpu *p = object_alloc(sizeof(*p));
	int err = p ? machine_stack_alloc(&p->stack) : -ENOMEM;

	for (unsigned i = 0; i < IST_COUNT && !err; i++)
		err = machine_stack_alloc(&p->ist[i]);
	if (!err)
		err = sched_cpu_prepare(id, &p->stack);
	if (err) {
		log_error("no memory for CPU %u: it and those after it are left out", id);
		return NULL;
	}
	p->id = id;
	return p;
}

/* true: the CPU is up, and p is taken. */
static bool start_one(const struct launch_pad *pad, uint32_t id, struct percpu *p)
{
	p->apic_id = id;
	if (id >= 255 && !apic_is_x2apic()) {
		log_warn("the CPU with APIC id %u needs an x2APIC, which there is not: left out", id);
		return false;
	}
	if (cpu_launch(pad, p)) {
		log_error("the CPU with APIC id %u did not start (%s): left out", id,
			  stage_text(pad->params->stage));
		return false;
	}
	percpu_publish(p);
	log_debug("CPU %u is up, APIC id %u", p->id, id);
	return true;
}

/* A CPU that failed leaves its percpu and its stacks to the next one. */
static void start_all(const struct launch_pad *pad, const struct acpi_info *acpi, unsigned max_cpus)
{
	struct percpu *spare = NULL;

	for (unsigned i = 0; i < acpi->cpu_count && percpu_count() < max_cpus; i++) {
		if (acpi->cpus[i].apic_id == percpu_boot.apic_id)
			continue;
		if (!spare)
			spare = percpu_create(percpu_count());
		if (!spare)
			return;
		if (start_one(pad, acpi->cpus[i].apic_id, spare))
			spare = NULL;
	}
}

void smp_start(const struct boot_info *bi, const struct acpi_info *acpi, unsigned max_cpus)
{
	struct launch_pad pad;

	if (acpi->cpus_dropped)
		log_warn("%u CPUs more than we have room for are left out", acpi->cpus_dropped);
	if (acpi->cpu_count < 2 || max_cpus < 2)
		return;
	if (percpu_table_alloc(acpi->cpu_count + 1)) { /* the boot CPU may not be listed */
		log_error("no memory for the table of CPUs: only the boot CPU is used");
		return;
	}
	if (pad_build(bi, &pad))
		return;
	start_all(&pad, acpi, max_cpus);
	paging_free_low(pad.root);
}
