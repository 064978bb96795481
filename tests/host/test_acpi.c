/* SPDX-License-Identifier: GPL-2.0-only */
/* ACPI tables built here, whole and broken in every way we could think of. */
#include "host/acpi.h"

#include <stdlib.h>
#include <string.h>

#include "mm/errno.h"
#include "tests/host/ktap.h"

#define MEMORY    0x110000u
#define RSDP      0xf0010u
#define XSDT      0x1000u
#define RSDT      0x2000u
#define MADT      0x3000u
#define FADT      0x5000u
#define JUNK      0x6000u

/* Physical memory; what lies behind is not mapped.  Of exactly this size, for ASan. */
static uint8_t *mem;
static struct acpi_info info;
static const char *why;

static const void *map(void *ctx, uint64_t pa, uint64_t size)
{
	CHECK(ctx == &info);
	return pa <= MEMORY && size <= MEMORY - pa ? mem + pa : NULL;
}

static int parse(uint64_t rsdp)
{
	why = NULL;
	memset(&info, 0xee, sizeof(info));
	return acpi_parse(rsdp, map, &info, &info, &why);
}

static bool says(const char *text)
{
	return why && strstr(why, text);
}

/* ---- building ------------------------------------------------------------------- */

static void put(uint32_t at, uint64_t v, unsigned bytes)
{
	memcpy(mem + at, &v, bytes);
}

static void fix_sum(uint32_t at, uint32_t size, uint32_t field)
{
	uint8_t sum = 0;

	mem[at + field] = 0;
	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + mem[at + i]);
	mem[at + field] = (uint8_t)-sum;
}

static void seal(uint32_t at)
{
	uint32_t size;

	memcpy(&size, mem + at + 4, 4);
	fix_sum(at, size, 9);
}

static void start_table(uint32_t at, const char *signature)
{
	memcpy(mem + at, signature, 4);
	put(at + 4, 36, 4);
}

static void append(uint32_t at, uint64_t v, unsigned bytes)
{
	uint32_t size;

	memcpy(&size, mem + at + 4, 4);
	put(at + size, v, bytes);
	put(at + 4, size + bytes, 4);
	seal(at);
}

static void add_lapic(uint8_t uid, uint8_t id, uint32_t flags)
{
	append(MADT, 0 | 8 << 8 | uid << 16 | (uint32_t)id << 24, 4);
	append(MADT, flags, 4);
}

static void add_x2apic(uint32_t id, uint32_t flags, uint32_t uid)
{
	append(MADT, 9 | 16 << 8, 4);
	append(MADT, id, 4);
	append(MADT, flags, 4);
	append(MADT, uid, 4);
}

static void seal_rsdp(void)
{
	fix_sum(RSDP, 20, 8);
	fix_sum(RSDP, 36, 32);
}

static void build_rsdp(uint8_t revision, uint32_t rsdt, uint64_t xsdt)
{
	memcpy(mem + RSDP, "RSD PTR ", 8);
	mem[RSDP + 15] = revision;
	put(RSDP + 16, rsdt, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, xsdt, 8);
	seal_rsdp();
}

static void build_fadt(void)
{
	start_table(FADT, "FACP");
	put(FADT + 4, 244, 4);
	put(FADT + 64, 0x604, 4);
	put(FADT + 68, 0x608, 4);
	put(FADT + 112, 1 << 10, 4);
	mem[FADT + 116] = 1;
	put(FADT + 120, 0xcf9, 8);
	mem[FADT + 128] = 6;
	seal(FADT);
}

/* A machine with two CPUs, one that could be plugged in, and one that is switched off. */
static void build(void)
{
	if (!mem)
		mem = malloc(MEMORY);
	memset(mem, 0, MEMORY);
	start_table(MADT, "APIC");
	append(MADT, 0xfee00000, 4);
	append(MADT, 1, 4);
	add_lapic(0, 0, 1);
	append(MADT, 0x0c01, 2); /* I/O APIC: not for us */
	append(MADT, 0, 8);
	append(MADT, 0, 2);
	add_lapic(1, 2, 1);
	add_lapic(2, 4, 2);
	add_lapic(3, 6, 0);
	build_fadt();
	start_table(JUNK, "SSDT");
	put(JUNK + 4, 0xffffffff, 4);
	start_table(XSDT, "XSDT");
	append(XSDT, JUNK, 8);
	append(XSDT, 0, 8);
	append(XSDT, ~0ul, 8);
	append(XSDT, FADT, 8);
	append(XSDT, MADT, 8);
	start_table(RSDT, "RSDT");
	append(RSDT, FADT, 4);
	append(RSDT, MADT, 4);
	build_rsdp(2, RSDT, XSDT);
}

