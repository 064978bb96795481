# SPDX-License-Identifier: GPL-2.0-only
"""Boot once and judge: the heart of `make run` and of every booted test."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from .console import Console
from .emulator import Ending, Limits, Session
from .platforms import EXIT_MEANING, EXIT_OK, BootSpec, make_machine

TAIL = 25  # lines of output shown with a failure


@dataclass
class BootResult:
    """What one boot said and how it ended."""

    spec: BootSpec
    console: Console
    ending: Ending
    has_exit_code: bool

    @property
    def text(self) -> str:
        return "\n".join(self.console.lines)

    @property
    def code(self) -> Optional[int]:
        """The emulator's exit code where it means something."""
        return self.ending.code if self.has_exit_code else None

    def problem(self) -> str:
        """One sentence, or empty: the hypervisor said ok, and so did the exit code."""
        console, ending = self.console, self.ending
        if ending.tripped:
            return f"{ending.tripped}; the last stage reached was: {console.last_stage()}"
        if self.has_exit_code and ending.code in EXIT_MEANING and ending.code != EXIT_OK:
            why = f" ({console.end_reason})" if console.end_reason else ""
            return f"exit code {ending.code}: {EXIT_MEANING[ending.code]}{why}"
        if console.ended is None:
            last = f"the last stage reached was: {console.last_stage()}"
            code = f" with code {ending.code}" if self.has_exit_code else ""
            return f"the emulator ended{code} before the hypervisor did; {last}"
        if console.ended != "ok":
            return f"the hypervisor reports: {console.end_reason or 'failed'}"
        if self.has_exit_code and ending.code != EXIT_OK:
            return f"the hypervisor reports ok, but the exit code is {ending.code}"
        return ""

    def complaints(self) -> list[str]:
        """The end of what the emulator itself said.  Both always say something (QEMU warns of each part of the
        EPYC that it lacks), so this is of use only where the hypervisor did not come to its end."""
        lines = [line for line in self.ending.stderr.splitlines() if line.strip() and "warning: TCG" not in line]
        return lines[-6:]

    def report(self) -> list[str]:
        """The problem, the end of the output and the emulator's own complaints."""
        lines = [self.problem() or "ended ok"]
        lines += [f"  | {line}" for line in self.console.tail(TAIL)]
        if self.console.ended is None:
            lines += [f"  ! {line}" for line in self.complaints()]
        return lines


def boot(
    spec: BootSpec,
    work: Path,
    limits: Limits,
    echo: Optional[Callable[[bytes], None]] = None,
    keyboard: Optional[int] = None,
    scripted: bool = False,
) -> BootResult:
    """Make the media in work, run to the end, keep the log in work/console.log.  What is at the keyboard is a user,
    who may take his time at the prompt, unless it is scripted."""
    shutil.rmtree(work, ignore_errors=True)
    machine = make_machine(spec, work)
    console = Console(echo=echo, start=time.monotonic())
    session = Session(
        machine, limits, console.feed, keyboard=keyboard,
        waiting=lambda: keyboard is not None and not scripted and console.prompt,
    )  # fmt: skip
    try:
        ending = session.run()
    finally:
        console.finish()
        (work / "console.log").write_text("\n".join(console.lines) + "\n")
    return BootResult(spec, console, ending, machine.has_exit_code)


def discard_media(work: Path) -> None:
    """Images are large and made anew each time; logs stay."""
    for pattern in ("*.iso", "*.img", "*.fd", "*.cpio", "com1"):
        for path in work.glob(pattern):
            path.unlink()
