# SPDX-License-Identifier: GPL-2.0-only
"""What the user asked for: PLATFORM, BOOT, SMP, MEM, GUEST, VM, SCENARIO, SEED, MMU, ICOUNT, CMDLINE,
TIMEOUT.

They come from the environment (make exports what is given on its command line).  Every wrong
value is refused with one sentence that says what is allowed.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

ROOT = Path(__file__).resolve().parents[2]

PLATFORMS = ("qemu-svm", "bochs-vmx", "kvm")
BOOTS = ("pvh", "grub-bios", "grub-uefi", "efi")
MMUS = ("tdp", "shadow")

# A xAPIC has 8-bit ids; Bochs runs its CPUs one after the other in a single thread.
SMP_MAX = {"qemu-svm": 255, "kvm": 255, "bochs-vmx": 8}
# MiB.  Bochs shows a guest no more than 3 GiB, and takes long to set up more than one.
MEM_MAX = {"qemu-svm": 1 << 20, "kvm": 1 << 20, "bochs-vmx": 2048}
MEM_MIN = 4  # the image itself lies at 2 MiB
MEM_DEFAULT = {"qemu-svm": 1024, "kvm": 1024, "bochs-vmx": 512}


class UserError(Exception):
    """Something the user can put right; the text is the sentence to show."""


@dataclass(frozen=True)
class Request:
    """One `make run`, checked."""

    platform: Optional[str]  # None: probe
    boot: Optional[str]  # None: the platform's default
    smp: int
    mem: Optional[int]  # MiB; None: the platform's default
    guest: Optional[Path]
    cmdline: str
    timeout: Optional[int]  # seconds; None: the runner's own limits
    vm: str = ""  # options and words of the guest's module
    scenario: str = ""  # a file, or "all"
    seed: Optional[int] = None  # another than the scenario's
    icount: bool = False  # QEMU: time is instructions
    mmu: str = ""  # of all VMs of the scenario; empty: what it says itself


def build_dir() -> Path:
    """Where make builds to (B= of the Makefile)."""
    return ROOT / os.environ.get("PHYLLO_BUILD", "build")


def choose(name: str, value: str, allowed: tuple[str, ...]) -> Optional[str]:
    if not value:
        return None
    if value not in allowed:
        raise UserError(f"{name}={value} is not known; allowed are: {', '.join(allowed)}")
    return value


def parse_count(name: str, value: str, low: int, high: int) -> Optional[int]:
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise UserError(f"{name}={value} is not allowed; give a whole number from {low} to {high}")
    return int(value)


def parse_mem(value: str) -> Optional[int]:
    """Memory in MiB from "512M", "2G" or a plain number of MiB."""
    if not value:
        return None
    match = re.fullmatch(r"([0-9]{1,7})([MmGg]?)", value)
    mib = int(match[1]) * (1024 if match[2] in ("G", "g") else 1) if match else 0
    if mib < 1:
        raise UserError(f"MEM={value} is not a size; give MiB or GiB, as in MEM=512M or MEM=2G")
    return mib


def parse_guest(value: str, cwd: Path) -> Optional[Path]:
    if not value:
        return None
    path = cwd / value
    if path.is_dir():
        raise UserError(f"GUEST={value} is a directory; give a kernel file")
    if not path.is_file():
        raise UserError(f"GUEST={value}: there is no such file")
    if not os.access(path, os.R_OK):
        raise UserError(f"GUEST={value} cannot be read")
    return path


def parse_scenario(value: str, cwd: Path) -> str:
    if value and value != "all" and not (cwd / value).is_file():
        raise UserError(f"SCENARIO={value}: there is no such file (scenarios/ has some; SCENARIO=all: all of them)")
    return value


def parse_request(env: Mapping[str, str], cwd: Path = ROOT) -> Request:
    """Check everything that can be checked before a platform is chosen."""
    get = lambda name: env.get(name, "").strip()
    cmdline = get("CMDLINE")
    for name in ("CMDLINE", "VM"):
        if any(ord(c) < 0x20 or ord(c) > 0x7E for c in get(name)):
            raise UserError(f"{name}= may hold printable ASCII characters only")
    if get("VM") and not get("GUEST"):
        raise UserError(f"VM={get('VM')} goes with GUEST= only: it is that guest's module line")
    scenario = get("SCENARIO")
    for name in ("SEED", "MMU"):
        if get(name) and not scenario:
            raise UserError(f"{name}={get(name)} goes with SCENARIO= only")
    if scenario and get("GUEST"):
        raise UserError("SCENARIO= and GUEST= do not go together: a scenario says what runs beside it")
    return Request(
        platform=choose("PLATFORM", get("PLATFORM"), PLATFORMS),
        boot=choose("BOOT", get("BOOT"), BOOTS),
        smp=parse_count("SMP", get("SMP"), 1, 255) or 2,
        mem=parse_mem(get("MEM")),
        guest=parse_guest(get("GUEST"), cwd),
        cmdline=cmdline,
        timeout=parse_count("TIMEOUT", get("TIMEOUT"), 1, 86400),
        vm=get("VM"),
        icount=choose("ICOUNT", get("ICOUNT"), ("on", "off")) == "on",
        scenario=parse_scenario(scenario, cwd),
        seed=parse_count("SEED", get("SEED"), 0, 999999999),
        mmu=choose("MMU", get("MMU"), MMUS) or "",
    )


def check_platform(req: Request, platform: str) -> tuple[str, int]:
    """Boot path and memory on this platform, or why they do not go together."""
    boot = req.boot
    if platform == "bochs-vmx":
        if boot not in (None, "grub-bios"):
            raise UserError(
                f"BOOT={boot} does not go with PLATFORM=bochs-vmx, whose only firmware is a BIOS; "
                "allowed is: grub-bios"
            )
        boot = "grub-bios"
    if req.smp > SMP_MAX[platform]:
        raise UserError(
            f"SMP={req.smp} is too much for {platform}; give a whole number from 1 to {SMP_MAX[platform]}"
        )
    if req.icount and platform != "qemu-svm":
        raise UserError(f"ICOUNT=on does not go with {platform}: QEMU counts; on Bochs time is instructions anyway")
    mem = req.mem or MEM_DEFAULT[platform]
    if not MEM_MIN <= mem <= MEM_MAX[platform]:
        raise UserError(f"MEM={mem}M does not go with {platform}; give from {MEM_MIN}M to {MEM_MAX[platform]}M")
    return boot or "pvh", mem
