/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* COM1 becomes a sink of the log, if there is a UART; 115200 8n1. */
void serial_init(void);
/* A byte that was received, or -1. */
int serial_getchar(void);
/* Wait, not for ever, until the last byte has left the UART. */
void serial_drain(void);
