# SPDX-License-Identifier: GPL-2.0-only
"""What this machine can do, found by trying.

A /dev/kvm that opens proves nothing: containers and clouds hand it out on CPUs whose CPUID has
neither vmx nor svm, and then KVM is useless for us.  So CPUID comes first.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01


@dataclass(frozen=True)
class Host:
    """Facts about the host's processor and its KVM."""

    extension: str  # "svm", "vmx" or ""
    kvm: bool  # nested guests work under KVM here
    reason: str  # why, or why not


def cpu_extension(cpuinfo: str) -> str:
    """The virtualisation extension named by the first flags line of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() != "flags":
            continue
        flags = value.split()
        return next((flag for flag in ("svm", "vmx") if flag in flags), "")
    return ""


def kvm_device_error(path: str = "/dev/kvm") -> str:
    """Empty when a virtual machine can be created, else the reason."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        return f"{path} cannot be opened ({err.strerror})"
    try:
        if fcntl.ioctl(fd, KVM_GET_API_VERSION, 0) != 12:
            return f"{path} speaks another version of the KVM interface"
        os.close(fcntl.ioctl(fd, KVM_CREATE_VM, 0))
    except OSError as err:
        return f"{path} creates no virtual machine ({err.strerror})"
    finally:
        os.close(fd)
    return ""


def nested_enabled(extension: str, sys: Path = Path("/sys")) -> bool:
    module = {"svm": "kvm_amd", "vmx": "kvm_intel"}[extension]
    try:
        return (sys / "module" / module / "parameters/nested").read_text().strip() in ("1", "Y")
    except OSError:
        return False


def probe_host() -> Host:
    try:
        extension = cpu_extension(Path("/proc/cpuinfo").read_text())
    except OSError:
        extension = ""
    if not extension:
        also = ", though /dev/kvm exists" if os.path.exists("/dev/kvm") else ""
        return Host("", False, f"this machine's CPUID has neither vmx nor svm{also}")
    error = kvm_device_error()
    if error:
        return Host(extension, False, f"CPUID has {extension}, but {error}")
    if not nested_enabled(extension):
        return Host(extension, False, f"CPUID has {extension} and KVM works, but its nesting is off")
    return Host(extension, True, f"CPUID has {extension}, /dev/kvm works and nesting is on")


def choose_platform(wanted: str | None, host: Host) -> tuple[str, str]:
    """The platform and the half sentence that says why."""
    if wanted == "kvm":
        return wanted, f"as asked for; {host.reason}"
    if wanted:
        return wanted, "as asked for"
    if host.kvm:
        return "kvm", host.reason
    return "qemu-svm", f"AMD-V emulated by QEMU, because {host.reason}"
