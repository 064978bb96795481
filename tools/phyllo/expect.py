# SPDX-License-Identifier: GPL-2.0-only
"""What a boot is expected to say, and the cases that come of comparing."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

from . import build
from .boot import BootResult, boot, discard_media
from .console import Console
from .emulator import Limits
from .ktap import Case, parse
from .platforms import EXIT_OK, BootSpec

# Seconds for one test's boot; emulators run two at a time, on slow machines too.
LIMITS = {
    "qemu-svm": Limits(total=240, silence=120),
    "bochs-vmx": Limits(total=480, silence=240),
}
# OVMF alone takes many seconds.
UEFI_EXTRA = 120


@dataclass(frozen=True)
class Expect:
    """What one boot must show.  Without anything given: that it ends ok."""

    code: int = EXIT_OK  # QEMU's; Bochs has none that means anything
    end: Optional[str] = "ok"  # word of the end line; None: there is no end line
    ktap: Sequence[str] = ()  # guests that must report KTAP, all passed, and a clean audit
    says: Sequence[tuple[str, str]] = ()  # case name, pattern somewhere in the output
    never: Sequence[tuple[str, str]] = ()  # case name, pattern nowhere in it


def limits_of(spec: BootSpec) -> Limits:
    limits = LIMITS[spec.platform]
    extra = UEFI_EXTRA if spec.boot in ("grub-uefi", "efi") else 0
    return Limits(limits.total + extra, limits.silence + extra)


def ending_case(result: BootResult, expect: Expect) -> Case:
    """Did the boot end as it should?"""
    wrong = []
    if result.ending.tripped:
        wrong.append(result.problem())
    elif result.has_exit_code and result.code != expect.code:
        wrong.append(f"the exit code is {result.code}, not {expect.code}")
    if result.console.ended != expect.end:
        wrong.append(f"the end line says {result.console.ended}, not {expect.end}: {result.problem()}")
    if not wrong:
        return Case("ends as it should", "passed")
    return Case("ends as it should", "failed", ["; ".join(wrong)])


def audit_case(name: str, console: Console) -> Case:
    """After "---- name: …" comes the summary of that guest, with what the MMU audit found."""
    lines = console.lines
    starts = [i for i, line in enumerate(lines) if line.startswith(f"---- {name}: ")]
    for start in starts:
        block = lines[start + 1 : start + 40]
        for line in block:
            if line.startswith("---- "):
                break
            if line.strip().startswith("audit: clean"):
                return Case(f"{name}: audit clean", "passed")
            if line.strip().startswith("audit: "):
                return Case(f"{name}: audit clean", "failed", [line.strip()])
    return Case(f"{name}: audit clean", "failed", ["no audit was reported for this guest"])


def guest_cases(name: str, result: BootResult) -> list[Case]:
    """A guest's own results, and the audit of its memory."""
    lines = result.console.guest_lines().get(name)
    if lines is None:
        return [Case(f"{name}: ran", "failed", ["this guest printed nothing"])]
    cases = parse(lines)
    for case in cases:
        case.name = f"{name}: {case.name}"
    return [*cases, audit_case(name, result.console)]


def pattern_case(name: str, pattern: str, result: BootResult, wanted: bool) -> Case:
    found = re.search(pattern, result.text, re.MULTILINE | re.IGNORECASE)
    if bool(found) == wanted:
        return Case(name, "passed")
    what = f"nothing in the output matches {pattern!r}" if wanted else f"the output holds {found and found[0]!r}"
    return Case(name, "failed", [what])


def judge(result: BootResult, expect: Expect) -> list[Case]:
    cases = [ending_case(result, expect)]
    for name in expect.ktap:
        cases += guest_cases(name, result)
    cases += [pattern_case(name, pattern, result, True) for name, pattern in expect.says]
    cases += [pattern_case(name, pattern, result, False) for name, pattern in expect.never]
    return cases


def boot_and_judge(spec: BootSpec, expect: Expect, work: Path) -> list[Case]:
    result = boot(spec, work, limits_of(spec))
    cases = judge(result, expect)
    failures = [case for case in cases if case.status == "failed"]
    if failures:
        # once per boot is enough
        failures[-1].detail += [*result.report(), f"the whole output is in {work / 'console.log'}"]
    discard_media(work)
    return cases


def make_spec(platform: str, modules: Sequence = (), **options: object) -> BootSpec:
    """A boot as the tests want it: small, and ending by itself."""
    values: dict = {
        "boot": "grub-bios" if platform == "bochs-vmx" else "pvh",
        "elf": build.elf_path(),
        "modules": modules,
        "efi_loader": build.efi_loader_path(),
        "smp": 1 if platform == "bochs-vmx" else 2,
        "mem": 512,
    }
    return BootSpec(platform, **{**values, **options})
