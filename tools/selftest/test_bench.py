# SPDX-License-Identifier: GPL-2.0-only
"""What `make bench` makes of the lines that kernels print, and of KVM's figures."""

import json
import os
import tempfile
import unittest
from dataclasses import asdict
from pathlib import Path
from unittest import mock

from phyllo.bench import relative, wanted
from phyllo.bench_jobs import ALL_JOBS, BOTH, KVM, PHYLLO, Job, jobs_of, parse_figure, single
from phyllo.bench_kvm import job_line, net
from phyllo.bench_reference import KVM_REFERENCE, ROWS
from phyllo.bench_table import kvm_column, number, table
from phyllo.config import UserError

LINE = "bench: fault.4k instructions value=812 min=800 max=2000 mean=815 n=4096"


class Lines(unittest.TestCase):
    def test_instructions(self) -> None:
        (figure,) = parse_figure(LINE, Job("k", mode="shadow"), "qemu-svm")
        self.assertEqual((figure.name, figure.value, figure.mean, figure.n), ("fault.4k", 812, 815, 4096))
        self.assertEqual((figure.mode, figure.platform), ("shadow", "qemu-svm"))

    def test_milliseconds(self) -> None:
        line = "bench: stall.slot microseconds value=1500 min=20 max=1500 mean=30 n=9"
        (figure,) = parse_figure(line, Job("k"), "qemu-svm")
        self.assertEqual((figure.name, figure.unit, figure.value, figure.min), ("stall.slot.ms", "ms", 1.5, 0.02))

    def test_other_lines(self) -> None:
        for line in ("ok 1 test_seq", "# " + LINE, LINE + " more", LINE.replace("812", "-1")):
            self.assertEqual(parse_figure(line, Job("k"), "p"), [])


class Jobs(unittest.TestCase):
    def test_modes(self) -> None:
        self.assertTrue(all(job.mode == "tdp" for job in jobs_of(("tdp",))))
        kernels = {job.kernel for job in jobs_of(("shadow",))}
        self.assertIn("bench_shadow", kernels)
        self.assertNotIn("bench_fault", kernels)

    def test_names_differ(self) -> None:
        names = [job.slug for job in jobs_of(BOTH)]
        self.assertEqual(len(names), len(set(names)))

    def test_only(self) -> None:
        with mock.patch.dict(os.environ, {"ONLY": "bench_range-shadow"}):
            self.assertEqual([job.slug for job in wanted(jobs_of(BOTH))], ["bench_range-shadow-1"])
        with mock.patch.dict(os.environ, {"ONLY": "nothing"}):
            self.assertRaises(UserError, wanted, jobs_of(BOTH))

    def test_job_line(self) -> None:
        stall = next(job for job in ALL_JOBS if job.kernel == "bench_stall" and job.icount)
        options, words = job_line(stall).split(" -- ")
        self.assertEqual(options.split(), ["bench_stall.elf", "mem=1G", "vcpus=2", "max_page=4k", "rt"])
        self.assertEqual(words.split(), ["hypercall=port", "cpus=2"])


class Figures(unittest.TestCase):
    def test_net(self) -> None:
        rows = [single("zap.unmap.page", "i", 763, "p"), single("zap.unmap.host", "i", 440, "p")]
        got = {figure.name: figure.value for figure in net(rows)}
        self.assertEqual(got, {"zap.unmap.page.gross": 763, "zap.unmap.page": 323, "zap.unmap.host": 440})

    def test_relative(self) -> None:
        values = {"scale.fault.1": 1000, "scale.fault.8": 1200, "x": 5}
        rows = [single(name, "i", value, "p") for name, value in values.items()]
        self.assertEqual([figure.value for figure in relative(rows)], [1000, 1.2, 5])

    def test_verdict_of_each_mode(self) -> None:
        rows = [single("zap.unmap.page", "i", 100, "p"), single("zap.unmap.page", "i", 100, "p", "shadow")]
        tdp, shadow = table(rows, {("zap.unmap.page", "tdp"): 200.0}).splitlines()[1:]
        self.assertIn(" NO ", tdp)
        self.assertIn(" 2.0 ", tdp)
        self.assertIn(" yes ", shadow)

    def test_numbers(self) -> None:
        self.assertEqual([number(v) for v in (None, 0.4, 96e6, 812.4)], ["–", "0.40", "96.0 M", "812"])


class Column(unittest.TestCase):
    def test_committed(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"PHYLLO_BUILD": folder}):
            values, whence = kvm_column()
        self.assertEqual(values, KVM_REFERENCE)
        self.assertIn("committed", whence)

    def test_measured_comes_first(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"PHYLLO_BUILD": folder}):
            path = Path(folder) / "bench-kvm.json"
            rows = [asdict(single("exit.pio", "i", 7, KVM)), asdict(single("exit.cpuid", "i", 8, PHYLLO))]
            path.write_text(json.dumps(rows))
            values, whence = kvm_column()
            self.assertEqual(values["exit.pio", "tdp"], 7)
            self.assertEqual(values["exit.cpuid", "tdp"], KVM_REFERENCE["exit.cpuid", "tdp"])
            self.assertIn("exit.cpuid", whence)
            path.write_text("[1]")
            self.assertRaises(UserError, kvm_column)

    def test_rows_are_known(self) -> None:
        self.assertLessEqual({name for name, _ in KVM_REFERENCE}, set(ROWS))


if __name__ == "__main__":
    unittest.main()
