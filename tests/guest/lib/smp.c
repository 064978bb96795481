/* SPDX-License-Identifier: GPL-2.0-only */
/* See smp.h. */
#include "tests/guest/lib/smp.h"

#include "tests/guest/lib/x86.h"

#define SPIN_TURNS 4096u              /* between two looks at the limit */
#define SPIN_CYCLES 150000000000ull   /* in which nobody got on; a host may be loaded */
#define SPIN_YIELD 512u               /* turns between two hypercalls, of all together */
#define VE_YIELD 16u                  /* the same for tries against a protection */
#define INIT_CYCLES 1000000u          /* real processors want 10 ms; emulators some time */
#define TRAMPOLINE 8u                 /* page; loaders leave it alone */
#define STAR_RANDOM 0x2545f4914f6cdd1dull

extern const uint8_t smp_blob[], smp_blob_end[];
extern char ap_entry32[];

/* smp_entry.asm takes its stack from here. */
extern uint64_t smp_stack_top[SMP_MAX];
uint64_t smp_stack_top[SMP_MAX];
void smp_ap_main(unsigned id);

unsigned smp_count = 1;
struct cpu *smp_cpu[SMP_MAX];

static bool has_smp_calls;
static struct {
	void (*fn)(void *arg);
	void *arg;
	unsigned number;
} job; /* number 0 changes it while nobody works */

/* ---- waiting --------------------------------------------------------------------------- */

/* Where everybody is, as far as it shows from outside. */
static _Noreturn void wait_in_vain(const struct spin *s)
{
	static _Atomic bool told;

	while (atomic_exchange(&told, true))
		__asm__ volatile("pause"); /* the first one ends the kernel */
	for (unsigned i = 0; i < smp_count; i++) {
		const struct cpu *c = smp_cpu[i];

		printf("# CPU %u: online %u, job %u of %u, progress %llu, %u interrupts, %u NMIs;", i,
		       c->online, c->job_done, c->job_given, (unsigned long long)c->progress,
		       c->irq.count, c->irq.nmis);
		for (unsigned v = 0; v < 256; v++)
			if (c->irq.of_vector[v])
				printf(" %02x: %u", v, c->irq.of_vector[v]);
		printf("\n");
	}
	guest_die("CPU %u waits in vain for %s", this_cpu()->id, s->what);
}

/* Changes while anybody gets on. */
static uint64_t signs_of_life(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < smp_count; i++)
		sum += smp_cpu[i]->progress + smp_cpu[i]->irq.count + smp_cpu[i]->irq.nmis;
	return sum;
}

static void spin_limit(struct spin *s)
{
	uint64_t signs = signs_of_life();

	if (s->start && signs == s->signs && rdtsc() - s->start > SPIN_CYCLES)
		wait_in_vain(s);
	if (!s->start || signs != s->signs)
		s->start = rdtsc();
	s->signs = signs;
}

void spin_wait(struct spin *s)
{
	if (++s->turns % SPIN_TURNS == 0)
		spin_limit(s);
	if (has_smp_calls && !s->stubborn && s->turns % (SPIN_YIELD / smp_count) == 0)
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	__asm__ volatile("pause");
}

void barrier_init(struct barrier *b, unsigned count)
{
	b->count = count;
	b->arrived = 0;
	b->round = 0;
}

void barrier_wait(struct barrier *b)
{
	struct spin s = { .what = "a barrier" };
	unsigned round = atomic_load(&b->round);

	if (atomic_fetch_add(&b->arrived, 1) + 1 == b->count) {
		atomic_store(&b->arrived, 0);
		atomic_store(&b->round, round + 1);
		return;
	}
	while (atomic_load(&b->round) == round)
		spin_wait(&s);
}

/* ---- interrupts and exceptions --------------------------------------------------------- */

static bool take_ve(struct cpu *c, struct trap_frame *f)
{
	c->ve->busy = 0;
	if (++c->ve_count % VE_YIELD == 0 && has_smp_calls)
		hypercall(PHYLLO_HC_YIELD, 0, 0, 0, 0);
	return !c->ve_hook || c->ve_hook(c, f);
}

