/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Error numbers, with Linux's values: functions return 0 or one of these
 * negated, hypercalls hand them to guests.  The guards let a hosted build
 * include <errno.h> beside this file.
 */
#pragma once

#ifndef EPERM
#define EPERM 1
#define ENOENT 2
#define EIO 5
#define E2BIG 7
#define ENOEXEC 8
#define EAGAIN 11
#define ENOMEM 12
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
#define ENOSYS 38
#define EOVERFLOW 75
#define EOPNOTSUPP 95
#define ETIMEDOUT 110
#endif
