/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMCB in words, and which rule of VMRUN it breaks. */
#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu.h"
#include "lib/printf.h"
#include "lib/util.h"

/* ---- why VMRUN refused ---------------------------------------------------------- */

struct rule {
	bool (*broken)(const struct vmcb *vmcb);
	const char *text;
};

static bool long_mode(const struct vmcb_save *s)
{
	return (s->efer & EFER_LME) && (s->cr0 & CR0_PG);
}

#define RULE(name, condition)                        \
	static bool name(const struct vmcb *vmcb)    \
	{                                            \
		const struct vmcb_save *s = &vmcb->save; \
		const struct vmcb_control *c = &vmcb->control; \
		(void)s;                             \
		(void)c;                             \
		return condition;                    \
	}

RULE(no_svme, !(s->efer & EFER_SVME))
RULE(nw_without_cd, (s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD))
RULE(cr0_high, s->cr0 >> 32)
RULE(cr4_high, s->cr4 >> 32)
RULE(dr6_high, s->dr6 >> 32)
RULE(dr7_high, s->dr7 >> 32)
RULE(efer_high, s->efer >> 32)
RULE(long_without_pae, long_mode(s) && !(s->cr4 & CR4_PAE))
RULE(long_without_pe, long_mode(s) && !(s->cr0 & CR0_PE))
RULE(cs_l_and_d, long_mode(s) && (s->cr4 & CR4_PAE) && (s->cs.attr & 0x600) == 0x600)
RULE(no_vmrun_intercept, !(c->intercept_misc2 & INTERCEPT_VMRUN))
RULE(asid_zero, !c->asid)
RULE(cr3_high, long_mode(s) && s->cr3 >> 52)
RULE(pat_illegal, !svm_pat_valid(s->pat))
RULE(ncr3_bits, (c->ncr3 & 0xfff) || c->ncr3 >> 52)

static bool event_illegal(uint32_t inj)
{
	unsigned type = inj >> VMCB_EVENT_TYPE_SHIFT & VMCB_EVENT_TYPE_MASK;
	uint8_t vector = inj;

	if (!(inj & VMCB_EVENT_VALID))
		return false;
	if (type == EVENT_EXCEPTION)
		return vector == VEC_NMI || vector > 31;
	return type != EVENT_INTR && type != EVENT_NMI && type != EVENT_SOFT_INT;
}

/* QEMU moves the refused event to EXITINTINFO. */
RULE(injected_illegal, event_illegal(c->event_inj) || event_illegal(c->exit_int_info))

static const struct rule rules[] = {
	{ no_svme, "EFER.SVME is clear" },
	{ nw_without_cd, "CR0.NW is set and CR0.CD is not" },
	{ cr0_high, "CR0 has bits above 31" },
	{ cr4_high, "CR4 has bits above 31" },
	{ dr6_high, "DR6 has bits above 31" },
	{ dr7_high, "DR7 has bits above 31" },
	{ efer_high, "EFER has bits above 31" },
	{ long_without_pae, "long mode without CR4.PAE" },
	{ long_without_pe, "long mode without CR0.PE" },
	{ cs_l_and_d, "long mode with CS.L and CS.D both set" },
	{ no_vmrun_intercept, "VMRUN is not intercepted" },
	{ asid_zero, "the ASID is 0, the host's" },
	{ injected_illegal, "EVENTINJ holds no event that can be injected" },
	{ pat_illegal, "the guest's PAT holds an undefined memory type" },
	{ cr3_high, "CR3 has bits above 51" },
	{ ncr3_bits, "nCR3 has reserved bits set" },
};

const char *svm_broken_rule(const struct vmcb *vmcb)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].broken(vmcb))
			return rules[i].text;
	}
	return NULL;
}

/* ---- the dump ---------------------------------------------------------------------- */

#define LINE_MAX 120

__attribute__((format(printf, 2, 3)))
static void line(void (*emit)(const char *line), const char *fmt, ...)
{
	char buf[LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	lib_vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	emit(buf);
}

static void dump_control(const struct vmcb_control *c, void (*emit)(const char *line))
{
	line(emit, "exit       code %lx info1 %016lx info2 %016lx", c->exit_code, c->exit_info[0],
	     c->exit_info[1]);
	line(emit, "events     exitintinfo %08x/%x eventinj %08x/%x int_state %lx next_rip %lx",
	     c->exit_int_info, c->exit_int_error, c->event_inj, c->event_error, c->int_state,
	     c->next_rip);
	line(emit, "intercepts cr r%04x w%04x dr r%04x w%04x exc %08x misc %08x %08x %08x",
	     c->intercept_cr_read, c->intercept_cr_write, c->intercept_dr_read,
	     c->intercept_dr_write, c->intercept_exceptions, c->intercept_misc1, c->intercept_misc2,
	     c->intercept_misc3);
	line(emit, "control    iopm %lx msrpm %lx tsc_offset %lx int_ctl %08x/%x", c->iopm_pa,
	     c->msrpm_pa, c->tsc_offset, c->int_ctl, c->int_vector);
	line(emit, "paging     np %lx ncr3 %lx asid %u tlb_control %u clean %08x", c->np_control,
	     c->ncr3, c->asid, c->tlb_control, c->clean);
}

static void dump_segments(const struct vmcb_save *s, void (*emit)(const char *line))
{
	const struct {
		const char *name;
		const struct vmcb_seg *seg;
	} segs[] = {
		{ "es", &s->es },     { "cs", &s->cs },     { "ss", &s->ss },
		{ "ds", &s->ds },     { "fs", &s->fs },     { "gs", &s->gs },
		{ "tr", &s->tr },     { "ldtr", &s->ldtr }, { "gdtr", &s->gdtr },
		{ "idtr", &s->idtr },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(segs); i++)
		line(emit, "%-10s %04x attr %03x limit %08x base %016lx", segs[i].name,
		     segs[i].seg->selector, segs[i].seg->attr, segs[i].seg->limit,
		     segs[i].seg->base);
}

static void dump_save(const struct vmcb_save *s, void (*emit)(const char *line))
{
	line(emit, "registers  rip %016lx rsp %016lx rax %016lx rflags %lx cpl %u", s->rip, s->rsp,
	     s->rax, s->rflags, s->cpl);
	line(emit, "control    cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", s->cr0, s->cr2, s->cr3,
	     s->cr4, s->efer);
	line(emit, "debug      dr6 %lx dr7 %lx pat %016lx", s->dr6, s->dr7, s->pat);
	line(emit, "syscall    star %lx lstar %lx cstar %lx sfmask %lx kernel_gs %lx", s->star,
	     s->lstar, s->cstar, s->sfmask, s->kernel_gs_base);
	line(emit, "sysenter   cs %lx esp %lx eip %lx", s->sysenter_cs, s->sysenter_esp,
	     s->sysenter_eip);
}

void svm_dump(struct vcpu *vcpu, void (*emit)(const char *line))
{
	const struct vmcb *vmcb = svm_of(vcpu)->vmcb;
	const char *rule = svm_broken_rule(vmcb);

	line(emit, "VMCB at %lx", svm_of(vcpu)->vmcb_pa);
	if ((uint32_t)vmcb->control.exit_code == VMEXIT_INVALID)
		line(emit, "refused    %s", rule ? rule : "no rule that we know is broken");
	dump_control(&vmcb->control, emit);
	dump_save(&vmcb->save, emit);
	dump_segments(&vmcb->save, emit);
}
