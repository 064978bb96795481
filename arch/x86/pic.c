/* SPDX-License-Identifier: GPL-2.0-only */
/* See pic.h.  Harmless where there are none: nothing answers at these ports. */
#include "arch/x86/pic.h"

#include "arch/x86/cpu.h"
#include "arch/x86/idt.h"

#define PIC1 0x20
#define PIC2 0xa0

void pic_disable(void)
{
	outb(PIC1, 0x11); /* ICW1: edge, cascade, ICW4 follows */
	outb(PIC2, 0x11);
	outb(PIC1 + 1, VECTOR_PIC_FIRST);
	outb(PIC2 + 1, VECTOR_PIC_FIRST + 8);
	outb(PIC1 + 1, 1 << 2); /* the second one is at line 2 */
	outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1); /* ICW4: 8086 mode */
	outb(PIC2 + 1, 1);
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}
