# SPDX-License-Identifier: GPL-2.0-only
"""What `make bench` compares with: the bars that ours have to reach, and KVM's figures for those who did not measure
them here.

KVM: Linux 6.1.192 (Debian, kvm-amd) as the hypervisor under the same emulator, QEMU 7.2 TCG with -cpu EPYC and -icount
shift=0, mitigations off, with the same kernels in its VM: `make bench-kvm`.  docs/performance.md has the details.
"""

from dataclasses import dataclass
from typing import Optional

from .bench_jobs import SCALE


@dataclass(frozen=True)
class Row:
    """One row of the table, in the unit of the figure."""

    what: str
    bar: Optional[float] = None
    shadow_bar: Optional[float] = None  # where the two modes differ

    def bar_in(self, mode: str) -> Optional[float]:
        return self.shadow_bar if mode == "shadow" and self.shadow_bar else self.bar


ROWS = {
    "exit.pio": Row("port access handled in the hypervisor", 450),
    "exit.cpuid": Row("CPUID round trip", 450),
    "exit.hypercall": Row("unknown hypercall round trip", 450),
    "exit.ipi_hlt": Row("self-IPI, HLT, wake, EOI", 3000),
    "fault.4k": Row("first write, page backed, random order, median", 900),
    "fault.4k.seq": Row("the same in order, mean per page", 450),
    "fault.4k.refault": Row("tables in place, no fault-around, median", 800),
    "fault.4k.alloc": Row("page to be allocated and zeroed, mean", 2000),
    "fault.2m": Row("first write, 2M", 1000),
    "fault.dirty": Row("write after write-protect", 500),
    "zap.unmap.page": Row("unmap 1 GiB, per 4K page", 90, 110),
    "zap.unmap.host": Row("the same with nothing mapped"),
    "zap.slot.page": Row("delete a 1 GiB slot, per 4K page, pages freed", 60),
    "zap.slotmove.page": Row("move a 1 GiB slot, per 4K page"),
    "zap.protect.page": Row("protect 1 GiB read-only, per 4K page"),
    "zap.protect.host": Row("the same with nothing mapped"),
    "dirty.enable.page": Row("write-protect for the log, per 4K page", 60),
    "dirty.get.page": Row("get and clear, per dirty 4K page", 80),
    "age.page": Row("age, per young 4K page", 60),
    "shadow.demand": Row("guest demand fault with its handler", 3000),
    "shadow.invlpg": Row("INVLPG of a clean page", 800),
    "shadow.cr3": Row("CR3 reload, nothing dirty", 700),
    "shadow.switch": Row("CR3 load of the other address space"),
    "shadow.resync": Row("CR3 load with one changed entry in a full table", 5000),
    "shadow.cow": Row("copy-on-write fault with its handler", 4000),
    "shadow.pte_write": Row("first write to a table that is in sync", 1500),
    "shadow.touch_changed": Row("first touch through the entry that changed"),
    "stall.nothing": Row("the longest wait of a fault beside a busy loop"),
    "stall.unmap.tdp": Row("the longest while 1 GiB is unmapped elsewhere", 100e3),
    "stall.unmap.shadow": Row("the same", 100e3),
    "stall.balloon": Row("while the pages of 1 GiB are given back", 100e3),
    "stall.protect": Row("while 1 GiB is protected elsewhere", 100e3),
    "stall.getlog": Row("while the dirty log of 1 GiB is read", 100e3),
    "stall.slot": Row("while a slot of 1 GiB is deleted", 100e3),
    "stall.inrange": Row("inside the range that is unmapped", 300e3),
    "stall.nothing.ms": Row("the same waits in milliseconds, two CPUs"),
    "stall.unmap.tdp.ms": Row(""),
    "stall.unmap.shadow.ms": Row(""),
    "stall.balloon.ms": Row(""),
    "stall.protect.ms": Row(""),
    "stall.getlog.ms": Row(""),
    "stall.slot.ms": Row(""),
    "stall.inrange.ms": Row(""),
    "mem.tdp": Row("KiB of tables per GiB mapped by 4K", 2253),
    "mem.shadow": Row("KiB of tables and reverse maps, the same", 4608),
    "vm.destroy": Row("destroy a VM with 1 GiB mapped by 4K", 30e6),
    "boot.guest": Row("emulator start to the guest's first line", 0.4),
    "scale.fault.1": Row("instructions per fault, one vCPU"),
    "scale.fault.2": Row("2 vCPUs that fault on memory of their own: times that"),
    "scale.fault.4": Row("4 vCPUs"),
    "scale.fault.8": Row("8 vCPUs", 1.3),
    **{f"scale.lost.{n}": Row(f"entries another changed first, of a million faults, {n} threads") for n in SCALE},
    **{f"scale.waits.{n}": Row("waits for a lock, the same") for n in SCALE},
}

