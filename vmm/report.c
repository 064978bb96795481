/* SPDX-License-Identifier: GPL-2.0-only */
/* Reports on guests; see report.h. */
#include "vmm/report.h"

#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "host/thread.h"
#include "host/param.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/latency_text.h"
#include "vmm/stats.h"
#include "vmm/virt.h"
#include "vmm/vms.h"

#define CPUS_MAX 256

/* Each CPU writes its own entry; a panic reads. */
static struct vcpu *_Atomic current[CPUS_MAX];

void report_set_current(struct vcpu *vcpu)
{
	atomic_store_explicit(&current[machine_cpu_id() % CPUS_MAX], vcpu, memory_order_relaxed);
}

uint64_t report_progress(void)
{
	struct vcpu *vcpu = atomic_load_explicit(&current[machine_cpu_id() % CPUS_MAX],
						 memory_order_relaxed);

	return vcpu ? vcpu->history_next : 0;
}

/* ---- blocks -------------------------------------------------------------------------- */

/*
 * Lines that belong together: others print at the same time.  They are collected and go out at
 * once, in pieces where there is no memory for it.
 */
#define BLOCK_SIZE 16384

struct block {
	char *text;
	size_t size, used;
	char piece[256]; /* text, where there is no memory for more */
};

static void block_begin_small(struct block *b)
{
	b->used = 0;
	b->text = b->piece;
	b->size = sizeof(b->piece);
}

static void block_begin(struct block *b)
{
	block_begin_small(b);
	char *text = object_alloc(BLOCK_SIZE);

	if (text) {
		b->text = text;
		b->size = BLOCK_SIZE;
	}
}

static void block_flush(struct block *b)
{
	log_lines(b->text, b->used);
	b->used = 0;
}

static void block_end(struct block *b)
{
	block_flush(b);
	if (b->text != b->piece)
		object_free(b->text, BLOCK_SIZE);
}

__attribute__((format(printf, 2, 3)))
static void block_printf(struct block *b, const char *fmt, ...)
{
	va_list ap;

	for (int tries = 0; tries < 2; tries++) {
		size_t room = b->size - b->used;

		va_start(ap, fmt);
		size_t n = (size_t)lib_vsnprintf(b->text + b->used, room, fmt, ap);
		va_end(ap);
		if (n < room || tries) {
			b->used += MIN(n, room - 1);
			return;
		}
		block_flush(b);
	}
}

/* ---- a vCPU ------------------------------------------------------------------------------ */

static void report_registers(struct block *b, const struct vcpu *vcpu)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					       "rsi", "rdi", "r8 ", "r9 ", "r10", "r11",
					       "r12", "r13", "r14", "r15" };

	block_printf(b, "  rip %016lx  rflags %08lx\n", vcpu->regs.rip, vcpu->regs.rflags);
	for (unsigned i = 0; i < 16; i += 4)
		block_printf(b, "  %s %016lx  %s %016lx  %s %016lx  %s %016lx\n", names[i],
			 vcpu->regs.gpr[i], names[i + 1], vcpu->regs.gpr[i + 1], names[i + 2],
			 vcpu->regs.gpr[i + 2], names[i + 3], vcpu->regs.gpr[i + 3]);
}

static void report_system(struct block *b, struct vcpu *vcpu)
{
	static const char *const names[SEG_COUNT] = { "es", "cs", "ss", "ds",
						      "fs", "gs", "tr", "ldtr" };
	struct vcpu_state st;

	virt->get_state(vcpu, &st);
	block_printf(b, "  cr0 %08lx  cr2 %016lx  cr3 %016lx  cr4 %08lx  efer %04lx\n", st.cr0,
		 vcpu->regs.cr2, st.cr3, st.cr4, st.efer);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		block_printf(b, "  %-4s %04x  base %016lx  limit %08x  attr %05x\n", names[i],
			 st.seg[i].selector, st.seg[i].base, st.seg[i].limit, st.seg[i].attr);
	block_printf(b, "  gdt  base %016lx  limit %04x   idt  base %016lx  limit %04x\n", st.gdt.base,
		 st.gdt.limit, st.idt.base, st.idt.limit);
}

