/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The third way to make a hypercall, besides VMCALL and VMMCALL: an IN from this port, with the number in
 * eax and the arguments where they always are; the result is in eax.  A hypervisor that answers VMMCALL by
 * itself, as KVM does, hands an IN on to its user space: tools/linux-kvm/ listens there.
 */
#pragma once

#define HYPERCALL_PORT 0x48