/* ---- whole tables ------------------------------------------------------------------ */

static void check_machine(void)
{
	CHECK_EQ(info.cpu_count, 2);
	CHECK_EQ(info.cpus[0].apic_id, 0);
	CHECK_EQ(info.cpus[1].apic_id, 2);
	CHECK_EQ(info.cpus[1].acpi_uid, 1);
	CHECK_EQ(info.cpus_dropped, 0);
	CHECK_EQ(info.lapic_base, 0xfee00000);
	CHECK(info.has_8259);
	CHECK_EQ(info.pm1a_cnt, 0x604);
	CHECK_EQ(info.pm1b_cnt, 0x608);
	CHECK_EQ(info.reset_io, 0xcf9);
	CHECK_EQ(info.reset_value, 6);
}

static void test_xsdt(void)
{
	build();
	put(RSDP + 16, 0xdead0000, 4); /* must not be looked at */
	seal_rsdp();
	CHECK_EQ(parse(RSDP), 0);
	check_machine();
}

static void test_rsdt(void)
{
	build();
	build_rsdp(0, RSDT, 0xdead0000);
	CHECK_EQ(parse(RSDP), 0);
	check_machine();
	build_rsdp(2, RSDT, 0);
	CHECK_EQ(parse(RSDP), 0);
	check_machine();
}

static void test_search(void)
{
	build();
	CHECK_EQ(parse(0), 0);
	check_machine();
	/* In the EBDA, which comes first. */
	memcpy(mem + 0x9fc20, mem + RSDP, 36);
	memset(mem + RSDP, 0, 36);
	CHECK_EQ(parse(0), -ENOENT);
	put(0x40e, 0x9fc0, 2);
	CHECK_EQ(parse(0), 0);
	check_machine();
	put(0x40e, 0x9fff, 2);
	CHECK_EQ(parse(0), -ENOENT);
	CHECK(says("no ACPI RSDP"));
}

static void test_x2apic_and_base(void)
{
	build();
	add_x2apic(2, 1, 9); /* listed twice */
	add_x2apic(300, 1, 10);
	add_x2apic(301, 2, 11);
	add_x2apic(0xffffffff, 1, 12);
	add_lapic(13, 0xff, 1);
	append(MADT, 5 | 12 << 8, 4);
	append(MADT, 0x1fee00000, 8);
	CHECK_EQ(parse(RSDP), 0);
	CHECK_EQ(info.cpu_count, 3);
	CHECK_EQ(info.cpus[2].apic_id, 300);
	CHECK_EQ(info.cpus[2].acpi_uid, 10);
	CHECK_EQ(info.lapic_base, 0x1fee00000);
}

static void test_many_cpus(void)
{
	build();
	for (unsigned i = 0; i < ACPI_CPUS_MAX + 5; i++)
		add_x2apic(1000 + i, 1, i);
	CHECK_EQ(parse(RSDP), 0);
	CHECK_EQ(info.cpu_count, ACPI_CPUS_MAX);
	CHECK_EQ(info.cpus_dropped, 7);
}

static void test_fadt_is_optional(void)
{
	build();
	mem[FADT + 100]++;
	CHECK_EQ(parse(RSDP), 0);
	CHECK_EQ(info.cpu_count, 2);
	CHECK_EQ(info.pm1a_cnt, 0);
	CHECK_EQ(info.reset_io, 0);
	build();
	mem[FADT + 116] = 0; /* the reset register is memory */
	seal(FADT);
	CHECK_EQ(parse(RSDP), 0);
	CHECK_EQ(info.pm1a_cnt, 0x604);
	CHECK_EQ(info.reset_io, 0);
	build();
	put(FADT + 4, 70, 4);
	seal(FADT);
	CHECK_EQ(parse(RSDP), 0);
	CHECK_EQ(info.pm1a_cnt, 0);
}

/* ---- broken tables ------------------------------------------------------------------ */

static void test_bad_rsdp(void)
{
	build();
	CHECK_EQ(parse(MEMORY - 10), -EINVAL);
	CHECK(says("does not lie in memory"));
	CHECK_EQ(parse(MEMORY + 4096), -EINVAL);
	CHECK_EQ(parse(RSDP + 16), -EINVAL);
	CHECK(says("signature or checksum"));
	mem[RSDP + 8]++;
	CHECK_EQ(parse(RSDP), -EINVAL);
	build();
	mem[RSDP + 32]++;
	CHECK_EQ(parse(RSDP), -EINVAL);
	CHECK(says("2.0 part"));
	build();
	put(RSDP + 20, 20, 4);
	seal_rsdp();
	CHECK_EQ(parse(RSDP), -EINVAL);
	build();
	build_rsdp(0, 0, XSDT);
	CHECK_EQ(parse(RSDP), -EINVAL);
	CHECK(says("points to no table"));
}

