/* SPDX-License-Identifier: GPL-2.0-only */
/* Start and end of a kernel, and the hypervisor below it. */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/x86.h"
#ifdef __x86_64__
#include "tests/guest/lib/trap.h"
#endif

#define PORT_E9 0xe9
#define PORT_DEBUG_EXIT 0xf4
#define PORT_SHUTDOWN 0x8900
#define CPUID_1_ECX_HYPERVISOR (1u << 31)

void info_parse(void);

bool hypercall_vmcall, hypercall_port;
static bool present;

bool phyllo_present(void)
{
	return present;
}

static bool probe(void)
{
	struct cpuid_regs r;
	char signature[13] = "";

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR))
		return false;
	r = cpuid(PHYLLO_CPUID_BASE, 0);
	memcpy(signature, &r.ebx, 4);
	memcpy(signature + 4, &r.ecx, 4);
	memcpy(signature + 8, &r.edx, 4);
	return !strcmp(signature, PHYLLO_SIGNATURE);
}

/* The debug port of QEMU, Bochs and Phyllo reads back its own number. */
static enum console_kind choose_console(void)
{
	if (info_option_is("console", "com1"))
		return CONSOLE_COM1;
	if (info_option_is("console", "e9"))
		return CONSOLE_E9;
	if (info_option_is("console", "hc") && present)
		return CONSOLE_HYPERCALL;
	return inb(PORT_E9) == PORT_E9 ? CONSOLE_E9 : CONSOLE_COM1;
}

void guest_start(void)
{
	info_parse();
	hypercall_vmcall = info_option_is("hypercall", "vmcall");
	hypercall_port = info_option_is("hypercall", "port");
	present = hypercall_port || probe();
	console_select(choose_console());
#ifdef __x86_64__
	trap_init();
#endif
	if (!info.valid)
		guest_die("no multiboot loader started this kernel: eax is 0x%x", boot_state.eax);
}

/* exit=port or exit=shutdown: as a kernel ends that knows no hypercalls. */
static bool wants_hypercall_exit(void)
{
	return present && !info_option_is("exit", "port") && !info_option_is("exit", "shutdown");
}

_Noreturn void guest_exit(int code)
{
	console_finish();
	if (wants_hypercall_exit())
		hypercall(PHYLLO_HC_EXIT, code, 0, 0, 0);
	if (!info_option_is("exit", "shutdown"))
		outb(PORT_DEBUG_EXIT, code ? 1 : 0);
	for (const char *s = "ShuShutdown"; *s; s++) /* a false start must not count */
		outb(PORT_SHUTDOWN, *s);
	if (present) /* a halt would pass for a good end */
		hypercall(PHYLLO_HC_EXIT, 1, 0, 0, 0);
	for (;;)
		__asm__ volatile("cli; hlt");
}

_Noreturn void guest_die(const char *fmt, ...)
{
	va_list ap;

	printf("Bail out! ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	guest_exit(1);
}

unsigned long long stat_read(const char *name)
{
	static struct phyllo_stat stats[192];
	long n = hypercall(PHYLLO_HC_STATS_READ, (uintptr_t)stats, sizeof(stats), 0, 0);

	if (n > (long)ARRAY_SIZE(stats))
		n = ARRAY_SIZE(stats);
	for (long i = 0; i < n; i++)
		if (!strncmp(stats[i].name, name, sizeof(stats[i].name)))
			return stats[i].value;
	return STAT_NONE;
}
