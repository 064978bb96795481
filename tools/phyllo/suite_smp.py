# SPDX-License-Identifier: GPL-2.0-only
"""Tests of guests with several processors, and of several guests at once, on both vendors.

What has to be right is checked by the test kernels (tests/guest/); what one VM may cost another is judged here,
by counts of work in windows of the time-stamp counter, where time is instructions.
"""

import re
from pathlib import Path

from . import build
from .boot import BootResult
from .bundle import Module
from .expect import Expect, boot_and_judge, make_spec
from .ktap import Case
from .platforms import EXIT_FAILED
from .suite_booted import SHADOW, VENDORS
from .testing import Test

KERNELS = ("smpboot", "ipi", "smptimer", "smpfault", "shootdown", "smpstress")

# Words for each kernel by platform and number of vCPUs.  Bochs executes a tenth of what QEMU does; with more
# vCPUs than the two CPUs, every step of a protocol between them costs time slices.
SIZES = {
    ("qemu-svm", 1): {"smpfault": "rounds=60", "smpstress": "mib=8 rounds=20"},
    ("qemu-svm", 2): {
        "ipi": "rounds=400",
        "smpfault": "rounds=30",
        "shootdown": "rounds=100",
        "smpstress": "mib=16 rounds=20",
    },
    ("qemu-svm", 4): {
        "smpboot": "rounds=8",
        "ipi": "rounds=120",
        "smptimer": "rounds=30",
        "smpfault": "mib=4 rounds=8",
        "shootdown": "rounds=60",
        "smpstress": "mib=8 rounds=10",
    },
    ("qemu-svm", 8): {
        "smpboot": "rounds=3",
        "ipi": "rounds=24",
        "smptimer": "rounds=10",
        "smpfault": "mib=2 rounds=3",
        "shootdown": "rounds=16",
        "smpstress": "mib=4 rounds=4",
    },
    ("bochs-vmx", 2): {
        "smpboot": "rounds=8",
        "ipi": "rounds=400",
        "smptimer": "rounds=30",
        "smpfault": "mib=2 rounds=16",
        "shootdown": "rounds=600",
        "smpstress": "mib=4 rounds=8",
    },
    ("bochs-vmx", 4): {
        "smpboot": "rounds=3",
        "ipi": "rounds=40",
        "smptimer": "rounds=8",
        "smpfault": "mib=2 rounds=3",
        "shootdown": "rounds=30",
        "smpstress": "mib=2 rounds=3",
    },
}


# Faults take the lock one after the other.
SHADOW_SIZES = {
    "qemu-svm": {
        "ipi": "rounds=100",
        "smpfault": "mib=2 rounds=6",
        "shootdown": "rounds=40",
        "smpstress": "mib=8 rounds=8",
    },
    "bochs-vmx": {
        "smpboot": "rounds=2",
        "ipi": "rounds=20",
        "smptimer": "rounds=4",
        "smpfault": "mib=2 rounds=1",
        "shootdown": "rounds=20",
        "smpstress": "mib=2 rounds=1",
    },
}


def smp_kernel(name: str, vcpus: int, words: str, options: str = "", guest: str = "") -> Module:
    """One kernel with several vCPUs; guest: its name, where it is not the kernel's."""
    line = f"name={guest or name} vcpus={vcpus} {options}".rstrip()
    module = build.guest_module(name, f"{line} -- {words}" if words else line)
    return Module(f"{guest}.elf", module.data, module.options) if guest else module


def smp_test(platform: str, vcpus: int, cmdline: str = "") -> Test:
    """Every kernel for several processors, each by itself with all the CPUs."""

    def run(work: Path) -> list[Case]:
        sizes = {**SIZES[platform, vcpus], **(SHADOW_SIZES[platform] if SHADOW in cmdline else {})}
        modules = [smp_kernel(name, vcpus, sizes.get(name, "")) for name in KERNELS]
        spec = make_spec(platform, modules, smp=2, cmdline=cmdline)
        return boot_and_judge(spec, Expect(ktap=KERNELS), work)

    return Test(f"{platform}/{'shadow-' if SHADOW in cmdline else ''}vcpus-{vcpus}", run)


