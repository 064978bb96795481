# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios: what is read, what is refused and where, and that the random ones make sense."""

import re
import unittest

from phyllo import scenario
from phyllo.config import ROOT, UserError, parse_request
from phyllo.scenario import Scenario, ScenarioError, parse, replay, with_mmu
from phyllo.scenario_ops import OPS
from phyllo.soak import Plan, events_of, make_plan
from phyllo.soak_scenario import random_scenario

KERNEL = ROOT / "tests/guest/scenario.c"


def read(text: str) -> Scenario:
    return parse(text, "test", "test.scn")


class Reading(unittest.TestCase):
    def test_script(self):
        one = read(
            "write percent=30 # some\n\n  unmap pages=random:9 block=off -> 0\nunmap pages=7\n"
            "expect +pf_fixed >= 2\n"
        )
        self.assertEqual(
            one.script, ["1 write 30", "3 unmap -1 9 0 1 0", "4 unmap 7 1 1 0 0", "5 expect +pf_fixed 3 2"]
        )

    def test_values(self):
        one = read("protect ro pages=3+5\nprotect how=none block=off\nslot_create 2 pages=8\nage -> != -2\n")
        self.assertEqual(
            one.script,
            ["1 protect 3 5 1 1 0 0", "2 protect 0 0 0 2 0 0", "3 slot_create 2 8 0 0 0", "4 age 0 0 6 -2"],
        )

    def test_head(self):
        one = read(
            "seed 9\nvm mem=32M vcpus=3\nboot max_page=4k ad=off\nmemory 8M slots=2\n"
            "beside hello mem=16M -- a b\nwrite\n"
        )
        self.assertEqual((one.seed, one.vm, one.boot), (9, "mem=32M vcpus=3", "max_page=4k ad=off"))
        self.assertEqual(one.memory, "mib=8 slots=2")
        self.assertEqual([(other.kernel, other.options) for other in one.beside], [("hello", "mem=16M -- a b")])

    def test_storm(self):
        one = read("storm start\nstep 3\nstorm stop\n")
        self.assertEqual(one.script, ["1 storm_start", "2 step 3", "3 storm_stop"])

    def test_another_mmu(self):
        self.assertEqual(with_mmu("mem=1M mmu=tdp -- mmu=x", "shadow"), "mem=1M mmu=shadow -- mmu=x")
        self.assertEqual(with_mmu("mem=1M mmu=tdp", ""), "mem=1M mmu=tdp")
        self.assertEqual(with_mmu("", "tdp"), "mmu=tdp")

    def test_replay(self):
        one = read("seed 4\nwrite\n")
        self.assertEqual(replay(one, "qemu-svm"), "make run SCENARIO=test.scn SEED=4 PLATFORM=qemu-svm")
        self.assertIn("MMU=shadow CMDLINE='a=b'", replay(one, "qemu-svm", "shadow", "a=b"))


class Refusals(unittest.TestCase):
    def refused(self, text: str, line: int, column: int, word: str):
        with self.assertRaises(ScenarioError, msg=text) as caught:
            read(text)
        self.assertEqual((caught.exception.line, caught.exception.column), (line, column), str(caught.exception))
        self.assertTrue(str(caught.exception).startswith(f"test.scn:{line}:{column}: "))
        self.assertIn(word, str(caught.exception))

    def test_statements(self):
        self.refused("write\n  frobnicate\n", 2, 3, "unmap")
        self.refused("unmap page=3\n", 1, 7, "it takes pages=, block=")
        self.refused("unmap pages=x\n", 1, 13, "FIRST+COUNT")
        self.refused("unmap pages=all pages=all\n", 1, 17, "twice")
        self.refused("write 30\n", 1, 7, "percent=")
        self.refused("write percent=101\n", 1, 15, "from 1 to 100")
        self.refused("protect pages=3\n", 1, 8, "how= is missing")
        self.refused("protect rx\n", 1, 9, "one of rw, ro, none")
        self.refused("slot_create 4 pages=1\n", 1, 13, "from 0 to 3")
        self.refused("audit 3\n", 1, 7, "it takes nothing")
        self.refused("write \u00e9\n", 1, 1, "ASCII")

    def test_expectations(self):
        self.refused("unmap ->\n", 1, 9, "a number is missing")
        self.refused("unmap -> <=\n", 1, 12, "a number is missing")
        self.refused("unmap -> zero\n", 1, 10, "no number")
        self.refused("unmap -> 0 0\n", 1, 12, "nothing is allowed")
        self.refused("write -> 0\n", 1, 7, "gives nothing")
        self.refused("expect\n", 1, 7, "statistic")
        self.refused("expect pf_taken\n", 1, 16, "<=")
        self.refused("expect pf_taken 3\n", 1, 17, "<=")
        self.refused("expect pf_taken > x\n", 1, 19, "no number")

    def test_order(self):
        self.refused("write\nseed 3\n", 2, 1, "before the first operation")
        self.refused("seed 1\nseed 2\nwrite\n", 2, 1, "two lines")
        self.refused("storm start\nverify\nstorm stop\n", 2, 1, "storm stop")
        self.refused("storm stop\n", 1, 1, "does not run")
        self.refused("storm start\nstorm start\n", 2, 1, "runs already")
        self.refused("storm start\n", 2, 1, "not stopped")
        self.refused("end\n", 1, 1, "no 'repeat'")
        self.refused("write\n  repeat 3\nverify\n", 2, 3, "no 'end'")
        self.refused("repeat 3\nstorm start\nend\nstorm stop\n", 3, 1, "begins and ends")
        self.refused("repeat 2\n" * 9 + "end\n" * 9, 9, 1, "at most 8")
        self.refused("# nothing\n", 2, 1, "no operation")

    def test_head(self):
        self.refused("seed\n", 1, 1, "takes something")
        self.refused("seed x\n", 1, 6, "9 digits")
        self.refused("seed 1 2\n", 1, 8, "takes no more")
        self.refused("vm mem=1M name=x\n", 1, 11, "vcpus=")
        self.refused("boot verbose\n", 1, 6, "NAME=VALUE")
        self.refused("memory 4G\n", 1, 8, "from 1M to 512M")
        self.refused("memory 4M slots=0\n", 1, 11, "slots=1")
        self.refused("beside nobody\n", 1, 8, "no test kernel")

    def test_request(self):
        wrong = (
            {"SEED": "3"}, {"MMU": "tdp"}, {"VM": "mem=1M"}, {"ICOUNT": "1"}, {"SCENARIO": "x.scn"},
            {"SCENARIO": "all", "GUEST": "Makefile"},
        )  # fmt: skip
        for env in wrong:
            with self.assertRaises(UserError, msg=str(env)):
                parse_request(env)
        self.assertEqual(parse_request({"SCENARIO": "all", "SEED": "3", "MMU": "shadow"}).seed, 3)


