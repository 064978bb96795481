/* SPDX-License-Identifier: GPL-2.0-only */
/* The oracle's operations on slots; see oracle_impl.h. */
#include <string.h>

#include "mm/port.h"
#include "oracle_impl.h"

static bool overlaps(const struct oslot *but, gfn_t base, uint64_t npages)
{
	for (unsigned i = 0; i < ORACLE_SLOTS; i++) {
		const struct oslot *s = &oracle.slot[i];

		if (s != but && s->used && s->base < base + npages && base < s->base + s->npages)
			return true;
	}
	return false;
}

/* Some number, often of a slot that is there. */
static unsigned take_id(void)
{
	unsigned b = take8();

	return b == 255 ? MMU_SLOTS_MAX : b % ORACLE_SLOTS;
}

static gfn_t take_base(void)
{
	unsigned v = take16();
	gfn_t gfn = v % ORACLE_GFNS;

	/* Half of them aligned, so that huge pages are possible. */
	return v & 0x8000 ? gfn & ~511ul : gfn;
}

/* May this slot be made?  0, or the error that must come. */
static int creation(const struct mmu_slot_desc *d)
{
	if (d->id >= MMU_SLOTS_MAX || !d->npages || d->flags >> 2)
		return -EINVAL;
	return oracle.slot[d->id].used || overlaps(NULL, d->base_gfn, d->npages) ? -EEXIST : 0;
}

void oracle_slot_create(const struct mmu_slot_desc *d)
{
	int err = mmu_slot_create(oracle.vm, d);

	trace("id %u, gfn 0x%lx, %lu pages, flags %u: %d", d->id, d->base_gfn, d->npages, d->flags, err);
	if (err == -ENOMEM && oracle.failing)
		return;
	EXPECT(err == creation(d), err, d->base_gfn);
	if (err)
		return;
	struct oslot *s = &oracle.slot[d->id];

	memset(s->page, 0, d->npages * sizeof(s->page[0]));
	for (uint64_t i = 0; i < d->npages; i++)
		s->page[i].prot = ACC_RWX;
	s->used = true;
	s->base = d->base_gfn;
	s->npages = d->npages;
	s->flags = d->flags;
	s->log = false;
	s->device_first = is_device(s) ? (unsigned)((d->hpa - oracle.device) / PAGE_SIZE) : 0;
}

void op_slot_create(void)
{
	unsigned how = take8();
	struct mmu_slot_desc d = { .id = take_id() };

	d.base_gfn = take_base();
	d.npages = take16() % 1201;
	if (how % 4 == 1)
		d.flags |= MMU_SLOT_READONLY;
	/* Most programs do without, which saves them zeroing and poisoning 2M. */
	if (how % 8 == 2 && oracle.device == HPA_INVALID)
		oracle.device = port_pages_alloc(9, PORT_ZERO);
	if (how % 8 == 2 && oracle.device != HPA_INVALID) {
		unsigned first = how >> 3;

		d.flags |= MMU_SLOT_DEVICE;
		d.npages %= DEVICE_PAGES - first + 1;
		d.hpa = oracle.device + first * PAGE_SIZE;
	}
	if (how == 255)
		d.flags |= 1 << 9;
	if (d.base_gfn + d.npages > ORACLE_GFNS)
		d.npages = ORACLE_GFNS - d.base_gfn;
	oracle_slot_create(&d);
}

void op_slot_delete(void)
{
	unsigned id = take_id();
	bool used = id < ORACLE_SLOTS && oracle.slot[id].used;
	int err = mmu_slot_delete(oracle.vm, id);

	trace("id %u: %d", id, err);
	if (err == -ENOMEM && oracle.failing)
		return;
	EXPECT(used ? !err : err == -ENOENT, err, id);
	if (!err)
		oracle.slot[id].used = false;
	log_zapped();
}

void op_slot_move(void)
{
	unsigned id = take_id();
	gfn_t base = take_base();
	struct oslot *s = id < ORACLE_SLOTS ? &oracle.slot[id] : NULL;

	if (s && s->used && base + s->npages > ORACLE_GFNS)
		base = ORACLE_GFNS - s->npages;
	int err = mmu_slot_move(oracle.vm, id, base);

	trace("id %u to gfn 0x%lx: %d", id, base, err);
	log_zapped();
	if (err == -ENOMEM && oracle.failing)
		return;
	if (!s || !s->used) {
		EXPECT(err == -ENOENT, err, id);
		return;
	}
	if (overlaps(s, base, s->npages))
		EXPECT(err == -EEXIST, err, base);
	/* Over its own old place, or with a log on it, it may be refused. */
	else if (base >= s->base + s->npages || base + s->npages <= s->base)
		EXPECT(!err || s->log, err, base);
	if (err)
		return;
	s->base = base;
	/* What may be dirty is known by gfn: after a move, anything. */
	for (uint64_t i = 0; i < s->npages; i++)
		s->page[i].all_set = true;
}

void op_slot_flags(void)
{
	unsigned how = take8(), id = take_id();
	struct oslot *s = id < ORACLE_SLOTS ? &oracle.slot[id] : NULL;
	uint32_t flags = s && s->used ? s->flags & MMU_SLOT_DEVICE : 0;

	flags |= how & 1 ? MMU_SLOT_READONLY : 0;
	flags |= how == 0xfe ? 1 << 6 : 0;
	int err = mmu_slot_set_flags(oracle.vm, id, flags);

	trace("id %u, flags %u: %d", id, flags, err);
	log_zapped();
	if (err == -ENOMEM && oracle.failing)
		return;
	if (!s || !s->used)
		EXPECT(err == -ENOENT || err == -EINVAL, err, id);
	else
		EXPECT(err == (how == 0xfe ? -EINVAL : 0), err, flags);
	if (!err)
		s->flags = flags;
}

void op_slot_info(void)
{
	unsigned id = take_id();
	const struct oslot *s = id < ORACLE_SLOTS ? &oracle.slot[id] : NULL;
	struct mmu_slot_desc d = { 0 };
	int err = mmu_slot_info(oracle.vm, id, &d);
	gfn_t end = 0;

	EXPECT(s && s->used ? !err : err == -ENOENT, err, id);
	if (!err)
		EXPECT(d.id == id && d.base_gfn == s->base && d.npages == s->npages &&
		       d.flags == s->flags, d.base_gfn, d.flags);
	for (unsigned i = 0; i < ORACLE_SLOTS; i++)
		if (oracle.slot[i].used && oracle.slot[i].base + oracle.slot[i].npages > end)
			end = oracle.slot[i].base + oracle.slot[i].npages;
	EXPECT(mmu_slot_end(oracle.vm) == end, mmu_slot_end(oracle.vm), end);
}
