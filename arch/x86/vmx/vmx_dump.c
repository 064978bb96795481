/* SPDX-License-Identifier: GPL-2.0-only */
/* What the VMCS says, for the report of a VM that was stopped. */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/vmx/vmx_insn.h"
#include "lib/printf.h"
#include "lib/util.h"

#define LINE_MAX_ 160

static const char *reason_name(uint32_t reason)
{
	switch (reason & 0xffff) {
#define REASON_NAME(name, number) \
	case number:              \
		return #name;
		VMX_REASONS(REASON_NAME)
#undef REASON_NAME
	case REASON_VMFAIL:
		return "VMLAUNCH or VMRESUME failed";
	}
	return "?";
}

/* VM-instruction errors that an entry can give (SDM vol. 3C, 31.4). */
static const char *insn_error_text(uint64_t error)
{
	switch (error) {
	case 4:
		return "VMLAUNCH with a VMCS that is not clear";
	case 5:
		return "VMRESUME with a VMCS that was not launched";
	case 6:
		return "VMRESUME after VMXOFF";
	case 7:
		return "invalid control fields";
	case 8:
		return "invalid host state";
	case 26:
		return "events are blocked by MOV SS";
	}
	return "not an error of VM entry";
}

/* Exit qualification of an entry that failed for the guest's state (27.8). */
static const char *invalid_state_text(uint64_t qualification)
{
	switch (qualification) {
	case 0:
		return "one of the checks of SDM vol. 3C, 27.3.1, failed";
	case 2:
		return "a PDPTE has reserved bits set";
	case 3:
		return "an NMI was injected while blocked by STI or MOV SS";
	case 4:
		return "the VMCS link pointer is bad";
	}
	return "undocumented cause";
}

static void dump_exit(struct vcpu *vcpu, void (*emit)(const char *line))
{
	const struct vm_exit *exit = &vcpu->exit;
	uint32_t reason = (uint32_t)exit->hw_reason;
	char line[LINE_MAX_];

	lib_snprintf(line, sizeof(line), "vmx: exit reason 0x%x (%s), information 0x%lx 0x%lx",
		     reason, reason_name(reason), exit->hw_info[0], exit->hw_info[1]);
	emit(line);
	if (reason == REASON_VMFAIL)
		lib_snprintf(line, sizeof(line), "vmx: the entry was refused, error %lu: %s",
			     exit->hw_info[0], insn_error_text(exit->hw_info[0]));
	else if (reason & REASON_ENTRY_FAILED)
		lib_snprintf(line, sizeof(line), "vmx: the entry failed, qualification %lu: %s",
			     exit->hw_info[0], invalid_state_text(exit->hw_info[0]));
	else
		return;
	emit(line);
	const char *rule = vmx_broken_rule();

	lib_snprintf(line, sizeof(line), "vmx: %s", rule ? rule : "no rule that we know is broken");
	emit(line);
}

static void dump_segments(struct vcpu *vcpu, void (*emit)(const char *line))
{
	static const char *const names[SEG_COUNT] = { "ES", "CS", "SS", "DS",
						      "FS", "GS", "TR", "LDTR" };
	char line[LINE_MAX_];

	for (unsigned i = 0; i < SEG_COUNT; i++) {
		struct vm_segment s;

		vmx_get_segment(vcpu, i, &s);
		lib_snprintf(line, sizeof(line),
			     "vmx: %-4s %04x base %016lx limit %08x attributes %05x%s", names[i],
			     s.selector, s.base, s.limit, s.attr,
			     s.attr & SEG_ATTR_UNUSABLE ? " (unusable)" : "");
		emit(line);
	}
}

#define FIELD(name) { #name, VMCS_##name }

static const struct {
	const char *name;
	uint32_t field;
} fields[] = {
	FIELD(GUEST_RIP), FIELD(GUEST_RSP), FIELD(GUEST_RFLAGS),
	FIELD(GUEST_CR0), FIELD(CR0_SHADOW), FIELD(GUEST_CR4),
	FIELD(CR4_SHADOW), FIELD(GUEST_CR3), FIELD(GUEST_EFER),
	FIELD(GUEST_PAT), FIELD(GUEST_DR7), FIELD(GUEST_DEBUGCTL),
	{ "PDPTE0", VMCS_PDPTE(0) }, { "PDPTE1", VMCS_PDPTE(1) },
	{ "PDPTE2", VMCS_PDPTE(2) }, { "PDPTE3", VMCS_PDPTE(3) },
	FIELD(GUEST_GDT_BASE), FIELD(GUEST_GDT_LIMIT),
	FIELD(GUEST_IDT_BASE), FIELD(GUEST_IDT_LIMIT),
	FIELD(GUEST_INTERRUPTIBILITY), FIELD(GUEST_ACTIVITY), FIELD(GUEST_PENDING_DEBUG),
	FIELD(PIN), FIELD(PROC), FIELD(PROC2), FIELD(EXIT), FIELD(ENTRY),
	FIELD(EPTP), FIELD(QUALIFICATION), FIELD(GUEST_PHYSICAL), FIELD(GUEST_LINEAR),
	FIELD(EXIT_EVENT), FIELD(EXIT_EVENT_ERROR), FIELD(IDT_EVENT), FIELD(IDT_EVENT_ERROR),
	FIELD(EXIT_INSN_LEN), FIELD(ENTRY_EVENT), FIELD(ENTRY_ERROR),
	FIELD(HOST_RIP), FIELD(HOST_RSP), FIELD(HOST_CR3),
};

/* Three to a line. */
static void dump_fields(void (*emit)(const char *line))
{
	char line[LINE_MAX_];

	for (unsigned i = 0; i < ARRAY_SIZE(fields); i += 3) {
		int n = lib_snprintf(line, sizeof(line), "vmx:");

		for (unsigned j = i; j < MIN(i + 3, (unsigned)ARRAY_SIZE(fields)); j++)
			if (vmx_has_field(fields[j].field))
				n += lib_snprintf(line + n, sizeof(line) - (size_t)n, " %s %lx",
						  fields[j].name, vmcs_read(fields[j].field));
		emit(line);
	}
}

void vmx_dump(struct vcpu *vcpu, void (*emit)(const char *line))
{
	dump_exit(vcpu, emit);
	dump_segments(vcpu, emit);
	dump_fields(emit);
}