static void report_history(struct block *b, const struct vcpu *vcpu)
{
	unsigned n = MIN(vcpu->history_next, (unsigned)VCPU_EXIT_HISTORY);

	block_printf(b, "  last exits, newest first:\n");
	for (unsigned i = 1; i <= n; i++) {
		const struct exit_record *r =
			&vcpu->history[(vcpu->history_next - i) % VCPU_EXIT_HISTORY];

		block_printf(b, "    %-14s rip %016lx  hardware reason 0x%x  info 0x%lx\n",
			 exit_reason_name(r->reason), r->rip, r->hw_reason, r->hw_info);
	}
}

static void emit_line(const char *line)
{
	log_rawf("  %s\n", line);
}

void report_vcpu(struct vcpu *vcpu)
{
	struct block b;

	log_error("%s: vcpu %u stopped: %s", vcpu->vm->config.name, vcpu->id, vcpu->vm->why);
	block_begin(&b);
	report_registers(&b, vcpu);
	report_system(&b, vcpu);
	report_history(&b, vcpu);
	block_end(&b);
	virt->dump(vcpu, emit_line);
}

/* ---- a VM -------------------------------------------------------------------------------- */

static void describe_end(struct block *b, struct vm *vm)
{
	switch (vm_end(vm)) {
	case VM_END_EXIT:
		block_printf(b, "ended with code %lu%s", vm->exit_code,
			     vm->exit_code ? " (failure)" : "");
		break;
	case VM_END_HALTED:
		block_printf(b, "halted, and nothing could wake it");
		break;
	case VM_END_USER:
		block_printf(b, "stopped from the console");
		break;
	case VM_END_DESTROYED:
		block_printf(b, "destroyed");
		break;
	default:
		block_printf(b, "stopped: %s", vm->why);
	}
	uint64_t us = vm->end_us - vm->start_us, cpu = vm_cpu_us(vm);

	block_printf(b, ", after %lu ms, %lu %% of a CPU\n", us / 1000, us ? cpu * 100 / us : 0);
}

struct columns {
	struct block *block;
	unsigned shown;
};

/* Several to a line; what is zero says nothing. */
static void show_stat(void *ctx, const struct phyllo_stat *s)
{
	struct columns *c = ctx;

	if (!s->value)
		return;
	block_printf(c->block, "%s%-21s %10llu", c->shown % 3 ? "   " : "  ", s->name, s->value);
	if (++c->shown % 3 == 0)
		block_printf(c->block, "\n");
}

/* A line per kind that happened. */
static void report_latencies(struct block *b, struct vm *vm)
{
	uint64_t per_us = machine_cycles_per_us();
	char line[LATENCY_LINE];
	struct mmu_latency l;

	latency_head_text(line, sizeof(line));
	block_printf(b, "  %s\n", line);
	for (unsigned kind = 0; kind < MMU_LATENCY_COUNT; kind++) {
		mmu_latency_read(vm->mmu, kind, false, &l);
		if (!l.count)
			continue;
		latency_summary_text(line, sizeof(line), kind, &l, per_us);
		block_printf(b, "  %s\n", line);
	}
}

/* ---- what was done last ----------------------------------------------------------------- */

struct event_list {
	struct block *block;
	struct event_clocks now;
};

static void emit_event(void *ctx, const struct mmu_event *e)
{
	const struct event_list *l = ctx;
	char line[LATENCY_LINE];

	event_text(line, sizeof(line), e, event_us(e, &l->now));
	block_printf(l->block, "    %s\n", line);
}

typedef uint64_t read_events_fn(struct mmu_vm *vm, enum mmu_event_ring which,
				void (*emit)(void *ctx, const struct mmu_event *e), void *ctx);

