# SPDX-License-Identifier: GPL-2.0-only
"""`make soak MINUTES=n`: random scenarios, one after the other, until the time is up or something is wrong.

What goes wrong is left in build/soak/failure/: the scenario, the console, what the hypervisor reported, and the
command that does it again.
"""

import os
import re
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Mapping

from . import build, deps, scenario
from .boot import BootResult, boot, discard_media
from .config import MMUS, PLATFORMS, ROOT, UserError, build_dir, choose, parse_count
from .expect import Expect, judge, limits_of, make_spec
from .ktap import Case
from .platforms import BootSpec
from .run import say
from .scenario import Scenario
from .soak_scenario import random_scenario

VENDORS = ("qemu-svm", "bochs-vmx")
SEEDS = 1_000_000_000
TALLY = re.compile(r"# (\d+) operations, (\d+) faults")
LAST_LINES = 200


@dataclass
class Totals:
    """What came of one platform."""

    scenarios: int = 0
    vms: int = 0
    operations: int = 0
    faults: int = 0
    audits: int = 0
    seconds: float = 0.0

    def add(self, one: Scenario, result: BootResult) -> None:
        found = [TALLY.search(line) for line in result.console.guest_lines().get(one.name, [])]
        self.scenarios += 1
        self.vms += len(scenario.vm_names(one))
        self.operations += sum(int(match[1]) for match in found if match)
        self.faults += sum(int(match[2]) for match in found if match)
        self.audits += sum(line.split()[1:2] == ["audit"] for line in one.script)
        self.seconds += result.ending.seconds

    def line(self, platform: str) -> str:
        return (
            f"{platform}: {self.scenarios} scenarios in {self.seconds:.0f} s, {self.vms} VMs, {self.operations} "
            f"operations and {self.faults} faults in the scenarios' own, {self.audits + self.vms} audits at least"
        )


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    minutes: int
    platforms: tuple[str, ...]
    mmu: str
    seed: int

    def seed_of(self, number: int) -> int:
        """One scenario's; the first is that of the whole."""
        return (self.seed + number * 1_000_003) % SEEDS

    def again(self) -> str:
        words = [f"MINUTES={self.minutes}", f"SEED={self.seed}"]
        words += [f"PLATFORM={self.platforms[0]}"] if len(self.platforms) == 1 else []
        return " ".join(["make soak", *words, *([f"MMU={self.mmu}"] if self.mmu else [])])


def make_plan(env: Mapping[str, str]) -> Plan:
    platform = choose("PLATFORM", env.get("PLATFORM", "").strip(), PLATFORMS)
    seed = parse_count("SEED", env.get("SEED", "").strip(), 0, SEEDS - 1)
    return Plan(
        parse_count("MINUTES", env.get("MINUTES", "").strip(), 1, 100_000) or 10,
        (platform,) if platform else VENDORS,
        choose("MMU", env.get("MMU", "").strip(), MMUS) or "",
        int.from_bytes(os.urandom(4), "little") % SEEDS if seed is None else seed,
    )


