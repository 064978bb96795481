# SPDX-License-Identifier: GPL-2.0-only
"""`make run`: install what is missing, build, boot, show, judge.  And `make iso`."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Mapping, Sequence

from . import build, deps, scenario
from .boot import BootResult, boot
from .bundle import Module, module_from_file
from .config import ROOT, Request, UserError, build_dir, check_platform, parse_request
from .emulator import Limits, RawTerminal
from .media import build_iso, grub_config, grub_entry
from .platforms import BootSpec
from .probe import Host, choose_platform, probe_host
from .scenario import Scenario

# Seconds.  Bochs executes some 80 million instructions a second, and a guest may
# be silent while it works.
LIMITS = {
    "kvm": Limits(total=600, silence=120),
    "qemu-svm": Limits(total=900, silence=240),
    "bochs-vmx": Limits(total=1200, silence=400),
}

# A foreign kernel gets room; memory that it does not touch costs nothing.
FOREIGN_GUEST_OPTIONS = "mem=4G"


def say(text: str) -> None:
    print(f"phyllo: {text}", flush=True)


def read_scenarios(req: Request, interactive: bool) -> list[Scenario]:
    """None; the one that is asked for, with its seed; or all."""
    if not req.scenario:
        return []
    if req.scenario != "all":
        one = scenario.read(ROOT / req.scenario)
        return [replace(one, seed=one.seed if req.seed is None else req.seed)]
    if not interactive:
        raise UserError("SCENARIO=all is for the prompt, and wants a terminal; `make test ONLY=scenario` runs them all")
    return [scenario.read(path) for path in scenario.shipped()]


def guests(req: Request, scenarios: Sequence[Scenario]) -> list[Module]:
    if scenarios:
        later = req.scenario == "all"
        return [module for one in scenarios for module in scenario.modules(one, req.mmu, later)]
    if req.guest:
        return [module_from_file(req.guest, req.vm or FOREIGN_GUEST_OPTIONS)]
    return build.default_modules()


def command_line(req: Request, scenarios: Sequence[Scenario], interactive: bool) -> str:
    """The user's words come last: of two settings of one option the later holds."""
    words = ["end=prompt" if interactive else "end=off"]
    words += [one.boot for one in scenarios if req.scenario != "all"]
    return " ".join(word for word in [*words, req.cmdline] if word)


def say_scenarios(req: Request, scenarios: Sequence[Scenario]) -> None:
    for one in scenarios:
        if req.scenario == "all":
            say(f"  run {one.name:<24}{f' (by itself it has {one.boot})' if one.boot else ''}")
        else:
            say(f"scenario {one.file}, seed {one.seed}")


def show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def start(spec: BootSpec, limits: Limits, work: Path) -> BootResult:
    if not spec.tty:
        return boot(spec, work, limits, echo=show)
    keyboard = sys.stdin.fileno()
    with RawTerminal(keyboard):
        return boot(spec, work, limits, echo=show, keyboard=keyboard)


def stage_line(result: BootResult) -> str:
    """Stages with their times; one that comes several times in a row is summed up."""
    sums: list[tuple[str, float, int]] = []
    for name, took in result.console.stage_times(result.ending.seconds):
        if sums and sums[-1][0] == name:
            _, before, count = sums.pop()
            sums.append((name, before + took, count + 1))
        else:
            sums.append((name, took, 1))
    parts = [f"{f'{count} x ' if count > 1 else ''}{name} {took:.2f} s" for name, took, count in sums]
    return f"stages: {', '.join(parts)}"


def summary(result: BootResult) -> int:
    """The closing lines, in wall-clock time; the exit code."""
    seconds = result.ending.seconds
    if not result.console.ends_with_newline:
        print()
    say(stage_line(result))
    problem = result.problem()
    if not problem:
        say(f"ok, in {seconds:.1f} s on {result.spec.platform} ({result.spec.boot})")
        return 0
    if result.console.ended is None and not result.ending.tripped:
        print("\n".join(result.complaints()), flush=True)
    say(f"FAILED after {seconds:.1f} s: {problem}")
    return 1


def check_kvm(platform: str, host: Host) -> None:
    if platform == "kvm" and not host.kvm:
        raise UserError(f"PLATFORM=kvm cannot work here: {host.reason}; allowed is: qemu-svm, bochs-vmx")


def command_run(env: Mapping[str, str] = os.environ) -> int:
    req = parse_request(env)
    host = probe_host()
    platform, why = choose_platform(req.platform, host)
    boot_path, mem = check_platform(req, platform)
    check_kvm(platform, host)
    say(f"platform {platform} ({why}), boot path {boot_path}, {req.smp} CPU{'s' * (req.smp > 1)}, {mem}M")
    deps.install(["python", "build", *deps.needs_of_boot(platform, boot_path)])
    build.make(*build.targets_of_boot(boot_path))
    interactive = on_terminal()
    scenarios = read_scenarios(req, interactive)
    say_scenarios(req, scenarios)
    spec = BootSpec(
        platform, boot_path, build.elf_path(), guests(req, scenarios), command_line(req, scenarios, interactive),
        smp=req.smp, mem=mem, efi_loader=build.efi_loader_path(), tty=interactive, icount=req.icount,
    )  # fmt: skip
    limits = Limits(req.timeout, req.timeout) if req.timeout else LIMITS[platform]
    if interactive:
        say("Ctrl-C ends it")
    code = summary(start(spec, limits, build_dir() / "run"))
    if code and len(scenarios) == 1:
        say(f"again: {scenario.replay(scenarios[0], platform, req.mmu, req.cmdline)}")
    return code


# ---- the ISO --------------------------------------------------------------------------


def iso_entries(modules: Sequence[Module]) -> str:
    return (
        grub_entry("Phyllo: run the demonstration guests, then power off", modules, "end=off")
        + grub_entry("Phyllo: run the demonstration guests, then stay at the prompt", modules, "end=prompt")
        + grub_entry("Phyllo: only the prompt", [], "end=prompt")
    )


def command_iso() -> int:
    deps.install(["python", "build", "iso"])
    build.make("all")
    modules = build.default_modules()
    out = build_dir() / "phyllo.iso"
    build_iso(out, build.elf_path(), modules, grub_config(iso_entries(modules), timeout=5))
    say(f"{out} is {out.stat().st_size >> 20} MiB, for BIOS and UEFI, CD and USB stick")
    return 0
