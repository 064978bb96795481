# SPDX-License-Identifier: GPL-2.0-only
"""Read KTAP, and distrust it: a plan that is not fulfilled is a failure, and so is no plan at all."""

import re
from dataclasses import dataclass, field
from typing import Iterable, Optional

PLAN = re.compile(r"^1\.\.(\d+)(?:\s+#\s*SKIP\b\s*(.*))?$", re.IGNORECASE)
RESULT = re.compile(r"^(ok|not ok)\b\s*(\d+)?\s*(?:- )?(.*)$")
DIRECTIVE = re.compile(r"^(.*?)\s*#\s*(SKIP|TODO)\b[:\s]*(.*)$", re.IGNORECASE)
NESTED_FAILURE = re.compile(r"^\s+not ok\b(?!.*#\s*(?:SKIP|TODO))", re.IGNORECASE)


@dataclass
class Case:
    """One result."""

    name: str
    status: str  # "passed", "failed", "skipped"
    detail: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        return self.detail[0] if self.detail else ""


class Reader:
    """Takes lines, makes cases."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.planned: Optional[int] = None
        self.notes: list[str] = []  # lines since the last result: they explain the next
        self.nested_failed = False
        self.wrong: list[str] = []  # what is not as KTAP wants it

    def feed(self, line: str) -> None:
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            self.add_plan(int(plan[1]), plan[2])
        elif result:
            self.add_result(result[1] == "ok", result[2], result[3])
        elif line.startswith("Bail out!"):
            self.wrong.append(line)
        elif line.strip() and not line.startswith(("KTAP version", "TAP version")):
            self.nested_failed = self.nested_failed or bool(NESTED_FAILURE.match(line))
            self.notes.append(line)

    def add_plan(self, count: int, skip: Optional[str]) -> None:
        if self.planned is not None:
            self.wrong.append("there are two plans")
        self.planned = count
        if count == 0:
            if skip:
                self.cases.append(Case("all", "skipped", [skip]))
            else:
                self.wrong.append("the plan is empty")

    def add_result(self, passed: bool, number: Optional[str], text: str) -> None:
        done = len(self.cases)
        directive = DIRECTIVE.match(text)
        name = (directive[1] if directive else text).strip() or f"test {done + 1}"
        if number and int(number) != done + 1:
            self.wrong.append(f"result {number} ({name}) came as number {done + 1}")
        case = Case(name, "passed" if passed else "failed", self.notes)
        if directive and directive[2].upper() == "SKIP" and passed:
            self.add_skip(case, directive[3].strip())
        elif passed and self.nested_failed:
            case.status = "failed"
            case.detail = [*self.notes, "says ok though a nested test failed"]
        self.cases.append(case)
        self.notes, self.nested_failed = [], False

    def add_skip(self, case: Case, reason: str) -> None:
        if reason:
            case.status, case.detail = "skipped", [reason]
        else:
            case.status, case.detail = "failed", ["skipped without a reason"]

    def finish(self) -> list[Case]:
        """All cases; what is wrong with the whole is one more, failed."""
        results = len(self.cases)
        if self.planned is None:
            self.wrong.append("there is no plan: the test did not begin" if not results else "there is no plan")
        elif results < self.planned:
            self.wrong.append(f"{self.planned} tests were planned, {results} reported")
        elif self.planned and results > self.planned:
            self.wrong.append(f"{self.planned} tests were planned, but {results} reported")
        if self.wrong:
            self.cases.append(Case("completeness", "failed", [*self.wrong, *self.notes[-15:]]))
        return self.cases


def parse(lines: Iterable[str]) -> list[Case]:
    reader = Reader()
    for line in lines:
        reader.feed(line)
    return reader.finish()


def format_cases(name: str, number: int, cases: list[Case], seconds: float) -> str:
    """One group as a nested KTAP block with its result line."""
    out = ["    KTAP version 1", f"    1..{len(cases)}"]
    for index, case in enumerate(cases, start=1):
        if case.status == "failed":
            out += [f"    # {line}" for line in case.detail]
        word = "not ok" if case.status == "failed" else "ok"
        skip = f" # SKIP {case.reason}" if case.status == "skipped" else ""
        out.append(f"    {word} {index} {case.name}{skip}")
    failed = any(case.status == "failed" for case in cases)
    out.append(f"{'not ok' if failed else 'ok'} {number} {name} # {seconds:.1f} s")
    return "\n".join(out)