def shootdown_test() -> Test:
    """Where two CPUs really run at the same time.  The rounds take seconds on a quiet host, minutes on a busy one."""

    def run(work: Path) -> list[Case]:
        modules = [smp_kernel("shootdown", 2, "rounds=1500")]
        return boot_and_judge(make_spec("qemu-svm", modules, smp=2), Expect(ktap=("shootdown",)), work)

    return Test("qemu-svm/shootdown", run)


def environment_test(platform: str) -> Test:
    """A kernel as they are written for other test environments, with one processor and with two."""

    def run(work: Path) -> list[Case]:
        modules = []
        for vcpus in (1, 2):
            name = f"env-{vcpus}"
            text = f"NR_CPUS={vcpus}\nMEMSIZE=64\nTEST_DEVICE=0\nBOOTLOADER=other\n"
            modules += [
                smp_kernel("envkernel", vcpus, "", guest=name),
                Module(f"{name}.environ", text.encode(), f"for={name}"),
            ]
        return boot_and_judge(make_spec(platform, modules, smp=2), Expect(ktap=("env-1", "env-2")), work)

    return Test(f"{platform}/environment", run)


# ---- several at once --------------------------------------------------------------------------

TOGETHER = "guests=together"


def together_test(platform: str) -> Test:
    """Two VMs storm their own memory while a third unmaps all of its own in a loop."""

    def run(work: Path) -> list[Case]:
        bochs = platform == "bochs-vmx"
        words = "mib=2 rounds=3" if bochs else "mib=4 rounds=10"
        modules = [
            smp_kernel("smpfault", 2, words, guest="storm"),
            smp_kernel("smpstress", 2, words, guest="stress"),
            smp_kernel("noisy", 2, f"how=zap mcycles={20 if bochs else 1000} mib=8", guest="zapper"),
        ]
        spec = make_spec(platform, modules, smp=2, cmdline=TOGETHER)
        return boot_and_judge(spec, Expect(ktap=("storm", "stress", "zapper")), work)

    return Test(f"{platform}/together", run)


def canary_test(platform: str) -> Test:
    """Two VMs look at every word of their memory while pages change hands, and a third comes and goes."""

    def run(work: Path) -> list[Case]:
        rounds, restarts = (3, 6) if platform == "bochs-vmx" else (12, 40)
        modules = [
            smp_kernel("canary", 1, f"id=1 mib=3 rounds={rounds}", "mem=16M", "canary-1"),
            smp_kernel("canary", 1, f"id=2 mib=3 rounds={rounds}", "mem=16M", "canary-2"),
            smp_kernel("canary", 1, "id=3 mib=1 rounds=2", f"mem=8M restart={restarts}", "canary-3"),
        ]
        # The third reports once for each time it ran; its last run must not have been stopped.
        expect = Expect(
            ktap=("canary-1", "canary-2"),
            says=[("canary-3 ended well", r"^---- canary-3: ended with code 0")],
            never=[("canary-3 finds nothing strange", r"^canary-3\| not ok")],
        )
        return boot_and_judge(make_spec(platform, modules, smp=2, cmdline=TOGETHER), expect, work)

    return Test(f"{platform}/canaries", run)


def hog_test(platform: str) -> Test:
    """A VM that takes more than it may have is stopped, and the others go on as if nothing had been."""

    def run(work: Path) -> list[Case]:
        modules = [
            smp_kernel("noisy", 1, "how=hog", "mem=64M cap=8M", "hog"),
            smp_kernel("canary", 1, "mib=2 rounds=2", "mem=16M", "canary"),
            smp_kernel("smpstress", 2, "mib=2 rounds=3", guest="stress"),
        ]
        expect = Expect(
            code=EXIT_FAILED,
            end="failed",
            ktap=("canary", "stress"),
            says=[("the hog is stopped", r"error: hog: vcpu 0 stopped: .*memory")],
            never=[("it did not get all", r"^hog\| not ok"), ("no memory is lost", "not all memory came back")],
        )
        return boot_and_judge(make_spec(platform, modules, smp=2, cmdline=TOGETHER), expect, work)

    return Test(f"{platform}/memory-hog", run)


