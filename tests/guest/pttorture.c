/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page-table torture in each paging mode: random programs that edit page tables, flush as the
 * architecture demands and not more, switch CR0.WP, SMEP, SMAP and global pages, and access
 * memory from both rings.  Each result, every entry and every word is compared with the model of
 * lib/walk.h, in which the same program ran before.
 * rounds=N: programs per mode, ops=N: steps of each, seed=N: other programs.
 */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/access.h"
#include "tests/guest/lib/modes.h"
#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/region.h"
#include "tests/guest/lib/x86.h"

#define SIZE_4M 0x400000ul
#define OPS_MAX 1024u
#define OPS_SPARE 32u /* a step may take so many */
#define LOW_END 0x40000000u /* below it addresses are physical ones */

/* The arena: pages of data, then the tables. */
#define DATA_PAGES 6u
#define TABLES 4u
enum { PAGE_TOP = 8, PAGE_PDPT, PAGE_PD, PAGE_PT = PAGE_PD + 4, ARENA_PAGES = PAGE_PT + TABLES };
#define CODE_OFFSET 0x100u

/* Each has a directory entry of its own; in three of the four quarters. */
static const uint32_t region_va[] = { 0x40000000, 0x40400000, 0x80000000, 0xc0800000 };

struct mode {
	const char *name;
	uint64_t cr4, efer;
	bool wide;     /* entries of 64 bits */
	bool in_long;  /* 4 levels: 64-bit code does it, with va_high over each address */
	uint64_t va_high;
};

static const struct mode modes[] = {
	{ "2-level", 0, 0, false, false, 0 },
	{ "2-level with PSE", CR4_PSE, 0, false, false, 0 },
	{ "PAE", CR4_PAE, EFER_NXE, true, false, 0 },
	{ "PAE without NX", CR4_PAE, 0, true, false, 0 },
	{ "4-level", CR4_PAE, EFER_NXE | EFER_LME, true, true, 0x00007f8000000000 },
};

struct want {
	bool access, user;
	enum access_kind kind;
	uint32_t vector, error, value;
	uint64_t va;
};

static uint64_t scratch; /* SIZE_4M of RAM, so aligned */
static const struct mode *mode;
static struct walk_cpu cpu;      /* of the model */
static struct mode_op ops[OPS_MAX + OPS_SPARE];
static struct want wants[OPS_MAX + OPS_SPARE];
static unsigned op_count;
/* Accessed bits that are left to the processor. */
static uint32_t may_a[ARENA_PAGES][PAGE_SIZE / 4];
static uint8_t before[ARENA_PAGES * PAGE_SIZE] __attribute__((aligned(8)));
static uint8_t after[ARENA_PAGES * PAGE_SIZE] __attribute__((aligned(8)));
static struct space space;
static uint64_t low_pdpt[1];     /* PAE: what the first quarter is */
static uint32_t *low_pd32;       /* 2-level: the directory entries below 1 GiB */
static uint32_t rounds, steps;
static uint32_t cr4_optional;    /* SMEP, SMAP and PGE, where the processor has them */

static uint64_t arena(unsigned page)
{
	return scratch + page * PAGE_SIZE;
}

static bool chance(unsigned percent)
{
	return random32() % 100 < percent;
}

/* ---- the model runs --------------------------------------------------------------------- */

static uint32_t *may_of(uint64_t pa)
{
	uint64_t offset = pa - scratch;

	return offset < sizeof(before) ? &may_a[0][offset / 4] : NULL;
}

static void model_access(struct want *w, uint32_t value)
{
	struct walk walk = { .va = w->va, .kind = w->kind, .user = w->user };

	walk_predict(&cpu, &walk);
	w->access = true;
	if (walk.fault) {
		w->vector = VEC_PF;
		w->error = walk.error;
		for (unsigned i = 0; i + 1 < walk.steps; i++)
			if (may_of(walk.entry[i]))
				*may_of(walk.entry[i]) = PTE_A;
		return;
	}
	w->vector = ACCESS_DONE;
	walk_commit(&walk);
	if (w->kind == ACCESS_WRITE)
		*(volatile uint32_t *)walk.pa = value;
	w->value = w->kind == ACCESS_FETCH ? *(volatile uint32_t *)(walk.pa + 1)
					   : *(volatile uint32_t *)walk.pa;
}

