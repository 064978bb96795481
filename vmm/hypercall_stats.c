/* SPDX-License-Identifier: GPL-2.0-only */
/* The hypercall that reads latencies. */
#include "vmm/hypercall_impl.h"

#include "host/machine.h"
#include "lib/text.h"
#include "lib/util.h"

_Static_assert(PHYLLO_LATENCY_BUCKETS == MMU_LATENCY_BUCKETS, "the two mean the same");
_Static_assert(PHYLLO_LATENCY_WORST == MMU_LATENCY_WORST, "the two mean the same");

static void event_out(struct phyllo_latency_event *out, const struct mmu_latency_event *e)
{
	text_copy(out->what, sizeof(out->what), mmu_op_name(e->op));
	text_copy(out->with, sizeof(out->with), e->with ? mmu_op_name(e->with) : "");
	out->ticks = e->ticks;
	out->when = e->when;
	out->gpa = e->gfn << PAGE_SHIFT;
	out->bytes = e->npages << PAGE_SHIFT;
	out->with_gpa = e->with == MMU_OP_GUEST ? e->with_gfn : e->with_gfn << PAGE_SHIFT;
}

static void latency_out(struct phyllo_latency *out, const struct mmu_latency *l)
{
	out->ticks_per_us = machine_cycles_per_us();
	out->count = l->count;
	out->sum = l->sum;
	out->max = l->max;
	out->worst_count = l->worst_count;
	for (unsigned b = 0; b < PHYLLO_LATENCY_BUCKETS; b++)
		out->bucket[b] = l->bucket[b];
	for (unsigned i = 0; i < l->worst_count; i++)
		event_out(&out->worst[i], &l->worst[i]);
}

/* Where the structure is to go is tried before anything is reset. */
int64_t hc_latency(struct vcpu *vcpu, const struct hc_args *a)
{
	struct phyllo_latency io = { 0 };
	struct mmu_latency l;
	int64_t err = hc_read_struct(vcpu, a, &io, sizeof(io));

	if (!err && (io.kind >= MMU_LATENCY_COUNT || io.flags & ~PHYLLO_LATENCY_RESET))
		err = PHYLLO_EINVAL;
	if (!err)
		err = mmu_write_guest(vcpu->vm->mmu, a->rbx, &io, sizeof(io));
	if (err)
		return err;
	mmu_latency_read(a->target->mmu, io.kind, io.flags & PHYLLO_LATENCY_RESET, &l);
	io = (struct phyllo_latency){ .kind = io.kind, .flags = io.flags };
	text_copy(io.name, sizeof(io.name), mmu_latency_name((enum mmu_latency_kind)io.kind));
	latency_out(&io, &l);
	return mmu_write_guest(vcpu->vm->mmu, a->rbx, &io, sizeof(io));
}
