# SPDX-License-Identifier: GPL-2.0-only
"""Tests that run on the host: unit tests under the sanitizers, fuzzers, and the runner's own."""

import os
import re
import sys
import unittest
from pathlib import Path

from .config import ROOT, build_dir
from .ktap import Case, parse
from .processes import run
from .testing import Test

TEST_LIMIT = 300  # seconds for one hosted test program
FUZZ_SECONDS = 20  # each, within `make test`
STRESS_SECONDS = 30  # under ThreadSanitizer, within `make test`
TSAN_PROGRAMS = ("rmap", "shadow_threads")
TSAN_LIMIT = 300
STRESS_SECONDS_SHORT = 6  # within `make check`
FUZZ_SEED = 20200101
EXPLORE_SECONDS = 20  # for the scenarios together, within `make check`

# A leak is a bug too, and a report must end the program.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
}


def run_program(argv: list[str], work: Path, limit: float) -> tuple[int | None, list[str]]:
    """Exit code (None: did not end in time) and output lines, which are kept in work."""
    work.mkdir(parents=True, exist_ok=True)
    code, output = run(argv, limit, work, {**os.environ, **SANITIZERS})
    (work / "output.log").write_text(output)
    return code, output.splitlines()


def ending_case(code: int | None, lines: list[str], limit: float, cases_failed: bool) -> list[Case]:
    """A program must also end well: no sanitizer report, no crash, in time."""
    if code == 0 or (code == 1 and cases_failed and not any("Sanitizer" in line for line in lines)):
        return []
    what = f"did not end within {limit:.0f} s" if code is None else f"ended with exit code {code}"
    return [Case("exit", "failed", [what, *lines[-40:]])]


def hosted_test(source: Path) -> Test:
    name = source.stem.removeprefix("test_")

    def run_test(work: Path) -> list[Case]:
        program = build_dir() / "hosted" / source.stem
        if not program.is_file():
            return [Case("build", "failed", [f"{program} was not built"])]
        code, lines = run_program([str(program)], work, TEST_LIMIT)
        cases = parse(lines)
        failed = any(case.status == "failed" for case in cases)
        return cases + ending_case(code, lines, TEST_LIMIT, failed)

    return Test(f"hosted/{name}", run_test)


def hosted_tests() -> list[Test]:
    """One per tests/host/test_*.c: the sources are the list, so an unbuilt one fails."""
    sources = sorted((ROOT / "tests/host").glob("test_*.c"))
    if not sources:
        return [Test("hosted/none", lambda work: [Case("sources", "failed", ["tests/host/ holds no test_*.c"])])]
    return [hosted_test(source) for source in sources]


# ---- fuzzers --------------------------------------------------------------------------


def fuzz_test(source: Path, seconds: int) -> Test:
    name = source.stem.removeprefix("fuzz_")

    def run_test(work: Path) -> list[Case]:
        program = build_dir() / "fuzz" / source.stem
        if not program.is_file():
            return [Case("build", "failed", [f"{program} was not built"])]
        corpus = build_dir() / "fuzz-corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
        seeds = [path for path in (ROOT / "tests/fuzz/corpus" / name,) if path.is_dir()]
        argv = [
            str(program), f"-max_total_time={seconds}", f"-seed={FUZZ_SEED}", "-timeout=10", "-rss_limit_mb=2048",
            "-print_final_stats=1", f"-artifact_prefix={work}/", str(corpus), *map(str, seeds),
        ]  # fmt: skip
        limit = seconds + 120
        code, lines = run_program(argv, work, limit)
        units = re.search(r"stat::number_of_executed_units:\s*(\d+)", "\n".join(lines))
        if code == 0 and units and int(units[1]) > 0:
            return [Case(f"no finding in {seconds} s", "passed", [f"{units[1]} inputs"])]
        what = f"did not end within {limit} s" if code is None else f"ended with exit code {code}"
        return [Case("no finding", "failed", [f"{what}; inputs are in {work}", *lines[-60:]])]

    return Test(f"fuzz/{name}", run_test)


def fuzz_tests(seconds: int = FUZZ_SECONDS) -> list[Test]:
    sources = sorted((ROOT / "tests/fuzz").glob("fuzz_*.c"))
    if not sources:
        return [Test("fuzz/none", lambda work: [Case("sources", "failed", ["tests/fuzz/ holds no fuzz_*.c"])])]
    return [fuzz_test(source, seconds) for source in sources]


