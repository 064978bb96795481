# SPDX-License-Identifier: GPL-2.0-only
"""Bundles are read back by a second implementation of the format."""

import unittest

from phyllo.badimages import BAD, GOOD
from phyllo.bundle import Module, bundle, config_text, module_name
from phyllo.media import grub_entry, grub_words
from pathlib import Path


def read_newc(data: bytes) -> dict[str, bytes]:
    members, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701", at
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        start = (at + 110 + name_size + 3) & ~3
        if name[:-1] == b"TRAILER!!!":
            return members
        members[name[:-1].decode()] = data[start : start + size]
        at = (start + size + 3) & ~3


class Bundle(unittest.TestCase):
    def test_members_come_back(self):
        modules = [Module(f"m{n}.elf", bytes(range(256))[:n], "mem=16M -- a b") for n in (0, 1, 2, 3, 4, 255)]
        members = read_newc(bundle(modules, "log=debug"))
        self.assertEqual(list(members)[0], "phyllo.cfg")
        for module in modules:
            self.assertEqual(members[module.file], module.data)

    def test_config(self):
        modules = [Module("a.elf", b"", "name=x -- one"), Module("b.elf", b"")]
        self.assertEqual(
            config_text(modules, "log=debug"), "cmdline log=debug\nmodule a.elf name=x -- one\nmodule b.elf\n"
        )

    def test_two_of_one_name_are_refused(self):
        with self.assertRaises(ValueError):
            bundle([Module("a", b""), Module("a", b"")])

    def test_odd_names_are_refused(self):
        for name in ("a b", "", "../x", "phyllo.cfg", "a\nmodule b"):
            with self.assertRaises(ValueError, msg=name):
                bundle([Module(name, b"")])

    def test_file_name_becomes_one_word(self):
        self.assertEqual(module_name(Path("/x/my kernel (1).elf")), "my_kernel__1_.elf")


class Grub(unittest.TestCase):
    def test_words_are_literal(self):
        self.assertEqual(grub_words("a=1 'b c' $x;y"), "'a=1' 'b c' '$x;y'")

    def test_quote(self):
        self.assertEqual(grub_words("\"it's\""), "'it'\\''s'")

    def test_entry_names_module_twice(self):
        entry = grub_entry("t", [Module("h.elf", b"", "mem=1M")], "")
        self.assertIn("module2 /boot/h.elf 'h.elf' 'mem=1M'", entry)


class BadImages(unittest.TestCase):
    def test_the_good_one_is_what_the_bad_ones_break(self):
        good = GOOD.elf()
        self.assertEqual(good[:4], b"\x7fELF")
        self.assertIn(b"\x02\xb0\xad\x1b", good)
        for name, make in BAD.items():
            self.assertNotEqual(make(), good, name)
