#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make the hypervisor's table of function names, as assembler source on stdout.

  ksyms.py --empty     a valid table without entries, for the first link
  ksyms.py IMAGE.elf   the functions of that image, for the second

The table (read by host/symbols.c) is sorted by address: 32-bit offsets from ksyms_base, then
32-bit offsets into a blob of NUL-terminated names.  A last offset, without a name, says
where the code ends.
"""
import struct
import sys

HIGH_HALF = 0xFFFFFFFF80000000  # code linked elsewhere (the early stub) makes no backtraces
SHF_EXECINSTR = 4
SHT_SYMTAB = 2
STT_NOTYPE, STT_FUNC = 0, 2


def read_sections(data):
    """Section headers as (type, flags, addr, offset, size, link)."""
    if data[:6] != b"\x7fELF\x02\x01":
        sys.exit("ksyms.py: not a little-endian ELF64 file")
    shoff, = struct.unpack_from("<Q", data, 0x28)
    shentsize, shnum = struct.unpack_from("<HH", data, 0x3A)
    sections = []
    for i in range(shnum):
        _, kind, flags, addr, off, size, link = struct.unpack_from("<IIQQQQI", data,
                                                                   shoff + i * shentsize)
        sections.append((kind, flags, addr, off, size, link))
    return sections


def read_functions(data):
    """{address: name} and the end of the code."""
    sections = read_sections(data)
    symtab = next((s for s in sections if s[0] == SHT_SYMTAB), None)
    if symtab is None:
        sys.exit("ksyms.py: the image has no symbol table")
    strings = sections[symtab[5]]
    best = {}
    end = HIGH_HALF
    for off in range(symtab[3], symtab[3] + symtab[4], 24):
        name_off, info, _, shndx, value, size = struct.unpack_from("<IBBHQQ", data, off)
        if shndx == 0 or shndx >= len(sections) or not sections[shndx][1] & SHF_EXECINSTR:
            continue
        section_end = sections[shndx][2] + sections[shndx][4]
        if value < HIGH_HALF or value >= section_end:
            continue
        start = strings[3] + name_off
        # Static functions of one program optimised as a whole get a number behind their name.
        name = data[start:data.index(b"\0", start)].decode().split(".lto_priv.")[0]
        kind, bind = info & 15, info >> 4
        # NASM's labels have no type; its local ones ("f.loop") are places inside f.
        if not name or kind not in (STT_FUNC, STT_NOTYPE) or (kind == STT_NOTYPE and "." in name):
            continue
        end = max(end, section_end)
        # Several names for one address: a function before a label, a global one before a local.
        rank = (kind == STT_FUNC, bind != 0, name)
        best[value] = max(best.get(value, rank), rank)
    return {addr: rank[2] for addr, rank in best.items()}, end


def emit(functions, end):
    addrs = sorted(functions)
    base = addrs[0] if addrs else HIGH_HALF
    out = ["# made by tools/ksyms.py", '.section .ksyms, "a", @progbits']
    out += [".globl ksyms_count, ksyms_base, ksyms_offsets, ksyms_names, ksyms_blob"]
    out += [".balign 8", f"ksyms_base: .quad {base:#x}", f"ksyms_count: .long {len(addrs)}"]
    out += ["ksyms_offsets:"]
    out += [f"\t.long {addr - base:#x}" for addr in addrs] + [f"\t.long {max(end - base, 0):#x}"]
    out += ["ksyms_names:"]
    pos = 0
    for addr in addrs:
        out.append(f"\t.long {pos:#x}")
        pos += len(functions[addr].encode()) + 1
    out += ["ksyms_blob:"]
    out += [f'\t.asciz "{functions[addr]}"' for addr in addrs] + ['\t.asciz ""']
    out += ['.section .note.GNU-stack, "", @progbits']
    print("\n".join(out))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--empty":
        emit({}, 0)
        return
    with open(sys.argv[1], "rb") as f:
        emit(*read_functions(f.read()))


if __name__ == "__main__":
    main()
