/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Starting processors: by hypercall, by INIT and STARTUP to one, to all but self, and again; what
 * INIT leaves of a processor in the middle of its work.  rounds=N: how often.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/x86.h"

static uint32_t rounds;
static _Atomic uint64_t seen; /* by their numbers */

static void note(void *arg)
{
	struct cpu *c = this_cpu();
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	CPU_CHECK_EQ(apic_read(APIC_ID) >> 24, c->id);
	CPU_CHECK_EQ(cpuid(1, 0).ebx >> 24, c->id);
	CPU_CHECK_EQ(rdmsr(MSR_APIC_BASE) >> 8 & 1, c->id == 0);
	CPU_CHECK(rdmsr(MSR_APIC_BASE) & APIC_BASE_ENABLE);
	if (c->id)
		CPU_CHECK(here > (uintptr_t)c->stack && here < (uintptr_t)c->stack + sizeof(c->stack));
	if (phyllo_present()) {
		CPU_CHECK_EQ(hypercall(PHYLLO_HC_VCPU_ID, 0, 0, 0, 0), c->id);
		CPU_CHECK_EQ(hypercall(PHYLLO_HC_VCPU_ID, PHYLLO_VCPU_COUNT, 0, 0, 0), smp_count);
	}
	atomic_fetch_or(&seen, 1ull << c->id);
}

/* Leaf 1, 4 and 0BH (SDM vol. 2A): one package of smp_count cores, each known by its APIC ID. */
static void look_at_topology(void *arg)
{
	struct cpu *c = this_cpu();
	struct cpuid_regs one = cpuid(1, 0);
	unsigned max = cpuid(0, 0).eax;

	CPU_CHECK((one.ebx >> 16 & 0xff) >= smp_count);
	CPU_CHECK_EQ(one.edx >> 28 & 1, smp_count > 1);
	if (max >= 4 && cpuid(4, 0).eax & 0x1f)
		CPU_CHECK((cpuid(4, 0).eax >> 26) + 1 >= smp_count);
	if (max < 0xb || !cpuid(0xb, 0).ebx)
		return;
	struct cpuid_regs thread = cpuid(0xb, 0), core = cpuid(0xb, 1), none = cpuid(0xb, 2);

	CPU_CHECK_EQ(thread.edx, c->id);
	CPU_CHECK_EQ(core.edx, c->id);
	CPU_CHECK_EQ(thread.ecx, 1u << 8);
	CPU_CHECK_EQ(core.ecx, 2u << 8 | 1);
	CPU_CHECK_EQ(core.ebx, smp_count);
	CPU_CHECK(1ull << core.eax >= smp_count);
	CPU_CHECK(thread.eax <= core.eax);
	CPU_CHECK_EQ(none.ebx, 0);
}

static void test_topology(void)
{
	if (ktap_need_phyllo())
		smp_run_on_all(look_at_topology, NULL);
}

static void everybody_works(void)
{
	seen = 0;
	smp_run_on_all(note, NULL);
	CHECK_EQ(seen, smp_all());
}

static void test_start(void)
{
	smp_start_all();
	everybody_works();
}

static long start(unsigned id, uint64_t entry)
{
	return hypercall(PHYLLO_HC_VCPU_START, id, entry, 0, 0);
}

static void test_start_refuses(void)
{
	if (!ktap_need_phyllo())
		return;
	CHECK_EQ(start(smp_count, 0x100000), PHYLLO_ENOENT);
	CHECK_EQ(start(~0u, 0x100000), PHYLLO_ENOENT);
	CHECK_EQ(start(0, 0x100000), PHYLLO_EBUSY);
	if (smp_count > 1) {
		CHECK_EQ(start(smp_count - 1, 0x100000), PHYLLO_EBUSY);
		smp_init_ipi(smp_count - 1);
		CHECK_EQ(start(smp_count - 1, 1ull << 32), PHYLLO_EINVAL);
		smp_start_by_hypercall(smp_count - 1);
	}
	everybody_works();
}

/* Single targets, each in turn while the others sleep. */
static void test_again_by_apic(void)
{
	for (unsigned i = 1; i < smp_count; i++)
		smp_start_by_apic(i);
	everybody_works();
	for (unsigned i = smp_count - 1; i; i--)
		smp_start_by_apic(i);
	everybody_works();
}

static void check_starts(const unsigned *before, unsigned times)
{
	for (unsigned i = 1; i < smp_count; i++)
		CHECK_EQ(smp_cpu[i]->online, before[i] + times);
}

static void note_starts(unsigned *before)
{
	for (unsigned i = 1; i < smp_count; i++)
		before[i] = smp_cpu[i]->online;
}

/* As kernels do it that do not know how many there are; with nobody there, nothing happens. */
static void test_all_but_self(void)
{
	unsigned before[SMP_MAX], vector = smp_trampoline();

	for (unsigned n = 0; n < rounds; n++) {
		note_starts(before);
		apic_send(APIC_TO_OTHERS | APIC_INIT | APIC_ASSERT);
		apic_send(APIC_TO_OTHERS | APIC_INIT | 1u << 15); /* level, de-assert: ignored */
		irq_spend(phyllo_present() ? 0 : 1000000);
		apic_send(APIC_TO_OTHERS | APIC_STARTUP | vector);
		apic_send(APIC_TO_OTHERS | APIC_STARTUP | vector);
		for (unsigned i = 1; i < smp_count; i++)
			smp_wait_online(i, before[i] + 1);
		everybody_works();
		check_starts(before, 1); /* the second STARTUP started nobody twice */
	}
}

