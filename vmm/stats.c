/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM's statistics; see stats.h. */
#include "vmm/stats.h"

#include "host/machine.h"
#include "host/pages.h"
#include "lib/printf.h"

struct emitter {
	void (*emit)(void *ctx, const struct phyllo_stat *s);
	void *ctx;
	unsigned count;
};

static void put(struct emitter *e, const char *prefix, const char *name, uint64_t value)
{
	struct phyllo_stat s = { .value = value };

	lib_snprintf(s.name, sizeof(s.name), "%s%s", prefix, name);
	e->emit(e->ctx, &s);
	e->count++;
}

static uint64_t sum_exits(struct vm *vm, enum exit_reason reason)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < vm->vcpu_count; i++)
		sum += vm->vcpus[i]->exits[reason];
	return sum;
}

/* Of all vCPUs together; those that run count on meanwhile. */
static void put_vcpus(struct emitter *e, struct vm *vm)
{
	uint64_t sum;

#define PUT_VCPU(field, name)                            \
	sum = 0;                                         \
	for (unsigned i = 0; i < vm->vcpu_count; i++)    \
		sum += vm->vcpus[i]->field;              \
	put(e, "", name, sum);
	VCPU_STATS(PUT_VCPU)
#undef PUT_VCPU
}

unsigned stats_each(struct vm *vm, void (*emit)(void *ctx, const struct phyllo_stat *s), void *ctx)
{
	struct emitter e = { .emit = emit, .ctx = ctx };
	struct pages_stats pages;
	struct mmu_holds holds;
	struct mmu_stats mmu;

	mmu_stats_read(vm->mmu, &mmu);
#define PUT_MMU(field, name, help) put(&e, "", name, mmu.field);
	MMU_STATS(PUT_MMU)
	MMU_GAUGES(PUT_MMU)
#undef PUT_MMU
	mmu_holds_read(vm->mmu, &holds);
	put(&e, "", "hold_write_max", holds.write_entries);
	put(&e, "", "hold_read_max", holds.read_entries);
	for (unsigned r = 0; r < EXIT_REASON_COUNT; r++)
		put(&e, "exit_", exit_reason_name(r), sum_exits(vm, r));
	put_vcpus(&e, vm);
	put(&e, "", "console_bytes", vm->console.bytes);
	pages_stats(&pages);
	put(&e, "", "host_free_pages", pages.free);
	put(&e, "", "host_total_pages", pages.total);
	return e.count;
}