# By name and mode: one run of `make bench-kvm`; but age.page, of a kernel with page_idle, and boot.guest, on an idle
# machine.
KVM_REFERENCE: dict[tuple[str, str], float] = {
    ("exit.pio", "tdp"): 1390,
    ("exit.cpuid", "tdp"): 2707,
    ("exit.hypercall", "tdp"): 2947,
    ("exit.ipi_hlt", "tdp"): 11993,
    ("fault.4k", "tdp"): 2682,
    ("fault.4k.seq", "tdp"): 2683,
    ("fault.4k.refault", "tdp"): 2682,
    ("fault.4k.alloc", "tdp"): 6485,
    ("fault.2m", "tdp"): 2590,
    ("fault.dirty", "tdp"): 1472,
    ("zap.unmap.page", "tdp"): 323,
    ("zap.unmap.page", "shadow"): 274,
    ("zap.slot.page", "tdp"): 253,
    ("zap.slot.page", "shadow"): 352,
    ("zap.slotmove.page", "tdp"): 253,
    ("zap.slotmove.page", "shadow"): 355,
    ("zap.protect.page", "tdp"): 323,
    ("zap.protect.page", "shadow"): 274,
    ("dirty.enable.page", "tdp"): 221,
    ("dirty.enable.page", "shadow"): 173,
    ("dirty.get.page", "tdp"): 293,
    ("dirty.get.page", "shadow"): 153,
    ("age.page", "tdp"): 321,
    ("age.page", "shadow"): 30,
    ("shadow.demand", "shadow"): 7461,
    ("shadow.invlpg", "shadow"): 3820,
    ("shadow.cr3", "shadow"): 3269,
    ("shadow.switch", "shadow"): 3379,
    ("shadow.resync", "shadow"): 265_322,
    ("shadow.cow", "shadow"): 10586,
    ("shadow.pte_write", "shadow"): 4441,
    ("shadow.touch_changed", "shadow"): 4487,
    ("stall.nothing", "tdp"): 23004,
    ("stall.nothing", "shadow"): 35606,
    ("stall.unmap.tdp", "tdp"): 120_997,
    ("stall.unmap.shadow", "shadow"): 71_537_632,
    ("stall.balloon", "tdp"): 918_718,
    ("stall.balloon", "shadow"): 72_749_496,
    ("stall.protect", "tdp"): 69436,
    ("stall.protect", "shadow"): 72_819_973,
    ("stall.getlog", "tdp"): 75_897_065,
    ("stall.getlog", "shadow"): 39_120_749,
    ("stall.slot", "tdp"): 63_801_303,
    ("stall.slot", "shadow"): 829_190,
    ("mem.tdp", "tdp"): 2124,
    ("mem.shadow", "shadow"): 6680,
    ("vm.destroy", "tdp"): 111_960_341,
    ("vm.destroy", "shadow"): 119_694_155,
    ("boot.guest", "tdp"): 3.2,
}