# ---- the stress under ThreadSanitizer ----------------------------------------------------


def stress_tests(seconds: int) -> list[Test]:
    """Everything that mm/ offers, at once, on threads; `make stress` runs it for longer."""

    def run_test(work: Path) -> list[Case]:
        program = build_dir() / "tsan/test_mmu_stress"
        if not program.is_file():
            return [Case("build", "failed", [f"{program} was not built"])]
        # The sanitizer slows the start and the end down as well.
        limit = 2 * seconds + 120
        code, lines = run_program(["env", f"HOSTED_STRESS_MS={1000 * seconds}", str(program)], work, limit)
        cases = parse(lines)
        return cases + ending_case(code, lines, limit, any(case.status == "failed" for case in cases))

    return [Test("stress/tsan", run_test), *map(tsan_test, TSAN_PROGRAMS)]


def tsan_test(name: str) -> Test:
    """A test of threads as it is, under ThreadSanitizer."""

    def run_test(work: Path) -> list[Case]:
        program = build_dir() / "tsan" / f"test_{name}"
        if not program.is_file():
            return [Case("build", "failed", [f"{program} was not built"])]
        code, lines = run_program([str(program)], work, TSAN_LIMIT)
        cases = parse(lines)
        return cases + ending_case(code, lines, TSAN_LIMIT, any(case.status == "failed" for case in cases))

    return Test(f"stress/{name}", run_test)


# ---- the interleaving explorer ----------------------------------------------------------


def explore_test(seconds: int) -> Test:
    """All scenarios and models of tests/host/explore/; each is a case, and its counts are in the log."""

    def run_test(work: Path) -> list[Case]:
        program = build_dir() / "explore/explore"
        if not program.is_file():
            return [Case("build", "failed", [f"{program} was not built"])]
        limit = 10 * seconds + 120
        code, lines = run_program([str(program), "run", "--seconds", str(seconds)], work, limit)
        cases = parse(lines)
        return cases + ending_case(code, lines, limit, any(case.status == "failed" for case in cases))

    return Test("explore", run_test)


def explore_tests(seconds: int = EXPLORE_SECONDS) -> list[Test]:
    return [explore_test(seconds)]


# ---- the runner itself -----------------------------------------------------------------


class Collector(unittest.TestResult):
    """unittest results as cases."""

    def __init__(self) -> None:
        super().__init__()
        self.cases: list[Case] = []

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.cases.append(Case(test.id().split(".", 1)[-1], "passed"))

    def failure(self, test: unittest.TestCase, err: tuple) -> None:
        lines = self._exc_info_to_string(err, test).splitlines()  # type: ignore[attr-defined]
        self.cases.append(Case(test.id().split(".", 1)[-1], "failed", [lines[-1], *lines]))

    def addError(self, test: unittest.TestCase, err: tuple) -> None:
        self.failure(test, err)

    def addFailure(self, test: unittest.TestCase, err: tuple) -> None:
        self.failure(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.cases.append(Case(test.id().split(".", 1)[-1], "skipped", [reason]))


def run_selftest(work: Path) -> list[Case]:
    """In a process of its own: some of these tests send signals."""
    argv = [sys.executable, "-B", "-m", "phyllo", "selftest"]
    code, lines = run_program(["env", f"PYTHONPATH={ROOT / 'tools'}", *argv], work, TEST_LIMIT)
    cases = parse(lines)
    return cases + ending_case(code, lines, TEST_LIMIT, any(case.status == "failed" for case in cases))


def runner_tests() -> list[Test]:
    return [Test("runner", run_selftest)]


def command_selftest() -> int:
    """Print the runner's own tests as KTAP."""
    top = str(ROOT / "tools/selftest")
    result = Collector()
    unittest.defaultTestLoader.discover(top, top_level_dir=top).run(result)
    print(f"KTAP version 1\n1..{len(result.cases)}")
    for number, case in enumerate(result.cases, start=1):
        for line in case.detail if case.status == "failed" else []:
            print(f"# {line}")
        skip = f" # SKIP {case.reason}" if case.status == "skipped" else ""
        print(f"{'not ok' if case.status == 'failed' else 'ok'} {number} {case.name}{skip}", flush=True)
    return 1 if any(case.status == "failed" for case in result.cases) else 0
