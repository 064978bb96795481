/* SPDX-License-Identifier: GPL-2.0-only */
/* See access.h. */
#include "tests/guest/lib/access.h"

#include "tests/guest/lib/paging.h"
#include "tests/guest/lib/x86.h"

uint8_t access_user_page[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t fault_stack[8192] __attribute__((aligned(16)));
struct access access_last;
unsigned long access_checks;

/* Where the hook goes on, and the stack there; access_resume 0: nothing is expected. */
static volatile uint64_t access_resume, access_stack;
static struct access *current;
static bool (*next_hook)(struct trap_frame *f);

/* Ring 3 says by INT3 that it is done; all else is the access's exception. */
static bool access_trap(struct trap_frame *f)
{
	if (!access_resume)
		return next_hook && next_hook(f);
	if (f->vector == VEC_BP && (f->cs & 3)) {
		current->value = f->rax;
	} else {
		if (next_hook && f->vector != VEC_PF && next_hook(f))
			return true;
		current->vector = f->vector;
		current->error = f->error;
		current->cr2 = read_cr2();
	}
	f->rip = access_resume;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rsp = access_stack;
	access_resume = 0;
	return true;
}

void access_init(void)
{
	static const uint8_t read[] = { 0x8b, 0x07, 0xcc }, write[] = { 0x89, 0x07, 0xcc },
			     call[] = { 0xff, 0xd7, 0xcc };

	memcpy(access_user_page + ACCESS_CODE_READ, read, sizeof(read));
	memcpy(access_user_page + ACCESS_CODE_WRITE, write, sizeof(write));
	memcpy(access_user_page + ACCESS_CODE_CALL, call, sizeof(call));
	next_hook = trap_hook;
	trap_hook = access_trap;
}

void access_put_code(void *at, uint32_t number)
{
	uint8_t *code = at;

	code[0] = 0xb8; /* mov eax, number */
	memcpy(code + 1, &number, 4);
	code[5] = 0xc3; /* ret */
}

/* The way out of an access, by itself or by the hook: the stack as it was. */
#define ACCESS_ASM(insn)                                                                   \
	"movq %%rsp, access_stack\n\tmovq $1f, access_resume\n\t" insn                     \
	"\n1:\tmovq access_stack, %%rsp\n\tmovq $0, access_resume"

static void do_supervisor(struct access *a)
{
	uint64_t value = a->value;

	switch (a->kind) {
	case ACCESS_READ:
		__asm__ volatile(ACCESS_ASM("movl (%1), %k0") : "+a"(value) : "D"(a->va) : "memory");
		break;
	case ACCESS_WRITE:
		__asm__ volatile(ACCESS_ASM("movl %k0, (%1)") : "+a"(value) : "D"(a->va) : "memory");
		break;
	case ACCESS_FETCH:
		__asm__ volatile(ACCESS_ASM("call *%1") : "+a"(value) : "D"(a->va) : "memory");
		break;
	}
	if (a->vector == ACCESS_DONE)
		a->value = value;
}

static void do_user(struct access *a)
{
	static const uint8_t code[] = { ACCESS_CODE_READ, ACCESS_CODE_WRITE, ACCESS_CODE_CALL };

	uint64_t rax = a->value; /* the hook has what it is in the end */

	trap_tss.rsp[0] = (uintptr_t)fault_stack + sizeof(fault_stack);
	__asm__ volatile(ACCESS_ASM("pushq %[ss]\n\tpushq %[sp]\n\tpushfq\n\tpushq %[cs]\n\t"
				    "pushq %[ip]\n\tiretq")
			 : "+a"(rax) : "D"(a->va), [ss] "i"(SEL_USER_DATA),
			     [sp] "r"(ACCESS_USER_VA + PAGE_SIZE), [cs] "i"(SEL_USER_CODE),
			     [ip] "r"(ACCESS_USER_VA + code[a->kind]) : "memory");
}

void access_do(struct access *a)
{
	current = a;
	a->vector = ACCESS_DONE;
	a->error = a->cr2 = 0;
	if (a->user)
		do_user(a);
	else
		do_supervisor(a);
}

/* ---- against the model ------------------------------------------------------------------ */

static uint64_t load_entry(const struct walk *w, unsigned i)
{
	return *(volatile uint64_t *)w->entry[i];
}

/* On the way to a fault a processor may set Accessed, or not. */
static void check_entries(const char *file, int line, const struct walk *w, const uint64_t *before)
{
	for (unsigned i = 0; i < w->steps; i++) {
		uint64_t want = before[i], have = load_entry(w, i);
		bool last = i == w->steps - 1;

		if (!w->fault)
			want |= PTE_A | (last && w->kind == ACCESS_WRITE ? PTE_D : 0);
		else if (!last)
			want |= have & PTE_A;
		if (have != want)
			ktap_fail(file, line, "va 0x%lx: entry %u is 0x%lx, not 0x%lx", w->va, i, have,
				  want);
	}
}

static void check_fault(const char *file, int line, const struct walk *w, const struct access *a)
{
	bool same = a->vector == VEC_PF && access_error(a->error) == w->error && a->cr2 == w->va;

	if (!same)
		ktap_fail(file, line, "%s%c at 0x%lx: vector %d error 0x%lx cr2 0x%lx, not #PF 0x%x",
			  w->user ? "user " : "", "rwx"[w->kind], w->va, (int)a->vector, a->error,
			  a->cr2, w->error);
}

static void check_done(const char *file, int line, const struct walk *w, const struct access *a,
		       uint32_t memory)
{
	if (a->vector != ACCESS_DONE)
		ktap_fail(file, line, "%s%c at 0x%lx: vector %u error 0x%lx cr2 0x%lx, not 0x%x",
			  w->user ? "user " : "", "rwx"[w->kind], w->va, a->vector, a->error, a->cr2,
			  memory);
	else if (w->kind == ACCESS_READ && a->value != memory)
		ktap_fail(file, line, "0x%lx holds 0x%x, not 0x%x", w->va, a->value, memory);
}

bool access_check_at(const char *file, int line, uint64_t va, enum access_kind kind, bool user,
		     uint32_t value)
{
	struct walk w = { .va = va, .kind = kind, .user = user };
	struct access *a = &access_last;
	uint64_t before[WALK_LEVELS_MAX];
	struct walk_cpu cpu;

	access_checks++;
	walk_cpu_now(&cpu);
	walk_predict(&cpu, &w);
	for (unsigned i = 0; i < w.steps; i++)
		before[i] = load_entry(&w, i);
	*a = (struct access){ .va = va, .kind = kind, .user = user, .value = value };
	access_do(a);
	if (w.fault) {
		check_fault(file, line, &w, a);
	} else {
		uint32_t memory = *(volatile uint32_t *)w.pa;

		check_done(file, line, &w, a, memory);
		if (kind == ACCESS_WRITE && a->vector == ACCESS_DONE && memory != value)
			ktap_fail(file, line, "0x%lx was written 0x%x, and 0x%lx holds 0x%x", va,
				  value, w.pa, memory);
	}
	check_entries(file, line, &w, before);
	return a->vector == ACCESS_DONE;
}

void access_expect(const char *file, int line, uint64_t va, enum access_kind kind, bool user,
		   uint32_t vector, uint64_t error, uint32_t value)
{
	struct access a = { .va = va, .kind = kind, .user = user, .value = value };

	access_checks++;
	access_do(&a);
	access_last = a;
	if (a.vector != vector || access_error(a.error) != error || (vector == VEC_PF && a.cr2 != va))
		ktap_fail(file, line,
			  "%s%c at 0x%lx: vector %d error 0x%lx cr2 0x%lx, not vector %d error 0x%lx",
			  user ? "user " : "", "rwx"[kind], va, (int)a.vector, a.error, a.cr2,
			  (int)vector, error);
	else if (vector == ACCESS_DONE && a.value != value)
		ktap_fail(file, line, "%c at 0x%lx gave 0x%x, not 0x%x", "rwx"[kind], va, a.value,
			  value);
}

/* ---- address spaces --------------------------------------------------------------------- */

static void map_gib(uint64_t *pdpt, unsigned gib)
{
	uint64_t *pd = page_alloc();

	for (unsigned n = 0; n < 512; n++)
		pd[n] = gib * SIZE_1G + n * SIZE_2M + (PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D);
	pdpt[gib] = (uintptr_t)pd | PTE_P | PTE_W | PTE_U | PTE_A;
}

void space_init(struct space *s)
{
	uint64_t *pdpt = page_alloc(), *pt = page_alloc(), *pd;

	s->root = page_alloc();
	s->root[0] = (uintptr_t)pdpt | PTE_P | PTE_W | PTE_U | PTE_A;
	map_gib(pdpt, 0);
	pd = (uint64_t *)(pdpt[0] & PTE_ADDR);
	pd[ACCESS_USER_VA / SIZE_2M] = (uintptr_t)pt | PTE_P | PTE_W | PTE_U;
	pt[0] = (uintptr_t)access_user_page | PTE_P | PTE_W | PTE_U;
}

void space_map_4g(struct space *s)
{
	uint64_t *pdpt = (uint64_t *)(s->root[0] & PTE_ADDR);

	for (unsigned gib = 1; gib < 4; gib++)
		if (!pdpt[gib])
			map_gib(pdpt, gib);
}

void space_leave(void)
{
	write_cr3((uintptr_t)boot_pml4);
}
