/* SPDX-License-Identifier: GPL-2.0-only */
/* The crash report; panic() itself is in host/machine.h. */
#pragma once

struct trap_frame;

_Noreturn void panic_exception(const struct trap_frame *frame);
/* For the NMI handler: does not return while a panic on another CPU wants us out of the way. */
void panic_stop_if_asked(void);
