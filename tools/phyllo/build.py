# SPDX-License-Identifier: GPL-2.0-only
"""Call make for what a command needs, and find what it made."""

import os
import subprocess
from pathlib import Path

from .bundle import Module, module_from_file
from .config import ROOT, UserError, build_dir

# The default scenario of `make run` and of the ISO, in the order in which they run.
DEFAULT_GUESTS = ("hello", "memory", "balloon", "unmap")

BUILD_LIMIT = 900


def make_environment() -> dict[str, str]:
    """Our environment for a make below make: the user's variables pass (CC=clang), the
    job server, whose descriptors do not, is left out."""
    env = dict(os.environ)
    words = env.get("MAKEFLAGS", "").split(" ")
    dropped = ("-j", "--jobserver", "-n", "--sync-mutex")
    env["MAKEFLAGS"] = " ".join(word for word in words if not word.startswith(dropped))
    for name in ("MFLAGS", "MAKELEVEL", "GNUMAKEFLAGS"):
        env.pop(name, None)
    return env


def make(*targets: str, quiet: bool = False, limit: int = BUILD_LIMIT) -> str:
    """Build; the output is shown, or with quiet returned.  A failure is a UserError."""
    argv = ["make", "--no-print-directory", f"-j{os.cpu_count() or 1}", *targets]
    try:
        done = subprocess.run(
            argv, cwd=ROOT, env=make_environment(), stdin=subprocess.DEVNULL, timeout=limit, check=False,
            text=True, errors="replace",
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(f"make {' '.join(targets)} did not end within {limit} s") from None
    if done.returncode:
        tail = "\n" + "\n".join(done.stdout.splitlines()[-30:]) if quiet else ""
        raise UserError(f"make {' '.join(targets)} failed{tail}")
    return done.stdout or ""


def make_variable(name: str) -> str:
    """A variable of the Makefile, expanded."""
    return make("-s", f"print-{name}", quiet=True, limit=60).strip()


def elf_path() -> Path:
    return build_dir() / "phyllo.elf"


def efi_loader_path() -> Path:
    return build_dir() / "BOOTX64.EFI"


def guest_file(file: str) -> Path:
    """One of our test kernels."""
    path = build_dir() / "guest" / file
    if not path.is_file():
        raise UserError(f"the test kernel {file} was not built: there is no {path}")
    return path


def guest_module(name: str, options: str = "") -> Module:
    return module_from_file(guest_file(f"{name}.elf"), options)


def targets_of_boot(boot: str) -> list[str]:
    return ["all", "efi-loader"] if boot == "efi" else ["all"]
