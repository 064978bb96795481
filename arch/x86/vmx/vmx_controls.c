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

enum word { WORD_PIN, WORD_PROC, WORD_PROC2, WORD_EXIT, WORD_ENTRY, WORD_COUNT };

enum need {
	REQUIRED,
	OPTIONAL,
	FORBIDDEN, /* a processor that insists on it is no use */
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
	{ WORD_PROC, FORBIDDEN, PROC_CR3_LOAD, "guests that load CR3 without an exit" },
	{ WORD_PROC, FORBIDDEN, PROC_CR3_STORE, "guests that read CR3 without an exit" },
	{ WORD_PROC, FORBIDDEN, PROC_INVLPG, "guests that run INVLPG without an exit" },
	{ WORD_PROC, REQUIRED, PROC_SECONDARY, "secondary controls" },
	{ WORD_PROC2, REQUIRED, PROC2_EPT, "extended page tables (EPT)" },
	{ WORD_PROC2, REQUIRED, PROC2_UNRESTRICTED,
	  "unrestricted guests (it is older than 2010's Westmere)" },
	{ WORD_PROC2, OPTIONAL, PROC2_VPID, "VPIDs" },
	{ WORD_PROC2, OPTIONAL, PROC2_WBINVD, "WBINVD exiting" },
	{ WORD_EXIT, REQUIRED, VMEXIT_HOST_64BIT, "a 64-bit host" },
	{ WORD_EXIT, REQUIRED, VMEXIT_SAVE_DEBUG, "saving of debug controls" },
	{ WORD_EXIT, REQUIRED, VMEXIT_LOAD_PAT, "loading of IA32_PAT" },
	{ WORD_EXIT, REQUIRED, VMEXIT_LOAD_EFER, "loading of IA32_EFER" },
	{ WORD_ENTRY, REQUIRED, VMENTRY_LOAD_DEBUG, "loading of debug controls" },
	{ WORD_ENTRY, REQUIRED, VMENTRY_LOAD_PAT, "loading of IA32_PAT" },
	{ WORD_ENTRY, REQUIRED, VMENTRY_LOAD_EFER, "loading of IA32_EFER" },
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

static int choose_word(enum word word, uint64_t cap, uint32_t *out, char *why, size_t why_size)
{
	uint32_t must = (uint32_t)cap, may = (uint32_t)(cap >> 32);

	*out = must;
	for (unsigned i = 0; i < ARRAY_SIZE(controls); i++) {
		const struct control *c = &controls[i];

		if (c->word != word)
			continue;
		if (c->need == FORBIDDEN ? must & c->bit : c->need == REQUIRED && !(may & c->bit))
			return refuse(why, why_size, c->name);
		if (c->need != FORBIDDEN)
			*out |= c->bit & may;
	}
	return 0;
}

static int choose_ept(uint64_t ept_vpid, struct vmx_controls *out, char *why, size_t why_size)
{
	const uint64_t invvpid = EPT_CAP_INVVPID | EPT_CAP_INVVPID_SINGLE;

	for (unsigned i = 0; i < ARRAY_SIZE(ept_features); i++)
		if (!(ept_vpid & ept_features[i].bit))
			return refuse(why, why_size, ept_features[i].name);
	/* A VPID that cannot be flushed is worse than none. */
	if ((ept_vpid & invvpid) != invvpid)
		out->proc2 &= ~PROC2_VPID;
	out->eptp_bits = EPTP_WB | EPTP_LEVELS(4) | (ept_vpid & EPT_CAP_AD ? EPTP_AD : 0);
	return 0;
}

int vmx_controls_choose(const struct vmx_cap *cap, struct vmx_controls *out, char *why,
			size_t why_size)
{
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

	if (!(cap->basic & VMX_BASIC_TRUE_CONTROLS))
		return refuse(why, why_size, "the TRUE control MSRs");
	for (unsigned i = 0; i < WORD_COUNT; i++) {
		int err = choose_word(i, words[i].cap, words[i].out, why, why_size);

		if (err)
			return err;
	}
	int err = choose_ept(cap->ept_vpid, out, why, why_size);

	/* VM entry refuses it without Accessed and Dirty bits (SDM vol. 3C, 27.2.1.1). */
	out->pml = cap->proc2 >> 32 & PROC2_PML && out->eptp_bits & EPTP_AD;
	return err;
}

void vmx_controls_describe(const struct vmx_cap *cap, const struct vmx_controls *ctl,
			   struct virt_caps *caps)
{
	bool vpid = ctl->proc2 & PROC2_VPID;
	const char *page = "4K";

	*caps = (struct virt_caps){
		.nested = true,
		.format = MMU_FORMAT_EPT,
		.root_level = 4,
		.max_leaf_level = PG_LEVEL_4K,
		.hw_ad = ctl->eptp_bits & EPTP_AD,
		.pml = ctl->pml,
		.nmi_kicks = true,
		.nrips = true,
		.asids = vpid ? 0xffff : 0,
	};
	if (cap->ept_vpid & EPT_CAP_2M) {
		caps->max_leaf_level = PG_LEVEL_2M;
		page = "2M";
	}
	if (cap->ept_vpid & EPT_CAP_1G) {
		caps->max_leaf_level = PG_LEVEL_1G;
		page = "1G";
	}
	lib_snprintf(caps->text, sizeof(caps->text),
		     "EPT, 4 levels, pages to %s, %s%s, %s, unrestricted guest, %s", page,
		     caps->hw_ad ? "A/D" : "no A/D", caps->pml ? ", PML" : "",
		     vpid ? "VPID" : "no VPID",
		     ctl->pin & PIN_TIMER ? "timer" : "no timer");
}