/* To one that runs, a STARTUP is nothing. */
static void test_startup_without_init(void)
{
	unsigned before[SMP_MAX], vector = smp_trampoline();

	note_starts(before);
	for (unsigned i = 1; i < smp_count; i++)
		apic_send_to(i, APIC_STARTUP | vector);
	everybody_works();
	check_starts(before, 0);
}

static void count_for_ever(void *arg)
{
	for (;;)
		atomic_fetch_add(&this_cpu()->progress, 1);
}

static void exit_for_ever(void *arg)
{
	for (;;) {
		cpuid(0, 0);
		apic_read(APIC_ID);
		atomic_fetch_add(&this_cpu()->progress, 1);
	}
}

static void halt_for_ever(void *arg)
{
	atomic_fetch_add(&this_cpu()->progress, 1000);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void fault_for_ever(void *arg)
{
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));

	for (;;) {
		if (phyllo_present())
			unmap((uintptr_t)page, PAGE_SIZE);
		*(volatile uint8_t *)page = 1;
		atomic_fetch_add(&this_cpu()->progress, 10);
	}
}

/* An emulator's host may let the processor wait for as long as it likes before it sees the INIT. */
static void wait_until_it_stands_still(struct cpu *c)
{
	struct spin s = { .what = "a processor to stop at INIT" };
	uint64_t before;

	do {
		spin_wait(&s);
		before = atomic_load(&c->progress);
		irq_spend(200000);
	} while (atomic_load(&c->progress) != before);
}

/* INIT reaches it whatever it does, and from then on it does nothing. */
static void stop_and_restart(unsigned id, void (*fn)(void *arg))
{
	struct spin s = { .what = "a processor to begin" };

	smp_give(1ull << id, fn, NULL);
	while (atomic_load(&smp_cpu[id]->progress) < 100)
		spin_wait(&s);
	smp_init_ipi(id);
	wait_until_it_stands_still(smp_cpu[id]);
	smp_start_by_apic(id);
}

static void test_init_amid_work(void)
{
	static void (*const work[])(void *) = { count_for_ever, exit_for_ever, halt_for_ever,
						fault_for_ever };

	for (unsigned n = 0; n < rounds; n++)
		for (unsigned i = 1; i < smp_count; i++)
			stop_and_restart(i, work[(n + i) % ARRAY_SIZE(work)]);
	everybody_works();
}

struct init_state {
	uint64_t cr4, fs;
	uint32_t ldr, dfr;
};
static struct init_state found[SMP_MAX];

static void spoil(void *arg)
{
	apic_write(APIC_LVT_TIMER, APIC_PERIODIC | 0x40);
	apic_write(APIC_LDR, 0x55000000);
	apic_write(APIC_DFR, 0x0fffffff);
	write_cr4(read_cr4() | CR4_DE | CR4_PGE);
	wrmsr(MSR_FS_BASE, 0x123456789000);
}

static void look(void *arg)
{
	struct init_state *s = &found[this_cpu()->id];

	s->cr4 = read_cr4();
	s->fs = rdmsr(MSR_FS_BASE);
	s->ldr = apic_read(APIC_LDR);
	s->dfr = apic_read(APIC_DFR);
}

/* What a processor had set up is gone after INIT. */
static void test_init_resets(void)
{
	smp_run_on_all(spoil, NULL);
	for (unsigned i = 1; i < smp_count; i++)
		smp_start_by_apic(i);
	smp_run_on_all(look, NULL);
	for (unsigned i = 1; i < smp_count; i++) {
		CHECK_EQ(found[i].cr4 & (CR4_DE | CR4_PGE), 0);
		CHECK_EQ(found[i].fs, 0);
		CHECK_EQ(found[i].ldr, 0);
		CHECK_EQ(found[i].dfr, 0xffffffff);
	}
	cpu_apic_begin();
	write_cr4(read_cr4() & ~(CR4_DE | CR4_PGE));
	wrmsr(MSR_FS_BASE, 0);
	apic_write(APIC_LDR, 0);
	apic_write(APIC_DFR, 0xffffffff);
}

static void test_audit(void)
{
	if (ktap_need_phyllo())
		CHECK_EQ(audit(), 0);
}

static const struct ktap_test tests[] = {
	KTAP(test_start), KTAP(test_topology), KTAP(test_start_refuses), KTAP(test_again_by_apic),
	KTAP(test_all_but_self), KTAP(test_startup_without_init), KTAP(test_init_amid_work),
	KTAP(test_init_resets), KTAP(test_audit),
};

int guest_main(void)
{
	rounds = info_number_or("rounds", 20);
	smp_init();
	printf("# %u processors\n", smp_count);
	return KTAP_MAIN(tests);
}
