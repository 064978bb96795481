/* SPDX-License-Identifier: GPL-2.0-only */
/* The prompt on COM1 (end=prompt): a thread that listens from the first guest on. */
#pragma once

#include "host/thread.h"

/*
 * The thread ends when the user says quit, which ends all guests, too.  NULL: no memory for
 * it, said in the log.
 */
struct thread *monitor_start(void);
