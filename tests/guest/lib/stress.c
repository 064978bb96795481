/* SPDX-License-Identifier: GPL-2.0-only */
/* See stress.h. */
#include "tests/guest/lib/stress.h"

#include "tests/guest/lib/x86.h"

#define STRIDE 7919u /* a prime: steps of it visit every page once */

struct stress stress;
uint32_t stress_generation = 1;

/* ---- memory ------------------------------------------------------------------------------------- */

static void make_slots(void)
{
	uint64_t bytes = stress.slot_pages * PAGE_SIZE;

	for (unsigned i = 0; i < stress.slots; i++) {
		long ret = slot_create(STRESS_SLOT + i, stress.base + i * bytes, bytes, 0);

		if (ret)
			guest_die("slot %u of %u KiB cannot be made: %ld", i,
				  (unsigned)(bytes >> 10), ret);
	}
}

/* Equal slots; where they are large enough, large pages fit into each. */
static void lay_out(unsigned mib, unsigned slots)
{
	unsigned each = mib * 256 / slots;

	if (mib < 1 || mib > STRESS_MIB_MAX || slots < 1 || slots > STRESS_SLOTS_MAX || !each)
		guest_die("mib=%u slots=%u: 1 to %u MiB in 1 to %u slots", mib, slots,
			  STRESS_MIB_MAX, STRESS_SLOTS_MAX);
	if (each >= 512)
		each -= each % 512;
	stress.base = STRESS_GPA;
	stress.slots = slots;
	stress.slot_pages = each;
	stress.pages = each * slots;
}

