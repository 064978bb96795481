/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#define FONT_FIRST 0x20
#define FONT_LAST 0x7e
#define FONT_WIDTH 5
#define FONT_HEIGHT 7

/* One byte per row, the top row in bits 55:48; in it the leftmost pixel is bit 4. */
extern const uint64_t font_glyphs[FONT_LAST - FONT_FIRST + 1];