static bool smp_trap(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	if (f->vector == VEC_VE && c->ve)
		return take_ve(c, f);
	if (f->vector == SMP_WAKE_VECTOR) {
		c->woken = true;
		apic_write(APIC_EOI, 0);
		return true;
	}
	if (irq_take(c->log, f))
		return true;
	if (c->id) { /* TRAP_TRY is number 0's */
		printf("# CPU %u:\n", c->id);
		trap_report(f);
	}
	return false;
}

void apic_send_to(unsigned dest, uint32_t icr)
{
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_send(icr);
}

void cpu_apic_begin(void)
{
	struct cpu *c = this_cpu();

	cli();
	apic_reset();
	sti(); /* what the APIC had accepted before comes now, and does not count */
	cli();
	memset(&c->irq, 0, sizeof(c->irq));
}

void cpu_irq_wait(unsigned count)
{
	struct spin s = { .what = "interrupts" };

	while (this_cpu()->irq.count < count)
		spin_wait(&s);
}

void cpu_ve_start(void)
{
	struct cpu *c = this_cpu();
	long ret;

	c->ve = (struct phyllo_ve *)c->ve_page;
	c->ve_count = 0;
	c->ve_hook = NULL;
	ret = hypercall(PHYLLO_HC_VE_SETUP, (uintptr_t)c->ve, 0, 0, 0);
	if (ret)
		guest_die("#VE of CPU %u cannot be set up: %ld", c->id, ret);
}

/* ---- random numbers and failures ---------------------------------------------------------- */

uint64_t cpu_random(void)
{
	uint64_t *x = &this_cpu()->random;

	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * STAR_RANDOM;
}

void cpu_fail(const char *file, int line, const char *what, unsigned long long got,
	      unsigned long long want)
{
	struct cpu *c = this_cpu();

	if (!c->failures++)
		c->first_failure = (struct cpu_failure){ file, what, line, got, want };
}

void smp_report(void)
{
	for (unsigned i = 0; i < smp_count; i++) {
		struct cpu *c = smp_cpu[i];
		const struct cpu_failure *f = &c->first_failure;

		if (c->failures)
			ktap_fail(f->file, f->line, "CPU %u: not %s: 0x%llx, 0x%llx (%u such)", i,
				  f->what, f->got, f->want, c->failures);
		c->failures = 0;
	}
}

/* ---- jobs ------------------------------------------------------------------------------------ */

void smp_give(uint64_t mask, void (*fn)(void *arg), void *arg)
{
	job.fn = fn;
	job.arg = arg;
	job.number++;
	for (unsigned i = 0; i < smp_count; i++) {
		if (!(mask >> i & 1))
			continue;
		atomic_store(&smp_cpu[i]->progress, 0);
		atomic_store(&smp_cpu[i]->job_given, job.number); /* run_jobs() loads it */
		if (i)
			apic_send_to(i, SMP_WAKE_VECTOR);
	}
}

void smp_finish(uint64_t mask)
{
	struct spin s = { .what = "the others to finish" };

	for (unsigned i = 1; i < smp_count; i++)
		while (mask >> i & 1 && atomic_load(&smp_cpu[i]->job_done) != job.number)
			spin_wait(&s);
	smp_report();
}

void smp_run_on_all(void (*fn)(void *arg), void *arg)
{
	smp_give(smp_all(), fn, arg);
	fn(arg);
	cli();
	smp_finish(smp_all());
}

static uint64_t steps_of_others(void)
{
	uint64_t sum = 0;

	for (unsigned i = 1; i < smp_count; i++)
		sum += atomic_load_explicit(&smp_cpu[i]->progress, memory_order_relaxed);
	return sum;
}

void smp_let_others_step(unsigned steps)
{
	struct spin s = { .what = "the others to go on" };
	uint64_t until = steps_of_others() + steps;

	while (smp_count > 1 && steps_of_others() < until)
		spin_wait(&s);
}

/*
 * Interrupts are off, and on in HLT only.  A job begins behind its wake: one that is still on its way
 * would end a sleep of the job's own.
 */
static _Noreturn void run_jobs(struct cpu *c)
{
	unsigned last = atomic_load(&c->job_given);

	for (;;) {
		unsigned number = atomic_load(&c->job_given);

		if (number == last || !c->woken) {
			sti_hlt();
			continue;
		}
		c->woken = false;
		last = number;
		job.fn(job.arg);
		cli();
		apic_write(APIC_TPR, 0); /* or it would sleep for good */
		atomic_store(&c->job_done, number);
	}
}

