# SPDX-License-Identifier: GPL-2.0-only
"""`make bench`: figures of the MMU and of the exits, in instructions, beside KVM's.

The kernels tests/guest/bench_*.c measure and print `bench:` lines; under QEMU's -icount a tick of the TSC is one
instruction and every run gives the same.  What comes of it is a table, build/bench.json, and build/bench.md for the
docs.
"""

import json
import os
import re
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Callable

from .bench_jobs import HOSTED, MODES, PHYLLO, Figure, Job, jobs_of, parse_figure, single, wall_clock
from .bench_table import kvm_column, markdown, table
from .boot import BootResult, boot
from .bundle import Module, module_from_file
from .config import UserError, build_dir
from .emulator import Limits
from .ktap import parse
from .platforms import BootSpec
from .processes import run

LIMITS = Limits(total=900, silence=300)
BOOT_REPEATS = 5

# log=debug: "[    1.234567] NAME: destroyed in 12345 cycles"
DESTROYED = re.compile(r"\] bench_range: destroyed in (\d+) cycles$", re.MULTILINE)


def bench_build() -> Path:
    """The build without debug checks, made by the Makefile."""
    return build_dir() / "bench"


def wanted(jobs: list[Job]) -> list[Job]:
    """ONLY='word …': the jobs in whose names one of the words stands."""
    words = os.environ.get("ONLY", "").split()
    chosen = [job for job in jobs if not words or any(word in job.slug for word in words)]
    if not chosen:
        raise UserError(f"ONLY= fits none of: {' '.join(job.slug for job in jobs)}")
    return chosen


def kernel_words(job: Job) -> str:
    return f"{job.words} only={job.only}" if job.only else job.words


def kernel_module(job: Job) -> Module:
    mmu = "" if job.mode == "tdp" else f"mmu={job.mode}"
    words = f"mem=1G {job.vm} {mmu} -- {kernel_words(job)}"
    return module_from_file(bench_build() / "guest" / f"{job.kernel}.elf", words)


def bench_spec(job: Job) -> BootSpec:
    return BootSpec(
        PHYLLO, "pvh", bench_build() / "phyllo.elf", [kernel_module(job)],
        f"end=off {job.cmdline}", smp=job.smp, mem=job.mem, icount=job.icount,
    )  # fmt: skip


def check(result: BootResult, kernel: str, what: str) -> None:
    """A measurement that could not be made is an error, with the reason in the output."""
    cases = parse(result.console.guest_lines().get(kernel, []))
    failed = [case.name for case in cases if case.status != "passed"]
    problem = result.problem() or (f"failed: {', '.join(failed)}" if failed else "")
    if problem or not cases:
        print("\n".join(result.report()), flush=True)
        raise UserError(f"{what} could not be measured: {problem or 'it reported no tests'}")


def run_job(job: Job) -> list[Figure]:
    work = build_dir() / "tests" / f"bench-{job.slug}"
    result = boot(bench_spec(job), work, LIMITS)
    check(result, job.kernel, job.title)
    lines = result.console.guest_lines().get(job.kernel, [])
    figures = [figure for line in lines for figure in parse_figure(line, job, PHYLLO)]
    destroyed = DESTROYED.search(result.text)
    if destroyed:
        figures.append(single("vm.destroy", "instructions", int(destroyed[1]), PHYLLO, job.mode))
    if not figures:
        raise UserError(f"{job.title} printed no figures")
    if job.kernel == "bench_scale":
        return [replace(figure, name=f"scale.fault.{job.smp}") for figure in figures]
    return figures


# ---- how faults scale ------------------------------------------------------------------------


def relative(figures: list[Figure]) -> list[Figure]:
    """The rows of scale.fault as multiples of what one processor's faults cost."""
    alone = next((figure.value for figure in figures if figure.name == "scale.fault.1"), 0)
    return [
        replace(
            figure, unit="times scale.fault.1", value=figure.value / alone, min=figure.min / alone,
            max=figure.max / alone, mean=figure.mean / alone,
        ) if alone and re.fullmatch(r"scale\.fault\.\d+", figure.name) and figure.name != "scale.fault.1"
        else figure
        for figure in figures
    ]  # fmt: skip


def hosted_scale() -> list[Figure]:
    """The same mm/ on threads: what one in the way of another costs, per fault."""
    code, text = run([str(build_dir() / "bench/scale")], 300)
    if code:
        raise UserError(f"the hosted faults of many threads failed:\n{text}")
    job = Job("scale")
    return [figure for line in text.splitlines() for figure in parse_figure(line, job, HOSTED)]


# ---- from the start to a guest's first line -------------------------------------------------------


def first_line(start: float, kernel: str, at: list[float]) -> Callable[[bytes], None]:
    """Keeps in `at` how long the kernel's first line took."""
    said = bytearray()

    def watch(data: bytes) -> None:
        said.extend(data)
        if not at and f"{kernel}| ".encode() in said:
            at.append(time.monotonic() - start)

    return watch


def boot_seconds(number: int) -> float:
    """Wall clock from the start of the emulator to a guest's first line, on two threads."""
    first: list[float] = []
    module = module_from_file(bench_build() / "guest" / "hello.elf", "")
    spec = BootSpec(PHYLLO, "pvh", bench_build() / "phyllo.elf", [module], "end=off", smp=2, mem=1024)
    watch = first_line(time.monotonic(), "hello", first)
    result = boot(spec, build_dir() / "tests" / f"bench-boot-{number}", LIMITS, echo=watch)
    check(result, "hello", "boot.guest")
    return first[0]


def boot_figure() -> Figure:
    return wall_clock("boot.guest", [boot_seconds(number) for number in range(BOOT_REPEATS)], PHYLLO)


def command_bench() -> int:
    """0 when everything was measured, whether or not it reaches its bar."""
    jobs = wanted(jobs_of(MODES))
    figures = []
    for job in jobs:
        print(f"phyllo: {job.title} ...", flush=True)
        figures += run_job(job)
    if any(job.kernel == "bench_scale" for job in jobs):
        figures = relative(figures) + hosted_scale()
    if not os.environ.get("ONLY"):
        figures.insert(0, boot_figure())
    out = build_dir() / "bench.json"
    out.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    kvm, whence = kvm_column()
    (build_dir() / "bench.md").write_text(markdown(figures, kvm))
    print(table(figures, kvm))
    print(f"phyllo: {len(figures)} figures in {out}; KVM's are {whence}")
    return 0
