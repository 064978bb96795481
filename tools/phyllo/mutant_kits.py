# SPDX-License-Identifier: GPL-2.0-only
"""How a mutant becomes a program: the objects of the unchanged tree, but for what it touches."""

import os
import shlex
from pathlib import Path
from typing import Sequence

from . import build
from .config import ROOT, build_dir

EXPLORE_SECONDS = 12
SIGNAL = "vmm/signal"
SCHEDULER = {"host/runqueue", "host/sched", "host/thread", "host/timer"}


class Kit:
    """One way in which the sources are built: objects to reuse, and who includes what."""

    def __init__(self, objects: Path, compiler: str, flags: str) -> None:
        self.objects = objects
        self.compiler = shlex.split(build.make_variable(compiler))
        self.flags = shlex.split(build.make_variable(flags))
        self.users = self.read_dependencies()

    def read_dependencies(self) -> dict[str, set[str]]:
        """Which units (SOURCE without .c) are made from each file."""
        users: dict[str, set[str]] = {}
        for path in self.objects.rglob("*.d"):
            rule = path.read_text().split("\n\n", 1)[0].replace("\\\n", " ")
            unit = str(path.relative_to(self.objects))[:-2]
            for source in rule.split(":", 1)[1].split():
                users.setdefault(os.path.normpath(source), set()).add(unit)
        return users

    def units(self, files: Sequence[str]) -> list[str]:
        """Other rooms use mm/'s headers, too, but these tests run nothing of them but what is named above."""
        units = set().union(*(self.users.get(name, set()) for name in files))
        return sorted(unit for unit in units if unit.startswith(("mm/", "tests/")) or unit in SCHEDULER | {SIGNAL})

    def compile_argv(self, unit: str, target: Path) -> list[str]:
        return [*self.compiler, *self.flags, "-c", "-o", str(target), f"{unit}.c"]


class HostedKit(Kit):
    """The hosted tests: what is given before the library is taken instead of what is in it."""

    def __init__(self) -> None:
        super().__init__(build_dir().resolve() / "hosted", "HOSTED_CC", "HOSTED_CFLAGS")

    def link_argv(self, test: str, target: Path, changed: dict[str, Path]) -> list[str]:
        first = changed.get(f"tests/host/{test}", self.objects / f"tests/host/{test}.o")
        others = [str(path) for unit, path in changed.items() if not unit.startswith("tests/host/test_")]
        return [*self.compiler, *self.flags, "-o", str(target), str(first), *others, str(self.objects / "libphyllo.a")]

    def run_argv(self, program: Path) -> list[str]:
        return [str(program)]


class TsanKit(Kit):
    """Tests of threads under ThreadSanitizer, which sees what an interleaving by itself does not show."""

    def __init__(self) -> None:
        super().__init__(build_dir().resolve() / "tsan", "HOSTED_CC", "TSAN_CFLAGS")

    def link_argv(self, test: str, target: Path, changed: dict[str, Path]) -> list[str]:
        name = f"tests/host/{Path(test).name}"
        own = changed.get(name, self.objects / f"{name}.o")
        others = [str(path) for unit, path in changed.items() if unit.startswith("mm/")]
        return [*self.compiler, *self.flags, "-o", str(target), str(own), *others, str(self.objects / "libmm.a")]

    def run_argv(self, program: Path) -> list[str]:
        return [str(program)]


class ExploreKit(Kit):
    """The interleaving explorer, which is one program.  What it does outside an interleaving (setting
    the scene, auditing) is done by the unchanged code: it has that a second time, under other names."""

    def __init__(self) -> None:
        super().__init__(build_dir().resolve() / "explore/obj", "EXPLORE_CC", "EXPLORE_CFLAGS")

    def link_argv(self, test: str, target: Path, changed: dict[str, Path]) -> list[str]:
        units = sorted(str(path.relative_to(self.objects))[:-2] for path in self.objects.rglob("*.o"))
        objects = [str(changed.get(unit, self.objects / f"{unit}.o")) for unit in units if exists(f"{unit}.c")]
        plain = str(self.objects.parent / "plain.o")
        return [*self.compiler, "-no-pie", "-g", "-o", str(target), *objects, plain]

    def run_argv(self, program: Path) -> list[str]:
        return [str(program), "run", "--seconds", str(EXPLORE_SECONDS)]


def exists(name: str) -> bool:
    return (ROOT / name).is_file()
