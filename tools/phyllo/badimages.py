# SPDX-License-Identifier: GPL-2.0-only
"""Guest images that must be refused: broken, cut off, or with headers that lie."""

import struct
from dataclasses import dataclass, replace
from typing import Callable

from .bundle import Module

MB1_MAGIC = 0x1BADB002
MB1_KLUDGE = 1 << 16
BASE = 1 << 20  # where an honest image lies
HEADER = 52 + 32  # ELF32 header and one program header


@dataclass(frozen=True)
class Image:
    """An ELF32 multiboot1 kernel of one segment; every field can be made to lie."""

    entry: int = BASE + HEADER + 12
    phoff: int = 52
    phnum: int = 1
    phentsize: int = 32
    offset: int = 0
    paddr: int = BASE
    filesz: int = 128
    memsz: int = 4096
    checksum: int = 0  # added to the right one
    magic: int = MB1_MAGIC

    def elf(self) -> bytes:
        ident = b"\x7fELF" + bytes((1, 1, 1)) + bytes(9)
        head = struct.pack(
            "<HHIIIIIHHHHHH", 2, 3, 1, self.entry, self.phoff, 0, 0, 52, self.phentsize, self.phnum, 40, 0, 0
        )
        segment = struct.pack("<8I", 1, self.offset, self.paddr, self.paddr, self.filesz, self.memsz, 5, 4096)
        multiboot = struct.pack("<3I", self.magic, 0, (-self.magic + self.checksum) & 0xFFFFFFFF)
        return (ident + head + segment + multiboot).ljust(128, b"\xf4")  # HLT


def flat(header: int, load: int, load_end: int, bss_end: int, entry: int) -> bytes:
    """An a.out-kludge image: the addresses are in the multiboot1 header."""
    fields = struct.pack(
        "<8I", MB1_MAGIC, MB1_KLUDGE, -(MB1_MAGIC + MB1_KLUDGE) & 0xFFFFFFFF, header, load, load_end, bss_end, entry
    )
    return fields.ljust(256, b"\xf4")


def multiboot2(length: int) -> bytes:
    """A multiboot2 header alone, with a length of our choice."""
    magic = 0xE85250D6
    fields = struct.pack("<4I", magic, 0, length, -(magic + length) & 0xFFFFFFFF)
    return (fields + struct.pack("<HHI", 0, 0, 8)).ljust(256, b"\xf4")


GOOD = Image()

# Name, bytes.  Each file is refused with a sentence that names it.
BAD: dict[str, Callable[[], bytes]] = {
    "text.bin": lambda: b"# This is a text, not a kernel.\n" * 40,
    "empty.bin": lambda: b"",
    "short.elf": lambda: GOOD.elf()[:40],
    "no-header.elf": lambda: replace(GOOD, magic=0).elf(),
    "checksum.elf": lambda: replace(GOOD, checksum=1).elf(),
    "phdrs-outside.elf": lambda: replace(GOOD, phoff=0x7FFFFF00).elf(),
    "phdrs-many.elf": lambda: replace(GOOD, phnum=0xFFFF).elf(),
    "phdrs-none.elf": lambda: replace(GOOD, phnum=0).elf(),
    "phdrs-small.elf": lambda: replace(GOOD, phentsize=4).elf(),
    "offset.elf": lambda: replace(GOOD, offset=0xFFFFFF80).elf(),
    "filesz.elf": lambda: replace(GOOD, filesz=0x40000000, memsz=0x40000000).elf(),
    "memsz.elf": lambda: replace(GOOD, filesz=128, memsz=16).elf(),
    "segment-high.elf": lambda: replace(GOOD, paddr=0xFFF00000, entry=0xFFF00000).elf(),
    "segment-wraps.elf": lambda: replace(GOOD, paddr=0xFFFFF000, memsz=0x10000, entry=0xFFFFF000).elf(),
    "segment-hole.elf": lambda: replace(GOOD, paddr=0xA0000, entry=0xA0000).elf(),
    "entry.elf": lambda: replace(GOOD, entry=0x40000000).elf(),
    "flat-header.bin": lambda: flat(BASE, BASE + 4096, 0, 0, BASE + 4096),
    "flat-end.bin": lambda: flat(BASE, BASE, BASE + (1 << 20), 0, BASE + 32),
    "flat-bss.bin": lambda: flat(BASE, BASE, BASE + 256, 0xFFFFFFF0, BASE + 32),
    "flat-entry.bin": lambda: flat(BASE, BASE, BASE + 256, BASE + 256, BASE - 64),
    "mb2-length.bin": lambda: multiboot2(0xFFFFFFF0),
    "mb2-no-address.bin": lambda: multiboot2(24),
}


def bad_modules() -> list[Module]:
    return [Module(name, make(), "mem=16M") for name, make in BAD.items()]
