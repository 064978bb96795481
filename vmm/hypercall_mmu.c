/* SPDX-License-Identifier: GPL-2.0-only */
/* Hypercalls that ask about the MMU as a whole. */
#include "vmm/hypercall_impl.h"

#include "host/log.h"
#include "host/object.h"
#include "lib/string.h"
#include "lib/text.h"
#include "lib/util.h"
#include "vmm/virt.h"

int64_t hc_audit(struct vcpu *vcpu, const struct hc_args *a)
{
	struct mmu_audit_report report;

	if (mmu_audit(a->target->mmu, &report))
		log_error("%s: MMU audit: %lu errors, the first: %s", a->target->config.name,
			  report.errors, report.first);
	return (int64_t)report.errors;
}

int64_t hc_mmu_mode(struct vcpu *vcpu, const struct hc_args *a)
{
	struct mmu_mode mode;
	struct phyllo_mmu_mode out = { .dirty_styles = hc_dirty_styles(a->target) };

	if (a->rcx != sizeof(out) || a->rdx)
		return PHYLLO_EINVAL;
	mmu_mode_read(a->target->mmu, &mode);
	text_copy(out.format, sizeof(out.format), mode.format);
	out.root_level = mode.root_level;
	out.max_level = mode.max_leaf_level;
	out.fault_around = mode.fault_around;
	out.dirty_default = (unsigned char)hc_dirty_default(a->target);
	out.flags = (mode.hw_ad ? PHYLLO_MODE_AD : 0) |
		    (mode.nx_huge_pages ? PHYLLO_MODE_NX_HUGE_PAGES : 0);
	out.physical_bits = virt_caps.gpa_bits;
	return mmu_write_guest(vcpu->vm->mmu, a->rbx, &out, sizeof(out));
}

int64_t hc_zap_all(struct vcpu *vcpu, const struct hc_args *a)
{
	mmu_zap_all(a->target->mmu);
	return 0;
}

int64_t hc_nx_recover(struct vcpu *vcpu, const struct hc_args *a)
{
	mmu_nx_recover(a->target->mmu);
	return 0;
}

/* ---- dump ---------------------------------------------------------------------------- */

/* Lines are collected first: the console is slow, and the tables are locked meanwhile. */
struct dump {
	char *text;
	size_t used;
	unsigned lines, left_out;
};

static void dump_line(void *ctx, const char *line)
{
	struct dump *d = ctx;
	size_t len = strlen(line);

	if (d->used + len + 1 > PHYLLO_DUMP_TEXT) {
		d->left_out++;
		return;
	}
	memcpy(d->text + d->used, line, len);
	d->text[d->used + len] = '\n';
	d->used += len + 1;
	d->lines++;
}

int64_t hc_dump(struct vcpu *vcpu, const struct hc_args *a)
{
	struct dump d = { 0 };
	uint64_t npages;
	gfn_t gfn;

	if (a->rdx || a->rcx > PHYLLO_DUMP_MAX || !hc_range_parse(a->rbx, a->rcx, &gfn, &npages))
		return PHYLLO_EINVAL;
	d.text = object_alloc(PHYLLO_DUMP_TEXT);
	if (!d.text)
		return PHYLLO_ENOMEM;
	mmu_dump(a->target->mmu, gfn, npages, dump_line, &d);
	log_info("%s: tables of 0x%lx-0x%lx, %u lines, %u left out", a->target->config.name, a->rbx,
		 a->rbx + a->rcx - 1, d.lines, d.left_out);
	log_raw(d.text, d.used);
	object_free(d.text, PHYLLO_DUMP_TEXT);
	return d.lines;
}
