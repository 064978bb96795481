/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What compilers call for __builtin functions that this processor has no guaranteed instruction
 * for.  A hosted build has them from its compiler's library.
 */
#include <stdint.h>

#ifndef PHYLLO_HOSTED

int __popcountdi2(int64_t value);

int __popcountdi2(int64_t value)
{
	uint64_t v = (uint64_t)value;

	v -= v >> 1 & 0x5555555555555555ul;
	v = (v & 0x3333333333333333ul) + (v >> 2 & 0x3333333333333333ul);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0ful;
	return (int)(v * 0x0101010101010101ul >> 56);
}

#endif
