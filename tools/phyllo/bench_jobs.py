# SPDX-License-Identifier: GPL-2.0-only
"""What `make bench` and `make bench-kvm` measure: which kernel under which options, and the lines that it prints."""

import re
from dataclasses import dataclass, replace
from typing import Iterable

# What of it is run: ("tdp", "shadow") where the hypervisor has both.
MODES = ("tdp", "shadow")
SCALE = (1, 2, 4, 8)

PHYLLO, KVM, HOSTED = "qemu-svm", "qemu-linux-kvm", "hosted"

# "bench: fault.4k instructions value=812 min=800 max=2000 mean=815 n=4096"
LINE = re.compile(r"^bench: (\S+) (\S+) value=(\d+) min=(\d+) max=(\d+) mean=(\d+) n=(\d+)$")


@dataclass(frozen=True)
class Figure:
    """One measured row."""

    name: str
    unit: str
    value: float
    min: float
    max: float
    n: int
    mean: float
    platform: str = PHYLLO
    mode: str = "tdp"


@dataclass(frozen=True)
class Job:
    """One boot, under -icount unless it is about milliseconds."""

    kernel: str
    only: str = ""
    cmdline: str = ""  # of the hypervisor
    vm: str = ""  # options of the VM
    words: str = ""  # of the kernel
    mem: int = 1024
    smp: int = 1
    mode: str = "tdp"
    icount: bool = True
    modes: tuple[str, ...] = ("tdp",)  # those in which it says something
    beside_kvm: bool = True

    @property
    def title(self) -> str:
        return f"{self.kernel} {self.only or self.words}".strip() + f", {self.mode}"

    @property
    def slug(self) -> str:
        """The same as a name for files, and for ONLY=."""
        return re.sub(r"[^A-Za-z0-9_]+", "-", f"{self.title} {self.smp}")


BOTH = ("tdp", "shadow")
SMALL = "max_page=4k"
ALL_JOBS = (
    Job("bench_exit"),
    Job("bench_fault", only="test_random", cmdline=SMALL),
    Job("bench_fault", only="test_seq", cmdline=SMALL),
    Job("bench_fault", only="test_refault", cmdline=f"{SMALL} fault_around=1"),
    Job("bench_fault", only="test_alloc", cmdline=SMALL),
    Job("bench_fault", only="test_2m", words="mib=768"),
    Job("bench_fault", only="test_dirty", cmdline=SMALL),
    Job("bench_range", cmdline=f"{SMALL} log=debug", mem=3072, modes=BOTH),
    Job("bench_stall", cmdline=SMALL, vm="vcpus=2", mem=3072, modes=BOTH),
    Job("bench_shadow", cmdline=SMALL, modes=("shadow",)),
    Job("bench_stall", cmdline=SMALL, vm="vcpus=2", words="how=spin", mem=3072, smp=2, icount=False, modes=BOTH),
    *(
        Job("bench_scale", cmdline=f"{SMALL} fault_around=1", vm=f"vcpus={n}", smp=n, beside_kvm=False)
        for n in SCALE
    ),
)


def jobs_of(modes: Iterable[str]) -> list[Job]:
    return [replace(job, mode=mode) for mode in modes for job in ALL_JOBS if mode in job.modes]


def parse_figure(line: str, job: Job, platform: str) -> list[Figure]:
    """The figure of a line, if there is one.  Microseconds, which are whole numbers there, become .ms rows."""
    match = LINE.match(line)
    if not match:
        return []
    name, unit = match[1], match[2]
    value, low, high, mean, n = (int(word) for word in match.groups()[2:])
    if unit == "microseconds":
        return [Figure(f"{name}.ms", "ms", value / 1e3, low / 1e3, high / 1e3, n, mean / 1e3, platform, job.mode)]
    return [Figure(name, unit, value, low, high, n, mean, platform, job.mode)]


def single(name: str, unit: str, value: float, platform: str, mode: str = "tdp") -> Figure:
    return Figure(name, unit, value, value, value, 1, value, platform, mode)


def wall_clock(name: str, seconds: list[float], platform: str) -> Figure:
    took = sorted(seconds)
    mean = sum(took) / len(took)
    return Figure(name, "seconds", took[len(took) // 2], took[0], took[-1], len(took), mean, platform)
