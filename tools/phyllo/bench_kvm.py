# SPDX-License-Identifier: GPL-2.0-only
"""`make bench-kvm`: the kernels of `make bench` in a VM of Linux's KVM, on the same emulator.

Debian's kernel is booted with KVM's modules and one program, tools/linux-kvm/, which is its init and the VM's
hypervisor in user space.  What comes of it is build/bench-kvm.json, which `make bench` then shows.
"""

import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from . import bench
from .bench import BOOT_REPEATS, bench_build, first_line, kernel_words, wanted
from .bench_jobs import BOTH, KVM, MODES, Figure, Job, jobs_of, parse_figure, single, wall_clock
from .bench_table import key_of, kvm_json, number, read_figures
from .bundle import archive
from .config import UserError, build_dir
from .console import Console
from .emulator import Ending, Limits, Session
from .ktap import parse
from .platforms import EXIT_OK, BootSpec, Machine, qemu_base

LIMITS = Limits(total=3600, silence=1800)
MEM = 4608  # MiB: the guest's 1 GiB, a slot of 1 GiB, what KVM keeps of both, and Linux
EXECUTABLE = 0o100755

# With mitigations KVM's figures are about 10 % higher.
LINUX = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr nowatchdog tsc=reliable clocksource=tsc"

DESTROYED = re.compile(r"^linux-kvm: \w+: destroyed in (\d+) cycles, its memory in (\d+)$", re.MULTILINE)
# KVM's figure is what is left without its host's own work on tables of its own.
NET = {"zap.unmap.page": "zap.unmap.host", "zap.protect.page": "zap.protect.host"}

# On one CPU the real-time vCPU tries again without a pause, and starves the operation that it waits for: the time is
# that of Linux's throttle.  The row in milliseconds stands for it.
NOT_ON_ONE_CPU = "stall.inrange"


@dataclass
class KvmResult:
    """What one boot of Linux said, and how it ended."""

    console: Console
    ending: Ending

    def problem(self, kernel: str) -> str:
        cases = parse(self.console.guest_lines().get(kernel, []))
        failed = [case.name for case in cases if case.status == "failed"]
        if self.ending.tripped:
            return self.ending.tripped
        if failed or not cases:
            return f"failed: {', '.join(failed)}" if failed else "it reported no tests"
        return "" if self.ending.code == EXIT_OK else f"the emulator ended with code {self.ending.code}"


# ---- the Linux that is booted ------------------------------------------------------------------


def linux_dir() -> Path:
    """Where tools/setup.sh --kernel has unpacked Debian's."""
    return build_dir() / "linux-kvm" / "debian"


def only_one(pattern: str) -> Path:
    found = sorted(linux_dir().glob(pattern))
    if len(found) != 1:
        raise UserError(f"{linux_dir()} has {len(found)} files {pattern}; remove it and try again")
    return found[0]


def modules_of(name: str) -> list[Path]:
    """A module behind those that it needs, as its own .modinfo says."""
    path = only_one(f"lib/modules/*/kernel/**/{name.replace('_', '?')}.ko")
    depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
    if not depends:
        raise UserError(f"{path} does not say what it depends on")
    before = [module for need in depends[1].decode().split(",") if need for module in modules_of(need)]
    return list(dict.fromkeys([*before, path]))


def initramfs(job: Job) -> bytes:
    """Modules, our init, one kernel and what to do with it."""
    parameters = {"kvm-amd": f" npt={int(job.mode == 'tdp')}"}
    modules = modules_of("kvm-amd")
    listed = "".join(f"{path.name}{parameters.get(path.stem, '')}\n" for path in modules)
    kernel = bench_build() / "guest" / f"{job.kernel}.elf"
    files = [
        ("init", (build_dir() / "linux-kvm" / "init").read_bytes()),
        *((path.name, path.read_bytes()) for path in modules),
        ("modules", listed.encode()),
        (kernel.name, kernel.read_bytes()),
        ("job", (job_line(job) + "\n").encode()),
    ]
    return archive(files, EXECUTABLE)


def job_line(job: Job) -> str:
    """Of our boot options max_page= is the one that has a meaning there."""
    options = [job.vm, *(word for word in job.cmdline.split() if word.startswith("max_page="))]
    if job.vm and job.icount:
        options.append("rt")
    calls = "" if job.kernel == "hello" else "hypercall=port"
    cpus = job.vm.replace("vcpus=", "cpus=")
    return f"{job.kernel}.elf mem=1G {' '.join(filter(None, options))} -- {calls} {cpus} {kernel_words(job)}"


