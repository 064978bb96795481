# SPDX-License-Identifier: GPL-2.0-only
"""Child processes that cannot outlive us.

Each is the leader of a process group of its own and is killed with that group when its
time is up or when we are told to stop; and it asks the kernel to let it die with us, should we be
killed outright.  A process group of its own also means that Ctrl-C reaches the children through us only.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Mapping, Optional, Sequence

POLL = 0.05  # seconds between looks at a child and at the order to stop

# Re-entrant: stop_all() may interrupt spawn() in the same thread.
lock = threading.RLock()
running: dict[int, subprocess.Popen] = {}
stopping = threading.Event()


class Stopped(Exception):
    """We were told to stop (Ctrl-C, SIGTERM); raised where a child is waited for."""


def kill_group(proc: subprocess.Popen) -> None:
    try:
        os.killpg(proc.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop_all() -> None:
    """Kill all children now; those who wait for one get Stopped."""
    stopping.set()
    with lock:
        for proc in running.values():
            kill_group(proc)


def stop_on_signals() -> None:
    """Ctrl-C, `timeout` and a closed terminal end the children and then us."""

    def handler(number: int, frame: object) -> None:
        stopping.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def spawn(argv: Sequence[str], **options: object) -> subprocess.Popen:
    """Start a child; the caller sees to it that reap() follows."""
    argv = list(argv)
    if shutil.which("setpriv"):
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    with lock:
        if stopping.is_set():
            raise Stopped
        proc = subprocess.Popen(argv, start_new_session=True, **options)  # type: ignore[call-overload]
        running[proc.pid] = proc
    return proc


def reap(proc: subprocess.Popen) -> None:
    """The whole group ends here, however we got here."""
    kill_group(proc)
    proc.wait()
    with lock:
        running.pop(proc.pid, None)


def wait(proc: subprocess.Popen, limit: float) -> Optional[int]:
    """Exit code, or None when the time is up.  Raises Stopped when told to stop."""
    end = time.monotonic() + limit
    while proc.poll() is None and time.monotonic() < end and not stopping.is_set():
        time.sleep(POLL)
    if stopping.is_set():
        raise Stopped
    return proc.returncode


def run(
    argv: Sequence[str],
    limit: float,
    cwd: Optional[Path] = None,
    env: Optional[Mapping[str, str]] = None,
) -> tuple[Optional[int], str]:
    """Run to the end; exit code (None: did not end in time) and output, errors included.
    FileNotFoundError when there is no such program."""
    if not shutil.which(argv[0]):
        raise FileNotFoundError(argv[0])
    with tempfile.TemporaryFile() as out:
        proc = spawn(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        try:
            code = wait(proc, limit)
        finally:
            reap(proc)
        out.seek(0)
        return code, out.read().decode("utf-8", "replace")
