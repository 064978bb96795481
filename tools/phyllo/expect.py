# SPDX-License-Identifier: GPL-2.0-only
"""What a boot is expected to say, and the cases that come of comparing."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Sequence

from . import build
from .boot import BootResult, boot, discard_media
from .console import GUEST_LINE, Console
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
    watchdog: bool = False  # it has something to report


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
    # what other guests print in the meantime does not count
    lines = [line for line in console.lines if not GUEST_LINE.match(line)]
    starts = [i for i, line in enumerate(lines) if line.startswith(f"---- {name}: ")]
    for start in starts:
        block = lines[start + 1 : start + 80]
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


def watchdog_case(result: BootResult, expect: Expect) -> Case:
    """Nobody keeps interrupts off or a lock for seconds, in no test but those that plant it."""
    found = re.findall(r"watchdog: .*", result.text)
    if bool(found) == expect.watchdog:
        return Case("the watchdog is content" if not found else "the watchdog reports", "passed")
    return Case("the watchdog is content", "failed", found or ["it reported nothing"])


def judge(result: BootResult, expect: Expect) -> list[Case]:
    cases = [ending_case(result, expect), watchdog_case(result, expect)]
    for name in expect.ktap:
        cases += guest_cases(name, result)
    cases += [pattern_case(name, pattern, result, True) for name, pattern in expect.says]
    cases += [pattern_case(name, pattern, result, False) for name, pattern in expect.never]
    return cases


@dataclass
class Dialogue:
    """Somebody at the prompt: waits for a pattern in what comes, types, waits for the next."""

    steps: Sequence[tuple[str, str]]  # pattern, keys
    again: Sequence[tuple[str, str]] = ()  # what may come instead, and the keys to ask once more
    text: str = ""
    done: int = 0

    def answer(self, pattern: str, keys: str, keyboard: int) -> bool:
        """False: it has not come."""
        found = re.search(pattern, self.text, re.MULTILINE)
        if found:
            self.text = self.text[found.end() :]
            os.write(keyboard, keys.encode())
        return bool(found)

    def hear(self, data: bytes, keyboard: int) -> None:
        self.text += data.decode("utf-8", "replace").replace("\r", "")
        while self.done < len(self.steps):
            if self.answer(*self.steps[self.done], keyboard):
                self.done += 1
            elif not any(self.answer(*other, keyboard) for other in self.again):
                return

    def cases(self) -> list[Case]:
        return [
            Case(f"step {n + 1}: {pattern}", "passed" if n < self.done else "failed", [])
            for n, (pattern, _) in enumerate(self.steps)
        ]


def boot_with_dialogue(
    spec: BootSpec,
    expect: Expect,
    steps: Sequence[tuple[str, str]],
    work: Path,
    again: Sequence[tuple[str, str]] = (),
) -> list[Case]:
    """The same with keys."""
    dialogue = Dialogue(steps, again)
    listen, keyboard = os.pipe()
    try:
        result = boot(
            spec, work, limits_of(spec), echo=lambda data: dialogue.hear(data, keyboard), keyboard=listen, scripted=True
        )
    finally:
        os.close(listen)
        os.close(keyboard)
    return finish(result, [*judge(result, expect), *dialogue.cases()], work)


def boot_and_judge(
    spec: BootSpec, expect: Expect, work: Path, more: Callable[[BootResult], list[Case]] = lambda result: []
) -> list[Case]:
    """more: what else there is to judge."""
    result = boot(spec, work, limits_of(spec))
    return finish(result, [*judge(result, expect), *more(result)], work)


def finish(result: BootResult, cases: list[Case], work: Path) -> list[Case]:
    failures = [case for case in cases if case.status == "failed"]
    if failures:
        # once per boot is enough
        failures[-1].detail += [*result.report(), f"the whole output is in {work / 'console.log'}"]
    discard_media(work)
    return cases


def make_spec(platform: str, modules: Sequence = (), **options: object) -> BootSpec:
    """A boot as the tests want it: small, ending by itself, one guest after the other unless cmdline says otherwise."""
    cmdline = str(options.pop("cmdline", ""))
    if "guests=" not in cmdline:
        cmdline = f"guests=one-by-one {cmdline}".rstrip()
    values: dict = {
        "cmdline": cmdline,
        "boot": "grub-bios" if platform == "bochs-vmx" else "pvh",
        "elf": build.elf_path(),
        "modules": modules,
        "efi_loader": build.efi_loader_path(),
        "smp": 1 if platform == "bochs-vmx" else 2,
        "mem": 512,
    }
    return BootSpec(platform, **{**values, **options})
