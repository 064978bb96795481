# SPDX-License-Identifier: GPL-2.0-only
"""Entry: ``python3 -m phyllo COMMAND``; the make targets call it."""

import os
import sys
from typing import Callable

from .bench import command_bench
from .bench_kvm import command_bench_kvm
from .config import UserError
from .coverage import command_coverage
from .doctor import command_doctor
from .mutants import command_mutants
from .profile import command_profile
from .processes import Stopped, stop_all, stop_on_signals
from .run import command_iso, command_run
from .seeded import command_seeded
from .soak import command_soak
from .suite import command_check, command_fuzz, command_list, command_stress, command_test
from .suite_hosted import command_selftest

COMMANDS: dict[str, Callable[[], int]] = {
    "run": command_run,
    "iso": command_iso,
    "test": command_test,
    "check": command_check,
    "fuzz": command_fuzz,
    "list": command_list,
    "stress": command_stress,
    "mutants": command_mutants,
    "explore-seeded": command_seeded,
    "coverage": command_coverage,
    "soak": command_soak,
    "bench": command_bench,
    "bench-kvm": command_bench_kvm,
    "profile": command_profile,
    "doctor": command_doctor,
    "selftest": command_selftest,
}


def main(argv: list[str]) -> int:
    if len(argv) != 2 or argv[1] not in COMMANDS:
        print(f"usage: python3 -m phyllo {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    stop_on_signals()
    try:
        return COMMANDS[argv[1]]()
    except UserError as err:
        print(f"phyllo: {err}", file=sys.stderr, flush=True)
        return 1
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (KeyboardInterrupt, Stopped):
        print("\nphyllo: stopped", file=sys.stderr, flush=True)
        return 130
    finally:
        stop_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