/* ---- starting ----------------------------------------------------------------------------- */

static void set_gs(struct cpu *c)
{
	wrmsr(MSR_GS_BASE, (uintptr_t)c);
}

void smp_ap_main(unsigned id)
{
	struct cpu *c = smp_cpu[id];

	memcpy(c->gdt, boot_gdt, BOOT_GDT_SIZE);
	trap_load_gdt(c->gdt, BOOT_GDT_SIZE - 1);
	trap_load_idt(trap_idt, sizeof(trap_idt) - 1);
	memset(&c->tss, 0, sizeof(c->tss));
	trap_load_tss(c->gdt, &c->tss, c->df_stack + sizeof(c->df_stack));
	set_gs(c);
	c->ve = NULL;
	cpu_apic_begin();
	c->woken = false;
	atomic_fetch_add(&c->online, 1);
	run_jobs(c);
}

void smp_init(void)
{
	has_smp_calls = phyllo_present() && hypercall(PHYLLO_HC_FEATURES, 0, 0, 0, 0) &
						    PHYLLO_FEATURE_SMP;
	smp_init_count(has_smp_calls ? hypercall(PHYLLO_HC_VCPU_ID, PHYLLO_VCPU_COUNT, 0, 0, 0)
				     : info_number_or("cpus", 1));
}

void smp_init_count(unsigned n)
{
	uint32_t seed = info_number_or("seed", 1);
	uint64_t size = n * sizeof(struct cpu);
	struct cpu *all;

	if (!n || n > SMP_MAX)
		guest_die("%u processors: this kernel knows 1 to %u", n, SMP_MAX);
	smp_count = n;
	all = (struct cpu *)(uintptr_t)ram_take(size, PAGE_SIZE);
	if (!all)
		guest_die("no memory for %u processors", smp_count);
	memset(all, 0, size);
	for (unsigned i = 0; i < smp_count; i++) {
		struct cpu *c = smp_cpu[i] = &all[i];

		c->self = c;
		c->id = i;
		c->log = &c->irq;
		c->random = seed * 0x9e3779b97f4a7c15ull + i * 0xd1b54a32d192ed03ull + 1;
		smp_stack_top[i] = (uintptr_t)c->stack + sizeof(c->stack);
	}
	set_gs(smp_cpu[0]);
	smp_cpu[0]->online = 1;
	trap_hook = smp_trap;
	pic_mask();
	cpu_apic_begin();
}

void smp_trampoline_at(unsigned page)
{
	volatile uint8_t *dst = (volatile uint8_t *)(page * PAGE_SIZE);

	__asm__("" : "+r"(dst)); /* C takes address 0 for a mistake */
	for (const uint8_t *src = smp_blob; src < smp_blob_end; src++)
		*dst++ = *src;
}

unsigned smp_trampoline(void)
{
	smp_trampoline_at(TRAMPOLINE);
	return TRAMPOLINE;
}

void smp_wait_online(unsigned id, unsigned times)
{
	struct spin s = { .what = "a processor to start" };

	while (atomic_load(&smp_cpu[id]->online) < times)
		spin_wait(&s);
}

void smp_start_by_hypercall(unsigned id)
{
	unsigned before = atomic_load(&smp_cpu[id]->online);
	long ret = hypercall(PHYLLO_HC_VCPU_START, id, (uintptr_t)ap_entry32, 0, 0);

	if (ret)
		guest_die("processor %u does not start: %ld", id, ret);
	smp_wait_online(id, before + 1);
}

void smp_init_ipi(unsigned id)
{
	apic_send_to(id, APIC_INIT | APIC_ASSERT);
	irq_spend(phyllo_present() ? 0 : INIT_CYCLES);
}

void smp_start_by_apic(unsigned id)
{
	unsigned before = atomic_load(&smp_cpu[id]->online);
	unsigned vector = smp_trampoline();

	smp_init_ipi(id);
	apic_send_to(id, APIC_STARTUP | vector);
	apic_send_to(id, APIC_STARTUP | vector);
	smp_wait_online(id, before + 1);
}

void smp_start_all(void)
{
	for (unsigned i = 1; i < smp_count; i++) {
		if (has_smp_calls)
			smp_start_by_hypercall(i);
		else
			smp_start_by_apic(i);
	}
}