static struct mode_op *add(enum mode_op_kind kind, uint32_t addr, uint32_t value)
{
	struct mode_op *o = &ops[op_count];

	wants[op_count++] = (struct want){ 0 };
	*o = (struct mode_op){ .kind = kind, .addr = addr, .value = value };
	return o;
}

static void add_access(uint32_t va, enum access_kind kind, bool user, uint32_t value)
{
	static const enum mode_op_kind of_kind[] = { OP_READ, OP_WRITE, OP_CALL };
	static const uint8_t code[] = { ACCESS_CODE_READ, ACCESS_CODE_WRITE, ACCESS_CODE_CALL };
	struct want *w = &wants[op_count];
	struct mode_op *o = add(user ? OP_USER : of_kind[kind], va, value);

	o->user = ACCESS_USER_VA + code[kind];
	w->kind = kind;
	w->user = user;
	w->va = mode->va_high | va;
	model_access(w, value);
}

/* QEMU's TCG sets bit 5 in PAE's four, too. */
static bool is_pdpte(uint64_t pa)
{
	return mode->wide && !mode->in_long && pa - arena(PAGE_PDPT) < 32 && !(pa & 4);
}

static void add_poke(uint64_t pa, uint32_t value)
{
	add(OP_WRITE, pa, value);
	*(volatile uint32_t *)pa = value;
	if (may_of(pa))
		*may_of(pa) = is_pdpte(pa) ? PTE_A : 0;
}

static void add_cr3(void)
{
	add(OP_CR3, 0, cpu.cr3);
	walk_load_pdptes(&cpu);
}

static void add_cr4(uint64_t cr4)
{
	add(OP_CR4, 0, cr4);
	cpu.cr4 = cr4;
	walk_load_pdptes(&cpu);
}

/* ---- random programs -------------------------------------------------------------------- */

static unsigned entry_size(void)
{
	return mode->wide ? 8 : 4;
}

static uint64_t entry_load(uint64_t pa)
{
	return mode->wide ? *(volatile uint64_t *)pa : *(volatile uint32_t *)pa;
}

/* Half by half, as 32-bit kernels must: never present with the wrong other half. */
static void entry_store(uint64_t pa, uint64_t value)
{
	if (!mode->wide) {
		add_poke(pa, value);
		return;
	}
	if (entry_load(pa) & PTE_P)
		add_poke(pa, 0);
	add_poke(pa + 4, value >> 32);
	add_poke(pa, value);
}

static void flush_all(void)
{
	if (cpu.cr4 & CR4_PGE) {
		uint64_t cr4 = cpu.cr4;

		add_cr4(cr4 & ~CR4_PGE);
		add_cr4(cr4);
	} else {
		add_cr3();
	}
}

/* Where page n of each region is. */
static void flush_page(unsigned n)
{
	if (chance(25)) {
		flush_all();
		return;
	}
	for (unsigned r = 0; r < ARRAY_SIZE(region_va); r++)
		add(OP_INVLPG, region_va[r] + n * PAGE_SIZE, 0);
}

static uint64_t random_rights(void)
{
	uint64_t e = chance(90) ? PTE_P : 0;

	e |= chance(75) ? PTE_W : 0;
	e |= chance(75) ? PTE_U : 0;
	e |= chance(40) ? PTE_A : 0;
	e |= chance(25) ? PTE_G : 0;
	e |= (random32() & 7) << 9; /* the software's */
	if (mode->wide) {
		e |= chance(15) ? PTE_NX : 0;
		e |= chance(3) ? walk_reserved_bit() : 0;
		e |= chance(mode->in_long ? 20 : 3) ? 1ull << 55 : 0;
	}
	return e;
}

static void edit_leaf(void)
{
	unsigned n = random32() % DATA_PAGES;
	uint64_t at = arena(PAGE_PT + random32() % TABLES) + n * entry_size();
	uint64_t old = entry_load(at);

	entry_store(at, arena(random32() % DATA_PAGES) | random_rights() |
				(chance(40) ? PTE_D : 0));
	if ((old & PTE_P) || chance(30))
		flush_page(n);
}

