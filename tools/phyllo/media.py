# SPDX-License-Identifier: GPL-2.0-only
"""Boot media: the hybrid ISO (GRUB on BIOS and UEFI) and the EFI system partition of our own loader."""

import shlex
import tempfile
from pathlib import Path
from typing import Sequence

from .bundle import CONFIG, Module, check_modules, config_text
from .config import UserError
from .processes import run

TOOL_LIMIT = 120  # seconds; each of these tools needs one


def run_tool(argv: Sequence[str], what: str) -> None:
    """Run a host tool; a failure shows what it said."""
    try:
        code, output = run(argv, TOOL_LIMIT)
    except FileNotFoundError:
        raise UserError(f"{what}: {argv[0]} is not installed (make doctor says how)") from None
    if code is None:
        raise UserError(f"{what}: {argv[0]} did not end within {TOOL_LIMIT} s")
    if code:
        tail = "\n".join(output.splitlines()[-10:])
        raise UserError(f"{what}: {argv[0]} failed with code {code}:\n{tail}")


# ---- GRUB ---------------------------------------------------------------------------


def grub_word(word: str) -> str:
    """A word for grub.cfg, taken literally."""
    return "'" + word.replace("'", "'\\''") + "'"


def grub_words(text: str) -> str:
    """The words of a command line, quoted for GRUB; a word that holds blanks arrives in double quotes."""
    try:
        return " ".join(grub_word(word) for word in shlex.split(text))
    except ValueError as err:
        raise UserError(f"command line {text!r}: {err}") from None


def grub_entry(title: str, modules: Sequence[Module], cmdline: str) -> str:
    lines = [f"menuentry {grub_word(title)} {{"]
    lines.append(f"\tmultiboot2 /boot/phyllo.elf {grub_words(cmdline)}".rstrip())
    # GRUB passes on what follows the path, so the name comes a second time.
    lines += [f"\tmodule2 /boot/{m.file} {grub_words(m.line)}" for m in modules]
    lines += ["\tboot", "}"]
    return "\n".join(lines) + "\n"


def grub_config(entries: str, timeout: int) -> str:
    """Menu and messages go to the serial line and the screen."""
    return (
        "insmod all_video\n"
        "serial --unit=0 --speed=115200\n"
        "terminal_input serial console\n"
        "terminal_output serial console\n"
        f"set default=0\nset timeout={timeout}\n\n{entries}"
    )


def build_iso(out: Path, elf: Path, modules: Sequence[Module], config: str) -> None:
    """One image that BIOS and UEFI machines boot, from CD or copied to a USB stick."""
    check_modules(modules)
    with tempfile.TemporaryDirectory(prefix="phyllo-iso-", dir=out.parent) as tmp:
        boot = Path(tmp) / "boot"
        (boot / "grub").mkdir(parents=True)
        (boot / "grub/grub.cfg").write_text(config)
        (boot / "phyllo.elf").write_bytes(elf.read_bytes())
        for module in modules:
            (boot / module.file).write_bytes(module.data)
        run_tool(["grub-mkrescue", "-o", str(out), tmp, "--", "-volid", "PHYLLO"], "building the ISO image")


# ---- EFI ----------------------------------------------------------------------------


def build_esp(out: Path, loader: Path, elf: Path, modules: Sequence[Module], cmdline: str) -> None:
    """A FAT volume with our own loader as \\EFI\\BOOT\\BOOTX64.EFI, and all it reads in the root."""
    check_modules(modules)
    size = elf.stat().st_size + sum(len(module.data) for module in modules)
    mib = max(34, -(-size // (1 << 20)) + 8)  # FAT32 starts at 33 MiB
    with open(out, "wb") as image:
        image.truncate(mib << 20)
    with tempfile.TemporaryDirectory(prefix="phyllo-esp-", dir=out.parent) as tmp:
        top = Path(tmp)
        (top / "phyllo.elf").write_bytes(elf.read_bytes())
        (top / CONFIG).write_text(config_text(modules, cmdline))
        for module in modules:
            (top / module.file).write_bytes(module.data)
        run_tool(["mformat", "-i", str(out), "-F", "-v", "PHYLLO", "::"], "building the EFI volume")
        run_tool(["mmd", "-i", str(out), "::/EFI", "::/EFI/BOOT"], "building the EFI volume")
        run_tool(["mcopy", "-i", str(out), str(loader), "::/EFI/BOOT/BOOTX64.EFI"], "building the EFI volume")
        files = sorted(str(path) for path in top.iterdir())
        run_tool(["mcopy", "-i", str(out), *files, "::/"], "building the EFI volume")
