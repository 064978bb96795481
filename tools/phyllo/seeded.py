# SPDX-License-Identifier: GPL-2.0-only
"""`make explore-seeded`: does the interleaving explorer find the races that were put in on purpose?

Each mutant of the cases below (tests/mutants/) is built into an explorer of its own, which hunts until it
fails; then the seed it printed is replayed and has to fail once more.
"""

import os
import re
import time
from pathlib import Path

from . import build, deps
from .config import build_dir
from .mutant_kits import ExploreKit
from .mutants import COMPILE_LIMIT, Failed, Mutant, Worker, find_mutants
from .processes import run

CASES = ("H6", "H7", "H8", "H9", "H12")
HUNT = 400_000  # interleavings, of all scenarios together
HUNT_LIMIT = 300.0
REPLAY_LIMIT = 60.0


class Hunter:
    """Builds one explorer after the other, in a copy of the sources."""

    def __init__(self) -> None:
        self.kit = ExploreKit()
        self.worker = Worker(None, "seeded")

    def program(self, mutant: Mutant) -> Path:
        changed = self.worker.compile(self.kit, self.worker.apply(mutant))
        target = self.worker.out / "explore"
        code, output = run(self.kit.link_argv("explore", target, changed), COMPILE_LIMIT, self.worker.tree)
        if code:
            raise Failed("does not link: " + " ".join(output.splitlines()[-3:]))
        return target

    def hunt(self, mutant: Mutant) -> tuple[bool, str]:
        """Was it found, and did its seed fail again?  And what is to be said of it."""
        self.worker.out.mkdir(parents=True, exist_ok=True)
        try:
            program = self.program(mutant)
        except Failed as err:
            return False, str(err)
        finally:
            self.worker.restore(mutant)
        code, output = run([str(program), "hunt", "--count", str(HUNT)], HUNT_LIMIT, self.worker.out)
        found = re.search(r"found by (\S+) after (\d+) interleavings", output)
        seed = re.search(r"explore replay (\S+) (\S+)", output)
        if code != 1 or not found or not seed:
            return False, "not found: " + (output.splitlines() or ["the hunt did not end in time"])[-1]
        why = next(line for line in output.splitlines() if line.startswith(f"# {seed[1]}, thread"))
        code, again = run([str(program), "replay", seed[1], seed[2]], REPLAY_LIMIT, self.worker.out)
        if code != 1 or why not in again:
            return False, f"found by {found[1]}, but the seed {seed[2]} does not replay"
        return True, f"{int(found[2]):>8} interleavings, replays; {why.removeprefix('# ')[:110]}"


def command_seeded() -> int:
    """Print a line per mutant, and how many were found."""
    start = time.monotonic()
    deps.install(("python", "build", "hosted", "mutants"))
    words = os.environ.get("ONLY", "").split()
    mutants = [mutant for mutant in find_mutants(words) if words or mutant.case in CASES]
    build.make("explorer")
    hunter, count = Hunter(), 0
    for mutant in mutants:
        found, text = hunter.hunt(mutant)
        count += found
        print(f"{mutant.case:4} {mutant.name:28} {'found' if found else 'MISSED':6} {text}", flush=True)
    print(f"# mutants are built and kept in {build_dir() / 'mutants'}")
    print(f"{count} of {len(mutants)} seeded races found, in {time.monotonic() - start:.0f} s")
    return 0 if count == len(mutants) else 1
