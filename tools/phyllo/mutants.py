# SPDX-License-Identifier: GPL-2.0-only
"""`make mutants`: do the hosted tests notice when a line of mm/, or of the scheduler in host/, is wrong?

Each tests/mutants/NAME.patch takes one thing away that matters.  It is applied to a copy of the
sources, what it touches is compiled and linked before the library of the right sources, and the tests
run, until one fails (by a check, a sanitizer, a BUG or a time-out): then the mutant is killed.  A
patch that does not apply or does not compile is an error of ours, never a kill.
"""

import json
import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from typing import Sequence

from . import build, deps
from .config import ROOT, UserError, build_dir
from .mutant_kits import SCHEDULER, ExploreKit, HostedKit, Kit, TsanKit
from .processes import Stopped, run, stop_all
from .suite_hosted import SANITIZERS

WORKERS = 2
PASS_PERCENT = 95
COMPILE_LIMIT = 120
# A test that needs this many times what it needed without the mutant hangs; and at least so long.
SLOW_FACTOR = 10
SLOW_FLOOR = 15.0
# What the tests are built from; hosted objects name them relative to the tree.
SOURCE_DIRS = ("mm", "lib", "host", "boot", "vmm", "arch", "include", "tests/host", "tests/models")
# The tests that see mm/ and the scheduler, quick ones first.
TESTS = (
    "test_mmu*.c", "test_shadow*.c", "test_rmap.c", "test_sync.c", "test_gwalk.c", "test_runqueue.c", "test_thread.c",
    "test_timer.c",
)  # fmt: skip
# Under ThreadSanitizer too: by these names, below build/.
TSAN_TESTS = ("tsan/test_rmap",)
# Slow, and what it finds depends on luck.
LEFT_OUT = ("test_mmu_stress.c",)
EXPLORER = "explore"
# Tests that run nothing of mm/ but these units.
NEEDS_ONLY = {
    "test_sync": {"mm/sync"}, "test_rmap": {"mm/rmap"}, "tsan/test_rmap": {"mm/rmap"},
    "test_runqueue": {"host/runqueue"}, "test_thread": SCHEDULER, "test_timer": SCHEDULER,
}  # fmt: skip
NOTICE_MOST = ("test_mmu_oracle", "test_mmu_order")
MEASURE_LIMIT = 600


@dataclass(frozen=True)
class Mutant:
    """A patch and what its head says."""

    name: str
    patch: Path
    case: str  # H4 … H20, or own
    why: str
    by: str  # the test that is known to notice; "" when none is named


@dataclass
class Result:
    """What became of it."""

    name: str
    case: str
    state: str  # killed, survived, error
    by: str  # the test, and what it said
    seconds: float


def read_mutant(path: Path) -> Mutant:
    head = path.read_text().split("\n--- ", 1)[0]
    field = {m[1]: m[2].strip() for m in re.finditer(r"^(Case|Why|By):(.*)$", head, re.MULTILINE)}
    if not re.fullmatch(r"H\d+|own", field.get("Case", "")) or not field.get("Why"):
        raise UserError(f"{path.relative_to(ROOT)}: its head lacks a line 'Case: H<number>' (or own) or 'Why: …'")
    return Mutant(path.stem, path, field["Case"], field["Why"], field.get("By", ""))


def find_mutants(words: list[str]) -> list[Mutant]:
    paths = sorted((ROOT / "tests/mutants").glob("*.patch"))
    mutants = [read_mutant(path) for path in paths]
    chosen = [m for m in mutants if not words or any(word in (m.name, m.case) or word in m.name for word in words)]
    if not chosen:
        raise UserError("no mutant has such a name; tests/mutants/ has: " + ", ".join(m.name for m in mutants))
    return chosen


# ---- the tests, as they are without a mutant -----------------------------------------------


