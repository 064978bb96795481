/* SPDX-License-Identifier: GPL-2.0-only */
/* The scene of shadow paging; see shadow_scene.h. */
#include "shadow_scene.h"

#include "mm/vm.h"

extern __typeof__(mmu_vm_create) plain_mmu_vm_create;
extern __typeof__(mmu_vm_destroy) plain_mmu_vm_destroy;
extern __typeof__(mmu_vcpu_destroy) plain_mmu_vcpu_destroy;
extern __typeof__(mmu_slot_create) plain_mmu_slot_create;
extern __typeof__(mmu_load_guest) plain_mmu_load_guest;
extern __typeof__(mmu_audit) plain_mmu_audit;
extern __typeof__(mmu_work_flush) plain_mmu_work_flush;

struct shadow_scene shadow_scene;

void load_entry(gpa_t gpa, uint64_t value)
{
	EXPLORE_CHECK(plain_mmu_load_guest(shadow_scene.vm, gpa, &value, 8) == 0);
}

static void load_tables(void)
{
	for (gfn_t gfn = 0; gfn < PAGES; gfn++) {
		if (gfn < L4_GFN)
			load_entry(GVA(gfn), gfn);
		load_entry(ENTRY(gfn), GVA(gfn) | P | W);
	}
	load_entry(GVA(L4_GFN), GVA(L3_GFN) | P | W);
	load_entry(GVA(L3_GFN), GVA(L2_GFN) | P | W);
	load_entry(GVA(L2_GFN), GVA(L1_GFN) | P | W);
}

void shadow_scene_open(void)
{
	static const char *const name[CPUS] = { "vcpu0", "vcpu1" };
	struct mmu_slot_desc slot = { .npages = PAGES };
	struct shadow_scene *s = &shadow_scene;

	s->cfg = (struct mmu_config){ .name = "shadow", .format = MMU_FORMAT_SHADOW,
				      .root_level = 4, .max_leaf_level = PG_LEVEL_4K,
				      .maxphyaddr = 46, .hw_ad = explore_choose(2) };
	s->vm = plain_mmu_vm_create(&s->cfg);
	EXPLORE_CHECK(s->vm && plain_mmu_slot_create(s->vm, &slot) == 0);
	explore_name(s->vm, sizeof(*s->vm), "vm");
	explore_name(&s->vm->mmu_lock, sizeof(s->vm->mmu_lock), "mmu_lock");
	explore_quiet(&s->vm->counters, sizeof(s->vm->counters));
	load_tables();
	for (unsigned i = 0; i < CPUS; i++) {
		shadow_cpu_init(&s->cpu[i], s->vm, 46, i);
		explore_name(&s->cpu[i], sizeof(s->cpu[i]), name[i]);
		shadow_cpu_load(&s->cpu[i], 1ul << 31 | 1ul << 16 | CR0_PE, GVA(L4_GFN), 1ul << 5,
				EFER_LONG | 1ul << 11);
		s->in_guest[i] = false;
	}
	for (unsigned i = 0; i < PAGES; i++)
		s->written[i] = false;
}

void shadow_scene_close(void)
{
	struct mmu_vm *vm = shadow_scene.vm;
	struct mmu_audit_report report;

	if (plain_mmu_audit(vm, &report))
		explore_fail("audit: %lu errors; %s", report.errors, report.first);
	plain_mmu_work_flush(vm);
	for (unsigned i = 0; i < CPUS; i++)
		plain_mmu_vcpu_destroy(&shadow_scene.cpu[i].mmu);
	plain_mmu_vm_destroy(vm);
}

/* ---- what a vCPU does ------------------------------------------------------------------------ */

void vcpu_leaves(unsigned i)
{
	if (shadow_scene.in_guest[i])
		shadow_cpu_exit(&shadow_scene.cpu[i]);
	shadow_scene.in_guest[i] = false;
}

static void stand_in(unsigned i)
{
	struct shadow_cpu *cpu = &shadow_scene.cpu[i];

	if (shadow_scene.in_guest[i] && atomic_load(&cpu->kicked))
		vcpu_leaves(i);
	if (shadow_scene.in_guest[i])
		return;
	EXPLORE_CHECK(shadow_cpu_enter(cpu));
	shadow_scene.in_guest[i] = true;
}

static void guest_does(unsigned i, gva_t gva, unsigned access, uint64_t *value)
{
	struct shadow_cpu *cpu = &shadow_scene.cpu[i];

	for (;;) {
		struct shadow_fault f = { .gva = gva };

		stand_in(i);
		if (shadow_cpu_access(cpu, gva, access, 8, value, &f.error))
			break;
		vcpu_leaves(i);
		enum mmu_pf_result r = mmu_shadow_fault(&cpu->mmu, &f);

		explore_note("vcpu%u fault at 0x%lx: result %d", i, gva, (int)r);
		if (r == MMU_PF_EMULATE && (access & ACC_W)) {
			EXPLORE_CHECK(mmu_write_guest(shadow_scene.vm, f.gpa, value, 8) == 0);
			break;
		}
		EXPLORE_CHECK(r == MMU_PF_FIXED || r == MMU_PF_SPURIOUS || r == MMU_PF_RETRY);
		if (r != MMU_PF_FIXED)
			explore_yield();
	}
	if ((access & ACC_W) && gva >> PAGE_SHIFT < PAGES)
		shadow_scene.written[gva >> PAGE_SHIFT] = true;
}

uint64_t vcpu_reads(unsigned i, gva_t gva)
{
	uint64_t value = 0;

	guest_does(i, gva, ACC_R, &value);
	return value;
}

void vcpu_writes(unsigned i, gva_t gva, uint64_t value)
{
	guest_does(i, gva, ACC_W, &value);
}

void vcpu_invlpg(unsigned i, gva_t gva)
{
	vcpu_leaves(i);
	shadow_cpu_invlpg(&shadow_scene.cpu[i], gva);
}

void vcpu_loads_cr3(unsigned i)
{
	vcpu_leaves(i);
	shadow_cpu_flush(&shadow_scene.cpu[i]);
}

/* Another root; as from vmm/, which does not go by all registers for this. */
void vcpu_switches(unsigned i, gpa_t cr3)
{
	struct shadow_cpu *cpu = &shadow_scene.cpu[i];

	vcpu_leaves(i);
	cpu->regs.cr3 = cr3;
	mmu_vcpu_set_cr3(&cpu->mmu, cr3, cpu->regs.pdpte);
}
