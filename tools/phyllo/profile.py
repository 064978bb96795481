# SPDX-License-Identifier: GPL-2.0-only
"""`make profile OP=fault.4k`: where the instructions of one operation go, by function.

With MMU=shadow operations on ranges are those without nested paging.

QEMU runs the bench kernel with a plugin (tools/profile/insns.c) that counts what executes between the two RDTSCs of
each sample.
"""

import bisect
import os
from dataclasses import dataclass, replace
from pathlib import Path

from .bench import bench_build, bench_spec
from .bench_jobs import ALL_JOBS, Job
from .config import UserError, build_dir
from .platforms import EXIT_OK, make_machine
from .processes import run

LIMIT = 900
GUEST_END = 1 << 32
ROWS = 50

# Each row of the table that is made of samples, and the test that takes them.
TESTS = {
    "exit.pio": "test_pio",
    "exit.cpuid": "test_cpuid",
    "exit.hypercall": "test_hypercall",
    "exit.ipi_hlt": "test_ipi_hlt",
    "fault.4k": "test_random",
    "fault.4k.seq": "test_seq",
    "fault.4k.refault": "test_refault",
    "fault.4k.alloc": "test_alloc",
    "fault.2m": "test_2m",
    "fault.dirty": "test_dirty",
    "zap.unmap.page": "test_unmap",
    "zap.protect.page": "test_protect",
    "dirty.page": "test_dirty",
    "age.page": "test_age",
    "zap.slot.page": "test_slot",
    "shadow.demand": "test_demand",
    "shadow.invlpg": "test_invlpg",
    "shadow.cr3": "test_cr3",
    "shadow.switch": "test_switch",
    "shadow.cow": "test_cow",
}


# By the first word of a row; the others are operations on ranges.
KERNELS = {"exit": "bench_exit", "fault": "bench_fault", "shadow": "bench_shadow"}


@dataclass(frozen=True)
class Profile:
    """What the plugin counted."""

    operations: int
    by_address: dict[int, int]


def job_of(op: str, mmu: str) -> Job:
    """The boot of `make bench` that measures it, cut down to its test; mmu: which, where there are two."""
    test = TESTS.get(op)
    if not test:
        raise UserError(f"OP={op} is not known; allowed are: {', '.join(TESTS)}")
    family = op.split(".")[0]
    kernel = KERNELS.get(family, "bench_range")
    job = next(job for job in ALL_JOBS if job.kernel == kernel and job.only in ("", test))
    words = "mib=128" if kernel == "bench_range" else job.words
    mode = "shadow" if family == "shadow" or (mmu == "shadow" and "shadow" in job.modes) else "tdp"
    return replace(job, only=test, words=words, mode=mode)


def symbols() -> list[tuple[int, str]]:
    code, text = run(["nm", "-n", str(bench_build() / "phyllo.elf")], 60)
    if code:
        raise UserError("nm cannot read the hypervisor")
    rows = [line.split() for line in text.splitlines()]
    return [(int(row[0], 16), row[2].split(".lto_priv.")[0]) for row in rows if len(row) == 3 and row[1] in "tT"]


def measure(job: Job, plugin: Path) -> Profile:
    work = build_dir() / "tests" / "profile"
    out = work / "insns.txt"
    machine = make_machine(bench_spec(job), work)
    out.unlink(missing_ok=True)
    code, text = run([*machine.argv, "-plugin", f"{plugin},out={out}"], LIMIT, work)
    if code != EXIT_OK or not out.is_file():
        raise UserError("the run failed:\n" + "\n".join(text.splitlines()[-12:]))
    head, *lines = out.read_text().splitlines()
    pairs = (line.split() for line in lines)
    return Profile(int(head.split()[1]), {int(address, 16): int(count) for address, count in pairs})


def by_function(profile: Profile, table: list[tuple[int, str]]) -> dict[str, int]:
    starts = [start for start, _ in table]
    sums: dict[str, int] = {}
    for address, count in profile.by_address.items():
        at = bisect.bisect_right(starts, address) - 1
        name = "(the guest)" if address < GUEST_END else table[at][1]
        sums[name] = sums.get(name, 0) + count
    return sums


def show(sums: dict[str, int], operations: int) -> None:
    total = sum(sums.values())
    print(f"{operations} operations of {total / operations:.1f} instructions")
    for name, count in sorted(sums.items(), key=lambda item: -item[1])[:ROWS]:
        print(f"  {name:<34}{count / operations:>12.1f}{100 * count / total:>7.1f} %")


def command_profile() -> int:
    job = job_of(os.environ.get("OP", ""), os.environ.get("MMU", ""))
    plugin = bench_build() / "insns.so"
    if not plugin.is_file():
        raise UserError(f"there is no {plugin} (make profile builds it)")
    profile = measure(job, plugin)
    if not profile.operations:
        raise UserError("the kernel took no samples")
    show(by_function(profile, symbols()), profile.operations)
    return 0