class Bench:
    """The unchanged build, the tests and how long each takes."""

    def __init__(self) -> None:
        hosted = HostedKit()
        paths = {path for pattern in TESTS for path in (ROOT / "tests/host").glob(pattern)}
        self.kits: dict[str, Kit] = {path.stem: hosted for path in paths if path.name not in LEFT_OUT}
        self.kits[EXPLORER] = ExploreKit()
        tsan = TsanKit()
        self.kits.update({name: tsan for name in TSAN_TESTS})
        self.tests: list[str] = []
        self.seconds: dict[str, float] = {}

    def measure(self) -> None:
        """Every test must pass now, or no mutant says anything."""
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self.measure_one, self.kits))
        self.tests = sorted(self.seconds, key=lambda name: self.seconds[name])

    def run_unchanged(self, test: str) -> str:
        kit = self.kits[test]
        program = kit.objects / test if isinstance(kit, HostedKit) else kit.objects.parent / test
        return failure(kit.run_argv(program), MEASURE_LIMIT, kit.objects)

    def passes(self, test: str) -> bool:
        """Does it pass right now without the mutant?  On a busy machine a test may fail by itself."""
        return not self.run_unchanged(test)

    def measure_one(self, test: str) -> None:
        start = time.monotonic()
        said = self.run_unchanged(test)
        if said:
            raise UserError(f"{test} fails without any mutant: {said}")
        self.seconds[test] = time.monotonic() - start


def failure(argv: Sequence[str], limit: float, cwd: Path) -> str:
    """Runs a test; empty when it passes, else the line that says best how it failed."""
    code, output = run(argv, limit, cwd, {**os.environ, **SANITIZERS})
    if code == 0:
        return ""
    if code is None:
        return f"did not end within {limit:.0f} s"
    lines = output.splitlines()
    for pattern in (r"BUG at", r"(ERROR|WARNING): \w+Sanitizer", r"runtime error", r"violation", r"^not ok", r"^# "):
        for line in lines:
            if re.search(pattern, line):
                return line.strip("# ").strip()[:150]
    return f"ended with exit code {code}"


# ---- one mutant -----------------------------------------------------------------------------


class Failed(Exception):
    """The mutant is no mutant: it does not apply or does not compile."""


class Worker:
    """A copy of the sources that one mutant after the other is applied to."""

    def __init__(self, bench: Bench, number: int) -> None:
        self.bench = bench
        self.home = build_dir().resolve() / "mutants" / str(number)
        shutil.rmtree(self.home, ignore_errors=True)
        # As it was when the tests were built, whatever is edited meanwhile.
        self.pristine, self.tree, self.out = (self.home / name for name in ("pristine", "tree", "out"))
        for name in SOURCE_DIRS:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.pristine / name)
        shutil.copytree(self.pristine, self.tree)

    def apply(self, mutant: Mutant) -> list[str]:
        """The files that it changed."""
        names = re.findall(r"^\+\+\+ b/(\S+)", mutant.patch.read_text(), re.MULTILINE)
        argv = ["patch", "-p1", "-F3", "-s", "-t", "-N", "--no-backup-if-mismatch", "-i", str(mutant.patch)]
        code, output = run(argv, 60, self.tree)
        if code or not names:
            raise Failed("does not apply: " + (" ".join(output.split()) or "it names no file"))
        return names

    def restore(self, mutant: Mutant) -> None:
        for name in re.findall(r"^\+\+\+ b/(\S+)", mutant.patch.read_text(), re.MULTILINE):
            shutil.copyfile(self.pristine / name, self.tree / name)
            for extra in (".orig", ".rej"):
                Path(f"{self.tree / name}{extra}").unlink(missing_ok=True)

    def compile(self, kit: Kit, files: Sequence[str]) -> dict[str, Path]:
        """The units made from the changed files, compiled again."""
        changed = {}
        for unit in kit.units(files):
            target = self.out / type(kit).__name__ / f"{unit}.o"
            target.parent.mkdir(parents=True, exist_ok=True)
            code, output = run(kit.compile_argv(unit, target), COMPILE_LIMIT, self.tree)
            if code:
                errors = [line for line in output.splitlines() if "error" in line] or ["?"]
                raise Failed(f"does not compile: {errors[0]}")
            changed[unit] = target
        if not changed:
            raise Failed(f"no test is built from {', '.join(files)}")
        return changed

    def test(self, name: str, changed: dict[str, Path]) -> str:
        """Empty when it passes in spite of the mutant."""
        kit, program = self.bench.kits[name], self.out / name
        program.parent.mkdir(exist_ok=True)
        code, output = run(kit.link_argv(name, program, changed), COMPILE_LIMIT, self.tree)
        if code:
            raise Failed("does not link: " + " ".join(output.splitlines()[-3:]))
        limit = max(SLOW_FLOOR, SLOW_FACTOR * self.bench.seconds[name])
        said = failure(kit.run_argv(program), limit, self.out)
        program.unlink()
        return said

    def judge(self, mutant: Mutant, order: Sequence[str]) -> tuple[str, str]:
        files = self.apply(mutant)
        built: dict[Kit, dict[str, Path]] = {}
        for name in order:
            kit = self.bench.kits[name]
            if kit not in built:
                built[kit] = self.compile(kit, files)
            if not built[kit].keys() & NEEDS_ONLY.get(name, built[kit].keys()):
                continue
            said = self.test(name, built[kit])
            if said and self.bench.passes(name):
                return "killed", f"{name}: {said}"
        return "survived", ""

    def run(self, mutant: Mutant, order: Sequence[str]) -> Result:
        start = time.monotonic()
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        try:
            state, by = self.judge(mutant, order)
        except Failed as err:
            state, by = "error", str(err)
        finally:
            self.restore(mutant)
        return Result(mutant.name, mutant.case, state, by, round(time.monotonic() - start, 1))


