# SPDX-License-Identifier: GPL-2.0-only
"""The test scheduler: runs tests beside each other, prints KTAP per test, counts, writes JUnit."""

import fnmatch
import os
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

from .config import UserError, build_dir
from .junit import write_junit
from .ktap import Case, format_cases
from .processes import Stopped, stop_all, stopping

# One emulator per core at most, and more than two fill the memory of a small machine.
WORKERS = max(1, min(2, os.cpu_count() or 1))


@dataclass(frozen=True)
class Test:
    """A group of cases that run together.  run() gets a directory of its own."""

    name: str
    run: Callable[[Path], list[Case]]
    __test__ = False


@dataclass
class Done:
    """A test that ran."""

    name: str
    cases: list[Case]
    seconds: float

    def count(self, status: str) -> int:
        return sum(case.status == status for case in self.cases)


def select(tests: Sequence[Test], patterns: str) -> list[Test]:
    """The tests whose names match one of the words of ONLY= (a part of the name, or a pattern)."""
    words = patterns.split()
    chosen = [t for t in tests if not words or any(w in t.name or fnmatch.fnmatch(t.name, w) for w in words)]
    if not chosen:
        raise UserError(f"ONLY={patterns} matches no test; there are: {', '.join(t.name for t in tests)}")
    return chosen


def run_one(test: Test) -> Done:
    """A test that raises has failed; it does not take the others with it."""
    start = time.monotonic()
    try:
        cases = test.run(build_dir() / "tests" / test.name.replace("/", "-"))
        if not cases:
            cases = [Case("result", "failed", ["the test reported nothing"])]
    except Stopped:
        raise
    except UserError as err:
        cases = [Case("set-up", "failed", str(err).splitlines())]
    except Exception:  # pylint: disable=broad-except
        cases = [Case("runner", "failed", traceback.format_exc().splitlines())]
    return Done(test.name, cases, time.monotonic() - start)


class Heartbeat:
    """Says from time to time what is running, so that nobody waits in the dark."""

    def __init__(self, period: float = 60.0) -> None:
        self.period = period
        self.running: dict[str, float] = {}
        self.lock = threading.Lock()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.beat, daemon=True)

    def beat(self) -> None:
        while not self.done.wait(self.period):
            with self.lock:
                now = time.monotonic()
                text = ", ".join(f"{name} ({now - start:.0f} s)" for name, start in self.running.items())
            print(f"# running: {text or 'nothing'}", flush=True)

    def wrap(self, test: Test) -> Done:
        with self.lock:
            self.running[test.name] = time.monotonic()
        try:
            return run_one(test)
        finally:
            with self.lock:
                self.running.pop(test.name, None)


def run_all(tests: Sequence[Test], workers: int = WORKERS) -> list[Done]:
    """Run, print each group when it is done."""
    done: list[Done] = []
    heartbeat = Heartbeat()
    heartbeat.thread.start()
    print(f"KTAP version 1\n1..{len(tests)}", flush=True)
    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(heartbeat.wrap, test) for test in tests]):
                result = future.result()
                done.append(result)
                print(format_cases(result.name, len(done), result.cases, result.seconds), flush=True)
        except BaseException:
            stop_all()
            raise
        finally:
            heartbeat.done.set()
            pool.shutdown(cancel_futures=True)
    if stopping.is_set():
        raise Stopped
    return done


def totals(done: Sequence[Done]) -> str:
    passed, failed, skipped = (sum(d.count(s) for d in done) for s in ("passed", "failed", "skipped"))
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def report(done: Sequence[Done], seconds: float) -> int:
    """JUnit, the failures once more, the line of totals; the exit code."""
    write_junit(build_dir() / "junit.xml", ((d.name, d.cases, d.seconds) for d in done))
    for result in done:
        for case in result.cases:
            if case.status == "failed":
                print(f"# failed: {result.name}: {case.name}: {case.reason}")
    print(f"# {len(done)} groups in {seconds:.0f} s; JUnit XML in {build_dir() / 'junit.xml'}")
    print(totals(done), flush=True)
    return 1 if any(d.count("failed") for d in done) or not done else 0
