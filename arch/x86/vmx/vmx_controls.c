/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which control bits we want, and what of that a processor can do.  The one table
 * below gives both the control words and the sentence for a user whose processor lacks one.
 */
#include "arch/x86/vmx/vmx.h"

#include "lib/printf.h"
#include "lib/util.h"

struct vmx_cap vmx_cap;
struct vmx_controls vmx_controls;

/* In this order, so that of all that is missing for nested paging EPT is named first. */
enum word { WORD_PROC2, WORD_PIN, WORD_PROC, WORD_EXIT, WORD_ENTRY, WORD_COUNT };

enum need {
	REQUIRED,
	OPTIONAL,
	NESTED,   /* without it there is no nested paging: guests run on shadow page tables */
	UNNESTED, /* for shadow paging; if the processor insists on it there is no other */
};

static const struct control {
	uint8_t word, need;
	uint32_t bit;
	const char *name;
} controls[] = {
	{ WORD_PIN, REQUIRED, PIN_EXT_INTR, "external-interrupt exiting" },
	{ WORD_PIN, REQUIRED, PIN_NMI, "NMI exiting" },
	{ WORD_PIN, REQUIRED, PIN_VIRTUAL_NMI, "virtual NMIs" },
	{ WORD_PIN, OPTIONAL, PIN_TIMER, "the preemption timer" },
	{ WORD_PROC, REQUIRED, PROC_HLT, "HLT exiting" },
	{ WORD_PROC, REQUIRED, PROC_MWAIT, "MWAIT exiting" },
	{ WORD_PROC, REQUIRED, PROC_MONITOR, "MONITOR exiting" },
	{ WORD_PROC, REQUIRED, PROC_RDPMC, "RDPMC exiting" },
	{ WORD_PROC, REQUIRED, PROC_IO, "I/O exiting" },
	{ WORD_PROC, REQUIRED, PROC_MSR_BITMAP, "MSR bitmaps" },
	/* Without it MOV CR8 would reach the host's own APIC. */
	{ WORD_PROC, REQUIRED, PROC_TPR_SHADOW, "the TPR shadow" },
	{ WORD_PROC, UNNESTED, PROC_CR3_LOAD, "guests that load CR3 without an exit" },
	{ WORD_PROC, UNNESTED, PROC_CR3_STORE, "guests that read CR3 without an exit" },
	{ WORD_PROC, UNNESTED, PROC_INVLPG, "guests that run INVLPG without an exit" },
	{ WORD_PROC, NESTED, PROC_SECONDARY, "secondary controls" },
	{ WORD_PROC2, NESTED, PROC2_EPT, "extended page tables (EPT)" },
	{ WORD_PROC2, NESTED, PROC2_UNRESTRICTED, "unrestricted guests" },
	{ WORD_PROC2, OPTIONAL, PROC2_VPID, "VPIDs" },
	{ WORD_PROC2, OPTIONAL, PROC2_WBINVD, "WBINVD exiting" },
	{ WORD_EXIT, REQUIRED, VMEXIT_HOST_64BIT, "a 64-bit host" },
	{ WORD_EXIT, REQUIRED, VMEXIT_SAVE_DEBUG, "saving of debug controls" },
	{ WORD_EXIT, NESTED, VMEXIT_LOAD_PAT, "loading of IA32_PAT" },
	{ WORD_EXIT, NESTED, VMEXIT_LOAD_EFER, "loading of IA32_EFER" },
	{ WORD_ENTRY, REQUIRED, VMENTRY_LOAD_DEBUG, "loading of debug controls" },
	{ WORD_ENTRY, NESTED, VMENTRY_LOAD_PAT, "loading of IA32_PAT" },
	{ WORD_ENTRY, NESTED, VMENTRY_LOAD_EFER, "loading of IA32_EFER" },
};

/* Features of EPT that are no control bits. */
static const struct {
	uint64_t bit;
	const char *name;
} ept_features[] = {
	{ EPT_CAP_4_LEVELS, "EPT with 4 levels" },
	{ EPT_CAP_WB, "write-back EPT tables" },
	{ EPT_CAP_INVEPT, "INVEPT" },
	{ EPT_CAP_INVEPT_SINGLE, "INVEPT of a single context" },
};

static int refuse(char *why, size_t why_size, const char *name)
{
	lib_snprintf(why, why_size, "this processor's VT-x lacks %s, which Phyllo needs", name);
	return -ENODEV;
}

/* What may be, but must not, with a processor of these words. */
static bool is_optional(uint64_t cap, uint32_t bit)
{
	return cap >> 32 & bit && !((uint32_t)cap & bit);
}

static void note_lack(struct vmx_controls *ctl, const char *name)
{
	if (!ctl->lacks)
		ctl->lacks = name;
}

