# SPDX-License-Identifier: GPL-2.0-only
"""The list of all tests, and the commands `make test` and `make check`."""

import os
import time

from . import build, deps
from .config import parse_count
from .lint import lint_tests
from .suite_booted import booted_tests
from .suite_hosted import STRESS_SECONDS, STRESS_SECONDS_SHORT, explore_tests, fuzz_tests, hosted_tests
from .suite_hosted import runner_tests, stress_tests
from .suite_negative import negative_tests
from .suite_run import run_tests
from .suite_shadow import shadow_tests
from .suite_smp import smp_tests
from .suite_stress import memory_stress_tests
from .suite_vms import vms_tests
from .testing import Test, report, run_all, select


def host_list(stress_seconds: int) -> list[Test]:
    return [*runner_tests(), *lint_tests(), *stress_tests(stress_seconds), *explore_tests(), *hosted_tests()]


def check_list() -> list[Test]:
    """Needs no emulator."""
    return host_list(STRESS_SECONDS_SHORT)


def test_list() -> list[Test]:
    """Everything; the long ones first among the booted, so that the end is not one long test alone."""
    booted = [*smp_tests(), *booted_tests(), *shadow_tests(), *vms_tests(), *memory_stress_tests()]
    booted += [*negative_tests(), *run_tests()]
    return [*host_list(STRESS_SECONDS), *booted, *fuzz_tests()]


def command(tests: list[Test], needs: tuple[str, ...], targets: tuple[str, ...]) -> int:
    start = time.monotonic()
    deps.install(needs)
    chosen = select(tests, os.environ.get("ONLY", ""))
    build.make(*targets)
    return report(run_all(chosen), time.monotonic() - start)


def command_test() -> int:
    targets = ("all", "efi-loader", "host-tests", "stress-program", "explorer", "fuzz-targets")
    return command(test_list(), deps.ALL_NEEDS, targets)


def command_check() -> int:
    return command(check_list(), deps.CHECK_NEEDS, ("all", "host-tests", "stress-program", "explorer"))


def command_stress() -> int:
    """The stress alone, for longer."""
    seconds = parse_count("SECONDS", os.environ.get("STRESS_SECONDS", ""), 1, 86400) or 600
    return command(stress_tests(seconds), ("python", "build", "hosted"), ("stress-program",))


def command_fuzz() -> int:
    """Fuzzers alone, for longer."""
    seconds = parse_count("FUZZ_SECONDS", os.environ.get("FUZZ_SECONDS", ""), 1, 86400) or 300
    return command(fuzz_tests(seconds), ("python", "build", "fuzz"), ("fuzz-targets",))


def command_list() -> int:
    for test in test_list():
        print(test.name)
    return 0
