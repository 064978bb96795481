/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Mask both 8259s for good, and move their spurious interrupts out of the exceptions' way. */
void pic_disable(void);
