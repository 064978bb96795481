# SPDX-License-Identifier: GPL-2.0-only
"""`make run` as users meet it: with and without a terminal, with wrong values, interrupted."""

import os
import pty
import re
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Optional

from .build import guest_file
from .config import ROOT, build_dir
from .ktap import Case
from .processes import Stopped, reap, run, spawn, stopping, wait
from .testing import Test

LIMIT = 180  # seconds for one run
USER_VARIABLES = (
    "PLATFORM", "BOOT", "SMP", "MEM", "GUEST", "VM", "SCENARIO",
    "SEED", "MMU", "ICOUNT", "CMDLINE", "TIMEOUT", "ONLY",
)  # fmt: skip
ARGV = [sys.executable, "-B", "-m", "phyllo", "run"]

# They share the directory of `make run`, and more than one group runs it.
one_at_a_time = threading.Lock()


def environment(**values: str) -> dict[str, str]:
    """Ours without the user's settings of this run; nothing may be installed meanwhile."""
    env = {key: value for key, value in os.environ.items() if key not in USER_VARIABLES}
    own = {"PHYLLO_NO_INSTALL": "1", "PHYLLO_BUILD": str(build_dir()), "PYTHONPATH": str(ROOT / "tools")}
    return {**env, **own, "PLATFORM": "qemu-svm", **values}


def compare(name: str, good: bool, code: Optional[int], output: str, pattern: str) -> Case:
    """Did it succeed or fail as it should, and say what it should?"""
    wrong = []
    if code is None or (code == 0) != good:
        wrong.append(f"the exit code is {code}")
    if not re.search(pattern, output, re.MULTILINE):
        wrong.append(f"nothing in the output matches {pattern!r}")
    return Case(name, "failed", ["; ".join(wrong), *output.splitlines()[-30:]]) if wrong else Case(name, "passed")


def run_case(name: str, good: bool, pattern: str, **env: str) -> Case:
    with one_at_a_time:
        code, output = run(ARGV, LIMIT, ROOT, environment(**env))
    return compare(name, good, code, output, pattern)


# ---- on a terminal ---------------------------------------------------------------------------


# The prompt that comes when all guests have ended.
LAST_PROMPT = re.compile(rb"guests run, [\s\S]*\nphyllo> ")


def run_on_terminal(keys: str, act: Callable[[int, int], None], **env: str) -> tuple[Optional[int], str]:
    """Run on a terminal of its own; at the last prompt act(descriptor of the terminal, pid) is called."""
    master, slave = pty.openpty()
    proc = spawn(ARGV, cwd=ROOT, env=environment(**env), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    output, acted, end = b"", False, time.monotonic() + LIMIT
    try:
        while time.monotonic() < end and not stopping.is_set():
            if select.select([master], [], [], 0.1)[0]:
                try:
                    output += os.read(master, 65536)
                except OSError:  # the other side is closed
                    break
            if not acted and LAST_PROMPT.search(output.replace(b"\r", b"")):
                acted = True
                os.write(master, keys.encode())
                act(master, proc.pid)
        if stopping.is_set():
            raise Stopped
        return wait(proc, 10), output.decode("utf-8", "replace").replace("\r", "")
    finally:
        reap(proc)
        os.close(master)


def parent_of(pid: int) -> int:
    """0 when there is no such process (or it is but a zombie)."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state == "Z" else int(parent)


def children_of(parent: int) -> list[int]:
    """For the runner: its emulator (setpriv becomes it)."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if parent_of(pid) == parent]


def hello_path() -> str:
    return str(guest_file("hello.elf"))


def hang_path() -> str:
    return str(guest_file("hang.elf"))


def quit_case() -> Case:
    """The prompt takes commands, and the end is a good one."""
    with one_at_a_time:
        code, output = run_on_terminal("vms\rquit\r", lambda terminal, pid: None, GUEST=hello_path())
    listed = r"^ +1 hello +off .* started 1 time[\s\S]*^phyllo: ok, in"
    return compare("prompt takes commands", True, code, output, listed)


def interrupt_case() -> Case:
    """Ctrl-C at the prompt ends the emulator and the runner."""
    children: list[int] = []

    def interrupt(terminal: int, pid: int) -> None:
        children.extend(children_of(pid))
        os.kill(pid, signal.SIGINT)

    with one_at_a_time:
        code, output = run_on_terminal("", interrupt, GUEST=hello_path())
    case = compare("Ctrl-C ends it", False, code, output, "^phyllo: stopped")
    left = [pid for pid in children if parent_of(pid)]
    if case.status == "passed" and (left or not children):
        return Case(case.name, "failed", [f"emulators: {children}, still running: {left}"])
    return case


# ---- the list -----------------------------------------------------------------------------------


def run_group(work: Path) -> list[Case]:
    """One after the other."""
    usage = r"allowed are: qemu-svm, bochs-vmx, kvm"
    # It counts from the emulator's start: a tenth of it on a quiet host, or QEMU is not at the guests by then.
    tripped = r"FAILED .*6 s; the last stage reached was: guests"
    return [
        run_case("demonstration guests", True, r"^phyllo: ok, in .* on qemu-svm \(pvh\)$"),
        run_case("names platform and reason", True, r"^phyllo: platform qemu-svm \(.+\)", GUEST=hello_path(), SMP="1"),
        run_case("text as a guest", False, r"^phyllo: FAILED .*README\.md: .+", GUEST="README.md"),
        run_case("unknown option", False, r"unknown option 'bogus'", CMDLINE="bogus=1"),
        run_case("misspelt option", False, r"did you mean 'guest_timeout'", CMDLINE="guest_timeuot=1"),
        run_case("crash", False, r"^phyllo: FAILED .*exit code 37", CMDLINE="crash=ud"),
        run_case("unknown platform", False, usage, PLATFORM="vmware"),
        run_case("time limit", False, tripped, GUEST=hang_path(), TIMEOUT="6"),
        quit_case(),
        interrupt_case(),
    ]


def run_tests() -> list[Test]:
    return [Test("run", run_group)]
