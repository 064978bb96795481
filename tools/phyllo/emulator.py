# SPDX-License-Identifier: GPL-2.0-only
"""Start an emulator, stream its console, end it in time."""

import errno
import os
import pty
import selectors
import subprocess
import termios
import time
import tty
from dataclasses import dataclass, field
from typing import IO, Callable, Optional

from .platforms import Machine
from .processes import Stopped, reap, spawn, stopping

POLL = 0.1  # seconds between looks at limits and at the process
DRAIN = 1.0  # longest we read on when the process has ended


@dataclass(frozen=True)
class Limits:
    """Seconds: for all of it, and between two pieces of output."""

    total: float
    silence: float


@dataclass
class Ending:
    """How the process came to its end."""

    code: Optional[int]  # None: we ended it
    tripped: str  # sentence; empty when no limit tripped
    seconds: float
    stderr: str


@dataclass
class Wire:
    """The console's two directions as descriptors; owned ones are closed at the end."""

    source: Optional[int] = None
    sink: Optional[int] = None
    owned: list[int] = field(default_factory=list)

    def close(self) -> None:
        for fd in self.owned:
            os.close(fd)
        self.owned = []


def open_wire(machine: Machine) -> Wire:
    """A console that is not the process's own stdio."""
    path = machine.console_path
    if machine.console == "stdio" or path is None:
        return Wire()
    path.unlink(missing_ok=True)
    if machine.console == "fifo":
        os.mkfifo(path)
        # read-write: no end of file while the emulator has not opened it yet
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        return Wire(fd, None, [fd])
    master, slave = pty.openpty()  # the slave stays open for the same reason
    path.symlink_to(os.ttyname(slave))
    tty.setraw(slave)
    return Wire(master, master, [master, slave])


@dataclass
class Session:
    """One running emulator and those who talk to it."""

    machine: Machine
    limits: Limits
    on_output: Callable[[bytes], None]
    waiting: Callable[[], bool] = lambda: False  # for a user: no limit then
    keyboard: Optional[int] = None  # descriptor of our terminal
    start: float = field(default_factory=time.monotonic)
    limit_start: float = 0.0
    last_output: float = 0.0

    def run(self) -> Ending:
        self.start = self.limit_start = self.last_output = time.monotonic()
        errors = self.machine.cwd / "emulator.stderr"
        wire = open_wire(self.machine)
        try:
            with open(errors, "wb") as stderr:
                proc = self.launch(wire, stderr)
            try:
                tripped = self.pump(proc, wire)
                code = None if tripped else proc.wait()
            finally:
                reap(proc)
        finally:
            wire.close()
        if stopping.is_set():
            raise Stopped
        text = errors.read_bytes()[-4096:].decode("utf-8", "replace")
        return Ending(code, tripped, time.monotonic() - self.start, text)

    def launch(self, wire: Wire, stderr: IO[bytes]) -> subprocess.Popen:
        own_stdio = wire.source is None
        keys = own_stdio and self.keyboard is not None
        proc = spawn(
            self.machine.argv,
            cwd=self.machine.cwd,
            stdin=subprocess.PIPE if keys else subprocess.DEVNULL,
            stdout=subprocess.PIPE if own_stdio else stderr,
            stderr=stderr,
        )
        if proc.stdout:
            wire.source = proc.stdout.fileno()
        if proc.stdin:
            wire.sink = proc.stdin.fileno()
        return proc

    def pump(self, proc: subprocess.Popen, wire: Wire) -> str:
        """Move bytes until the process ends or a limit trips (then: the sentence)."""
        source, sink = wire.source, wire.sink
        assert source is not None
        os.set_blocking(source, False)
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            if self.keyboard is not None and sink is not None:
                selector.register(self.keyboard, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(POLL):
                    if key.fd == source:
                        if not self.read_console(source):
                            selector.unregister(source)
                    elif not copy_keys(key.fd, sink):
                        selector.unregister(key.fd)
                if stopping.is_set():
                    return "told to stop"
                if proc.poll() is not None:
                    self.drain(source)
                    return ""
                tripped = self.limit_tripped()
                if tripped:
                    return tripped

    def read_console(self, source: int) -> bool:
        """False at the end of file."""
        try:
            data = os.read(source, 65536)
        except BlockingIOError:
            return True
        except OSError as err:
            if err.errno == errno.EIO:  # a pty whose other side is closed
                return False
            raise
        if data:
            self.last_output = time.monotonic()
            self.on_output(data)
        return bool(data)

    def drain(self, source: int) -> None:
        """What was written before the end but not read yet."""
        end = time.monotonic() + DRAIN
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            while time.monotonic() < end and selector.select(0) and self.read_console(source):
                pass

    def limit_tripped(self) -> str:
        now = time.monotonic()
        if self.waiting():
            self.last_output = self.limit_start = now
        elif now - self.limit_start > self.limits.total:
            return f"not done after {self.limits.total:.0f} s"
        elif now - self.last_output > self.limits.silence:
            return f"no output for {self.limits.silence:.0f} s"
        return ""


def copy_keys(keyboard: int, sink: Optional[int]) -> bool:
    data = os.read(keyboard, 1024)
    if not data or sink is None:
        return False
    try:
        os.write(sink, data)
    except OSError:
        return False
    return True


class RawTerminal:
    """Our terminal without line editing and echo, as the hypervisor's prompt has its own.
    Ctrl-C still makes a signal."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.saved: Optional[list] = None

    def __enter__(self) -> "RawTerminal":
        self.saved = termios.tcgetattr(self.fd)
        tty.setcbreak(self.fd)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.saved is not None:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)
