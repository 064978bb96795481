# SPDX-License-Identifier: GPL-2.0-only
"""Boots with shell scripts in the emulator's place: endings, limits, and that nobody survives."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from phyllo.boot import BootResult
from phyllo.config import ROOT
from phyllo.console import Console
from phyllo.emulator import Limits, Session
from phyllo.expect import Dialogue, Expect, judge
from phyllo.platforms import BootSpec, Machine

GOOD = """
printf 'SeaBIOS\\r\\n[    0.001000] stage: options\\r\\n[    0.002000] stage: memory\\r\\n'
printf 'hello| KTAP version 1\\nhello| 1..1\\nhello| ok 1 greeting\\n'
printf -- '---- hello: ended with code 0, after 3 ms\\n  audit: clean (4 tables, 9 leaf entries)\\nphyllo: end: ok\\n'
exit 33
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone_soon(pid: int) -> bool:
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


class Fake(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.work = Path(tmp.name)

    def boot(self, script: str, total: float = 20, silence: float = 20, console: str = "stdio") -> BootResult:
        path = self.work / "com1" if console != "stdio" else None
        machine = Machine(["bash", "-c", script], self.work, console, path, has_exit_code=console == "stdio")
        out = Console(start=time.monotonic())
        ending = Session(machine, Limits(total, silence), out.feed).run()
        out.finish()
        spec = BootSpec("qemu-svm", "pvh", Path("phyllo.elf"))
        return BootResult(spec, out, ending, machine.has_exit_code)


class Endings(Fake):
    def test_success(self):
        result = self.boot(GOOD)
        self.assertEqual(result.problem(), "")
        self.assertEqual([stage.name for stage in result.console.stages], ["options", "memory"])
        cases = judge(result, Expect(ktap=("hello",), says=[("x", "^SeaBIOS$")], never=[("y", "panic")]))
        self.assertEqual({case.status for case in cases}, {"passed"}, cases)

    def test_triple_fault_of_the_hypervisor(self):
        self.assertIn("reset itself", self.boot(GOOD.replace("exit 33", "exit 0")).problem())

    def test_exit_code_without_end_line(self):
        self.assertIn("before the hypervisor did", self.boot("exit 33").problem())

    def test_end_line_with_wrong_exit_code(self):
        self.assertIn("35", self.boot("echo 'phyllo: end: ok'; exit 35").problem())
        self.assertIn("1", self.boot("echo 'phyllo: end: ok'; exit 1").problem())

    def test_failure_line(self):
        problem = self.boot("echo 'phyllo: end: failed: hello: exit code 3'; exit 35").problem()
        self.assertIn("hello: exit code 3", problem)

    def test_end_line_must_be_a_line_of_its_own(self):
        self.assertNotEqual(self.boot("echo 'hello| phyllo: end: ok'; exit 33").problem(), "")

    def test_emulator_complaint_is_reported(self):
        report = self.boot("echo no such CPU >&2; exit 1").report()
        self.assertTrue(any("no such CPU" in line for line in report), report)

    def test_console_in_a_fifo(self):
        result = self.boot(GOOD.replace("printf", "printf >>com1").replace("exit 33", "exit 1"), console="fifo")
        self.assertEqual(result.problem(), "")

    def test_missing_guest_fails(self):
        cases = judge(self.boot(GOOD), Expect(ktap=("other",)))
        self.assertIn("failed", {case.status for case in cases})

    def test_dirty_audit_fails(self):
        cases = judge(self.boot(GOOD.replace("clean (4", "2 errors (4")), Expect(ktap=("hello",)))
        self.assertEqual([c.name for c in cases if c.status == "failed"], ["hello: audit clean"])

    def test_forbidden_words_fail(self):
        cases = judge(self.boot(GOOD), Expect(never=[("quiet", "SeaBIOS")], says=[("loud", "nowhere")]))
        self.assertEqual([c.name for c in cases if c.status == "failed"], ["loud", "quiet"])


class TimeLimits(Fake):
    """The limits leave time for a shell to start on a loaded host: what it says first must come before they trip."""

    def test_total(self):
        result = self.boot("echo '[    0.1] stage: paging'; while sleep 0.1; do echo x; done", total=3)
        self.assertIn("not done after 3 s", result.problem())
        self.assertIn("paging", result.problem())

    def test_silence(self):
        problem = self.boot("echo '[    0.1] stage: processors'; sleep 60", silence=3).problem()
        self.assertIn("no output for 3 s", problem)
        self.assertIn("processors", problem)

    def test_whole_group_dies(self):
        result = self.boot("sleep 60 & echo $! > child; echo $$ > self; echo x; wait", silence=3)
        self.assertNotEqual(result.problem(), "")
        for name in ("child", "self"):
            self.assertTrue(gone_soon(int((self.work / name).read_text())), name)


class Talking(unittest.TestCase):
    def test_asks_again(self):
        listen, keyboard = os.pipe()
        self.addCleanup(os.close, listen)
        self.addCleanup(os.close, keyboard)
        dialogue = Dialogue([("ready> ", "vms\r"), ("a off\n", "quit\r")], [("a ending\n", "vms\r")])
        for text, keys in (("ready", b""), ("> ", b"vms\r"), ("a ending\n", b"vms\r"), ("a off\n", b"quit\r")):
            dialogue.hear(text.encode(), keyboard)
            os.write(keyboard, b"!")  # so that there is something to read
            self.assertEqual(os.read(listen, 100), keys + b"!")
        self.assertEqual({case.status for case in dialogue.cases()}, {"passed"})


class RunnerDies(Fake):
    """The emulator ends with us, however we end."""

    def end_by(self, number: int) -> None:
        code = (
            "import sys, pathlib\n"
            "from phyllo.emulator import *\n"
            "from phyllo.processes import stop_on_signals\n"
            "from phyllo.platforms import Machine\n"
            "stop_on_signals()\n"
            "m = Machine(['bash', '-c', 'echo $$ > pid; exec sleep 60'], pathlib.Path(sys.argv[1]), 'stdio')\n"
            "Session(m, Limits(60, 60), lambda data: None).run()\n"
        )
        proc = subprocess.Popen(
            [sys.executable, "-B", "-c", code, str(self.work)], env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        pid_file = self.work / "pid"
        end = time.monotonic() + 20
        while time.monotonic() < end and not (pid_file.exists() and pid_file.read_text().strip()):
            time.sleep(0.02)
        proc.send_signal(number)
        proc.wait(20)
        self.assertTrue(gone_soon(int(pid_file.read_text())))

    def test_interrupt(self):
        self.end_by(signal.SIGINT)

    def test_terminate(self):
        self.end_by(signal.SIGTERM)

    def test_kill(self):
        self.end_by(signal.SIGKILL)


class Lines(unittest.TestCase):
    def test_control_sequences_and_nuls(self):
        console = Console()
        console.feed(b"\0\x1b[2J\x1b[01;01H[    0.5] stage: pa")
        console.feed(b"ging\r\nhello| ok 1 x\n")
        self.assertEqual(console.lines, ["[    0.5] stage: paging", "hello| ok 1 x"])
        self.assertEqual(console.guest_lines(), {"hello": ["ok 1 x"]})

    def test_cut_control_sequence(self):
        console = Console()
        for piece in (b"a\x1b", b"[0", b"1;01Hb\x1b[", b"2Jc\n"):
            console.feed(piece)
        self.assertEqual(console.lines, ["abc"])

    def test_prompt(self):
        console = Console()
        console.feed(b"x\nphyllo")
        self.assertFalse(console.prompt)
        console.feed(b"> ")
        self.assertTrue(console.prompt)
