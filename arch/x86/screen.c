/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log on the screen: a grid of characters on a framebuffer or on EGA text.  A copy
 * of the grid is kept, because reading video memory back is slow; scrolling draws only the
 * cells that change.  Everything below screen_write() runs under the log's lock.
 */
#include <stddef.h>

#include "arch/x86/font.h"
#include "arch/x86/layout.h"
#include "arch/x86/machine_init.h"
#include "boot/boot_info.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/object.h"
#include "lib/string.h"

#define CELL_WIDTH (FONT_WIDTH + 1)
#define CELL_HEIGHT (FONT_HEIGHT + 3)
#define LARGE_SCREEN 1600u /* from this width on, every dot is 2 x 2 pixels */
#define SIDE_MAX 16384u    /* nobody has more; a wild value must not overflow */
#define TAB 8
#define EGA_GREY 0x07

static struct boot_framebuffer fb;
static volatile uint8_t *video;
static unsigned scale, columns, rows;
static char *grid; /* columns x rows, as shown */
static unsigned column, row;

/* ---- drawing ---------------------------------------------------------------------- */

/* All bits set are white in every colour format; all clear are black. */
static void draw_pixel(volatile uint8_t *p, uint32_t colour)
{
	switch (fb.bpp) {
	case 32:
		*(volatile uint32_t *)p = colour;
		break;
	case 24:
		p[0] = p[1] = p[2] = (uint8_t)colour;
		break;
	default:
		*(volatile uint16_t *)p = (uint16_t)colour;
		break;
	}
}

/* One line of pixels of a cell; the five dots are bits 4 to 0. */
static void draw_dots(volatile uint8_t *p, uint8_t dots)
{
	unsigned bytes = (fb.bpp + 7) / 8;

	for (unsigned x = 0; x < CELL_WIDTH * scale; x++, p += bytes)
		draw_pixel(p, (unsigned)dots << 1 >> (CELL_WIDTH - 1 - x / scale) & 1 ? ~0u : 0);
}

static void draw_glyph(unsigned c, unsigned r, char ch)
{
	uint64_t glyph = font_glyphs[ch - FONT_FIRST];
	volatile uint8_t *line = video + (size_t)r * CELL_HEIGHT * scale * fb.pitch +
				 (size_t)c * CELL_WIDTH * scale * ((fb.bpp + 7) / 8);

	for (unsigned y = 0; y < CELL_HEIGHT * scale; y++, line += fb.pitch) {
		unsigned dot_row = y / scale;

		draw_dots(line, dot_row < FONT_HEIGHT ?
					(uint8_t)(glyph >> 8 * (FONT_HEIGHT - 1 - dot_row)) : 0);
	}
}

static void cell_set(unsigned c, unsigned r, char ch)
{
	char *cell = &grid[r * columns + c];

	if (*cell == ch)
		return;
	*cell = ch;
	if (fb.text)
		*(volatile uint16_t *)(video + r * fb.pitch + c * 2) =
			(uint16_t)(EGA_GREY << 8 | (uint8_t)ch);
	else
		draw_glyph(c, r, ch);
}

static void scroll(void)
{
	for (unsigned r = 0; r < rows; r++)
		for (unsigned c = 0; c < columns; c++)
			cell_set(c, r, r + 1 < rows ? grid[(r + 1) * columns + c] : ' ');
}

/* ---- text --------------------------------------------------------------------------- */

static void new_line(void)
{
	column = 0;
	if (row + 1 < rows)
		row++;
	else
		scroll();
}

static void put(char ch)
{
	if (column == columns)
		new_line();
	cell_set(column++, row, ch);
}

static void screen_putc(char ch)
{
	switch (ch) {
	case '\n':
		new_line();
		break;
	case '\r':
		column = 0;
		break;
	case '\b':
		column -= column > 0;
		break;
	case '\t':
		do
			put(' ');
		while (column % TAB && column < columns);
		break;
	default:
		if (ch >= FONT_FIRST && ch <= FONT_LAST)
			put(ch);
		else if (((uint8_t)ch & 0xc0) != 0x80) /* one sign per character of UTF-8 */
			put('?');
		break;
	}
}

static void screen_write(const char *s, size_t n)
{
	for (; n; n--)
		screen_putc(*s++);
}

/* ---- setting it up --------------------------------------------------------------------- */

static bool fb_is_sane(const struct boot_framebuffer *f)
{
	if (f->width > SIDE_MAX || f->height > SIDE_MAX || f->pitch > SIDE_MAX * 4)
		return false;
	if (f->text)
		return f->width && f->height && f->pitch >= f->width * 2;
	return (f->bpp == 15 || f->bpp == 16 || f->bpp == 24 || f->bpp == 32) &&
	       f->pitch >= f->width * ((f->bpp + 7u) / 8) && f->width >= CELL_WIDTH * 2 &&
	       f->height >= CELL_HEIGHT * 2;
}

static bool screen_map(void)
{
	uint64_t size = (uint64_t)fb.pitch * fb.height;

	scale = fb.width >= LARGE_SCREEN ? 2 : 1;
	columns = fb.text ? fb.width : fb.width / (CELL_WIDTH * scale);
	rows = fb.text ? fb.height : fb.height / (CELL_HEIGHT * scale);
	grid = object_alloc((size_t)columns * rows);
	if (!grid)
		return false;
	video = fb.text ? machine_map_device(fb.base, size) : layout_map_framebuffer(fb.base, size);
	if (video)
		return true;
	object_free(grid, (size_t)columns * rows);
	return false;
}

void machine_init_screen(const struct boot_info *bi)
{
	static struct log_sink sink = { .write = screen_write };

	if (!bi->fb.present) {
		log_debug("screen: the firmware gave none");
		return;
	}
	fb = bi->fb;
	if (!fb_is_sane(&fb)) {
		log_warn("screen: %ux%u with %u bits and lines of %u bytes is not one we can draw on",
			 fb.width, fb.height, fb.bpp, fb.pitch);
		return;
	}
	if (!screen_map()) {
		log_warn("screen: no memory to map it");
		return;
	}
	/* The grid holds zeroes: every cell differs from a blank, so all of it is cleared. */
	for (unsigned r = 0; r < rows; r++)
		scroll();
	log_info("screen: %ux%u characters%s", columns, rows, fb.text ? ", EGA text" : "");
	log_add_sink(&sink);
}