def linux_machine(job: Job, work: Path) -> Machine:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    kernel = only_one("boot/vmlinuz-*")
    initrd = work / "initramfs.cpio"
    initrd.write_bytes(initramfs(job))
    spec = BootSpec("qemu-svm", "pvh", kernel, smp=job.smp, mem=MEM, icount=job.icount)
    argv = [*qemu_base(spec), "-kernel", str(kernel), "-initrd", str(initrd), "-append", LINUX]
    return Machine(argv, work, "stdio")


def boot_linux(job: Job, echo: Optional[Callable[[bytes], None]] = None) -> KvmResult:
    work = build_dir() / "tests" / f"bench-kvm-{job.slug}"
    console = Console(echo=echo)
    machine = linux_machine(job, work)
    with (work / "console.log").open("wb", buffering=0) as log:  # it takes long: somebody may want to look

        def listen(data: bytes) -> None:
            log.write(data)
            console.feed(data)

        ending = Session(machine, LIMITS, listen).run()
    console.finish()
    (work / "initramfs.cpio").unlink()
    result = KvmResult(console, ending)
    problem = result.problem(job.kernel)
    if problem:
        print("\n".join(f"  | {line}" for line in console.tail(25)), flush=True)
        raise UserError(f"{job.title} could not be measured in KVM: {problem}")
    return result


# ---- figures --------------------------------------------------------------------------------------


def net(figures: list[Figure]) -> list[Figure]:
    """The host's own part taken off; what was measured stays as .gross."""
    by_name = {figure.name: figure for figure in figures}
    out = []
    for figure in figures:
        host = by_name.get(NET.get(figure.name, ""))
        if host:
            out.append(replace(figure, name=f"{figure.name}.gross"))
            less = {key: max(0, getattr(figure, key) - host.value) for key in ("value", "min", "max", "mean")}
            figure = replace(figure, **less)
        out.append(figure)
    return out


def run_job(job: Job) -> list[Figure]:
    result = boot_linux(job)
    lines = result.console.guest_lines().get(job.kernel, [])
    figures = [figure for line in lines for figure in parse_figure(line, job, KVM)]
    if not figures:
        raise UserError(f"{job.title} printed no figures in KVM")
    destroyed = DESTROYED.search("\n".join(result.console.lines))
    if destroyed and job.kernel == "bench_range":
        without, memory = (int(word) for word in destroyed.groups())
        figures.append(single("vm.destroy", "instructions", without, KVM, job.mode))
        figures.append(single("vm.destroy.memory", "instructions", memory, KVM, job.mode))
    return net([figure for figure in figures if figure.name != NOT_ON_ONE_CPU])


def boot_seconds() -> float:
    first: list[float] = []
    boot_linux(Job("hello", smp=2, icount=False), first_line(time.monotonic(), "hello", first))
    return first[0]


def show(figures: list[Figure]) -> None:
    columns = "{:<24}{:<8}{:<16}{:>9}{:>10}{:>10}{:>10}{:>8}  {}"
    print(columns.format("name", "mode", "platform", "value", "mean", "min", "max", "n", "unit"))
    for f in figures:
        values = (number(value) for value in (f.value, f.mean, f.min, f.max))
        print(columns.format(f.name, f.mode, f.platform, *values, f.n, f.unit))


def save(figures: list[Figure]) -> list[Figure]:
    """With what is there of other rows."""
    out = kvm_json()
    new = {(*key_of(figure), figure.platform): figure for figure in figures}
    there = read_figures(out.read_text()) if out.is_file() else []
    both = list({**{(*key_of(figure), figure.platform): figure for figure in there}, **new}.values())
    out.write_text(json.dumps([asdict(figure) for figure in both], indent=1) + "\n")
    return both


def measure(job: Job) -> list[Figure]:
    """What takes wall-clock time is measured on both sides, one right after the other."""
    print(f"phyllo: KVM: {job.title} ...", flush=True)
    figures = run_job(job)
    if not job.icount and job.mode in MODES:
        print(f"phyllo: {job.title} ...", flush=True)
        figures += bench.run_job(job)
    return figures


def command_bench_kvm() -> int:
    """0 when everything was measured.  ONLY='word …' measures a part, and leaves the rest as it is."""
    jobs = [job for job in wanted(jobs_of(BOTH)) if job.beside_kvm]
    if not os.environ.get("ONLY"):
        kvm_json().unlink(missing_ok=True)
        boots = [boot_seconds() for _ in range(BOOT_REPEATS)]
        save([wall_clock("boot.guest", boots, KVM), bench.boot_figure()])
    figures: list[Figure] = []
    for job in jobs:
        figures = save(measure(job))
    show(figures)
    print(f"phyllo: {len(figures)} figures in {kvm_json()}; mitigations were off")
    return 0
