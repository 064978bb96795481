/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CR0.WP, SMEP, SMAP and RFLAGS.AC against every combination of rights in two levels: the
 * supervisor writes where ring 3 may not, and ring 3 must not profit from it.
 * rounds=N: random steps, every=N: only each Nth combination of rights.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/mmu.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define VA 0x7f0000000000ul
#define VA_LARGE (VA + SIZE_1G)
#define CODE 0x200

static struct space space;
static uint64_t *leaf, *above, *large;
static uint8_t *page;       /* under VA */
static uint64_t scratch;    /* 2M under VA_LARGE */
static bool has_smep, has_smap;
static uint32_t rounds, every;

static void set_bit(bool on, uint64_t bit, uint64_t (*get)(void), void (*set)(uint64_t v))
{
	uint64_t v = get();

	if (!(v & bit) == on)
		set(v ^ bit);
}

static uint64_t get_cr0(void) { return read_cr0(); }
static void set_cr0(uint64_t v) { write_cr0(v); }
static uint64_t get_cr4(void) { return read_cr4(); }
static void set_cr4(uint64_t v) { write_cr4(v); }
static uint64_t get_flags(void) { return read_flags(); }

static void set_flags(uint64_t v)
{
	__asm__ volatile("pushq %0; popfq" : : "r"(v) : "memory", "cc");
}

/* Bits 0 to 3 of how: WP, SMEP, SMAP, AC. */
static void control(unsigned how)
{
	set_bit(how & 1, CR0_WP, get_cr0, set_cr0);
	set_bit(has_smep && how & 2, CR4_SMEP, get_cr4, set_cr4);
	set_bit(has_smap && how & 4, CR4_SMAP, get_cr4, set_cr4);
	set_bit(how & 8, RFLAGS_AC, get_flags, set_flags);
}

static uint64_t rights(unsigned how)
{
	return (how & 1 ? PTE_W : 0) | (how & 2 ? PTE_U : 0) | (how & 4 ? PTE_NX : 0);
}

/* Bits 0 to 2: of the page, 3 and 4: of the directory entry. */
static void permit(unsigned how)
{
	*leaf = (uintptr_t)page | PTE_P | rights(how & 7);
	*above = (*above & PTE_ADDR) | PTE_P | rights(how >> 3 & 3);
	tlb_flush();
}

/* Six kinds of access, in an order that changes. */
static void access_all(uint64_t va, unsigned from)
{
	for (unsigned i = 0; i < 6; i++) {
		unsigned n = (from + i) % 6;
		enum access_kind kind = n % 3;

		access_check(va + (kind == ACCESS_FETCH ? CODE : n * 8), kind, n / 3, from * 64 + n);
	}
}

static void leave(void)
{
	control(1);
	space_leave();
}

/* What TDP and shadow paging must both do: 16 controls, 32 rights, 6 accesses. */
static void test_all_combinations(void)
{
	unsigned long from = access_checks;

	space_use(&space);
	for (unsigned how = 0; how < 32; how += every)
		for (unsigned c = 0; c < 16; c++) {
			control(1);
			permit(how);
			control(c);
			access_all(VA, how + c);
		}
	leave();
	CHECK_EQ(access_checks - from, (31 / every + 1) * 16 * 6);
}

/* The tables stay, the controls change: nothing but the processor's registers tells. */
static void test_controls_alone(void)
{
	unsigned long from = access_checks;

	space_use(&space);
	for (unsigned how = 0; how < 32; how += every) {
		control(1);
		permit(how);
		for (unsigned c = 0; c < 16; c++) {
			control(c ^ c >> 1); /* one bit at a time */
			access_all(VA, c);
		}
	}
	leave();
	CHECK_EQ(access_checks - from, (31 / every + 1) * 16 * 6);
}

/* The supervisor and ring 3 in turn at a page that is read-only, WP off. */
static void test_turns(void)
{
	space_use(&space);
	permit(2 + 8 + 16);
	for (unsigned i = 0; i < rounds / 4; i++) {
		control(i & 8 ? 1 : 0);
		access_check(VA, ACCESS_WRITE, SUPERVISOR, i);
		access_check(VA, ACCESS_READ, USER, 0);
		access_check(VA, ACCESS_WRITE, USER, i);
		access_check(VA, ACCESS_READ, SUPERVISOR, 0);
	}
	leave();
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

/* The same with a page of 2M that is read-only. */
static void test_large_page(void)
{
	space_use(&space);
	for (unsigned how = 0; how < 8; how++) {
		control(1);
		*large = scratch | PTE_P | PTE_PS | rights(how);
		tlb_flush();
		for (unsigned c = 0; c < 16; c++) {
			control(c);
			access_all(VA_LARGE + how * PAGE_SIZE, c);
			access_all(VA_LARGE + (c + 16) * PAGE_SIZE, c);
		}
	}
	leave();
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

static void test_random(void)
{
	space_use(&space);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = random32() % 16;

		if (n < 3) {
			/* SMAP would forbid nothing here: the tables are the supervisor's */
			permit(random32() % 32);
		} else if (n < 6) {
			control(random32() % 16);
		} else {
			enum access_kind kind = n % 3;

			access_check((n & 1 ? VA : VA_LARGE) + (kind == ACCESS_FETCH ? CODE : n * 8),
				     kind, random32() & 1, random32());
		}
	}
	leave();
	printf("# %lu accesses compared\n", access_checks);
}

static const struct ktap_test tests[] = {
	KTAP(test_all_combinations), KTAP(test_controls_alone), KTAP(test_turns),
	KTAP(test_large_page), KTAP(test_random),
};

int guest_main(void)
{
	uint32_t ebx = cpuid(7, 0).ebx;

	rounds = info_number_or("rounds", 4000);
	every = info_number_or("every", 1);
	if (!every)
		guest_die("every=0");
	has_smep = ebx & 1u << 7;
	has_smap = ebx & 1u << 20;
	printf("# SMEP %s, SMAP %s\n", has_smep ? "yes" : "no", has_smap ? "yes" : "no");
	scratch = ram_take(SIZE_2M, SIZE_2M);
	if (!scratch || scratch >= ACCESS_USER_VA)
		guest_die("this kernel needs 2 MiB of free memory");
	access_init();
	space_init(&space);
	page = page_alloc();
	leaf = paging_entry(space.root, VA, 1);
	above = paging_entry(space.root, VA, 2);
	large = paging_entry(space.root, VA_LARGE, 2);
	access_put_code(page + CODE, 0xc0de);
	for (unsigned i = 0; i < 512; i++)
		access_put_code((void *)(scratch + i * PAGE_SIZE + CODE), 0xc0d0000 + i);
	return KTAP_MAIN(tests);
}
