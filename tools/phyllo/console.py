# SPDX-License-Identifier: GPL-2.0-only
"""The hypervisor's console as a stream of lines: what was said, which stage, how it ended."""

import re
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

# "[    0.012345] stage: host memory"
STAGE = re.compile(r"^\[\s*\d+\.\d+\] stage: (.+)$")
END = re.compile(r"^phyllo: end: (ok|failed)(?:: (.*))?$")
GUEST_LINE = re.compile(r"^([A-Za-z0-9._+-]+)\| ?(.*)$")
# Terminal control sequences: GRUB and firmware draw with them.
ESCAPE = re.compile(rb"\x1b(?:\[[0-9;?=]*[A-Za-z]|[()].|[=>78cM])|\0")
# One that may go on in the next piece.
ESCAPE_BEGUN = re.compile(rb"\x1b(?:\[[0-9;?=]{0,16}|[()])?$")


class Cleaner:
    """Takes control sequences and NULs out of a stream of bytes."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        data = self.held + data
        begun = ESCAPE_BEGUN.search(data)
        self.held = data[begun.start() :] if begun else b""
        return ESCAPE.sub(b"", data[: begun.start()] if begun else data)


@dataclass
class Stage:
    """A stage and when it began, in seconds of wall clock after the start."""

    name: str
    at: float


@dataclass
class Console:
    """Collects the output of one boot."""

    echo: Optional[Callable[[bytes], None]] = None
    start: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    ended: Optional[str] = None  # "ok", "failed"
    end_reason: str = ""
    prompt: bool = False  # waiting for a user
    ends_with_newline: bool = True
    partial: bytes = b""
    cleaner: Cleaner = field(default_factory=Cleaner)

    def feed(self, data: bytes) -> None:
        data = self.cleaner.feed(data)
        if self.echo:
            self.echo(data)
        *whole, self.partial = (self.partial + data).split(b"\n")
        for raw in whole:
            self.add_line(raw.decode("utf-8", "replace").strip("\r").rstrip())
        self.prompt = self.prompt or self.partial.lstrip(b"\r").startswith(b"phyllo> ")

    def finish(self) -> None:
        """The last line may lack its end."""
        self.ends_with_newline = not self.partial
        if self.partial:
            self.add_line(self.partial.decode("utf-8", "replace").strip("\r").rstrip())
            self.partial = b""

    def add_line(self, line: str) -> None:
        self.lines.append(line)
        stage = STAGE.match(line)
        if stage:
            self.stages.append(Stage(stage[1], time.monotonic() - self.start))
        end = END.match(line)
        if end:
            self.ended, self.end_reason = end[1], end[2] or ""

    def last_stage(self) -> str:
        return self.stages[-1].name if self.stages else "none (firmware or boot loader)"

    def stage_times(self, total: float) -> list[tuple[str, float]]:
        """Each stage with how long it took; the time before the first belongs to the loader."""
        marks = [Stage("firmware and loader", 0.0), *self.stages]
        ends = [stage.at for stage in marks[1:]] + [total]
        return [(stage.name, max(0.0, end - stage.at)) for stage, end in zip(marks, ends)]

    def guest_lines(self) -> dict[str, list[str]]:
        """The lines of each guest, without their prefix."""
        guests: dict[str, list[str]] = {}
        for line in self.lines:
            match = GUEST_LINE.match(line)
            if match:
                guests.setdefault(match[1], []).append(match[2])
        return guests

    def tail(self, count: int) -> list[str]:
        return [line for line in self.lines if line][-count:]
