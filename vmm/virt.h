/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtualisation extension in use: chosen once at boot, read-only afterwards. */
#pragma once

#include "vmm/virt_ops.h"

extern const struct virt_ops *virt;
extern struct virt_caps virt_caps;

/*
 * Choose a backend (vendor: "auto", "svm" or "vmx") and switch it on on every CPU.  0, or
 * -ENODEV after a log line for every backend that said no.
 */
int virt_init(const char *vendor);
