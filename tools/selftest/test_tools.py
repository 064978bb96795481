# SPDX-License-Identifier: GPL-2.0-only
"""Packages, totals, JUnit, lint helpers."""

import contextlib
import io
import os
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

from phyllo import deps
from phyllo.build import make_environment
from phyllo.config import UserError
from phyllo.doctor import PURPOSE
from phyllo.junit import write_junit
from phyllo.ktap import Case
from phyllo.lint import functions, strip_comments
from phyllo.suite import test_list as all_tests
from phyllo.testing import Done, Test, run_one, select, totals


class Packages(unittest.TestCase):
    def needs(self) -> set[str]:
        out = subprocess.run([deps.SETUP, "--needs"], stdout=subprocess.PIPE, text=True, check=True, timeout=30)
        return set(out.stdout.split())

    def test_all_needs_are_known(self):
        self.assertEqual(set(deps.ALL_NEEDS), self.needs())
        self.assertEqual(set(PURPOSE), self.needs())
        self.assertLessEqual(set(deps.CHECK_NEEDS), self.needs())

    def test_needs_of_boots(self):
        self.assertEqual(deps.needs_of_boot("qemu-svm", "pvh"), ["qemu"])
        self.assertEqual(deps.needs_of_boot("bochs-vmx", "grub-bios"), ["bochs", "iso"])
        self.assertEqual(deps.needs_of_boot("qemu-svm", "efi"), ["qemu", "ovmf", "efi"])

    def test_missing_commands_are_seen(self):
        with tempfile.TemporaryDirectory() as empty:
            for tool in ("bash", "sort", "awk", "cat"):
                os.symlink(f"/usr/bin/{tool}", f"{empty}/{tool}")
            done = subprocess.run(
                ["/bin/bash", deps.SETUP, "--missing", "build", "python"], env={"PATH": empty},
                stdout=subprocess.PIPE, text=True, check=True, timeout=30,
            )  # fmt: skip
        self.assertEqual(done.stdout.split(), ["binutils", "gcc", "make", "nasm", "python3"])

    def test_nothing_missing_is_silent(self):
        done = subprocess.run([deps.SETUP, "python"], capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_no_install_is_obeyed(self):
        before = os.environ.get("PHYLLO_NO_INSTALL")
        os.environ["PHYLLO_NO_INSTALL"] = "1"
        try:
            deps.install(["python"])
        finally:
            os.environ.pop("PHYLLO_NO_INSTALL")
            if before is not None:
                os.environ["PHYLLO_NO_INSTALL"] = before


class Scheduler(unittest.TestCase):
    def test_totals(self):
        done = [Done("a", [Case("1", "passed"), Case("2", "failed")], 1), Done("b", [Case("3", "passed")], 1)]
        self.assertEqual(totals(done), "2 passed, 1 failed")
        done.append(Done("c", [Case("4", "skipped", ["why"])], 1))
        self.assertEqual(totals(done), "2 passed, 1 failed, 1 skipped")

    def test_exception_is_a_failure(self):
        def broken(work: Path) -> list[Case]:
            raise ZeroDivisionError

        def sentence(work: Path) -> list[Case]:
            raise UserError("no disk")

        self.assertEqual(run_one(Test("x", broken)).cases[0].status, "failed")
        self.assertEqual(run_one(Test("x", sentence)).cases[0].detail, ["no disk"])
        self.assertEqual(run_one(Test("x", lambda work: [])).cases[0].status, "failed")

    def test_names_are_unique(self):
        names = [test.name for test in all_tests()]
        self.assertEqual(len(names), len(set(names)))

    def test_select(self):
        tests = [Test("boot/pvh", lambda w: []), Test("boot/efi", lambda w: []), Test("hosted/mm", lambda w: [])]
        self.assertEqual([t.name for t in select(tests, "pvh hosted")], ["boot/pvh", "hosted/mm"])
        self.assertEqual([t.name for t in select(tests, "boot/*")], ["boot/pvh", "boot/efi"])
        self.assertEqual(select(tests, ""), tests)
        with self.assertRaises(UserError):
            select(tests, "nothing")


class JUnit(unittest.TestCase):
    def test_file(self):
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "sub/junit.xml"
            cases = [Case("a", "passed"), Case("b<&", "failed", ["bad \x00\x1b"]), Case("c", "skipped", ["why"])]
            write_junit(path, [("group", cases, 2.0)])
            suite = ET.parse(path).getroot()[0]
            self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("skipped")), ("3", "1", "1"))
            self.assertEqual(suite[1].get("name"), "b<&")


class MakeFlags(unittest.TestCase):
    def test_job_server_is_left_out(self):
        before = os.environ.get("MAKEFLAGS")
        os.environ["MAKEFLAGS"] = "s -j2 --jobserver-auth=3,4 -- CC=clang B=x"
        try:
            self.assertEqual(make_environment()["MAKEFLAGS"], "s -- CC=clang B=x")
        finally:
            os.environ.pop("MAKEFLAGS")
            if before is not None:
                os.environ["MAKEFLAGS"] = before


class LintHelpers(unittest.TestCase):
    def test_functions(self):
        text = "int a(void)\n{\n\treturn 1;\n}\n\nstruct x {\n\tint y;\n};\n\n"
        text += "int b(int c,\n      int d)\n{\n\tif (c) {\n\t}\n}\n"
        self.assertEqual([(line, size) for line, size, _ in functions(text)], [(1, 3), (11, 4)])

    def test_comments(self):
        self.assertEqual(strip_comments('a /* vmcb\n x */ b "vmcs" // vmcb\nc'), "a \n b  \nc")
