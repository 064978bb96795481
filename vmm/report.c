/* SPDX-License-Identifier: GPL-2.0-only */
/* Reports on guests; see report.h. */
#include "vmm/report.h"

#include "host/log.h"
#include "host/machine.h"
#include "lib/string.h"
#include "lib/util.h"
#include "vmm/stats.h"
#include "vmm/virt.h"

#define CPUS_MAX 256

/* Each CPU writes its own entry; a panic reads. */
static struct vcpu *_Atomic current[CPUS_MAX];

void report_set_current(struct vcpu *vcpu)
{
	atomic_store_explicit(&current[machine_cpu_id() % CPUS_MAX], vcpu, memory_order_relaxed);
}

static void report_registers(const struct vcpu *vcpu)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					       "rsi", "rdi", "r8 ", "r9 ", "r10", "r11",
					       "r12", "r13", "r14", "r15" };

	log_rawf("  rip %016lx  rflags %08lx\n", vcpu->regs.rip, vcpu->regs.rflags);
	for (unsigned i = 0; i < 16; i += 4)
		log_rawf("  %s %016lx  %s %016lx  %s %016lx  %s %016lx\n", names[i],
			 vcpu->regs.gpr[i], names[i + 1], vcpu->regs.gpr[i + 1], names[i + 2],
			 vcpu->regs.gpr[i + 2], names[i + 3], vcpu->regs.gpr[i + 3]);
}

static void report_system(struct vcpu *vcpu)
{
	static const char *const names[SEG_COUNT] = { "es", "cs", "ss", "ds",
						      "fs", "gs", "tr", "ldtr" };
	struct vcpu_state st;

	virt->get_state(vcpu, &st);
	log_rawf("  cr0 %08lx  cr2 %016lx  cr3 %016lx  cr4 %08lx  efer %04lx\n", st.cr0,
		 vcpu->regs.cr2, st.cr3, st.cr4, st.efer);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		log_rawf("  %-4s %04x  base %016lx  limit %08x  attr %05x\n", names[i],
			 st.seg[i].selector, st.seg[i].base, st.seg[i].limit, st.seg[i].attr);
	log_rawf("  gdt  base %016lx  limit %04x   idt  base %016lx  limit %04x\n", st.gdt.base,
		 st.gdt.limit, st.idt.base, st.idt.limit);
}

static void report_history(const struct vcpu *vcpu)
{
	unsigned n = MIN(vcpu->history_next, (unsigned)VCPU_EXIT_HISTORY);

	log_rawf("  last exits, newest first:\n");
	for (unsigned i = 1; i <= n; i++) {
		const struct exit_record *r =
			&vcpu->history[(vcpu->history_next - i) % VCPU_EXIT_HISTORY];

		log_rawf("    %-14s rip %016lx  hardware reason 0x%x  info 0x%lx\n",
			 exit_reason_name(r->reason), r->rip, r->hw_reason, r->hw_info);
	}
}

static void emit_line(const char *line)
{
	log_rawf("  %s\n", line);
}

void report_vcpu(struct vcpu *vcpu)
{
	log_error("%s: vcpu %u stopped: %s", vcpu->vm->config.name, vcpu->id, vcpu->vm->why);
	report_registers(vcpu);
	report_system(vcpu);
	report_history(vcpu);
	virt->dump(vcpu, emit_line);
}

void report_panic(void)
{
	struct vcpu *vcpu = atomic_load_explicit(&current[machine_cpu_id() % CPUS_MAX],
						 memory_order_relaxed);

	if (!vcpu)
		return;
	log_rawf("this CPU was running %s, vcpu %u\n", vcpu->vm->config.name, vcpu->id);
	report_registers(vcpu);
	report_history(vcpu);
}

static void describe_end(const struct vm *vm)
{
	switch (atomic_load_explicit(&vm->end, memory_order_relaxed)) {
	case VM_END_EXIT:
		log_rawf("ended with code %lu%s", vm->exit_code, vm->exit_code ? " (failure)" : "");
		break;
	case VM_END_HALTED:
		log_rawf("halted, and nothing could wake it");
		break;
	case VM_END_USER:
		log_rawf("stopped from the console");
		break;
	default:
		log_rawf("stopped: %s", vm->why);
	}
	log_rawf(", after %lu ms\n", (vm->end_us - vm->start_us) / 1000);
}

/* Several to a line; what is zero says nothing. */
static void show_stat(void *ctx, const struct phyllo_stat *s)
{
	unsigned *column = ctx;

	if (!s->value)
		return;
	log_rawf("%s%-21s %10llu", *column % 3 ? "   " : "  ", s->name, s->value);
	if (++*column % 3 == 0)
		log_rawf("\n");
}

uint64_t report_summary(struct vm *vm)
{
	struct mmu_audit_report audit;
	unsigned column = 0;

	log_rawf("---- %s: ", vm->config.name);
	describe_end(vm);
	stats_each(vm, show_stat, &column);
	if (column % 3)
		log_rawf("\n");
	if (mmu_audit(vm->mmu, &audit))
		log_rawf("  audit: %lu errors, the first: %s\n", audit.errors, audit.first);
	else
		log_rawf("  audit: clean (%lu tables, %lu leaf entries)\n", audit.tables,
			 audit.leaves);
	return audit.errors;
}