void *stress_take(uint64_t bytes)
{
	uint64_t size = (bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	void *p = (void *)(uintptr_t)ram_take(size, PAGE_SIZE);

	if (!p)
		guest_die("no memory for %u KiB of the kernel's own", (unsigned)(size >> 10));
	memset(p, 0, size);
	return p;
}

void stress_init_processors(void)
{
	smp_init();
	smp_start_all();
	stress.overlap = info_option_is("overlap", "on");
	stress.random = info_option_is("order", "random");
}

void stress_init(unsigned mib, unsigned slots)
{
	stress_init_processors();
	lay_out(info_number_or("mib", mib), info_number_or("slots", slots));
	stress.value = stress_take(stress.pages * sizeof(uint32_t));
	stress.state = stress_take(stress.pages);
	stress.written = stress_take(stress.pages);
	make_slots();
	printf("# %u processors, %u MiB in %u slots%s%s\n", smp_count, stress.pages / 256,
	       stress.slots, stress.overlap ? ", overlapping" : "",
	       stress.random ? ", in random order" : "");
}

/* ---- phases --------------------------------------------------------------------------------------- */

static uint64_t ticks_per_us(void)
{
	static struct phyllo_latency l;

	if (!l.ticks_per_us)
		hypercall(PHYLLO_HC_LATENCY, (uintptr_t)&l, sizeof(l), 0, 0);
	return l.ticks_per_us;
}

static unsigned long long faults_before;

uint64_t stress_begin(void)
{
	faults_before = stat_read("pf_taken");
	return rdtsc();
}

void stress_end(const char *name, uint64_t begun)
{
	uint64_t ticks = rdtsc() - begun, us = ticks_per_us() ? ticks / ticks_per_us() : 0;

	printf("# %s: %llu ticks, %llu.%06llu s, %llu faults\n", name, (unsigned long long)ticks,
	       (unsigned long long)us / 1000000, (unsigned long long)us % 1000000,
	       stat_read("pf_taken") - faults_before);
}

void stress_phase_job(const char *name, void (*job)(void *arg))
{
	uint64_t begun = stress_begin();

	smp_run_on_all(job, NULL);
	stress_end(name, begun);
}

void stress_each(void (*fn)(unsigned page))
{
	struct cpu *c = this_cpu();
	unsigned parts = stress.overlap ? 1 : smp_count, me = stress.overlap ? 0 : c->id;
	unsigned first = (uint64_t)stress.pages * me / parts;
	unsigned count = (uint64_t)stress.pages * (me + 1) / parts - first;
	unsigned step = stress.random && count % STRIDE ? STRIDE : 1;
	unsigned at = stress.random && count ? cpu_random_below(count) : 0;

	for (unsigned i = 0; i < count; i++) {
		if (!stress_avoids(first + at))
			fn(first + at);
		at = (at + step) % count;
		atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
	}
}

/* What was translated before may be remembered: of Accessed and Dirty bits that were cleared since. */
static void each_job(void *arg)
{
	tlb_flush();
	stress_each(*(void (**)(unsigned page))arg);
}

void stress_run(void (*fn)(unsigned page))
{
	smp_run_on_all(each_job, &fn);
}

void stress_phase(const char *name, void (*fn)(unsigned page))
{
	uint64_t begun = stress_begin();

	stress_run(fn);
	stress_end(name, begun);
}

/* ---- pages ------------------------------------------------------------------------------------------ */

static uint64_t word_for(unsigned page, uint32_t generation)
{
	return generation ? ((uint64_t)generation << 32 | page) * 0x9e3779b97f4a7c15ull : 0;
}

void stress_write(unsigned page)
{
	*stress_word(page) = word_for(page, stress_generation);
	stress.value[page] = stress_generation;
	stress.written[page] = 1;
}

void stress_rewrite(unsigned page)
{
	*stress_word(page) = word_for(page, stress.value[page]);
	stress.written[page] = 1;
}

void stress_verify(unsigned page)
{
	CPU_CHECK_EQ(*stress_word(page), word_for(page, stress.value[page]));
}

void stress_verify_all(void)
{
	for (unsigned page = 0; page < stress.pages && !this_cpu()->failures; page++)
		if (!stress_avoids(page))
			stress_verify(page);
	smp_report();
}

void stress_forget(unsigned first, unsigned pages)
{
	memset(&stress.value[first], 0, pages * sizeof(stress.value[0]));
}

/* ---- writes that are stepped over ------------------------------------------------------------------- */

extern char stress_store_insn[], stress_store_next[];
void stress_store(volatile uint64_t *word, uint64_t value);

__asm__(".text\n"
	".globl stress_store, stress_store_insn, stress_store_next\n"
	"stress_store:\n"
	"stress_store_insn:\n"
	"	movq %rsi, (%rdi)\n"
	"stress_store_next:\n"
	"	ret\n");

static bool step_over(struct cpu *c, struct trap_frame *f)
{
	CPU_CHECK_EQ(f->rip, (uintptr_t)stress_store_insn);
	CPU_CHECK(c->ve->access & PHYLLO_VE_WRITE);
	CPU_CHECK_EQ(c->ve->rip, f->rip);
	f->rip = (uintptr_t)stress_store_next;
	return true;
}

void stress_step_over(void)
{
	cpu_ve_start();
	this_cpu()->ve_hook = step_over;
}

bool stress_try_write(unsigned page, uint64_t value)
{
	struct cpu *c = this_cpu();
	unsigned long before = c->ve_count;

	stress_store(stress_word(page), value);
	if (c->ve_count == before)
		return false;
	CPU_CHECK_EQ(c->ve_count, before + 1);
	CPU_CHECK_EQ(c->ve->gpa & ~(PAGE_SIZE - 1), stress_gpa(page));
	return true;
}

bool stress_try_rewrite(unsigned page)
{
	return stress_try_write(page, word_for(page, stress.value[page]));
}

/* ---- all slots --------------------------------------------------------------------------------------- */

long stress_dirty_start(unsigned style, unsigned flags)
{
	long ret = 0;

	for (unsigned i = 0; i < stress.slots && !ret; i++)
		ret = hypercall(PHYLLO_HC_DIRTY_START, STRESS_SLOT + i, style, flags, 0);
	return ret;
}

long stress_dirty_stop(void)
{
	long ret = 0;

	for (unsigned i = 0; i < stress.slots && !ret; i++)
		ret = hypercall(PHYLLO_HC_DIRTY_STOP, STRESS_SLOT + i, 0, 0, 0);
	return ret;
}

long stress_age(void)
{
	return hypercall(PHYLLO_HC_AGE, stress.base, stress_bytes(), 0, 0);
}
