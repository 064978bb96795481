# SPDX-License-Identifier: GPL-2.0-only
"""The KTAP reader must not be talked into a success."""

import unittest

from phyllo.ktap import format_cases, parse


def statuses(*lines: str) -> list[tuple[str, str]]:
    return [(case.name, case.status) for case in parse(lines)]


class Reading(unittest.TestCase):
    def test_all_pass(self):
        self.assertEqual(
            statuses("KTAP version 1", "1..2", "ok 1 one", "ok 2 - two"), [("one", "passed"), ("two", "passed")]
        )

    def test_failure_keeps_its_notes(self):
        cases = parse(["1..2", "ok 1 a", "# a.c:3: not true: x", "not ok 2 b"])
        self.assertEqual(cases[1].status, "failed")
        self.assertEqual(cases[1].detail, ["# a.c:3: not true: x"])

    def test_skip_has_a_reason(self):
        case = parse(["1..1", "ok 1 a # SKIP no such CPU"])[0]
        self.assertEqual((case.status, case.reason), ("skipped", "no such CPU"))

    def test_skip_without_reason_fails(self):
        self.assertEqual(statuses("1..1", "ok 1 a # SKIP"), [("a", "failed")])

    def test_not_ok_skip_fails(self):
        self.assertEqual(statuses("1..1", "not ok 1 a # SKIP because"), [("a", "failed")])

    def test_whole_plan_skipped(self):
        self.assertEqual(statuses("1..0 # SKIP wrong vendor"), [("all", "skipped")])


class Distrust(unittest.TestCase):
    def check(self, *lines: str):
        cases = parse(lines)
        self.assertIn("failed", [case.status for case in cases], cases)

    def test_no_output(self):
        self.check()

    def test_no_plan(self):
        self.check("ok 1 a")

    def test_empty_plan(self):
        self.check("1..0")

    def test_too_few(self):
        self.check("1..3", "ok 1 a", "ok 2 b")

    def test_too_many(self):
        self.check("1..1", "ok 1 a", "ok 2 b")

    def test_wrong_number(self):
        self.check("1..2", "ok 1 a", "ok 3 b")

    def test_twice_the_same_number(self):
        self.check("1..2", "ok 1 a", "ok 1 a")

    def test_two_plans(self):
        self.check("1..1", "1..1", "ok 1 a")

    def test_bail_out(self):
        self.check("1..1", "ok 1 a", "Bail out! no memory")

    def test_nested_failure_under_ok(self):
        self.check("1..1", "  not ok 1 inner", "ok 1 a")


class Writing(unittest.TestCase):
    def test_reads_back(self):
        cases = parse(["1..3", "ok 1 a", "not ok 2 b", "ok 3 c # SKIP why"])
        text = format_cases("group", 7, cases, 1.5)
        inner = [line[4:] for line in text.splitlines() if line.startswith("    ")]
        again = parse(inner)
        self.assertEqual([c.status for c in again], ["passed", "failed", "skipped"])
        self.assertTrue(text.splitlines()[-1].startswith("not ok 7 group"))
