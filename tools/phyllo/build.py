# SPDX-License-Identifier: GPL-2.0-only
"""Call make for what a command needs, and find what it made."""

import os
import subprocess
from pathlib import Path

from .bundle import Module, module_from_file
from .config import ROOT, UserError, build_dir
from .processes import run

# The default scenario of `make run` and of the ISO, all of them at once: name, kernel, what its module line says.
DEFAULT_GUESTS = (
    ("hello", "hello", "mem=32M"),
    ("alpha", "smpstress", "vcpus=4 mem=96M -- mib=8 rounds=10"),
    ("beta", "smpstress", "vcpus=3 mem=96M -- mib=8 rounds=10 seed=7"),
)
DEFAULT_NAMES = tuple(name for name, _, _ in DEFAULT_GUESTS)

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


def make_argv(targets: tuple[str, ...]) -> list[str]:
    return ["make", "-s", "--no-print-directory", f"-j{os.cpu_count() or 1}", *targets]


def make(*targets: str) -> None:
    """Build, with the output shown."""
    try:
        done = subprocess.run(
            make_argv(targets), cwd=ROOT, env=make_environment(), stdin=subprocess.DEVNULL,
            timeout=BUILD_LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(f"make {' '.join(targets)} did not end within {BUILD_LIMIT} s") from None
    if done.returncode:
        raise UserError(f"make {' '.join(targets)} failed")


def make_quietly(*targets: str) -> str:
    """Build; the output is returned, and shown only on failure."""
    code, output = run(make_argv(targets), BUILD_LIMIT, ROOT, make_environment())
    if code is None:
        raise UserError(f"make {' '.join(targets)} did not end within {BUILD_LIMIT} s")
    if code:
        tail = "\n".join(output.splitlines()[-30:])
        raise UserError(f"make {' '.join(targets)} failed\n{tail}")
    return output


def make_variable(name: str) -> str:
    """A variable of the Makefile, expanded."""
    return make_quietly(f"print-{name}").strip()


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


def named_module(name: str, kernel: str, options: str = "") -> Module:
    """The same under a name of its own, so that one boot can hold a kernel twice."""
    return Module(f"{name}.elf", guest_file(f"{kernel}.elf").read_bytes(), options)


def default_modules() -> list[Module]:
    return [named_module(*guest) for guest in DEFAULT_GUESTS]


def targets_of_boot(boot: str) -> list[str]:
    return ["all", "efi-loader"] if boot == "efi" else ["all"]