static int choose_word(enum word word, uint64_t cap, struct vmx_controls *ctl, uint32_t *out,
		       char *why, size_t why_size)
{
	uint32_t may = (uint32_t)(cap >> 32);

	*out = (uint32_t)cap;
	for (unsigned i = 0; i < ARRAY_SIZE(controls); i++) {
		const struct control *c = &controls[i];

		if (c->word != word)
			continue;
		if (c->need == UNNESTED) {
			if (!(may & c->bit))
				return refuse(why, why_size, "exits for CR3 and INVLPG");
			if (!is_optional(cap, c->bit))
				note_lack(ctl, c->name);
			continue;
		}
		if (c->need == REQUIRED && !(may & c->bit))
			return refuse(why, why_size, c->name);
		if (c->need == NESTED && !(may & c->bit))
			note_lack(ctl, c->name);
		*out |= c->bit & may;
	}
	return 0;
}

static void choose_ept(uint64_t ept_vpid, struct vmx_controls *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ept_features); i++)
		if (!(ept_vpid & ept_features[i].bit))
			note_lack(out, ept_features[i].name);
	if (out->lacks)
		out->proc2 &= ~(PROC2_EPT | PROC2_UNRESTRICTED);
	else
		out->eptp_bits = EPTP_WB | EPTP_LEVELS(4) | (ept_vpid & EPT_CAP_AD ? EPTP_AD : 0);
}

int vmx_controls_choose(const struct vmx_cap *cap, struct vmx_controls *out, char *why,
			size_t why_size)
{
	const uint64_t invvpid = EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE;
	const struct {
		uint64_t cap;
		uint32_t *out;
	} words[WORD_COUNT] = {
		[WORD_PIN] = { cap->pin, &out->pin },
		[WORD_PROC] = { cap->proc, &out->proc },
		[WORD_PROC2] = { cap->proc2, &out->proc2 },
		[WORD_EXIT] = { cap->exit, &out->exit },
		[WORD_ENTRY] = { cap->entry, &out->entry },
	};

	*out = (struct vmx_controls){ 0 };
	for (unsigned i = 0; i < WORD_COUNT; i++) {
		int err = choose_word(i, words[i].cap, out, words[i].out, why, why_size);

		if (err)
			return err;
	}
	choose_ept(cap->ept_vpid, out);
	/* A VPID that cannot be flushed is worse than none. */
	if ((cap->ept_vpid & invvpid) != invvpid)
		out->proc2 &= ~PROC2_VPID;
	/* VM entry refuses it without Accessed and Dirty bits (SDM vol. 3C, 27.2.1.1). */
	out->pml = cap->proc2 >> 32 & PROC2_PML && out->eptp_bits & EPTP_AD;
	return 0;
}

bool vmx_has_field(uint32_t field)
{
	switch (field) {
	case VMCS_PROC2:
		return vmx_cap.proc >> 32 & PROC_SECONDARY;
	case VMCS_EPTP:
	case VMCS_GUEST_PHYSICAL:
	case VMCS_PDPTE(0):
	case VMCS_PDPTE(1):
	case VMCS_PDPTE(2):
	case VMCS_PDPTE(3):
		return vmx_cap.proc2 >> 32 & PROC2_EPT;
	case VMCS_GUEST_PAT:
		return vmx_cap.entry >> 32 & VMENTRY_LOAD_PAT;
	case VMCS_HOST_PAT:
		return vmx_cap.exit >> 32 & VMEXIT_LOAD_PAT;
	case VMCS_GUEST_EFER:
		return vmx_cap.entry >> 32 & VMENTRY_LOAD_EFER;
	case VMCS_HOST_EFER:
		return vmx_cap.exit >> 32 & VMEXIT_LOAD_EFER;
	}
	return true;
}

/* How far nested paging goes, or what is missing for it. */
static void describe_paging(const struct vmx_cap *cap, const struct vmx_controls *ctl,
			    struct virt_caps *caps, char *text, size_t size)
{
	const char *page = "4K";

	if (cap->ept_vpid & EPT_CAP_2M) {
		caps->max_leaf_level = PG_LEVEL_2M;
		page = "2M";
	}
	if (cap->ept_vpid & EPT_CAP_1G) {
		caps->max_leaf_level = PG_LEVEL_1G;
		page = "1G";
	}
	if (ctl->lacks)
		lib_snprintf(text, size, "no nested paging for want of %s", ctl->lacks);
	else
		lib_snprintf(text, size, "EPT, 4 levels, pages to %s, %s%s, unrestricted guest", page,
			     caps->hw_ad ? "A/D" : "no A/D", caps->pml ? ", PML" : "");
}

void vmx_controls_describe(const struct vmx_cap *cap, const struct vmx_controls *ctl,
			   struct virt_caps *caps)
{
	bool vpid = ctl->proc2 & PROC2_VPID;
	char paging[72];

	*caps = (struct virt_caps){
		.nested = !ctl->lacks,
		.format = MMU_FORMAT_EPT,
		.root_level = 4,
		.max_leaf_level = PG_LEVEL_4K,
		.hw_ad = ctl->eptp_bits & EPTP_AD,
		.pml = ctl->pml,
		.nmi_kicks = true,
		.nrips = true,
		.asids = vpid ? 0xffff : 0,
	};
	describe_paging(cap, ctl, caps, paging, sizeof(paging));
	lib_snprintf(caps->text, sizeof(caps->text), "%s, %s, %s", paging, vpid ? "VPID" : "no VPID",
		     ctl->pin & PIN_TIMER ? "timer" : "no timer");
}