static uint64_t directory_entry(unsigned r)
{
	uint32_t va = region_va[r];

	if (!mode->wide)
		return arena(PAGE_TOP) + (va >> 22) * 4;
	return arena(PAGE_PD + (va >> 30)) + (va >> 21 & 511) * 8;
}

static void edit_directory(unsigned r)
{
	uint64_t at = directory_entry(r), old = entry_load(at), e = random_rights();

	if (chance(25)) {
		e |= scratch | PTE_PS | (chance(40) ? PTE_D : 0);
		e |= chance(5) ? 1ull << (mode->wide ? 13 : 21) : 0; /* reserved */
		if (!mode->wide && !(cpu.cr4 & CR4_PSE)) /* to what is no page: a table of data */
			e = (e & ~PTE_ADDR) | arena(PAGE_PT);
	} else {
		e |= arena(PAGE_PT + random32() % TABLES);
	}
	entry_store(at, e);
	if ((old & PTE_P) || chance(30))
		flush_all();
}

/* 4 levels: rights above the directories; PAE: a quarter comes and goes with CR3. */
static void edit_above(void)
{
	unsigned quarter = 1 + random32() % 3;
	uint64_t at = arena(PAGE_PDPT) + quarter * 8;
	uint64_t e = arena(PAGE_PD + quarter) | (chance(85) ? PTE_P : 0);

	if (!mode->wide)
		return;
	if (mode->in_long) {
		e |= (random_rights() & ~(PTE_P | PTE_G));
		if (chance(20))
			at = arena(PAGE_TOP) + (mode->va_high >> 39) * 8,
			e = (e & ~PTE_ADDR) | arena(PAGE_PDPT);
	}
	entry_store(at, e);
	add_cr3();
	flush_all();
}

static void change_control(void)
{
	uint32_t bit = 1u << random32() % 32 & cr4_optional;

	if (bit && chance(70)) {
		add_cr4(cpu.cr4 ^ bit);
		return;
	}
	cpu.cr0 ^= CR0_WP;
	add(OP_CR0, 0, cpu.cr0);
}

static void access_somewhere(void)
{
	uint32_t va = region_va[random32() % ARRAY_SIZE(region_va)];
	enum access_kind kind = random32() % 8;
	bool user = random32() & 1;

	kind = kind < 4 ? ACCESS_READ : kind < 7 ? ACCESS_WRITE : ACCESS_FETCH;
	va += random32() % DATA_PAGES * PAGE_SIZE;
	va += kind == ACCESS_FETCH ? CODE_OFFSET : random32() % 8 * 4;
	add_access(va, kind, user, random32());
}

static void step(void)
{
	unsigned what = random32() % 100;

	if (what < 20)
		edit_leaf();
	else if (what < 28)
		edit_directory(random32() % ARRAY_SIZE(region_va));
	else if (what < 32)
		edit_above();
	else if (what < 38)
		change_control();
	else
		access_somewhere();
}

/* ---- tables to begin with --------------------------------------------------------------- */

/* What differs only: these may be tables that somebody has an eye on.  NULL: zeroes. */
static void put_arena(const void *from)
{
	volatile uint64_t *to = (volatile uint64_t *)scratch;
	const uint64_t *words = from;

	for (unsigned i = 0; i < ARENA_PAGES * PAGE_SIZE / 8; i++)
		if (to[i] != (words ? words[i] : 0))
			to[i] = words ? words[i] : 0;
}

static void make_arena(void)
{
	uint64_t *top = (uint64_t *)arena(PAGE_TOP), *pdpt = (uint64_t *)arena(PAGE_PDPT);

	put_arena(NULL);
	memset(may_a, 0, sizeof(may_a));
	for (unsigned i = 0; i < DATA_PAGES; i++) {
		*(uint32_t *)arena(i) = 0xda7a0000 + i;
		access_put_code((void *)(arena(i) + CODE_OFFSET), 0xc0de0000 + i);
	}
	if (!mode->wide) {
		memcpy(top, low_pd32, LOW_END / SIZE_4M * 4);
		return;
	}
	for (unsigned i = 1; i < 4; i++)
		pdpt[i] = arena(PAGE_PD + i) | PTE_P;
	pdpt[0] = low_pdpt[0];
	if (!mode->in_long) {
		for (unsigned i = 0; i < 4; i++)
			may_a[PAGE_PDPT][i * 2] = PTE_A;
		return;
	}
	for (unsigned i = 1; i < 4; i++)
		pdpt[i] |= PTE_W | PTE_U;
	top[0] = space.root[0];
	top[mode->va_high >> 39] = arena(PAGE_PDPT) | PTE_P | PTE_W | PTE_U;
}

