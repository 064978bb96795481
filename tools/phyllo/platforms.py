# SPDX-License-Identifier: GPL-2.0-only
"""The emulators' command lines, for each platform and boot path.

make_machine() puts the media for one boot into a directory and says how to start the emulator on them.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .bundle import Module, bundle
from .config import UserError
from .media import build_esp, build_iso, grub_config, grub_entry

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

# Bochs counts instructions, not seconds: with this the emulated clocks run at about
# the speed of the host's.
BOCHS_IPS = 10_000_000

# QEMU exits with (value << 1) | 1 of what was written to isa-debug-exit.
EXIT_OK, EXIT_FAILED, EXIT_PANIC, EXIT_NO_VIRT, EXIT_BOOT = 33, 35, 37, 39, 41
EXIT_MEANING = {
    EXIT_OK: "success",
    EXIT_FAILED: "a guest failed or could not be started",
    EXIT_PANIC: "the hypervisor crashed",
    EXIT_NO_VIRT: "this machine cannot run guests",
    EXIT_BOOT: "the boot code refused to start the hypervisor",
    # -no-reboot ends QEMU with 0 when the machine resets itself
    0: "the machine reset itself: a triple fault of the hypervisor, most likely",
}


@dataclass(frozen=True)
class BootSpec:
    """One boot: where, how, and of what."""

    platform: str
    boot: str
    elf: Path
    modules: Sequence[Module] = ()
    cmdline: str = ""
    smp: int = 2
    mem: int = 512  # MiB
    efi_loader: Path | None = None
    cpu: str = ""  # another CPU model than the platform's
    tty: bool = False  # the console is to take input
    iso: Path | None = None  # boot this image as it is instead of making one
    icount: bool = False  # QEMU: time is instructions, every run is the same


@dataclass
class Machine:
    """An emulator ready to start."""

    argv: list[str]
    cwd: Path
    console: str  # "stdio": the process's own; "fifo" or "pty": console_path
    console_path: Path | None = None
    has_exit_code: bool = True


def drive_file(path: Path) -> str:
    """A file name inside a -drive option, where a comma ends it."""
    return str(path).replace(",", ",,")


def qemu_base(spec: BootSpec) -> list[str]:
    if spec.platform == "kvm":
        accel, cpu = "kvm", "host"
    else:
        # EPYC: the one model with SVM, NPT and 1G pages under TCG
        accel, cpu = "tcg,thread=multi", "EPYC"
    clock: list[str] = []
    if spec.icount:
        accel = "tcg"
        clock = ["-icount", "shift=0,sleep=off", "-rtc", "base=2020-01-01T00:00:00,clock=vm"]
    return [
        "qemu-system-x86_64",
        "-accel", accel, "-cpu", spec.cpu or cpu, *clock,
        "-smp", str(spec.smp), "-m", f"{spec.mem}M",
        "-display", "none", "-monitor", "none", "-serial", "stdio",
        "-no-reboot", "-nic", "none",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
    ]  # fmt: skip


def ovmf_drives(work: Path) -> list[str]:
    variables = work / "ovmf-vars.fd"
    shutil.copyfile(OVMF_VARS, variables)
    return [
        "-M", "q35",
        "-drive", f"if=pflash,format=raw,readonly=on,file={drive_file(OVMF_CODE)}",
        "-drive", f"if=pflash,format=raw,file={drive_file(variables)}",
    ]  # fmt: skip


def spec_iso(spec: BootSpec, work: Path) -> Path:
    if spec.iso:
        return spec.iso
    iso = work / "phyllo.iso"
    entry = grub_entry("Phyllo", spec.modules, spec.cmdline)
    build_iso(iso, spec.elf, spec.modules, grub_config(entry, timeout=0))
    return iso


def qemu_machine(spec: BootSpec, work: Path) -> Machine:
    argv = qemu_base(spec)
    if spec.boot == "pvh":
        argv += ["-kernel", str(spec.elf), "-append", spec.cmdline]
        if spec.modules:
            initrd = work / "modules.cpio"
            initrd.write_bytes(bundle(spec.modules))
            argv += ["-initrd", str(initrd)]
    elif spec.boot == "grub-bios":
        argv += ["-boot", "d", "-cdrom", str(spec_iso(spec, work))]
    elif spec.boot == "grub-uefi":
        argv += [*ovmf_drives(work), "-cdrom", str(spec_iso(spec, work))]
    elif spec.boot == "efi":
        if not spec.efi_loader or not spec.efi_loader.is_file():
            raise UserError("BOOT=efi needs our EFI loader, which was not built (make doctor says what is missing)")
        esp = work / "esp.img"
        build_esp(esp, spec.efi_loader, spec.elf, spec.modules, spec.cmdline)
        argv += [*ovmf_drives(work), "-drive", f"format=raw,file={drive_file(esp)}"]
    else:
        raise ValueError(spec.boot)
    return Machine(argv, work, "stdio")


# No VBE (vga: extension=none): when a kernel asks GRUB for a framebuffer, the VBE calls into this
# VGABIOS destroy GRUB's memory.  The screen is EGA text then.
BOCHS_RC = """\
plugin_ctrl: iodebug=1, unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1, gameport=0, busmouse=0
config_interface: textconfig
display_library: rfb, options="timeout=0"
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
vga: extension=none
megs: {mem}
cpu: model={cpu}, count={smp}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=0
clock: sync=none, time0=1577836800
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{iso}", status=inserted
boot: cdrom
com1: enabled=1, mode={mode}, dev={dev}
port_e9_hack: enabled=1
sound: driver=dummy
log: bochs.log
panic: action=fatal
error: action=report
info: action=report
"""


def bochs_machine(spec: BootSpec, work: Path) -> Machine:
    if spec.boot != "grub-bios":
        raise UserError(f"BOOT={spec.boot} does not go with PLATFORM=bochs-vmx; allowed is: grub-bios")
    console = work / "com1"
    rc = BOCHS_RC.format(
        mem=spec.mem, cpu=spec.cpu or "corei7_skylake_x", smp=spec.smp, ips=BOCHS_IPS,
        iso=spec_iso(spec, work), mode="term" if spec.tty else "file", dev=console,
    )  # fmt: skip
    (work / "bochsrc").write_text(rc)
    # Debian's Bochs has its debugger built in and would wait for commands.
    (work / "debugger").write_text("c\nr\nsreg\nq\n")
    return Machine(
        ["bochs", "-q", "-f", "bochsrc", "-rc", "debugger"],
        work,
        "pty" if spec.tty else "fifo",
        console_path=console,
        # it exits with 1 whatever the guest says
        has_exit_code=False,
    )


def make_machine(spec: BootSpec, work: Path) -> Machine:
    """Write the media of one boot into work and say how to start it."""
    work.mkdir(parents=True, exist_ok=True)
    if not spec.elf.is_file():
        raise UserError(f"there is no {spec.elf} (make builds it)")
    if spec.platform == "bochs-vmx":
        return bochs_machine(spec, work)
    return qemu_machine(spec, work)