class Kernel(unittest.TestCase):
    def test_it_knows_what_the_parser_makes(self):
        """Names and numbers of arguments are the same on both sides."""
        table = dict(re.findall(r'\{ "([a-z_]+)", (\d), ', KERNEL.read_text()))
        made = {}
        for name, op in OPS.items():
            words = [
                f"{param.name}={next(v for v in ('1', 'ro', 'start') if accepts(param.convert, v))}"
                for param in op.params
                if param.default is None
            ]
            text = " ".join([name, *words])
            before = {"end": "repeat 1\nmark\n"}.get(name, "")
            after = {"repeat": "\nmark\nend", "storm": "\nstorm stop"}.get(name, "")
            for line in read(f"{before}{text}{after}\n").script:
                parts = line.split()
                made[parts[1]] = str(len(parts) - 2)
        made["expect"] = "2"
        self.assertEqual(made, table)


def accepts(convert, value: str) -> bool:
    try:
        convert(value)
    except ValueError:
        return False
    return True


class Shipped(unittest.TestCase):
    def test_all_can_be_read(self):
        paths = scenario.shipped()
        self.assertGreaterEqual(len(paths), 12)
        for path in paths:
            one = scenario.read(path)
            self.assertEqual(one.file, f"scenarios/{path.name}")


class Soak(unittest.TestCase):
    def test_random_ones_make_sense(self):
        for seed in range(400):
            one = read(random_scenario(seed, seed % 2 == 0))
            self.assertEqual(one.seed, seed)
            self.assertEqual(random_scenario(seed, seed % 2 == 0), random_scenario(seed, seed % 2 == 0))
            refused = {"dirty=dbit", "ad=off"}  # that log needs what the other takes away
            self.assertFalse(refused <= set(one.boot.split()), one.boot)

    def test_events(self):
        lines = ["[    1.0] x", "---- a: stopped", "  last operations on memory:", "    1 audit", "    of 1",
                 "  under way: nothing", "  audit: clean", "---- b: ended with code 0", "  pf_taken 3"]  # fmt: skip
        self.assertEqual(events_of(lines), lines[1:6])
        self.assertEqual(events_of(["events of b", *lines[2:6], "x"]), ["events of b", *lines[2:6]])

    def test_plan(self):
        plan = make_plan({"MINUTES": "3", "SEED": "999999999", "PLATFORM": "bochs-vmx"})
        self.assertEqual(plan, Plan(3, ("bochs-vmx",), "", 999999999))
        self.assertEqual(plan.seed_of(0), 999999999)
        self.assertLess(plan.seed_of(1), 1000000000)
        self.assertEqual(plan.again(), "make soak MINUTES=3 SEED=999999999 PLATFORM=bochs-vmx")
        for env in ({"MINUTES": "0"}, {"MMU": "none"}, {"PLATFORM": "x"}):
            with self.assertRaises(UserError):
                make_plan(env)
