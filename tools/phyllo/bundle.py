# SPDX-License-Identifier: GPL-2.0-only
"""phyllo.cfg and the bundle: how several modules travel through one initrd.

A PVH boot hands over a single initrd, so the modules are packed into a cpio archive ("newc")
together with phyllo.cfg, which gives each of them its command line.  The EFI loader reads the same
phyllo.cfg from its volume.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Sequence

CONFIG = "phyllo.cfg"


@dataclass(frozen=True)
class Module:
    """A boot module: its bytes, the name it travels under, and what follows the name."""

    file: str
    data: bytes
    options: str = ""  # "[vm options] [-- guest command line]"

    @property
    def line(self) -> str:
        return f"{self.file} {self.options}".rstrip()


def module_name(path: Path) -> str:
    """A name that is one word on every boot path."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", path.name)


def module_from_file(path: Path, options: str = "") -> Module:
    return Module(module_name(path), path.read_bytes(), options)


def check_modules(modules: Sequence[Module]) -> None:
    names = [module.file for module in modules]
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9._+-]+", name) or name == CONFIG:
            raise ValueError(f"not a module name: {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"two modules are called {name}")


def config_text(modules: Sequence[Module], cmdline: str = "") -> str:
    check_modules(modules)
    lines = [f"cmdline {cmdline}"] if cmdline else []
    lines += [f"module {module.line}" for module in modules]
    return "".join(line + "\n" for line in lines)


def cpio_member(name: str, data: bytes, ino: int, mode: int = 0o100644) -> bytes:
    """One newc member: a header in hexadecimal, name and data each padded to four bytes."""
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode("ascii") + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def archive(files: Iterable[tuple[str, bytes]], mode: int = 0o100644) -> bytes:
    """A cpio archive of plain files."""
    members = (cpio_member(name, data, ino, mode) for ino, (name, data) in enumerate(files, start=1))
    return b"".join(members) + cpio_member("TRAILER!!!", b"", 0)


def bundle(modules: Sequence[Module], cmdline: str = "") -> bytes:
    """The archive; phyllo.cfg comes first."""
    config = (CONFIG, config_text(modules, cmdline).encode("ascii"))
    return archive([config, *((module.file, module.data) for module in modules)])
