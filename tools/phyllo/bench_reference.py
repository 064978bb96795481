# SPDX-License-Identifier: GPL-2.0-only
"""What `make bench` compares with: KVM's figures, and the bars that ours have to reach.

KVM: Linux 6.1.192 (Debian, kvm-amd) as the hypervisor under the same emulator, QEMU 7.2 TCG with -cpu EPYC and -icount
shift=0, mitigations off, measured with a payload of the same operations.  docs/performance.md has the details.
"""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Reference:
    """One row of the table, in the unit of the figure."""

    what: str
    kvm: Optional[float]
    bar: Optional[float]


REFERENCE = {
    "exit.pio": Reference("port access handled in the hypervisor", 1418, 450),
    "exit.cpuid": Reference("CPUID round trip", 2711, 450),
    "exit.hypercall": Reference("unknown hypercall round trip", 2941, 450),
    "exit.ipi_hlt": Reference("self-IPI, HLT, wake, EOI", 12077, 3000),
    "fault.4k": Reference("first write, page backed, random order, median", 2796, 900),
    "fault.4k.seq": Reference("the same in order, mean per page", 3382, 450),
    "fault.4k.refault": Reference("tables in place, no fault-around, median", 2683, 800),
    "fault.4k.alloc": Reference("page to be allocated and zeroed, mean", 6525, 2000),
    "fault.2m": Reference("first write, 2M", 3466, 1000),
    "fault.dirty": Reference("write after write-protect", 1473, 500),
    "zap.unmap.page": Reference("unmap 1 GiB, per 4K page", 376, 90),
    "zap.slot.page": Reference("delete a 1 GiB slot, per 4K page, pages freed", 248, 60),
    "zap.slotmove.page": Reference("move a 1 GiB slot, per 4K page", 253, None),
    "zap.protect.page": Reference("protect 1 GiB read-only, per 4K page", None, None),
    "dirty.enable.page": Reference("write-protect for the log, per 4K page", 222, 60),
    "dirty.get.page": Reference("get and clear, per dirty 4K page", 294, 80),
    "age.page": Reference("age, per young 4K page", 321, 60),
    "stall.nothing": Reference("the longest wait of a fault beside a busy loop", None, None),
    "stall.unmap.tdp": Reference("the longest while 1 GiB is unmapped elsewhere", 0.9e6, 100e3),
    "stall.protect": Reference("while 1 GiB is protected elsewhere", 0.1e6, 100e3),
    "stall.getlog": Reference("while the dirty log of 1 GiB is read", 77e6, 100e3),
    "stall.slot": Reference("while a slot of 1 GiB is deleted", 64e6, 100e3),
    "stall.inrange": Reference("inside the range that is unmapped", None, 300e3),
    "mem.tdp": Reference("tables per GiB mapped by 4K", 2150, 2253),
    "vm.destroy": Reference("destroy a VM with 1 GiB mapped by 4K", 96e6, 30e6),
    "boot.guest": Reference("emulator start to the guest's first line", 3.2, 0.4),
}
