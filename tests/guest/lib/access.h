/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One access at a time by 64-bit code, in ring 0 or ring 3, and what became of it: the value or
 * the exception.  access_check() compares it with the model of walk.h: fault, error code, CR2,
 * Accessed and Dirty in every entry of the path.
 *
 *   space_init(&s);  space_use(&s);
 *   access_check(va, ACCESS_WRITE, USER, 5);
 */
#pragma once

#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/walk.h"

#define SUPERVISOR false
#define USER true

struct access {
	uint64_t va;
	enum access_kind kind;
	bool user;
	uint32_t value; /* to be written, or read, or what the code there gave */

	uint32_t vector; /* ACCESS_DONE, or the exception */
	uint64_t error, cr2;
};

#define ACCESS_DONE 0xffffffffu

/*
 * A page of code and stack for ring 3, mapped for it by space_init(); the code is the same in
 * 32-bit mode.
 */
#define ACCESS_USER_VA 0x3f000000ul
#define ACCESS_CODE_READ 0x00  /* mov eax, [edi]; int3 */
#define ACCESS_CODE_WRITE 0x10 /* mov [edi], eax; int3 */
#define ACCESS_CODE_CALL 0x20  /* call edi; int3 */
extern uint8_t access_user_page[PAGE_SIZE];

/* Once: what catches the exceptions. */
void access_init(void);
void access_do(struct access *a);

/* Code that returns the number; for ACCESS_FETCH. */
#define ACCESS_CODE_BYTES 6
void access_put_code(void *at, uint32_t number);

/*
 * Does it and fails the running test where it differs from the model.  -> false: it faulted (as
 * it should or not).  The value that was read is in access_last.
 */
bool access_check_at(const char *file, int line, uint64_t va, enum access_kind kind, bool user,
		     uint32_t value);
#define access_check(va, kind, user, value) \
	access_check_at(__FILE__, __LINE__, va, kind, user, value)
extern struct access access_last;
/* How many accesses were compared. */
extern unsigned long access_checks;

/* The same with what it must be, for tables that the model cannot read. */
#define ACCESS_EXPECT_VALUE(va, kind, user, value_)                                              \
	access_expect(__FILE__, __LINE__, va, kind, user, ACCESS_DONE, 0, value_)
#define ACCESS_EXPECT_PF(va, kind, user, error) \
	access_expect(__FILE__, __LINE__, va, kind, user, VEC_PF_NUMBER, error, 0)
#define ACCESS_EXPECT_VE(va, kind, user) \
	access_expect(__FILE__, __LINE__, va, kind, user, PHYLLO_VE_VECTOR, 0, 0)
#define VEC_PF_NUMBER 14
void access_expect(const char *file, int line, uint64_t va, enum access_kind kind, bool user,
		   uint32_t vector, uint64_t error, uint32_t value);

/*
 * An address space: the first 1 GiB one to one for the supervisor only (so that SMEP and SMAP
 * can be on), and the page for ring 3.
 */
struct space {
	uint64_t *root;
};
void space_init(struct space *s);
/* The rest of the first 4 GiB too. */
void space_map_4g(struct space *s);
static inline void space_use(const struct space *s)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(s->root) : "memory");
}
/* Back to the boot tables, which do not have the page for ring 3. */
void space_leave(void);

/* QEMU leaves P out of error codes with RSVD: with it, where it matters to nobody. */
static inline uint32_t access_error(uint32_t error)
{
	return error & PF_RSVD ? error | PF_P : error;
}