/* One to one below 64 MiB by 4K pages for the supervisor, and the page of ring 3. */
static void make_low_tables(void)
{
	uint32_t *pt;

	low_pd32 = page_alloc();
	for (unsigned i = 0; i < 16; i++) {
		pt = page_alloc();
		for (unsigned n = 0; n < 1024; n++)
			pt[n] = (i * 1024 + n) * PAGE_SIZE | PTE_P | PTE_W | PTE_A | PTE_D;
		low_pd32[i] = (uintptr_t)pt | PTE_P | PTE_W | PTE_A;
	}
	pt = page_alloc();
	pt[0] = (uintptr_t)access_user_page | PTE_P | PTE_W | PTE_U;
	low_pd32[ACCESS_USER_VA / SIZE_4M] = (uintptr_t)pt | PTE_P | PTE_W | PTE_U | PTE_A;
	space_init(&space);
	low_pdpt[0] = (((uint64_t *)(space.root[0] & PTE_ADDR))[0] & PTE_ADDR) | PTE_P;
}

/* ---- the processor runs ----------------------------------------------------------------- */

static void run_op(struct mode_op *o, const struct want *w)
{
	struct access a = { .va = w->va, .kind = w->kind, .user = w->user, .value = o->value };

	if (w->access) {
		access_do(&a);
		o->vector = a.vector;
		o->error = a.error;
		o->value = a.value;
		o->cr2 = a.cr2 == w->va ? o->addr : ~o->addr;
		return;
	}
	switch (o->kind) {
	case OP_WRITE:
		*(volatile uint32_t *)(uintptr_t)o->addr = o->value;
		break;
	case OP_INVLPG:
		invlpg(mode->va_high | o->addr);
		break;
	case OP_CR0:
		write_cr0(o->value);
		break;
	case OP_CR3:
		write_cr3(o->value);
		break;
	default:
		write_cr4(o->value);
	}
}

static void run_long(uint64_t cr0, uint64_t cr4)
{
	uint64_t old_cr0 = read_cr0(), old_cr4 = read_cr4();

	write_cr3(arena(PAGE_TOP));
	write_cr4(cr4);
	write_cr0(cr0);
	for (unsigned i = 0; i < op_count; i++)
		run_op(&ops[i], &wants[i]);
	write_cr4(old_cr4 & ~CR4_PGE);
	write_cr4(old_cr4);
	write_cr0(old_cr0);
	space_leave();
}

static void run_program(uint64_t cr0, uint64_t cr4)
{
	struct mode_job job = { .cr0 = cr0, .cr3 = cpu.cr3, .cr4 = cr4, .efer = mode->efer,
				.op_count = op_count, .ops = (uintptr_t)ops };

	if (mode->in_long) {
		run_long(cr0, cr4);
		return;
	}
	mode_set_user_stack();
	mode_run(&job);
}

/* ---- and both are compared -------------------------------------------------------------- */

static void tell(unsigned at)
{
	static const char *const names[] = { "read", "write", "call", "invlpg", "cr3", "cr4",
					     "cpuid", "hypercall", "cr0", "user" };
	static bool told;

	if (told)
		return;
	told = true;
	for (unsigned i = at < 24 ? 0 : at - 24; i <= at; i++)
		printf("# %u: %s %c 0x%x 0x%x want %d 0x%x 0x%x\n", i, names[ops[i].kind],
		       wants[i].access ? "rwx"[wants[i].kind] : ' ', ops[i].addr, ops[i].value,
		       (int)wants[i].vector, wants[i].error, wants[i].value);
}

static bool is_right(const struct mode_op *o, const struct want *w)
{
	if (!w->access)
		return true;
	if (w->vector == VEC_PF)
		return o->vector == VEC_PF && access_error(o->error) == w->error &&
		       o->cr2 == o->addr;
	return o->vector == ACCESS_DONE && o->value == w->value;
}

