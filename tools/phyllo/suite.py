# SPDX-License-Identifier: GPL-2.0-only
"""The list of all tests, and the commands `make test` and `make check`."""

import os
import time

from . import build, deps
from .config import parse_count
from .lint import lint_tests
from .suite_booted import booted_tests
from .suite_hosted import fuzz_tests, hosted_tests, runner_tests
from .suite_negative import negative_tests
from .suite_run import run_tests
from .testing import Test, report, run_all, select


def check_list() -> list[Test]:
    """Needs no emulator."""
    return [*runner_tests(), *lint_tests(), *hosted_tests()]


def test_list() -> list[Test]:
    """Everything; the long ones first among the booted, so that the end is not one long test alone."""
    return [*check_list(), *booted_tests(), *negative_tests(), *run_tests(), *fuzz_tests()]


def command(tests: list[Test], needs: tuple[str, ...], targets: tuple[str, ...]) -> int:
    start = time.monotonic()
    deps.install(needs)
    chosen = select(tests, os.environ.get("ONLY", ""))
    build.make(*targets)
    return report(run_all(chosen), time.monotonic() - start)


def command_test() -> int:
    return command(test_list(), deps.ALL_NEEDS, ("all", "efi-loader", "host-tests", "fuzz-targets"))


def command_check() -> int:
    return command(check_list(), deps.CHECK_NEEDS, ("all", "host-tests"))


def command_fuzz() -> int:
    """Fuzzers alone, for longer."""
    seconds = parse_count("FUZZ_SECONDS", os.environ.get("FUZZ_SECONDS", ""), 1, 86400) or 300
    return command(fuzz_tests(seconds), ("python", "build", "fuzz"), ("fuzz-targets",))


def command_list() -> int:
    for test in test_list():
        print(test.name)
    return 0
