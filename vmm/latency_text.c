/* SPDX-License-Identifier: GPL-2.0-only */
/* Latencies and events as text; see latency_text.h. */
#include "vmm/latency_text.h"

#include "lib/printf.h"

#define BAR 40u

void latency_time(char *out, size_t size, uint64_t ticks, uint64_t per_us)
{
	/* Long before this overflows, nanoseconds are of no interest. */
	uint64_t ns = per_us && ticks < 1ul << 53 ? ticks * 1000 / per_us : 0;

	if (!per_us)
		lib_snprintf(out, size, "%lu ticks", ticks);
	else if (ticks >= 1ul << 53)
		lib_snprintf(out, size, "%lu ms", ticks / per_us / 1000);
	else if (ns < 10000)
		lib_snprintf(out, size, "%lu ns", ns);
	else if (ns < 10000000)
		lib_snprintf(out, size, "%lu us", ns / 1000);
	else
		lib_snprintf(out, size, "%lu ms", ns / 1000000);
}

/* The first number of ticks that is beyond the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	return 2ul << bucket;
}

uint64_t latency_percentile(const struct mmu_latency *l, unsigned percent)
{
	uint64_t seen = 0;

	for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++) {
		seen += l->bucket[b];
		if (seen && seen * 100 >= l->count * percent)
			return b == MMU_LATENCY_BUCKETS - 1 ? l->max + 1 : bucket_end(b);
	}
	return 0;
}

/* ---- one event ------------------------------------------------------------------- */

static void place_text(char *out, size_t size, enum mmu_op op, gfn_t gfn, uint64_t npages)
{
	if (op == MMU_OP_GUEST)
		lib_snprintf(out, size, "vCPU %lu in guest mode", gfn);
	else if (npages > 1)
		lib_snprintf(out, size, "%s of gfns 0x%lx-0x%lx", mmu_op_name(op), gfn,
			     gfn + npages - 1);
	else if (npages || gfn)
		lib_snprintf(out, size, "%s at gfn 0x%lx", mmu_op_name(op), gfn);
	else
		lib_snprintf(out, size, "%s", mmu_op_name(op));
}

void latency_event_text(char *out, size_t size, unsigned kind, const struct mmu_latency_event *e,
			uint64_t per_us)
{
	char what[64], with[64], time[24];

	place_text(what, sizeof(what), e->op, e->gfn, e->npages);
	place_text(with, sizeof(with), e->with, e->with_gfn, 0);
	latency_time(time, sizeof(time), e->ticks, per_us);
	switch (kind) {
	case MMU_LATENCY_FAULT:
		lib_snprintf(out, size, "%s took %s%s%s", what, time,
			     e->with ? ", having waited for " : "", e->with ? with : "");
		break;
	case MMU_LATENCY_READ_HOLD:
	case MMU_LATENCY_WRITE_HOLD:
		lib_snprintf(out, size, "%s held the lock %s", what, time);
		break;
	case MMU_LATENCY_YIELD:
		lib_snprintf(out, size, "%s did not look for %s", what, time);
		break;
	default:
		lib_snprintf(out, size, "%s waited %s for %s", what, time, with);
	}
}

/* ---- tables ------------------------------------------------------------------------ */

void latency_head_text(char *out, size_t size)
{
	lib_snprintf(out, size, "%-10s %9s %10s %10s %10s  %s", "latency", "count", "mean", "p50 <",
		     "p99 <", "the worst");
}

void latency_summary_text(char *out, size_t size, unsigned kind, const struct mmu_latency *l,
			  uint64_t per_us)
{
	char mean[24], half[24], most[24], worst[LATENCY_LINE] = "";

	latency_time(mean, sizeof(mean), l->count ? l->sum / l->count : 0, per_us);
	latency_time(half, sizeof(half), latency_percentile(l, 50), per_us);
	latency_time(most, sizeof(most), latency_percentile(l, 99), per_us);
	if (l->worst_count)
		latency_event_text(worst, sizeof(worst), kind, &l->worst[0], per_us);
	lib_snprintf(out, size, "%-10s %9lu %10s %10s %10s  %s",
		     mmu_latency_name((enum mmu_latency_kind)kind), l->count, mean, half, most,
		     worst);
}

static void bucket_text(char *out, size_t size, const struct mmu_latency *l, unsigned bucket,
			uint64_t most, uint64_t per_us)
{
	static const char bar[] = "########################################";
	char end[24];
	uint64_t n = l->bucket[bucket];
	/* Where there is anything there is something to see. */
	int length = n ? (int)(n * (BAR - 1) / most) + 1 : 0;

	latency_time(end, sizeof(end), bucket_end(bucket), per_us);
	lib_snprintf(out, size, "  < %-10s %9lu  %.*s", end, n, length, bar);
}

void latency_full_text(unsigned kind, const struct mmu_latency *l, uint64_t per_us,
		       void (*emit)(void *ctx, const char *line), void *ctx)
{
	unsigned first = 0, last = MMU_LATENCY_BUCKETS - 1;
	uint64_t most = 1;
	char line[LATENCY_LINE];

	latency_summary_text(line, sizeof(line), kind, l, per_us);
	emit(ctx, line);
	for (unsigned b = 0; b < MMU_LATENCY_BUCKETS; b++)
		most = l->bucket[b] > most ? l->bucket[b] : most;
	while (first < last && !l->bucket[first])
		first++;
	while (last > first && !l->bucket[last])
		last--;
	for (unsigned b = first; l->count && b <= last; b++) {
		bucket_text(line, sizeof(line), l, b, most, per_us);
		emit(ctx, line);
	}
	for (unsigned i = 0; i < l->worst_count; i++) {
		lib_snprintf(line, 3, "  ");
		latency_event_text(line + 2, sizeof(line) - 2, kind, &l->worst[i], per_us);
		emit(ctx, line);
	}
}

/* ---- what was done last ---------------------------------------------------------------- */

uint64_t event_us(const struct mmu_event *e, const struct event_clocks *now)
{
	int64_t ago = (int64_t)(now->ticks - e->when) / (int64_t)now->per_us;

	return ago < (int64_t)now->us ? now->us - (uint64_t)ago : 0;
}

void event_text(char *out, size_t size, const struct mmu_event *e, uint64_t us)
{
	char what[64], times[32] = "";

	place_text(what, sizeof(what), e->op, e->gfn, e->npages);
	if (e->times > 1)
		lib_snprintf(times, sizeof(times), ", %lu times", e->times);
	lib_snprintf(out, size, "%5lu.%06lu  %s%s (flush %lu)", us / 1000000, us % 1000000, what,
		     times, e->tlb_gen);
}

void event_running_text(char *out, size_t size, enum mmu_op op, gfn_t gfn)
{
	char what[64];

	place_text(what, sizeof(what), op, gfn, 0);
	lib_snprintf(out, size, "under way: %s", op == MMU_OP_NONE ? "nothing" : what);
}