static bool check_ops(unsigned round)
{
	for (unsigned i = 0; i < op_count; i++) {
		const struct mode_op *o = &ops[i];
		const struct want *w = &wants[i];

		if (is_right(o, w))
			continue;
		ktap_fail(__FILE__, __LINE__,
			  "%s, program %u, step %u: %s%c 0x%lx: "
			  "vector %d error 0x%x cr2 0x%x value 0x%x, not %d 0x%x 0x%x", mode->name, round, i, w->user ? "user " : "",
			  "rwx"[w->kind], w->va, (int)o->vector, o->error, o->cr2, o->value,
			  (int)w->vector, w->error, w->value);
		tell(i);
		return false;
	}
	return true;
}

static bool check_arena(unsigned round)
{
	const uint32_t *have = (const uint32_t *)scratch, *want = (const uint32_t *)after;
	const uint32_t *may = &may_a[0][0];

	for (unsigned i = 0; i < ARENA_PAGES * PAGE_SIZE / 4; i++) {
		if (have[i] == want[i] || (have[i] | may[i]) == (want[i] | may[i]))
			continue;
		ktap_fail(__FILE__, __LINE__, "%s, program %u: page %u word %u is 0x%x, not 0x%x",
			  mode->name, round, i / 1024, i % 1024, have[i], want[i]);
		return false;
	}
	return true;
}

static bool torture(unsigned round, unsigned *faults)
{
	uint64_t cr0 = mode->in_long ? read_cr0() : CR0_PE | 1 << 4 | CR0_PG | CR0_WP;
	uint64_t cr4 = mode->cr4, top = arena(mode->wide && !mode->in_long ? PAGE_PDPT : PAGE_TOP);

	make_arena();
	cpu = (struct walk_cpu){ .cr0 = cr0, .cr4 = mode->in_long ? cr4 | read_cr4() : cr4,
				 .efer = mode->efer, .cr3 = top };
	cr4 = cpu.cr4;
	op_count = 0;
	memcpy(before, (void *)scratch, sizeof(before));
	walk_load_pdptes(&cpu);
	for (unsigned r = 0; r < ARRAY_SIZE(region_va); r++)
		edit_directory(r);
	while (op_count < steps)
		step();
	memcpy(after, (void *)scratch, sizeof(after));
	put_arena(before);
	run_program(cr0, cr4);
	for (unsigned i = 0; i < op_count; i++)
		*faults += wants[i].access && wants[i].vector == VEC_PF;
	return check_ops(round) && check_arena(round);
}

static void torture_mode(unsigned n)
{
	unsigned faults = 0, done = 0;

	mode = &modes[n];
	while (done < rounds && torture(done, &faults))
		done++;
	CHECK_EQ(done, rounds);
	CHECK(faults > 0);
	printf("# %s: %u programs of %u steps, %u page faults\n", mode->name, done, steps, faults);
	if (phyllo_present())
		CHECK_EQ(audit(), 0);
}

static void test_2level(void)
{
	torture_mode(0);
}

static void test_2level_pse(void)
{
	torture_mode(1);
}

static void test_pae(void)
{
	torture_mode(2);
}

static void test_pae_without_nx(void)
{
	torture_mode(3);
}

static void test_4level(void)
{
	torture_mode(4);
}

static const struct ktap_test tests[] = {
	KTAP(test_2level), KTAP(test_2level_pse), KTAP(test_pae), KTAP(test_pae_without_nx),
	KTAP(test_4level),
};

int guest_main(void)
{
	uint32_t ebx = cpuid(7, 0).ebx;

	rounds = info_number_or("rounds", 40);
	steps = info_number_or("ops", 600);
	if (steps > OPS_MAX)
		guest_die("ops=%u: at most %u", steps, OPS_MAX);
	for (uint32_t n = info_number_or("seed", 0); n; n--)
		random32();
	cr4_optional = CR4_PGE | (ebx & 1u << 7 ? CR4_SMEP : 0) | (ebx & 1u << 20 ? CR4_SMAP : 0);
	scratch = ram_take(SIZE_4M, SIZE_4M);
	if (!scratch || scratch + SIZE_4M > 16 * SIZE_4M)
		guest_die("this kernel needs 4 MiB of free memory below 64 MiB");
	mode_init();
	access_init();
	make_low_tables();
	return KTAP_MAIN(tests);
}
