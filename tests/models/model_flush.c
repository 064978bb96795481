/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flush handshake of mm/flush.c in every interleaving: flush_vm(), mmu_vcpu_enter() and
 * mmu_vcpu_exit() themselves, with a page table of one entry and a TLB of one entry.
 *
 * A vCPU caches the entry when it finds it present and uses what it cached until it flushes; it
 * leaves guest mode when it is kicked, or when its work is done.  Whoever unmaps clears the
 * entry, flushes, and then "frees the page".  Nobody may use the page after that.
 */
#include <string.h>

#include "mm/flush.h"
#include "tests/host/explore/scenarios.h"
#include "tests/host/hosted.h"

#define CPUS 2

static struct model {
	struct mmu_vm vm;
	struct mmu_vcpu cpu[CPUS];
	struct mmu_root root;
	_Atomic bool kicked[CPUS];
	bool cached[CPUS];
	_Atomic bool mapped;
	bool freed; /* plain: looked at where the page is used */
	_Atomic unsigned used;
} m;

static void kick(struct mmu_vcpu *vcpu)
{
	atomic_store(&m.kicked[vcpu->id], true);
}

static void setup(void)
{
	memset(&m, 0, sizeof(m));
	hosted_hooks.kick = kick;
	rwlock_init(&m.vm.mmu_lock);
	atomic_init(&m.vm.tlb_gen, 1);
	atomic_init(&m.mapped, true);
	atomic_init(&m.root.state, ROOT_VALID);
	for (unsigned i = 0; i < CPUS; i++) {
		m.cpu[i] = (struct mmu_vcpu){ .vm = &m.vm, .id = i, .next = m.vm.vcpus,
					      .loaded = &m.root };
		m.vm.vcpus = &m.cpu[i];
		/* What an earlier guest left behind: the first entry has to flush it. */
		m.cached[i] = true;
	}
	/* All but the latencies, which nothing depends on. */
	explore_track(&m.vm, offsetof(struct mmu_vm, latency));
	for (unsigned i = 0; i < CPUS; i++)
		explore_track(&m.cpu[i], offsetof(struct mmu_vcpu, latency));
	explore_track(&m.root, sizeof(m) - offsetof(struct model, root));
	explore_name(&m.vm.tlb_gen, sizeof(m.vm.tlb_gen), "tlb_gen");
	explore_name(&m.vm.mmu_lock, sizeof(m.vm.mmu_lock), "mmu_lock");
	explore_name(&m.mapped, sizeof(m.mapped), "the entry");
	explore_name(&m.used, sizeof(m.used), "the page");
	explore_name(&m.cpu[0], sizeof(m.cpu[0]), "vcpu0");
	explore_name(&m.cpu[1], sizeof(m.cpu[1]), "vcpu1");
	explore_quiet(&m.vm.counters, sizeof(m.vm.counters));
	explore_quiet(&m.vm.latency, sizeof(m.vm.latency));
	explore_quiet(&m.vm.holder, sizeof(m.vm.holder));
}

/* One access; the translation is looked up and used in two steps, as processors do. */
static void use_page(unsigned cpu)
{
	if (!m.cached[cpu] && !atomic_load(&m.mapped))
		return;
	m.cached[cpu] = true;
	(void)atomic_load(&m.used);
	if (m.freed)
		explore_fail("vCPU %u uses the page after it was freed", cpu);
}

static void run_guest(unsigned cpu, unsigned entries)
{
	for (unsigned i = 0; i < entries; i++) {
		atomic_store(&m.kicked[cpu], false);
		enum mmu_enter enter = mmu_vcpu_enter(&m.cpu[cpu]);

		EXPLORE_CHECK(enter != MMU_ENTER_RELOAD);
		if (enter == MMU_ENTER_FLUSH)
			m.cached[cpu] = false;
		for (unsigned k = 0; k < 2 && !atomic_load(&m.kicked[cpu]); k++)
			use_page(cpu);
		mmu_vcpu_exit(&m.cpu[cpu]);
	}
}

static void cpu0(void)
{
	run_guest(0, 2);
}

static void cpu1(void)
{
	run_guest(1, 1);
}

NO_THREAD_SAFETY_ANALYSIS
static void unmapper(void)
{
	write_lock(&m.vm.mmu_lock);
	atomic_store(&m.mapped, false);
	flush_vm(&m.vm);
	m.freed = true;
	write_unlock(&m.vm.mmu_lock);
}

/* Finds nothing mapped and relies on it; or unmaps, and the other finds nothing. */
NO_THREAD_SAFETY_ANALYSIS
static void second_unmapper(void)
{
	write_lock(&m.vm.mmu_lock);
	if (atomic_load(&m.mapped)) {
		atomic_store(&m.mapped, false);
		flush_vm(&m.vm);
	}
	m.freed = true;
	write_unlock(&m.vm.mmu_lock);
}

static void finish(void)
{
	EXPLORE_CHECK(m.freed && !atomic_load(&m.mapped));
	for (unsigned i = 0; i < CPUS; i++)
		EXPLORE_CHECK(!atomic_load(&m.cpu[i].in_guest));
}

const struct explore_scenario model_flush = {
	.name = "model-flush",
	.about = "the flush handshake: two vCPUs that come and go, one flush",
	.setup = setup,
	.thread = { { "vcpu0", cpu0 }, { "vcpu1", cpu1 }, { "unmap", unmapper } }, finish,
	.exhaustive = true,
};

const struct explore_scenario model_flush_two = {
	"model-flush-two", "the flush handshake: a vCPU that comes and goes, two that unmap",
	setup, { { "vcpu0", cpu0 }, { "unmap1", second_unmapper }, { "unmap2", second_unmapper } },
	.finish = finish,
	.exhaustive = true,
};
