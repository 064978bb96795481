/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The crash report.  The first CPU that comes here owns it, stops the others by NMI,
 * and takes the log by force.  A panic inside the panic says one line and ends.
 */
#include "arch/x86/panic.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "arch/x86/apic.h"
#include "arch/x86/backtrace.h"
#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/thread.h"
#include "lib/printf.h"
#include "mm/types.h"

#define STOP_WAIT_US 200000
#define LOG_LINES 40
#define NO_CPU (~0u)

static _Atomic unsigned owner = NO_CPU;
static _Atomic bool nested;
static void (*reporter)(void);

void panic_set_reporter(void (*fn)(void))
{
	reporter = fn;
}

/* ---- the other CPUs -------------------------------------------------------------- */

_Noreturn static void stop_here(void)
{
	if (percpu_is_ready())
		atomic_store_explicit(&percpu_this()->stopped, true, memory_order_relaxed);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void panic_stop_if_asked(void)
{
	unsigned cpu = atomic_load_explicit(&owner, memory_order_relaxed);

	if (cpu != NO_CPU && cpu != machine_cpu_id())
		stop_here();
}

static void stop_others(void)
{
	unsigned self = machine_cpu_id(), count = percpu_count();

	/* A failure to send is seen below: that CPU does not stop. */
	for (unsigned cpu = 0; cpu < count; cpu++)
		if (cpu != self)
			apic_send_nmi(percpu_get(cpu)->apic_id);
	struct deadline d = deadline_in_us(STOP_WAIT_US);
	bool late = false;

	for (unsigned cpu = 0; cpu < count; cpu++) {
		struct percpu *p = percpu_get(cpu);

		while (cpu != self && !late &&
		       !atomic_load_explicit(&p->stopped, memory_order_relaxed))
			late = deadline_passed(&d);
		if (cpu != self && !atomic_load_explicit(&p->stopped, memory_order_relaxed))
			log_rawf("CPU %u could not be stopped\n", cpu);
	}
}

/* ---- the report -------------------------------------------------------------------- */

/* Become the one that reports; whoever comes second does not get further. */
static void panic_begin(void)
{
	unsigned none = NO_CPU, self = machine_cpu_id();

	cpu_cli();
	if (atomic_compare_exchange_strong_explicit(&owner, &none, self, memory_order_relaxed,
						    memory_order_relaxed)) {
		log_enter_panic();
		stop_others();
		return;
	}
	if (none != self)
		stop_here();
	if (!atomic_exchange_explicit(&nested, true, memory_order_relaxed))
		log_rawf("phyllo: another failure while reporting the panic: giving up\n");
	machine_poweroff(MACHINE_END_PANIC);
}

static void print_control_registers(void)
{
	log_rawf("cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %016lx\n", read_cr0(), read_cr2(),
		 read_cr3(), read_cr4());
}

static void print_frame(const struct trap_frame *f)
{
	log_rawf("rip %016lx  rsp %016lx  flags %08lx  cs %02lx  error %lx\n", f->rip, f->rsp,
		 f->rflags, f->cs, f->error);
	log_rawf("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", f->rax, f->rbx, f->rcx,
		 f->rdx);
	log_rawf("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx\n", f->rsi, f->rdi, f->rbp,
		 f->r8);
	log_rawf("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx\n", f->r9, f->r10, f->r11,
		 f->r12);
	log_rawf("r13 %016lx  r14 %016lx  r15 %016lx\n", f->r13, f->r14, f->r15);
	print_control_registers();
}

/* Looks only: the scheduler may be what is broken. */
static const char *running_thread(void)
{
	const struct thread *t = thread_current();

	return t ? thread_name(t) : "(none yet)";
}

/* The log comes first, so that the cause is what stays on a small screen. */
static void report_head(const char *message)
{
	unsigned cpu = machine_cpu_id();

	log_error("panic on CPU %u: %s (first the newest lines of the log, up to this one)", cpu,
		  message);
	log_dump_ring(LOG_LINES);
	log_rawf("---- panic on CPU %u, thread %s, in stage '%s' ----\n%s\n", cpu, running_thread(),
		 stage_name(), message);
}

_Noreturn static void report_tail(const char *message)
{
	if (reporter)
		reporter();
	log_rawf("phyllo: end: failed: panic: %s\n", message);
	machine_poweroff(MACHINE_END_PANIC);
}

void panic(const char *fmt, ...)
{
	char message[256];
	va_list ap;

	panic_begin();
	va_start(ap, fmt);
	lib_vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	report_head(message);
	print_control_registers();
	backtrace_print((uint64_t)__builtin_return_address(0),
			*(const uint64_t *)__builtin_frame_address(0));
	report_tail(message);
}

/* ---- exceptions ---------------------------------------------------------------------- */

/* The guard page that addr is in, of whichever stack of this CPU; NULL: none. */
static const char *guard_at(uint64_t addr)
{
	static const char *const names[IST_COUNT] = {
		[IST_DF] = "double-fault stack",
		[IST_NMI] = "NMI stack",
		[IST_MC] = "machine-check stack",
	};
	const struct percpu *p = percpu_this();

	if (addr - p->stack.guard < PAGE_SIZE)
		return "stack";
	for (unsigned i = 0; i < IST_COUNT; i++)
		if (addr - p->ist[i].guard < PAGE_SIZE)
			return names[i];
	return NULL;
}

static void describe_page_fault(char *out, size_t size, const struct trap_frame *f)
{
	uint64_t addr = read_cr2();
	const char *what = f->error & 0x10 ? "fetch from" : f->error & 2 ? "write to" : "read of";
	const char *why = f->error & 8 ? ": reserved bits" :
			  f->error & 1 ? ": not permitted" :
			  addr < PAGE_SIZE ? ": a null pointer" : ": not mapped";

	lib_snprintf(out, size, "#PF page fault: %s %016lx%s", what, addr, why);
}

/*
 * A stack overflow is a page fault that cannot be delivered: its frame would go onto
 * the same stack.
 */
static void describe(char *out, size_t size, const struct trap_frame *f)
{
	const char *guard = guard_at(read_cr2());

	if (f->vector == VEC_DF && guard)
		lib_snprintf(out, size, "#DF double fault: the %s of CPU %u overflowed, in thread %s",
			     guard, machine_cpu_id(), running_thread());
	else if (f->vector == VEC_PF)
		describe_page_fault(out, size, f);
	else
		lib_snprintf(out, size, "%s (vector %lu, error code 0x%lx)", trap_name(f->vector),
			     f->vector, f->error);
}

void panic_exception(const struct trap_frame *frame)
{
	char message[160];

	panic_begin();
	describe(message, sizeof(message), frame);
	report_head(message);
	print_frame(frame);
	backtrace_print(frame->rip, frame->rbp);
	report_tail(message);
}
