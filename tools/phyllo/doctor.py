# SPDX-License-Identifier: GPL-2.0-only
"""`make doctor`: what this machine can do, and one line per thing that can be put right."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Iterator

from . import deps
from .config import ROOT, build_dir
from .probe import Host, probe_host

SPACE_MIB = 2048  # sources, three builds, images of the tests
MEMORY_MIB = 3072  # two emulators at a time, with room

# What each need of tools/setup.sh is for.
PURPOSE = {
    "python": "all tools",
    "build": "building the hypervisor and the test kernels",
    "qemu": "PLATFORM=qemu-svm and kvm",
    "bochs": "PLATFORM=bochs-vmx",
    "iso": "make iso, BOOT=grub-bios and grub-uefi",
    "ovmf": "BOOT=grub-uefi and efi",
    "efi": "BOOT=efi",
    "hosted": "hosted tests",
    "clang": "make CC=clang",
    "fuzz": "fuzz tests",
    "lint": "lints",
    "mutants": "make mutants",
    "linux": "make bench-kvm",
}


@dataclass
class Finding:
    """One line of the report."""

    good: bool
    text: str
    fix: str = ""


def package_findings() -> Iterator[Finding]:
    for need, purpose in PURPOSE.items():
        packages = deps.missing([need])
        if packages:
            fix = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
            yield Finding(False, f"{purpose}: missing {', '.join(packages)}", fix)
        else:
            yield Finding(True, purpose)


def kvm_finding(host: Host) -> Finding:
    if host.kvm:
        return Finding(True, f"PLATFORM=kvm can be used: {host.reason}")
    if not host.extension:
        fix = "nothing to do: qemu-svm and bochs-vmx emulate it (or switch VT-x/AMD-V on in the firmware)"
    elif "nesting is off" in host.reason:
        module = {"svm": "kvm_amd", "vmx": "kvm_intel"}[host.extension]
        fix = f"modprobe -r {module} && modprobe {module} nested=1"
    else:
        fix = "give your user access to /dev/kvm: adduser $USER kvm, then log in again"
    return Finding(False, f"PLATFORM=kvm cannot be used: {host.reason}", fix)


def version_finding() -> Finding:
    """The oldest QEMU whose emulation of AMD-V was seen to work is 7.2."""
    try:
        out = subprocess.run(
            ["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE, text=True, timeout=20, check=False
        ).stdout
        words = out.split()
        major, minor = (int(part) for part in words[3].split(".")[:2])
    except (OSError, IndexError, ValueError, subprocess.TimeoutExpired):
        return Finding(False, "the version of QEMU is not known", "install qemu-system-x86, version 7.2 or newer")
    if (major, minor) < (7, 2):
        return Finding(False, f"QEMU {major}.{minor} is older than what was tested", "install QEMU 7.2 or newer")
    return Finding(True, f"QEMU {major}.{minor}")


def resource_findings() -> Iterator[Finding]:
    where = build_dir() if build_dir().exists() else ROOT
    free = shutil.disk_usage(where).free >> 20
    yield Finding(free >= SPACE_MIB, f"{free} MiB of disk space free", f"make {SPACE_MIB} MiB of room below {where}")
    cores = len(os.sched_getaffinity(0))
    yield Finding(cores >= 2, f"{cores} cores", "nothing to do: tests take longer, and races show less")
    memory = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20
    yield Finding(memory >= MEMORY_MIB, f"{memory} MiB of memory", "use MEM=512M; make test may need swap")


def command_doctor() -> int:
    """0 when `make run` can work as it is."""
    packages = list(package_findings())
    findings = [*packages, version_finding(), *resource_findings(), kvm_finding(probe_host())]
    for finding in findings:
        print(f"{'ok' if finding.good else 'no'}  {finding.text}")
        if not finding.good:
            print(f"    fix: {finding.fix}")
    required = deps.missing(["python", "build", "qemu"])
    if required:
        print("make run cannot work yet; it installs what is missing by itself when it may use apt-get")
        return 1
    print("make run works here")
    return 0
