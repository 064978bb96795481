# SPDX-License-Identifier: GPL-2.0-only
"""Wrong values are refused with sentences that list the right ones."""

import unittest
from pathlib import Path

from phyllo.config import PLATFORMS, ROOT, UserError, check_platform, parse_mem, parse_request
from phyllo.probe import Host, choose_platform, cpu_extension


class Refusals(unittest.TestCase):
    def refused(self, words: tuple[str, ...], **env: str):
        with self.assertRaises(UserError) as caught:
            req = parse_request(env)
            check_platform(req, req.platform or "qemu-svm")
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_platform(self):
        self.refused(PLATFORMS, PLATFORM="vmware")

    def test_boot(self):
        self.refused(("pvh", "grub-bios", "grub-uefi", "efi"), BOOT="floppy")

    def test_boot_of_bochs(self):
        for boot in ("pvh", "grub-uefi", "efi"):
            self.refused(("grub-bios",), PLATFORM="bochs-vmx", BOOT=boot)

    def test_smp(self):
        for value in ("0", "256", "two", "-1", "1.5", "0x2"):
            self.refused(("from 1 to 255",), SMP=value)
        self.refused(("from 1 to 8",), PLATFORM="bochs-vmx", SMP="9")

    def test_mem(self):
        for value in ("0", "lots", "1T", "-5M", "M", "1.5G"):
            self.refused(("MEM=512M",), MEM=value)
        self.refused(("from 4M to 2048M",), PLATFORM="bochs-vmx", MEM="4G")
        self.refused(("from 4M",), MEM="1M")

    def test_guest(self):
        self.refused(("no such file",), GUEST="build/not-there.elf")
        self.refused(("directory",), GUEST="tools")

    def test_cmdline(self):
        self.refused(("ASCII",), CMDLINE="log=debug\nmem=1G")

    def test_timeout(self):
        self.refused(("TIMEOUT",), TIMEOUT="soon")


class Defaults(unittest.TestCase):
    def test_nothing_given(self):
        req = parse_request({})
        self.assertEqual((req.platform, req.boot, req.guest, req.cmdline), (None, None, None, ""))
        self.assertEqual(check_platform(req, "qemu-svm"), ("pvh", 1024))
        self.assertEqual(check_platform(req, "bochs-vmx"), ("grub-bios", 512))

    def test_mem_units(self):
        self.assertEqual([parse_mem(text) for text in ("64", "64M", "2G", "2g", "")], [64, 64, 2048, 2048, None])

    def test_guest_is_relative_to_the_tree(self):
        req = parse_request({"GUEST": "tools/setup.sh"})
        self.assertEqual(req.guest, ROOT / "tools/setup.sh")
        self.assertEqual(parse_request({"GUEST": "/bin/sh"}).guest, Path("/bin/sh"))


class Probe(unittest.TestCase):
    def test_cpuid_decides(self):
        info = "processor : 0\nflags\t\t: fpu vme {} lm\nbugs : none\n"
        self.assertEqual(cpu_extension(info.format("svm")), "svm")
        self.assertEqual(cpu_extension(info.format("vmx")), "vmx")
        self.assertEqual(cpu_extension(info.format("vmmcall")), "")
        # another line that names it does not count
        self.assertEqual(cpu_extension(info.format("") + "vmx flags\t: vnmi ept vmx\n"), "")
        self.assertEqual(cpu_extension(""), "")

    def test_choice(self):
        self.assertEqual(choose_platform(None, Host("svm", True, "x"))[0], "kvm")
        self.assertEqual(choose_platform(None, Host("svm", False, "x"))[0], "qemu-svm")
        self.assertEqual(choose_platform("bochs-vmx", Host("svm", True, "x"))[0], "bochs-vmx")