# ---- shares -----------------------------------------------------------------------------------------

# Who makes noise beside the counter, one after the other: what it does, and with how many threads it then competes
# for the one CPU: its vCPUs, and the worker of a VM whose mappings go by the thousand.
NOISES = {
    "spin": (1, 1),
    "hypercall": (1, 1),
    "ipi": (2, 2),
    "mmio": (1, 1),
    "fault": (1, 1),
    "zap": (1, 1),
}
WINDOWS = 2  # of quiet, and for each noise
PLACE = WINDOWS + 1  # each VM counts from its own start, and another may have started in the window before
COUNT = PLACE * (len(NOISES) + 1)
SHARE_MIN = 0.8  # of the fair share


def share_modules(mcycles: int) -> list[Module]:
    modules = [smp_kernel("counter", 1, f"mcycles={mcycles} windows={COUNT}")]
    for place, (how, (vcpus, _)) in enumerate(NOISES.items(), start=1):
        words = f"how={how} mcycles={mcycles} skip={place * PLACE} windows={WINDOWS}"
        modules.append(smp_kernel("noisy", vcpus, words, guest=f"noisy-{how}"))
    return modules


def noisy_windows(lines: list[str]) -> list[int]:
    said = [re.match(r"# windows (\d+) to (\d+):", line) for line in lines]
    return [window for match in said if match for window in range(int(match[1]), int(match[2]) + 1)]


def share_case(how: str, units: dict[int, int], quiet: float, windows: list[int], others: set[int]) -> Case:
    name = f"the counter keeps its share beside: {how}"
    if len(windows) != WINDOWS or not set(windows) <= set(units) - others:
        return Case(name, "failed", [f"the windows {windows} are not the counter's {sorted(units)}, or others' too"])
    had = sum(units[window] for window in windows) / WINDOWS
    share = had / (quiet / (1 + NOISES[how][1]))
    detail = [f"{had:.0f} units a window, {quiet:.0f} when it is alone: {share:.0%} of its fair share"]
    return Case(name, "passed" if share >= SHARE_MIN else "failed", detail)


def share_cases(result: BootResult) -> list[Case]:
    said = result.console.guest_lines()
    counted = [re.match(r"# window (\d+): (\d+) units", line) for line in said.get("counter", [])]
    units = {int(match[1]): int(match[2]) for match in counted if match}
    if len(units) != COUNT:
        return [Case("the counter counts", "failed", [f"{len(units)} windows"])]
    windows = {how: noisy_windows(said.get(f"noisy-{how}", [])) for how in NOISES}
    quiet = sorted(units)[:WINDOWS]
    alone = sum(units[window] for window in quiet) / WINDOWS

    def taken(how: str) -> set[int]:
        return set(quiet).union(*(windows[other] for other in NOISES if other != how))

    return [share_case(how, units, alone, windows[how], taken(how)) for how in NOISES]


def share_test(platform: str) -> Test:
    """One CPU, on which time is instructions: a VM that counts, beside others that do all they can to disturb it."""

    def run(work: Path) -> list[Case]:
        qemu = platform == "qemu-svm"
        modules = share_modules(150 if qemu else 12)
        spec = make_spec(platform, modules, smp=1, cmdline=TOGETHER, icount=qemu)
        expect = Expect(ktap=("counter", *(f"noisy-{how}" for how in NOISES)))
        return boot_and_judge(spec, expect, work, share_cases)

    return Test(f"{platform}/shares", run)


def smp_tests() -> list[Test]:
    tests = [shootdown_test(), *(smp_test(platform, vcpus) for platform, vcpus in SIZES)]
    tests += [smp_test("qemu-svm", vcpus, SHADOW) for vcpus in (2, 4)]
    tests += [smp_test("bochs-vmx", 2, SHADOW)]
    for make in (share_test, together_test, canary_test, hog_test, environment_test):
        tests += [make(vendor) for vendor in VENDORS]
    return tests
