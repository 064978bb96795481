/* SPDX-License-Identifier: GPL-2.0-only */
/* The oracle's frame: what a program is made of, and the checks of everything; see oracle.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/port.h"
#include "oracle_impl.h"

#define ARENA_BYTES (24ul << 20)
#define AUDIT_EVERY 16 /* operations */

struct oracle oracle;

uint8_t take8(void)
{
	return oracle.p < oracle.end ? *oracle.p++ : 0;
}

uint16_t take16(void)
{
	unsigned low = take8();

	return (uint16_t)(low | (unsigned)take8() << 8);
}

void contradiction(const char *what, uint64_t a, uint64_t b)
{
	char text[200];

	snprintf(text, sizeof(text), "%s of %s: not true: %s (0x%lx, 0x%lx)", oracle.op,
		 oracle.cfg.name, what, a, b);
	port_bug(__FILE__, __LINE__, text);
}

void trace(const char *fmt, ...)
{
	va_list ap;

	if (!oracle.tracing)
		return;
	printf("# %s: ", oracle.op);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- the model ------------------------------------------------------------------- */

struct oslot *oracle_find(gfn_t gfn)
{
	for (unsigned i = 0; i < ORACLE_SLOTS; i++) {
		struct oslot *s = &oracle.slot[i];

		if (s->used && gfn >= s->base && gfn < s->base + s->npages)
			return s;
	}
	return NULL;
}

uint64_t *oracle_value(struct oslot *s, gfn_t gfn, unsigned word)
{
	if (is_device(s))
		return &oracle.device_value[s->device_first + (gfn - s->base)][word];
	return &oracle_page(s, gfn)->value[word];
}

/* Edges of slots and of 2M are where mistakes are. */
static gfn_t take_gfn(void)
{
	unsigned kind = take8();
	gfn_t gfn = take16() % (ORACLE_GFNS + 16);
	const struct oslot *s = &oracle.slot[kind % ORACLE_SLOTS];

	if (kind < 96 && s->used)
		return kind < 48 ? s->base : s->base + gfn % s->npages;
	if (kind < 160)
		return level_gfn_base(gfn, PG_LEVEL_2M);
	return gfn;
}

static uint64_t take_length(void)
{
	unsigned b = take8();

	if (b == 255)
		return ~0ul - 4; /* overflows */
	return b < 128 ? b % 20u : b < 192 ? 512 : (b - 191u) * 37;
}

struct orange take_range(void)
{
	unsigned how = take8();
	struct orange r = { .gfn = take_gfn(), .flags = how & MMU_MAY_BLOCK };
	const struct oslot *s = oracle_find(r.gfn);

	r.npages = take_length();
	/* Mostly inside one slot, or nearly nothing would happen. */
	if (s && (how & 0x30) && r.npages > s->base + s->npages - r.gfn)
		r.npages = s->base + s->npages - r.gfn;
	if (how == 0x8e)
		r.flags |= 1 << 7;
	r.valid = r.npages && r.gfn + r.npages > r.gfn && !(r.flags & ~(unsigned)MMU_MAY_BLOCK);
	for (gfn_t gfn = r.gfn; r.valid && gfn < r.gfn + r.npages; gfn++) {
		s = oracle_find(gfn);
		r.valid = s;
		r.device |= s && is_device(s);
	}
	return r;
}

bool range_done(const struct orange *r, int err)
{
	trace("gfn 0x%lx, %lu pages, flags %u: %d", r->gfn, r->npages, r->flags, err);
	if (err == -ENOMEM)
		EXPECT(oracle.failing, r->gfn, r->npages);
	else if (!r->valid)
		EXPECT(err == -EINVAL || err == -ENOENT, err, r->npages);
	else
		EXPECT(!err || r->device, err, r->gfn);
	return !err;
}

/* ---- checks ------------------------------------------------------------------------- */

static void check_slot(struct oslot *s)
{
	for (gfn_t gfn = s->base; gfn < s->base + s->npages; gfn++) {
		for (unsigned word = 0; word < WORDS; word++) {
			uint64_t want = *oracle_value(s, gfn, word), got = 0;

			/* What was written has a page: reading it takes no memory. */
			if (!want || is_device(s))
				continue;
			int err = mmu_read_guest(oracle.vm, gfn * PAGE_SIZE + word_offset(word), &got, 8);

			EXPECT(!err, err, gfn);
			EXPECT(got == want, got, want);
		}
	}
}

static uint64_t count_ballooned(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < ORACLE_SLOTS; i++)
		for (uint64_t k = 0; oracle.slot[i].used && k < oracle.slot[i].npages; k++)
			n += oracle.slot[i].page[k].ballooned;
	return n;
}

static void audit(void)
{
	struct mmu_audit_report report;
	struct mmu_stats stats;
	char text[200];

	if (mmu_audit(oracle.vm, &report)) {
		snprintf(text, sizeof(text), "%s of %s: audit: %s", oracle.op, oracle.cfg.name,
			 report.first);
		port_bug(__FILE__, __LINE__, text);
	}
	mmu_stats_read(oracle.vm, &stats);
	EXPECT(stats.ballooned_pages == count_ballooned(), stats.ballooned_pages, count_ballooned());
}

