# SPDX-License-Identifier: GPL-2.0-only
"""`make bench`: figures of the MMU and of the exits, in instructions, beside KVM's.

The kernels tests/guest/bench_*.c measure and print `bench:` lines; under QEMU's -icount a tick of the TSC is one
instruction and every run gives the same.  What comes of it is a table and build/bench.json.
"""

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .bench_reference import REFERENCE, Reference
from .boot import BootResult, boot
from .bundle import Module, module_from_file
from .config import UserError, build_dir
from .emulator import Limits
from .ktap import parse
from .platforms import BootSpec

PLATFORM = "qemu-svm"
LIMITS = Limits(total=600, silence=300)
BOOT_REPEATS = 5

# "bench: fault.4k instructions value=812 min=800 max=2000 mean=815 n=4096"
LINE = re.compile(r"^bench: (\S+) (\S+) value=(\d+) min=(\d+) max=(\d+) mean=(\d+) n=(\d+)$")
# log=debug: "[    1.234567] NAME: destroyed in 12345 cycles"
DESTROYED = re.compile(r"\] bench_range: destroyed in (\d+) cycles$", re.MULTILINE)


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
    platform: str = PLATFORM
    mode: str = "tdp"


@dataclass(frozen=True)
class Job:
    """One boot under -icount."""

    kernel: str
    only: str = ""
    cmdline: str = ""
    vm: str = ""  # options of the VM
    words: str = ""  # of the kernel
    mem: int = 1024

    @property
    def title(self) -> str:
        return f"{self.kernel} {self.only}".strip()


JOBS = (
    Job("bench_exit"),
    Job("bench_fault", only="test_random", cmdline="max_page=4k"),
    Job("bench_fault", only="test_seq", cmdline="max_page=4k"),
    Job("bench_fault", only="test_refault", cmdline="max_page=4k fault_around=1"),
    Job("bench_fault", only="test_alloc", cmdline="max_page=4k"),
    Job("bench_fault", only="test_2m", words="mib=768"),
    Job("bench_fault", only="test_dirty", cmdline="max_page=4k"),
    Job("bench_range", cmdline="max_page=4k log=debug", mem=3072),
    Job("bench_stall", cmdline="max_page=4k", vm="vcpus=2", mem=3072),
)


def bench_build() -> Path:
    """The build without debug checks, made by the Makefile."""
    return build_dir() / "bench"


def kernel_module(job: Job) -> Module:
    words = f"mem=1G {job.vm} -- {job.words}"
    if job.only:
        words += f" only={job.only}"
    return module_from_file(bench_build() / "guest" / f"{job.kernel}.elf", words)


def bench_spec(job: Job) -> BootSpec:
    return BootSpec(
        PLATFORM, "pvh", bench_build() / "phyllo.elf", [kernel_module(job)],
        f"end=off {job.cmdline}", smp=1, mem=job.mem, icount=True,
    )  # fmt: skip


def check(result: BootResult, kernel: str, what: str) -> None:
    """A measurement that could not be made is an error, with the reason in the output."""
    cases = parse(result.console.guest_lines().get(kernel, []))
    failed = [case.name for case in cases if case.status != "passed"]
    problem = result.problem() or (f"failed: {', '.join(failed)}" if failed else "")
    if problem or not cases:
        print("\n".join(result.report()), flush=True)
        raise UserError(f"{what} could not be measured: {problem or 'it reported no tests'}")


def figures_of(result: BootResult, kernel: str) -> list[Figure]:
    figures = []
    for line in result.console.guest_lines().get(kernel, []):
        match = LINE.match(line)
        if match:
            name, unit = match[1], match[2]
            value, low, high, mean, n = (int(word) for word in match.groups()[2:])
            figures.append(Figure(name, unit, value, low, high, n, mean))
    return figures


def run_job(job: Job, number: int) -> list[Figure]:
    work = build_dir() / "tests" / f"bench-{number}"
    result = boot(bench_spec(job), work, LIMITS)
    check(result, job.kernel, job.title)
    figures = figures_of(result, job.kernel)
    destroyed = DESTROYED.search(result.text)
    if destroyed:
        cycles = int(destroyed[1])
        figures.append(Figure("vm.destroy", "instructions", cycles, cycles, cycles, 1, cycles))
    if not figures:
        raise UserError(f"{job.title} printed no figures")
    return figures


def boot_seconds(number: int) -> float:
    """Wall clock from the start of the emulator to a guest's first line, on two threads."""
    first: list[float] = []
    said = bytearray()

    def watch(data: bytes) -> None:
        said.extend(data)
        if not first and b"hello| " in said:
            first.append(time.monotonic())

    module = module_from_file(bench_build() / "guest" / "hello.elf", "")
    spec = BootSpec(PLATFORM, "pvh", bench_build() / "phyllo.elf", [module], "end=off", smp=2, mem=1024)
    start = time.monotonic()
    result = boot(spec, build_dir() / "tests" / f"bench-boot-{number}", LIMITS, echo=watch)
    check(result, "hello", "boot.guest")
    return first[0] - start


def boot_figure() -> Figure:
    took = sorted(boot_seconds(number) for number in range(BOOT_REPEATS))
    mean = sum(took) / len(took)
    return Figure("boot.guest", "seconds", took[len(took) // 2], took[0], took[-1], len(took), mean)


# ---- the table ------------------------------------------------------------------------


def number(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 1e6:
        return f"{value / 1e6:.1f} M"
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def row(figure: Figure) -> str:
    ref = REFERENCE.get(figure.name, Reference("", None, None))
    ratio = f"{ref.kvm / figure.value:.1f}" if ref.kvm and figure.value else "–"
    verdict = "" if ref.bar is None else "yes" if figure.value <= ref.bar else "NO"
    cells = (figure.name, number(figure.value), number(ref.kvm), ratio, number(ref.bar), verdict, ref.what)
    return "{:<20}{:>9}{:>10}{:>8}{:>9}  {:<5}{}".format(*cells)


def table(figures: list[Figure]) -> str:
    head = "{:<20}{:>9}{:>10}{:>8}{:>9}  {:<5}{}".format(
        "name", "Phyllo", "KVM 6.1", "ratio", "bar", "met", "what"
    )
    order = list(REFERENCE)
    known = sorted(figures, key=lambda f: order.index(f.name) if f.name in order else len(order))
    return "\n".join([head, *(row(figure) for figure in known)])


def command_bench() -> int:
    """0 when everything was measured, whether or not it reaches its bar."""
    figures = [boot_figure()]
    for count, job in enumerate(JOBS):
        print(f"phyllo: {job.title} ...", flush=True)
        figures += run_job(job, count)
    out = build_dir() / "bench.json"
    out.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    print(table(figures))
    print(f"phyllo: {len(figures)} figures in {out}")
    return 0
