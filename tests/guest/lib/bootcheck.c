/* SPDX-License-Identifier: GPL-2.0-only */
/* Checks of a boot loader's work. */
#include "tests/guest/lib/bootcheck.h"

#include "tests/guest/lib/x86.h"

#define EFLAGS_VM (1u << 17)
#define A20_DISTANCE 0x100000u

extern char image_start[], image_end[];

void bootcheck_registers(uint32_t magic)
{
	const struct boot_state *b = &boot_state;

	printf("# eax 0x%x ebx 0x%x eflags 0x%x cr0 0x%x cr4 0x%x\n", b->eax, b->ebx, b->eflags,
	       b->cr0, b->cr4);
	printf("# cs %x ds %x es %x ss %x fs %x gs %x\n", b->cs, b->ds, b->es, b->ss, b->fs, b->gs);
	CHECK_EQ(boot_state.eax, magic);
	CHECK(boot_state.ebx != 0);
	CHECK(boot_state.cr0 & CR0_PE);
	CHECK(!(boot_state.cr0 & CR0_PG));
	CHECK(!(boot_state.eflags & RFLAGS_IF));
	CHECK(!(boot_state.eflags & EFLAGS_VM));
	CHECK(boot_state.eflags & 2); /* always 1 */
}

static bool in_ram(uint64_t base, uint64_t size)
{
	for (unsigned i = 0; i < info.ram_count; i++)
		if (base >= info.ram[i].base && base + size <= info.ram[i].base + info.ram[i].size)
			return true;
	return false;
}

void bootcheck_memory_map(void)
{
	CHECK(info.ram_count > 0);
	for (unsigned i = 0; i < info.ram_count; i++) {
		const struct ram_range *r = &info.ram[i];

		CHECK(r->size > 0);
		CHECK(r->base + r->size > r->base);
		if (i)
			CHECK(r->base >= info.ram[i - 1].base + info.ram[i - 1].size);
	}
	CHECK(in_ram((uintptr_t)image_start, image_end - image_start));
	CHECK(in_ram(boot_state.ebx, 8));
	CHECK(boot_state.ebx >= (uintptr_t)image_end || boot_state.ebx < (uintptr_t)image_start);
	if (info.mem_lower_kb)
		CHECK(info.mem_lower_kb <= 640);
}

void bootcheck_modules(void)
{
	uint32_t want, sum = 0;

	for (unsigned i = 0; i < info.module_count; i++) {
		const struct boot_module *m = &info.modules[i];

		printf("# module %u: %u bytes at 0x%x, \"%s\"\n", i, m->end - m->start, m->start,
		       m->cmdline);
		CHECK(m->start < m->end);
		CHECK_EQ(m->start % PAGE_SIZE, 0);
		CHECK(in_ram(m->start, m->end - m->start));
		CHECK(m->start >= (uintptr_t)image_end || m->end <= (uintptr_t)image_start);
		for (unsigned j = 0; j < i; j++)
			CHECK(m->start >= info.modules[j].end || m->end <= info.modules[j].start);
		for (uint32_t p = m->start; p < m->end; p++)
			sum += *(uint8_t *)(uintptr_t)p;
	}
	if (info_number("modules", &want))
		CHECK_EQ(info.module_count, want);
	if (info_number("modsum", &want))
		CHECK_EQ(sum, want);
	if (!info.module_count)
		ktap_skip("no modules were given");
}

void bootcheck_cmdline(void)
{
	printf("# command line: \"%s\"\n", info.cmdline);
	CHECK(info.cmdline[0] != 0);
	/* Printable text: not something that lay there by chance. */
	for (const char *s = info.cmdline; *s; s++)
		CHECK(*s >= ' ' && *s <= '~');
}

/* The kernel is linked at 1 MiB, so that the other address is in conventional memory. */
void bootcheck_a20(void)
{
	static volatile uint32_t high = 0x600dcafe;
	volatile uint32_t *low = (volatile uint32_t *)((uintptr_t)&high - A20_DISTANCE);
	uint32_t saved = *low;

	*low = 0xbadbad00;
	CHECK_EQ(high, 0x600dcafe);
	high = 0x12345678;
	CHECK_EQ(*low, 0xbadbad00);
	*low = saved;
	CHECK_EQ(high, 0x12345678);
	high = 0x600dcafe;
}