void oracle_check(void)
{
	for (unsigned i = 0; i < ORACLE_SLOTS; i++)
		if (oracle.slot[i].used)
			check_slot(&oracle.slot[i]);
	audit();
}

/* ---- a program -------------------------------------------------------------------------- */

struct operation {
	const char *name;
	void (*run)(void);
	unsigned weight; /* of 64 */
};

static const struct operation operations[] = {
	{ "access", op_access, 22 },
	{ "guest copy", op_guest_copy, 3 },
	{ "unmap", op_unmap, 4 },
	{ "protect", op_protect, 4 },
	{ "migrate", op_migrate, 3 },
	{ "balloon out", op_balloon_out, 3 },
	{ "balloon in", op_balloon_in, 3 },
	{ "zap all", op_zap_all, 2 },
	{ "work", op_work, 3 },
	{ "age", op_age, 4 },
	{ "slot create", op_slot_create, 2 },
	{ "slot delete", op_slot_delete, 1 },
	{ "slot move", op_slot_move, 1 },
	{ "slot flags", op_slot_flags, 1 },
	{ "slot info", op_slot_info, 1 },
	{ "dirty start", op_dirty_start, 2 },
	{ "dirty get", op_dirty_get, 2 },
	{ "dirty clear", op_dirty_clear, 1 },
	{ "dirty stop", op_dirty_stop, 1 },
	{ "dump", op_dump, 1 },
};

static const struct operation *pick(unsigned n)
{
	const struct operation *op = operations;

	for (n %= 64; n >= op->weight; op++)
		n -= op->weight;
	return op;
}

/* The two high bits of the operation: 3 means with allocations that fail. */
static void run_operation(uint8_t byte)
{
	const struct operation *op = pick(byte);

	oracle.op = op->name;
	oracle.failing = byte >> 6 == 3;
	if (oracle.failing) {
		unsigned how = take8();

		hosted_fail_at(how % 32, how & 0x80);
	}
	hosted_deny_2m(byte >> 6 == 2);
	op->run();
	hosted_fail_off();
	oracle.failing = false;
}

static void make_config(uint8_t a, uint8_t b)
{
	static const uint8_t around[] = { 1, 8, 16, 64 };
	bool ept = a & 1;

	oracle.cfg = (struct mmu_config){
		.name = ept ? "ept" : "npt",
		.format = ept ? MMU_FORMAT_EPT : MMU_FORMAT_NPT,
		/* The processor always maintains A and D of nested page tables. */
		.hw_ad = !ept || (a & 2),
		.root_level = a & 4 ? 5 : 4,
		.max_leaf_level = a & 8 ? PG_LEVEL_4K : a & 16 ? PG_LEVEL_1G : PG_LEVEL_2M,
		.nx_huge_pages = a & 32,
		.pml = ept && (a & 2) && (a & 64),
		.fault_around = around[b & 3],
		.maxphyaddr = 46,
		.page_cap = b & 4 ? 700 : 0,
	};
}

/* Some memory to begin with, or most of a program would happen nowhere. */
static void make_slots(void)
{
	const struct mmu_slot_desc low = { .id = 0, .npages = 1200 };
	const struct mmu_slot_desc high = { .id = 1, .base_gfn = 1200, .npages = 400 };

	oracle_slot_create(&low);
	oracle_slot_create(&high);
}

static void begin(uint8_t a, uint8_t b)
{
	hosted_reset(ARENA_BYTES);
	for (unsigned i = 0; i < ORACLE_SLOTS; i++)
		oracle.slot[i].used = false;
	memset(oracle.device_value, 0, sizeof(oracle.device_value));
	memset(oracle.touched, 0, sizeof(oracle.touched));
	memset(oracle.aged, 0, sizeof(oracle.aged));
	memset(oracle.written, 0, sizeof(oracle.written));
	oracle.counter = 0;
	oracle.time = oracle.zaps = 1;
	oracle.op = "begin";
	oracle.tracing = getenv("HOSTED_TRACE");
	make_config(a, b);
	trace("config 0x%x 0x%x", a, b);
	oracle.device = HPA_INVALID;
	oracle.vm = mmu_vm_create(&oracle.cfg);
	for (unsigned i = 0; i < ORACLE_CPUS; i++)
		fake_cpu_init(&oracle.cpu[i], oracle.vm, &oracle.cfg, i);
	if (!(b & 8))
		make_slots();
}

static void finish(void)
{
	oracle.op = "end";
	oracle_check();
	for (unsigned i = 0; i < ORACLE_CPUS; i++)
		fake_cpu_destroy(&oracle.cpu[i]);
	mmu_vm_destroy(oracle.vm);
	if (oracle.device != HPA_INVALID)
		port_pages_free(oracle.device, 9);
	EXPECT(!hosted_pages_used() && !hosted_objects_used(), hosted_pages_used(),
	       hosted_objects_used());
}

void oracle_run(const uint8_t *data, size_t size)
{
	if (size < 2)
		return;
	oracle.p = data + 2;
	oracle.end = data + size;
	begin(data[0], data[1]);
	for (unsigned n = 1; oracle.p < oracle.end; n++) {
		run_operation(take8());
		if (n % AUDIT_EVERY == 0)
			audit();
	}
	finish();
}