static void report_rings(struct block *b, struct vm *vm, read_events_fn *read)
{
	static const char *const names[MMU_EVENT_RINGS] = {
		[MMU_EVENTS_OPS] = "operations on memory",
		[MMU_EVENTS_VCPUS] = "faults and changes of tables under the lock",
		[MMU_EVENTS_WORKER] = "steps of the worker",
	};
	struct event_list l = {
		.block = b,
		.now = { machine_cycles(), machine_us(), MAX(machine_cycles_per_us(), 1ul) },
	};
	char line[LATENCY_LINE];
	gfn_t gfn;

	for (unsigned which = 0; which < MMU_EVENT_RINGS; which++) {
		block_printf(b, "  last %s:\n", names[which]);
		block_printf(b, "    of %lu\n", read(vm->mmu, which, emit_event, &l));
	}
	enum mmu_op op = mmu_lock_holder(vm->mmu, &gfn);

	event_running_text(line, sizeof(line), op, gfn);
	block_printf(b, "  %s\n", line);
}

void report_events(struct vm *vm)
{
	struct block b;

	block_begin(&b);
	report_rings(&b, vm, mmu_events);
	block_end(&b);
}

static void emit_histogram_line(void *ctx, const char *line)
{
	block_printf(ctx, "  %s\n", line);
}

static void report_histograms(struct block *b, struct vm *vm)
{
	struct mmu_latency l;

	for (unsigned kind = 0; kind < MMU_LATENCY_COUNT; kind++) {
		mmu_latency_read(vm->mmu, kind, false, &l);
		latency_full_text(kind, &l, machine_cycles_per_us(), emit_histogram_line, b);
	}
}

void report_latency(struct vm *vm)
{
	struct block b;

	block_begin(&b);
	report_histograms(&b, vm);
	block_end(&b);
}

static void report_stats(struct block *b, struct vm *vm)
{
	struct columns c = { .block = b };

	stats_each(vm, show_stat, &c);
	if (c.shown % 3)
		block_printf(b, "\n");
}

void report_stats_now(struct vm *vm)
{
	struct block b;

	block_begin(&b);
	report_stats(&b, vm);
	block_end(&b);
}

void report_summary(struct vm *vm, const struct mmu_audit_report *audit)
{
	struct block b;

	block_begin(&b);
	block_printf(&b, "---- %s: ", vm->config.name);
	describe_end(&b, vm);
	report_stats(&b, vm);
	if (param.latency)
		report_histograms(&b, vm);
	else
		report_latencies(&b, vm);
	if (audit->errors)
		block_printf(&b, "  audit: %lu errors, the first: %s\n", audit->errors, audit->first);
	else
		block_printf(&b, "  audit: clean (%lu tables, %lu leaf entries)\n", audit->tables,
			     audit->leaves);
	if (audit->errors || !vm_succeeded(vm))
		report_rings(&b, vm, mmu_events);
	block_end(&b);
}

/* ---- a panic ------------------------------------------------------------------------------ */

static void report_this_cpu(struct block *b)
{
	struct vcpu *vcpu = atomic_load_explicit(&current[machine_cpu_id() % CPUS_MAX],
						 memory_order_relaxed);

	if (!vcpu)
		return;
	block_printf(b, "this CPU was running %s, vcpu %u\n", vcpu->vm->config.name, vcpu->id);
	report_registers(b, vcpu);
	report_history(b, vcpu);
}

/* All other CPUs stand still, wherever they were: no lock is taken. */
void report_panic(void)
{
	struct block b;

	block_begin_small(&b);
	report_this_cpu(&b);
	for (const struct guest *g = vms_next(NULL); g; g = vms_next(g)) {
		struct vm *vm = g->vm;

		if (!vm)
			continue;
		block_printf(&b, "events of %s\n", vm->config.name);
		report_rings(&b, vm, mmu_events_in_panic);
	}
	block_end(&b);
}
