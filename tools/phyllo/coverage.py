# SPDX-License-Identifier: GPL-2.0-only
"""`make coverage`: which branches of mm/ the hosted tests take.

gcc's own counters and gcov's JSON.  A branch of an assertion (MM_BUG_ON) that never fires is not
something a test could take, so lines with one are left out; how many they are is said.
"""

import gzip
import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

from . import build, deps
from .config import ROOT, UserError, build_dir
from .processes import run

GOAL_PERCENT = 85
TEST_LIMIT = 600
ASSERTION = re.compile(r"MM_BUG_ON|assert_held")


@dataclass
class FileCoverage:
    """The branches of one file: by line, how often each was taken."""

    name: str
    branches: dict[int, list[int]] = field(default_factory=dict)
    assertions: int = 0

    def add(self, line: int, counts: list[int]) -> None:
        """The same line comes from every object that a header is part of."""
        seen = self.branches.setdefault(line, [0] * len(counts))
        seen.extend([0] * (len(counts) - len(seen)))
        for index, count in enumerate(counts):
            seen[index] += count

    def drop_assertions(self) -> None:
        text = (ROOT / self.name).read_text().splitlines()
        for line in [n for n in self.branches if n <= len(text) and ASSERTION.search(text[n - 1])]:
            self.assertions += len(self.branches.pop(line))

    @property
    def total(self) -> int:
        return sum(len(counts) for counts in self.branches.values())

    @property
    def taken(self) -> int:
        return sum(count > 0 for counts in self.branches.values() for count in counts)

    def missing(self) -> list[str]:
        """LINE for a line never reached, LINE:n/m for one with n of m branches not taken."""
        out = []
        for line, counts in sorted(self.branches.items()):
            idle = sum(count == 0 for count in counts)
            if idle:
                out.append(str(line) if idle == len(counts) else f"{line}:{idle}/{len(counts)}")
        return out


def run_programs(home: Path) -> None:
    for path in home.rglob("*.gcda"):
        path.unlink()
    programs = sorted(path for path in home.glob("test_*") if os.access(path, os.X_OK) and path.is_file())
    if not programs:
        raise UserError(f"{home} holds no test programs")
    for program in programs:
        start = time.monotonic()
        code, output = run([str(program)], TEST_LIMIT, home)
        if code:
            tail = "\n".join(output.splitlines()[-10:])
            raise UserError(f"{program.name} fails (exit code {code}):\n{tail}")
        print(f"# {program.name}: {time.monotonic() - start:.0f} s", flush=True)


def gcov_reports(home: Path) -> Iterator[dict]:
    """One JSON document per object of mm/."""
    work = home / "gcov"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for notes in sorted((home / "mm").glob("*.gcno")):
        code, output = run(["gcov", "-b", "-c", "-j", str(notes.resolve())], 60, work)
        if code:
            raise UserError(f"gcov {notes}: {output}")
    for path in sorted(work.glob("*.gcov.json.gz")):
        yield json.loads(gzip.decompress(path.read_bytes()))


def collect(home: Path) -> list[FileCoverage]:
    files: dict[str, FileCoverage] = {}
    for document in gcov_reports(home):
        for entry in document["files"]:
            name = os.path.normpath(entry["file"])
            if not name.startswith("mm/"):
                continue
            here = files.setdefault(name, FileCoverage(name))
            for line in entry["lines"]:
                if line["branches"]:
                    here.add(line["line_number"], [branch["count"] for branch in line["branches"]])
    for entry in files.values():
        entry.drop_assertions()
    return sorted(files.values(), key=lambda entry: entry.name)


def percent(taken: int, total: int) -> float:
    return 100.0 * taken / total if total else 100.0


def command_coverage() -> int:
    deps.install(("python", "build", "hosted"))
    build.make("coverage-programs")
    home = build_dir() / "coverage"
    run_programs(home)
    files = [entry for entry in collect(home) if entry.total]
    for entry in files:
        lines = " ".join(entry.missing())
        print(f"{entry.name:24} {entry.taken:4}/{entry.total:4} {percent(entry.taken, entry.total):5.1f} %  {lines}")
    taken, total = sum(e.taken for e in files), sum(e.total for e in files)
    left_out = sum(e.assertions for e in files)
    summary = {
        "taken": taken, "total": total, "percent": round(percent(taken, total), 1), "assertions": left_out,
        "files": {e.name: {"taken": e.taken, "total": e.total, "missing": e.missing()} for e in files},
    }  # fmt: skip
    (build_dir() / "coverage.json").write_text(json.dumps(summary, indent=1))
    print(f"{taken} of {total} branches of mm/ taken: {percent(taken, total):.1f} % (goal {GOAL_PERCENT} %); "
          f"{left_out} of assertions left out")  # fmt: skip
    return 0 if percent(taken, total) >= GOAL_PERCENT else 1
