/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the oracle share; see oracle.h. */
#pragma once

#include "fake_cpu.h"
#include "hosted.h"
#include "oracle.h"

#define ORACLE_CPUS  2
#define ORACLE_GFNS  2304u /* where slots may lie: four and a half 2M chunks */
#define ORACLE_SLOTS 5
#define DEVICE_PAGES 512u

/* Two words of each page are known: its first and its last. */
#define WORDS 2

struct opage {
	uint64_t value[WORDS];
	uint64_t young_in, cleaned_at; /* see oracle_log.c */
	bool ballooned, must_dirty, all_set;
	uint8_t prot;               /* of mmu_protect() */
};

struct oslot {
	bool used;
	gfn_t base;
	uint64_t npages;
	uint32_t flags;
	unsigned device_first; /* MMU_SLOT_DEVICE: its first page in the device */
	bool log;
	enum mmu_dirty_style style;
	struct opage page[ORACLE_GFNS];
};

struct oracle {
	const uint8_t *p, *end; /* the rest of the program */
	struct mmu_config cfg;
	struct mmu_vm *vm;
	struct fake_cpu cpu[ORACLE_CPUS];
	struct oslot slot[ORACLE_SLOTS];
	hpa_t device;
	uint64_t device_value[DEVICE_PAGES][WORDS];
	bool failing;           /* allocations may fail in this operation */
	uint64_t counter;       /* every value written is a new one */
	uint64_t time, zaps;    /* see oracle_log.c */
	uint64_t touched[ORACLE_GFNS], aged[ORACLE_GFNS], written[ORACLE_GFNS];
	const char *op;         /* its name, for the report */
	bool tracing;           /* HOSTED_TRACE is set: print what is done */
};
extern struct oracle oracle;

/* The next bytes of the program; 0 behind its end. */
uint8_t take8(void);
uint16_t take16(void);

__attribute__((format(printf, 1, 2))) void trace(const char *fmt, ...);
/* Stops with a sentence: the operation, what was wrong, and two numbers. */
_Noreturn void contradiction(const char *what, uint64_t a, uint64_t b);
#define EXPECT(cond, a, b)                                                       \
	do {                                                                     \
		if (!(cond))                                                     \
			contradiction(#cond, (uint64_t)(a), (uint64_t)(b));      \
	} while (0)

struct oslot *oracle_find(gfn_t gfn); /* NULL: no memory there */
static inline struct opage *oracle_page(struct oslot *s, gfn_t gfn)
{
	return &s->page[gfn - s->base];
}
static inline bool is_device(const struct oslot *s)
{
	return s->flags & MMU_SLOT_DEVICE;
}
uint64_t *oracle_value(struct oslot *s, gfn_t gfn, unsigned word);
static inline unsigned word_offset(unsigned word)
{
	return word ? PAGE_SIZE - 8 : 0;
}

/* A range of an operation, often at an edge of something, sometimes senseless. */
struct orange {
	gfn_t gfn;
	uint64_t npages;
	unsigned flags;
	bool valid;  /* it lies in slots, and the flags are known */
	bool device; /* some of it is a device */
};
struct orange take_range(void);

/*
 * Checks what an operation on a range returned; true when it has happened.  A device may be
 * refused, and memory may be short while failures are injected.
 */
bool range_done(const struct orange *r, int err);

/* oracle_ops.c */
void op_access(void);
void op_guest_copy(void);
void op_unmap(void);
void op_protect(void);
void op_migrate(void);
void op_balloon_out(void);
void op_balloon_in(void);
void op_zap_all(void);
void op_work(void);
void op_dump(void);

/* oracle_slots.c */
void oracle_slot_create(const struct mmu_slot_desc *d);
void op_slot_create(void);
void op_slot_delete(void);
void op_slot_move(void);
void op_slot_flags(void);
void op_slot_info(void);

/* oracle_log.c */
void op_age(void);
void op_dirty_start(void);
void op_dirty_get(void);
void op_dirty_clear(void);
void op_dirty_stop(void);
/* An access was made, by a walk of the tables or only by the TLB. */
void log_access(struct oslot *s, gfn_t gfn, bool write, bool walked);
/* The hypervisor wrote. */
void log_write(struct oslot *s, gfn_t gfn);
/* Mappings may be gone: no page must be young because of what was before. */
void log_zapped(void);

/* Everything that is known is still there, and the books are right. */
void oracle_check(void);