# ---- all of them ------------------------------------------------------------------------------


def order_of(mutant: Mutant, bench: Bench, before: dict[str, str]) -> list[str]:
    """First what is said to notice it, then what noticed it last time, then what notices most, then the quick ones."""
    hints = [mutant.by, before.get(mutant.name, ""), *NOTICE_MOST]
    return sorted(bench.tests, key=lambda test: hints.index(test) if test in hints else len(hints))


def save(path: Path, results: Sequence[Result]) -> None:
    """After every one of them: a run that is stopped has not been for nothing."""
    found = {result.name: asdict(result) for result in results}
    old = last_results(path)
    known = {path.stem for path in (ROOT / "tests/mutants").glob("*.patch")}
    merged = {name: found.get(name) or old[name] for name in sorted(known & (found.keys() | old.keys()))}
    path.write_text(json.dumps({"mutants": list(merged.values())}, indent=1))


def last_results(path: Path) -> dict[str, dict]:
    try:
        return {entry["name"]: entry for entry in json.loads(path.read_text())["mutants"]}
    except (OSError, ValueError, KeyError):
        return {}


def last_killers(path: Path) -> dict[str, str]:
    return {name: entry["by"].split(":")[0] for name, entry in last_results(path).items()}


def print_result(result: Result) -> None:
    print(f"{result.case:4} {result.name:34} {result.state:9} {result.seconds:6.1f} s  {result.by}", flush=True)


def run_mutants(mutants: Sequence[Mutant], bench: Bench, report: Path) -> list[Result]:
    idle: Queue[Worker] = Queue()
    before = last_killers(report)
    done: list[Result] = []
    for number in range(WORKERS):
        idle.put(Worker(bench, number))
    printing = threading.Lock()

    def one(mutant: Mutant) -> Result:
        worker = idle.get()
        try:
            result = worker.run(mutant, order_of(mutant, bench, before))
        finally:
            idle.put(worker)
        with printing:
            print_result(result)
            done.append(result)
            save(report, done)

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for future in as_completed([pool.submit(one, mutant) for mutant in mutants]):
                future.result()
        except BaseException:
            stop_all()
            pool.shutdown(cancel_futures=True)
            raise
    return sorted(done, key=lambda result: result.name)


def verdict(results: Sequence[Result], seconds: float) -> int:
    """The totals; 1 when a named one lives, too many do, or one is no mutant."""
    killed = sum(result.state == "killed" for result in results)
    named = [r for r in results if r.case != "own"]
    bad = [r for r in results if r.state == "error" or (r.state == "survived" and r.case != "own")]
    for result in results:
        if result.state != "killed":
            print(f"# {result.state}: {result.case} {result.name} {result.by}")
    cases = sorted({r.case for r in named if r.state == "killed"}, key=lambda case: int(case[1:]))
    print(f"# named cases killed: {', '.join(cases) or 'none'}")
    print(f"{killed} of {len(results)} mutants killed ({100 * killed // len(results)} %), in {seconds:.0f} s")
    return 1 if bad or 100 * killed < PASS_PERCENT * len(results) else 0


def command_mutants() -> int:
    start = time.monotonic()
    deps.install(("python", "build", "hosted", "mutants"))
    mutants = find_mutants(os.environ.get("ONLY", "").split())
    build.make("host-tests", "explorer", "stress-program")
    bench = Bench()
    bench.measure()
    print(f"# {len(mutants)} mutants against {', '.join(bench.tests)}", flush=True)
    results = run_mutants(mutants, bench, build_dir() / "mutants.json")
    seconds = time.monotonic() - start
    return verdict(results, seconds)
