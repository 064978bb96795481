# SPDX-License-Identifier: GPL-2.0-only
"""Host packages, by what they are needed for.  The table itself is in tools/setup.sh, which
must run where Python is still missing."""

import os
import subprocess
from typing import Iterable

from .config import ROOT, UserError

SETUP = str(ROOT / "tools/setup.sh")

# What `make test` uses.
ALL_NEEDS = (
    "python", "build", "qemu", "bochs", "iso", "ovmf", "efi", "hosted", "clang", "fuzz", "lint", "mutants", "linux",
)  # fmt: skip
CHECK_NEEDS = ("python", "build", "efi", "hosted", "clang", "lint")


def missing(needs: Iterable[str]) -> list[str]:
    """Debian packages that are not there."""
    out = subprocess.run(
        [SETUP, "--missing", *needs], check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    return out.stdout.split()


def install(needs: Iterable[str]) -> None:
    """Install what is missing; prints the line first."""
    if os.environ.get("PHYLLO_NO_INSTALL") == "1":
        packages = missing(needs)
        if packages:
            raise UserError(
                "missing packages, and PHYLLO_NO_INSTALL=1 forbids to install them: "
                + " ".join(packages)
            )
        return
    if subprocess.run([SETUP, *needs], check=False).returncode:
        raise UserError("cannot go on without these packages")


def needs_of_boot(platform: str, boot: str) -> list[str]:
    """What one boot needs beyond the build."""
    needs = ["bochs" if platform == "bochs-vmx" else "qemu"]
    if boot.startswith("grub"):
        needs.append("iso")
    if boot in ("grub-uefi", "efi"):
        needs.append("ovmf")
    if boot == "efi":
        needs.append("efi")
    return needs
