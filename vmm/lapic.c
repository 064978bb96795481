/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers, priorities and destinations of the virtual local APIC; see lapic.h. */
#include "vmm/lapic.h"

#include "lib/string.h"
#include "lib/util.h"

#define VERSION 0x14u /* an integrated APIC */
#define FIRST_VECTOR 16 /* those below are the processor's own */
#define SVR_BITS 0x3ffu
#define DFR_MODEL 0xf0000000u /* 0xf: flat, 0x0: cluster */
#define ICR_BITS 0x000ccfffu /* without the delivery status, which is always idle */
#define ICR_ASSERT (1u << 14)
#define BROADCAST 0xffu

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR };

/* What of each LVT entry can be written: vector and mask, then mode, polarity, trigger. */
static const uint32_t lvt_bits[LAPIC_LVT_COUNT] = {
	[LVT_TIMER] = 0x300ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

/* ---- reset ---------------------------------------------------------------------- */

void lapic_reset(struct lapic *l)
{
	uint64_t base = l->base;
	uint8_t id = l->id;

	*l = (struct lapic){ .base = base, .id = id, .dfr = ~0u, .svr = 0xff };
	for (unsigned i = 0; i < LAPIC_LVT_COUNT; i++)
		l->lvt[i] = LAPIC_LVT_MASKED;
}

void lapic_init(struct lapic *l, uint8_t id, bool bsp)
{
	l->id = id;
	l->base = LAPIC_DEFAULT_BASE | LAPIC_BASE_ENABLE | (bsp ? LAPIC_BASE_BSP : 0);
	lapic_reset(l);
}

/* ---- interrupts and priorities --------------------------------------------------- */

static int highest(const struct lapic_vectors *v)
{
	if (!v->some)
		return -1;
	int word = 31 - __builtin_clz(v->some);

	return 32 * word + 31 - __builtin_clz(v->word[word]);
}

static void vectors_add(struct lapic_vectors *v, unsigned word, uint32_t bits)
{
	v->word[word] |= bits;
	v->some |= 1u << word;
}

static void bit_set(struct lapic_vectors *v, uint8_t vector)
{
	vectors_add(v, vector / 32, 1u << vector % 32);
}

static void bit_clear(struct lapic_vectors *v, uint8_t vector)
{
	v->word[vector / 32] &= ~(1u << vector % 32);
	if (!v->word[vector / 32])
		v->some &= ~(1u << vector / 32);
}

/* The priority class of the highest vector; 0 for none, as no interrupt has class 0. */
static unsigned highest_class(const struct lapic_vectors *v)
{
	int vector = highest(v);

	return vector < 0 ? 0 : (unsigned)vector >> 4;
}

static uint8_t ppr(const struct lapic *l)
{
	unsigned in_service = highest_class(&l->isr);

	return l->tpr >> 4 >= in_service ? l->tpr : (uint8_t)(in_service << 4);
}

/* SDM vol. 3A, 11.6.2.4 */
static uint8_t apr(const struct lapic *l)
{
	unsigned task = l->tpr >> 4, in_service = highest_class(&l->isr);
	unsigned requested = highest_class(&l->irr);

	if (task >= requested && task > in_service)
		return l->tpr;
	return (uint8_t)(MAX(task & in_service, requested) << 4);
}

/* ESR is armed again by a write to it: until then further errors only add their bits. */
static void error(struct lapic *l, uint32_t bit)
{
	bool armed = !l->errors;
	uint32_t lvt = l->lvt[LVT_ERROR];

	l->errors |= bit;
	/* An error interrupt without a valid vector would be the next error: it is dropped. */
	if (armed && !(lvt & LAPIC_LVT_MASKED) && (lvt & 0xff) >= FIRST_VECTOR)
		lapic_accept(l, (uint8_t)lvt);
}

void lapic_accept(struct lapic *l, uint8_t vector)
{
	if (!(l->svr & LAPIC_SVR_ENABLE))
		return;
	if (vector < FIRST_VECTOR)
		error(l, LAPIC_ERROR_RECEIVE_VECTOR);
	else
		bit_set(&l->irr, vector);
}

/* No sender gets below FIRST_VECTOR: lapic_get_ipi(). */
void lapic_accept_word(struct lapic *l, unsigned word, uint32_t vectors)
{
	if (vectors && (l->svr & LAPIC_SVR_ENABLE))
		vectors_add(&l->irr, word, vectors);
}

int lapic_pending(const struct lapic *l)
{
	int vector = highest(&l->irr);

	if (vector < 0 || !lapic_is_enabled(l) || vector >> 4 <= ppr(l) >> 4)
		return -1;
	return vector;
}

bool lapic_held_by_tpr(const struct lapic *l)
{
	unsigned requested = highest_class(&l->irr);

	return lapic_is_enabled(l) && requested > highest_class(&l->isr) &&
	       requested <= l->tpr >> 4;
}

void lapic_acknowledge(struct lapic *l, uint8_t vector)
{
	bit_clear(&l->irr, vector);
	bit_set(&l->isr, vector);
}

void lapic_put_back(struct lapic *l, uint8_t vector)
{
	bit_clear(&l->isr, vector);
	bit_set(&l->irr, vector);
}

static void eoi(struct lapic *l)
{
	int vector = highest(&l->isr);

	if (vector >= 0)
		bit_clear(&l->isr, (uint8_t)vector);
}

/* ---- registers ------------------------------------------------------------------- */

static bool is_lvt(unsigned offset)
{
	return offset >= LAPIC_LVT_TIMER && offset <= LAPIC_LVT_ERROR;
}

static unsigned lvt_index(unsigned offset)
{
	return (offset - LAPIC_LVT_TIMER) / 16;
}

/* The registers that are more than a stored value. */
static bool read_special(struct lapic *l, unsigned offset, uint64_t now, uint32_t *value)
{
	switch (offset) {
	case LAPIC_ID:
		*value = (uint32_t)l->id << 24;
		return true;
	case LAPIC_VERSION:
		*value = VERSION | (LAPIC_LVT_COUNT - 1) << 16;
		return true;
	case LAPIC_APR:
		*value = apr(l);
		return true;
	case LAPIC_PPR:
		*value = ppr(l);
		return true;
	case LAPIC_TIMER_CURRENT:
		*value = lapic_timer_current(l, now);
		return true;
	case LAPIC_EOI: /* write-only */
	case LAPIC_RRD: /* remote read: of the Pentium's APIC bus */
		*value = 0;
		return true;
	default:
		return false;
	}
}

static bool read_stored(const struct lapic *l, unsigned offset, uint32_t *value)
{
	switch (offset) {
	case LAPIC_TPR:
		*value = l->tpr;
		return true;
	case LAPIC_LDR:
		*value = l->ldr;
		return true;
	case LAPIC_DFR:
		*value = l->dfr;
		return true;
	case LAPIC_SVR:
		*value = l->svr;
		return true;
	case LAPIC_ESR:
		*value = l->esr;
		return true;
	case LAPIC_ICR_LOW:
		*value = l->icr_low;
		return true;
	case LAPIC_ICR_HIGH:
		*value = l->icr_high;
		return true;
	case LAPIC_TIMER_INITIAL:
		*value = l->timer.initial;
		return true;
	case LAPIC_TIMER_DIVIDE:
		*value = l->timer.divide;
		return true;
	default:
		return false;
	}
}

static bool read_array(const struct lapic *l, unsigned offset, uint32_t *value)
{
	if (is_lvt(offset))
		*value = l->lvt[lvt_index(offset)];
	else if (offset >= LAPIC_ISR && offset < LAPIC_TMR)
		*value = l->isr.word[(offset - LAPIC_ISR) / 16];
	else if (offset >= LAPIC_TMR && offset < LAPIC_IRR)
		*value = 0; /* nothing is level-triggered */
	else if (offset >= LAPIC_IRR && offset < LAPIC_ESR)
		*value = l->irr.word[(offset - LAPIC_IRR) / 16];
	else
		return false;
	return true;
}

uint32_t lapic_read(struct lapic *l, unsigned offset, uint64_t now)
{
	uint32_t value = 0;

	lapic_timer_update(l, now);
	if (!read_special(l, offset, now, &value) && !read_stored(l, offset, &value) &&
	    !read_array(l, offset, &value))
		error(l, LAPIC_ERROR_REGISTER);
	return value;
}

/* Software-disabled, every LVT entry is masked and stays so (SDM vol. 3A, 11.4.7.2). */
static void write_svr(struct lapic *l, uint32_t value)
{
	l->svr = value & SVR_BITS;
	if (l->svr & LAPIC_SVR_ENABLE)
		return;
	for (unsigned i = 0; i < LAPIC_LVT_COUNT; i++)
		l->lvt[i] |= LAPIC_LVT_MASKED;
}

static void write_lvt(struct lapic *l, unsigned i, uint32_t value)
{
	l->lvt[i] = value & lvt_bits[i];
	if (!(l->svr & LAPIC_SVR_ENABLE))
		l->lvt[i] |= LAPIC_LVT_MASKED;
}

static bool is_read_only(unsigned offset)
{
	switch (offset) {
	case LAPIC_ID:
	case LAPIC_VERSION:
	case LAPIC_APR:
	case LAPIC_PPR:
	case LAPIC_RRD:
	case LAPIC_TIMER_CURRENT:
		return true;
	default:
		return offset >= LAPIC_ISR && offset < LAPIC_ESR;
	}
}

bool lapic_write(struct lapic *l, unsigned offset, uint32_t value, uint64_t now)
{
	lapic_timer_update(l, now);
	switch (offset) {
	case LAPIC_TPR:
		l->tpr = (uint8_t)value;
		break;
	case LAPIC_EOI:
		eoi(l);
		break;
	case LAPIC_LDR:
		l->ldr = value & 0xff000000;
		break;
	case LAPIC_DFR:
		l->dfr = value | ~DFR_MODEL;
		break;
	case LAPIC_SVR:
		write_svr(l, value);
		break;
	case LAPIC_ESR:
		l->esr = l->errors;
		l->errors = 0;
		break;
	case LAPIC_ICR_LOW:
		l->icr_low = value & ICR_BITS;
		return true;
	case LAPIC_ICR_HIGH:
		l->icr_high = value & 0xff000000;
		break;
	case LAPIC_TIMER_INITIAL:
		lapic_timer_start(l, value, now);
		break;
	case LAPIC_TIMER_DIVIDE:
		lapic_timer_set_divide(l, value, now);
		break;
	default:
		if (is_lvt(offset))
			write_lvt(l, lvt_index(offset), value);
		else if (!is_read_only(offset))
			error(l, LAPIC_ERROR_REGISTER);
	}
	return false;
}

/* ---- interprocessor interrupts ----------------------------------------------------- */

bool lapic_get_ipi(struct lapic *l, struct lapic_ipi *ipi)
{
	uint32_t low = l->icr_low;

	*ipi = (struct lapic_ipi){
		.delivery = low >> 8 & 7,
		.vector = (uint8_t)low,
		.shorthand = low >> 18 & 3,
		.logical = low & 1u << 11,
		.dest = (uint8_t)(l->icr_high >> 24),
	};
	/* Neither an INIT de-assert nor what the sender would start itself with (table 11-3). */
	if (ipi->delivery == LAPIC_INIT && !(low & ICR_ASSERT))
		return false;
	if (ipi->delivery >= LAPIC_INIT && (ipi->shorthand == 1 || ipi->shorthand == 2))
		return false;
	if (ipi->delivery > LAPIC_LOWEST || ipi->vector >= FIRST_VECTOR)
		return true;
	error(l, LAPIC_ERROR_SEND_VECTOR);
	return false;
}

/* ---- destinations ---------------------------------------------------------------------- */

/* id, logical id, and these. */
#define ADDRESS_FLAT    (1u << 16)
#define ADDRESS_ENABLED (1u << 17)
#define ADDRESS_ACCEPTS (1u << 18)

uint32_t lapic_address(const struct lapic *l)
{
	uint32_t address = l->id | l->ldr >> 24 << 8;

	if (l->dfr >> 28 == 0xf)
		address |= ADDRESS_FLAT;
	if (lapic_is_enabled(l))
		address |= ADDRESS_ENABLED;
	if (l->svr & LAPIC_SVR_ENABLE)
		address |= ADDRESS_ACCEPTS;
	return address;
}

bool lapic_address_accepts(uint32_t address)
{
	return address & ADDRESS_ACCEPTS;
}

/* SDM vol. 3A, 11.6.2.2 */
static bool is_logical_match(uint32_t address, uint8_t dest)
{
	uint8_t logical_id = (uint8_t)(address >> 8);

	if (dest == BROADCAST)
		return true;
	if (address & ADDRESS_FLAT)
		return dest & logical_id;
	return dest >> 4 == logical_id >> 4 && (dest & logical_id & 0xf);
}

bool lapic_is_addressed(uint32_t address, const struct lapic_ipi *ipi, bool self)
{
	if (!(address & ADDRESS_ENABLED))
		return false;
	switch (ipi->shorthand) {
	case 1:
		return self;
	case 2:
		return true;
	case 3:
		return !self;
	}
	if (ipi->logical)
		return is_logical_match(address, ipi->dest);
	return ipi->dest == (uint8_t)address || ipi->dest == BROADCAST;
}