static void test_bad_root(void)
{
	build();
	build_rsdp(2, RSDT, MEMORY);
	CHECK_EQ(parse(RSDP), -EINVAL);
	CHECK(says("root table"));
	build_rsdp(2, RSDT, RSDT); /* an RSDT where an XSDT is due */
	CHECK_EQ(parse(RSDP), -EINVAL);
	build();
	mem[XSDT + 40]++;
	CHECK_EQ(parse(RSDP), -EINVAL);
	for (uint64_t size = 0; size < 36; size++) {
		build();
		put(XSDT + 4, size, 4);
		CHECK_EQ(parse(RSDP), -EINVAL);
	}
	build();
	put(XSDT + 4, MEMORY, 4);
	CHECK_EQ(parse(RSDP), -EINVAL);
	put(XSDT + 4, 0xffffffff, 4);
	CHECK_EQ(parse(RSDP), -EINVAL);
}

static void test_no_madt(void)
{
	build();
	memcpy(mem + MADT, "APIX", 4);
	CHECK_EQ(parse(RSDP), -ENOENT);
	CHECK(says("no MADT"));
	build();
	start_table(XSDT, "XSDT");
	seal(XSDT);
	CHECK_EQ(parse(RSDP), -ENOENT);
	/* Half an entry at the end does not count. */
	append(XSDT, MADT, 4);
	CHECK_EQ(parse(RSDP), -ENOENT);
}

static void test_bad_madt(void)
{
	build();
	mem[MADT + 50]++;
	CHECK_EQ(parse(RSDP), -EINVAL);
	CHECK(says("MADT has a wrong length or checksum"));
	build();
	put(MADT + 4, 0xfffffff0, 4);
	CHECK_EQ(parse(RSDP), -EINVAL);
	for (uint64_t size = 36; size < 52; size++) {
		build();
		put(MADT + 4, size, 4);
		seal(MADT);
		CHECK_EQ(parse(RSDP), -EINVAL);
	}
	for (unsigned length = 0; length < 8; length++) {
		build();
		mem[MADT + 45] = (uint8_t)length; /* of the first entry */
		seal(MADT);
		CHECK_EQ(parse(RSDP), -EINVAL);
		CHECK(says("MADT"));
	}
	build();
	append(MADT, 9 | 8 << 8, 4);
	append(MADT, 7, 4);
	CHECK_EQ(parse(RSDP), -EINVAL);
	CHECK(says("too short"));
	build();
	append(MADT, 0x7f | 0x20 << 8, 4);
	CHECK_EQ(parse(RSDP), -EINVAL);
	CHECK(says("runs out"));
	build();
	append(MADT, 0, 1);
	CHECK_EQ(parse(RSDP), -EINVAL);
}

static void test_no_cpu(void)
{
	build();
	start_table(MADT, "APIC");
	append(MADT, 0xfee00000, 4);
	append(MADT, 0, 4);
	add_lapic(0, 0, 0);
	CHECK_EQ(parse(RSDP), -EINVAL);
	CHECK(says("no enabled CPU"));
}

/* One byte changed, checksums made right again: no crash, sane results. */
static void check_changed(uint32_t table, unsigned at, uint8_t v)
{
	uint32_t size;

	build();
	mem[table + at] = v;
	memcpy(&size, mem + table + 4, 4);
	if (size <= 4096)
		seal(table);
	if (parse(RSDP))
		CHECK(why != NULL);
	else
		CHECK(info.cpu_count >= 1 && info.cpu_count <= ACPI_CPUS_MAX);
}

static void test_every_byte(void)
{
	static const uint32_t tables[] = { XSDT, MADT, FADT };

	srand(1);
	for (unsigned t = 0; t < 3; t++)
		for (unsigned at = 0; at < 250; at++) {
			check_changed(tables[t], at, 0xff);
			check_changed(tables[t], at, 0);
			for (unsigned round = 0; round < 6; round++)
				check_changed(tables[t], at, (uint8_t)rand());
		}
}

static const struct ktap_test tests[] = {
	KTAP(test_xsdt),	    KTAP(test_rsdt),	 KTAP(test_search),
	KTAP(test_x2apic_and_base), KTAP(test_many_cpus), KTAP(test_fadt_is_optional),
	KTAP(test_bad_rsdp),	    KTAP(test_bad_root), KTAP(test_no_madt),
	KTAP(test_bad_madt),	    KTAP(test_no_cpu),	 KTAP(test_every_byte),
};

int main(int argc, char **argv)
{
	int ret = KTAP_MAIN(tests, argc, argv);

	free(mem);
	return ret;
}