def make_scenario(folder: Path, seed: int, platform: str) -> Scenario:
    """A random one, which is left in the folder; one in five is a shipped one with another seed."""
    shipped = scenario.shipped()
    if seed % 5 == 0:
        return replace(scenario.read(shipped[seed // 5 % len(shipped)]), seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"soak-{seed}.scn"
    path.write_text(random_scenario(seed, platform != "bochs-vmx"))
    return scenario.read(path)


def soak_spec(one: Scenario, platform: str, mmu: str) -> BootSpec:
    return make_spec(platform, list(scenario.modules(one, mmu)), cmdline=f"log=debug {one.boot}", smp=2, mem=512)


def run_one(one: Scenario, platform: str, mmu: str, work: Path) -> tuple[BootResult, list[Case]]:
    spec = soak_spec(one, platform, mmu)
    result = boot(spec, work, limits_of(spec))
    cases = judge(result, Expect(ktap=scenario.vm_names(one)))
    discard_media(work)
    return result, [case for case in cases if case.status == "failed"]


# ---- the crash bundle -----------------------------------------------------------------------------


def reports_of(lines: list[str]) -> list[str]:
    """What the hypervisor said of each VM at its end: statistics, latencies, audit; and what of a crash."""
    out: list[str] = []
    inside = False
    for line in lines:
        inside = line.startswith(("---- ", "panic")) or (inside and line.startswith(" "))
        if inside or "audit:" in line or "panic" in line:
            out.append(line)
    return out


def events_of(lines: list[str]) -> list[str]:
    """What was done last to the memory of each VM that failed, or of all in a crash."""
    out: list[str] = []
    name, inside = "", False
    for line in lines:
        if line.startswith(("---- ", "events of ")):
            name = line
        inside = inside or line.startswith("  last ")
        if inside:
            out += [name] if name not in out else []
            out.append(line)
        inside = inside and not line.startswith("  under way")
    return out


def save_bundle(folder: Path, one: Scenario, result: BootResult, failed: list[Case], again: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = result.console.lines
    problems = [line for case in failed for line in (case.name, *(f"    {text}" for text in case.detail))]
    texts = {
        "again.txt": [again, f"seed {one.seed}"],
        "problems.txt": [result.problem() or "the hypervisor reports ok", *problems],
        "console.log": lines,
        "log.txt": [line for line in lines if re.match(r"\[ *\d+\.\d+\]", line)],
        "last.txt": lines[-LAST_LINES:],
        "stats.txt": reports_of(lines),
        "events.txt": events_of(lines),
        "emulator.txt": result.complaints(),
    }
    for name, content in texts.items():
        (folder / name).write_text("\n".join(content) + "\n")
    shutil.copyfile(ROOT / one.file, folder / "scenario.scn")


def complain(folder: Path, failed: list[Case], again: str) -> None:
    for case in failed:
        print(f"# failed: {case.name}")
        print("\n".join(f"#     {line}" for line in case.detail[:12]))
    say(f"everything that is known of it lies in {folder}")
    say(f"again: {again}")


# ---- the run ----------------------------------------------------------------------------------------


@dataclass
class Soak:
    """One run of it."""

    plan: Plan
    folder: Path
    totals: dict[str, Totals] = field(default_factory=dict)

    def step(self, number: int) -> bool:
        """One scenario; false: it found something."""
        plan = self.plan
        platform = plan.platforms[number % len(plan.platforms)]
        one = make_scenario(self.folder, plan.seed_of(number), platform)
        result, failed = run_one(one, platform, plan.mmu, self.folder / "work")
        self.totals.setdefault(platform, Totals()).add(one, result)
        beside = f" beside {', '.join(other.kernel for other in one.beside)}" if one.beside else ""
        took = f"{result.ending.seconds:.1f} s"
        verdict = "FAILED" if failed else "ok"
        say(f"{platform} {one.name}, seed {one.seed}: {verdict}, {took}, {len(one.script)} statements{beside}")
        if failed:
            again = scenario.replay(one, platform, plan.mmu)
            save_bundle(self.folder / "failure", one, result, failed, again)
            complain(self.folder / "failure", failed, again)
        elif one.name.startswith("soak-"):
            (ROOT / one.file).unlink()
        return not failed

    def run(self) -> bool:
        end = time.monotonic() + 60 * self.plan.minutes
        number, good = 0, True
        while good and time.monotonic() < end:
            good = self.step(number)
            number += 1
        for platform, totals in self.totals.items():
            say(totals.line(platform))
        return good


def command_soak(env: Mapping[str, str] = os.environ) -> int:
    plan = make_plan(env)
    deps.install(sorted({"python", "build"} | {need for name in plan.platforms for need in needs_of(name)}))
    build.make("all")
    say(f"seed {plan.seed}: {plan.again()}")
    good = Soak(plan, build_dir() / "soak").run()
    say(f"soak: {'no violations' if good else 'VIOLATION'}, seed {plan.seed}")
    return 0 if good else 1


def needs_of(platform: str) -> list[str]:
    if platform == "kvm":
        raise UserError("make soak runs on the emulated platforms: PLATFORM=qemu-svm or bochs-vmx")
    return deps.needs_of_boot(platform, "grub-bios" if platform == "bochs-vmx" else "pvh")
