/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stacks, and the switch from one to another.
 *
 * A stack is a slot of addresses: a page that is never mapped, and above it the stack.  When it is
 * freed its pages go back at once, but a TLB may remember them; harmless, since nobody uses the
 * address, until other pages are mapped there.  So a freed slot waits in a queue until each
 * CPU has emptied its TLB, which it does in its tick when slots were freed since the last time.
 * No CPU is interrupted for it.
 */
#include "arch/x86/stack.h"

#include "arch/x86/cpu.h"
#include "arch/x86/layout.h"
#include "arch/x86/percpu.h"
#include "host/machine.h"
#include "host/pages.h"
#include "mm/errno.h"
#include "mm/sync.h"

#define SLOT_SIZE (PAGE_SIZE + STACK_SIZE)
/* More than are in use at a time, and freed within a tick of the slowest CPU. */
#define SLOTS_MAX 8192u
#define TABLE_SPAN (PAGE_SIZE * PT_ENTRIES)

/* Interrupts off. */
static spinlock_t lock = SPINLOCK_INIT;
static unsigned slots_made; /* never used beyond */

/* Slots that were freed, in order; number n at n % SLOTS_MAX. */
static uint16_t freed[SLOTS_MAX];
static _Atomic uint64_t freed_count;
static uint64_t reused_count;

static uint64_t slot_va(unsigned slot)
{
	return LAYOUT_STACKS_BASE + slot * SLOT_SIZE;
}

/* How many of the freed ones no TLB remembers. */
static uint64_t forgotten_count(void)
{
	uint64_t least = ~0ul;

	for (unsigned i = 0; i < percpu_count(); i++) {
		/* pairs with the release in stack_tick() */
		uint64_t seen = atomic_load_explicit(&percpu_get(i)->stacks_seen,
						     memory_order_acquire);

		least = seen < least ? seen : least;
	}
	return least;
}

/*
 * Tables for so many at once: a thread that comes and goes then leaves the page allocator as it was.
 * Tables for those beyond stay.
 */
#define TABLES_FOR 1024ul

int stack_init(void)
{
	int err = 0;

	for (uint64_t done = 0; done < TABLES_FOR * SLOT_SIZE && !err; done += TABLE_SPAN) {
		err = layout_map(LAYOUT_STACKS_BASE + done, 0, PAGE_SIZE);
		layout_unmap(LAYOUT_STACKS_BASE + done, PAGE_SIZE);
	}
	/* Nobody has used what was mapped, but a processor may have looked ahead. */
	write_cr3(read_cr3());
	return err;
}

/* -1: there is none. */
static int slot_take(void)
{
	uint64_t flags = machine_irq_save();
	int slot = -1;

	spin_lock(&lock);
	if (reused_count < forgotten_count())
		slot = freed[reused_count++ % SLOTS_MAX];
	else if (slots_made < SLOTS_MAX)
		slot = (int)slots_made++;
	spin_unlock(&lock);
	machine_irq_restore(flags);
	return slot;
}

static void slot_give(unsigned slot)
{
	uint64_t flags = machine_irq_save();
	uint64_t n;

	spin_lock(&lock);
	n = atomic_load_explicit(&freed_count, memory_order_relaxed);
	freed[n % SLOTS_MAX] = (uint16_t)slot;
	/* pairs with the acquire in stack_tick(): who sees it empties the TLB after the unmapping */
	atomic_store_explicit(&freed_count, n + 1, memory_order_release);
	spin_unlock(&lock);
	machine_irq_restore(flags);
}

void stack_tick(void)
{
	struct percpu *p = percpu_this();
	uint64_t count = atomic_load_explicit(&freed_count, memory_order_acquire);

	if (count == atomic_load_explicit(&p->stacks_seen, memory_order_relaxed))
		return;
	write_cr3(read_cr3());
	/* pairs with the acquire in forgotten_count() */
	atomic_store_explicit(&p->stacks_seen, count, memory_order_release);
}

int machine_stack_alloc(struct stack *out)
{
	uint64_t pa = pages_alloc(STACK_ORDER, PAGES_ZERO);
	int slot;

	if (pa == PAGES_NONE)
		return -ENOMEM;
	slot = slot_take();
	if (slot < 0)
		goto no_slot;
	out->guard = slot_va((unsigned)slot);
	out->top = out->guard + SLOT_SIZE;
	if (layout_map(out->guard + PAGE_SIZE, pa, STACK_SIZE))
		goto no_table;
	return 0;

no_table:
	layout_unmap(out->guard + PAGE_SIZE, STACK_SIZE);
	slot_give((unsigned)slot);
no_slot:
	pages_free(pa, STACK_ORDER);
	return -ENOMEM;
}

void machine_stack_free(const struct stack *s)
{
	uint64_t bottom = s->guard + PAGE_SIZE;
	uint64_t pa = machine_virt_to_phys((const void *)bottom);

	layout_unmap(bottom, STACK_SIZE);
	slot_give((unsigned)((s->guard - LAYOUT_STACKS_BASE) / SLOT_SIZE));
	pages_free(pa, STACK_ORDER);
}

/* ---- contexts: context.asm ------------------------------------------------------------ */

void context_switch(void **save, void *sp);
void context_start(void);

void machine_context_init(struct context *c, const struct stack *s, void (*fn)(void *arg), void *arg)
{
	/*
	 * What context_switch() pops: r15, r14, r13, r12, rbx, rbp, and where it returns to.  Two more,
	 * so that the stack is aligned to 16 where fn is called.
	 */
	uint64_t frame[] = { 0, 0, 0, (uint64_t)fn, (uint64_t)arg, 0, (uint64_t)context_start, 0, 0 };
	uint64_t *sp = (uint64_t *)(s->top - sizeof(frame));

	for (unsigned i = 0; i < sizeof(frame) / sizeof(frame[0]); i++)
		sp[i] = frame[i];
	c->sp = sp;
}

void machine_context_switch(struct context *from, const struct context *to, const struct stack *s)
{
	struct percpu *p = percpu_this();

	BUG_ON(p->preempt_depth);
	p->stack = *s;
	context_switch(&from->sp, to->sp);
}
