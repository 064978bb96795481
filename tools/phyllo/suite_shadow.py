# SPDX-License-Identifier: GPL-2.0-only
"""Guests that work their page tables hard, on both vendors and in each way that the platform has to run them.

Under nested paging the processor's own walker is the oracle for these kernels; under shadow paging they
are what that has to stand.
"""

from pathlib import Path

from . import build
from .bundle import Module
from .expect import Expect, boot_and_judge, make_spec
from .ktap import Case
from .suite_booted import SHADOW, VENDORS
from .testing import Test

KERNELS = (
    *("pttorture", "wptoggle", "switcher", "cow", "aliases"),
    *("selfmap", "badtables", "flood", "hugemix", "ptballoon"),
)

# With no page of the host's larger than 4K once more.
SMALL_PAGES = ("hugemix", "ptballoon")

# Words for each kernel; Bochs executes a tenth of what QEMU does.
SIZES = {
    "qemu-svm": {},
    "bochs-vmx": {
        "pttorture": "rounds=6",
        "wptoggle": "rounds=500",
        "switcher": "rounds=300",
        "cow": "pages=64 rounds=1000",
        "aliases": "count=30720 large=512",
        "selfmap": "rounds=400",
        "badtables": "rounds=200",
        "flood": "rounds=1",
        "hugemix": "rounds=200",
        "ptballoon": "rounds=30",
        "smppt": "rounds=60",
    },
}

# Without nested paging the same steps take many times the exits.
SHADOW_SIZES = {
    "qemu-svm": {
        "pttorture": "rounds=4",
        "wptoggle": "rounds=600",
        "switcher": "rounds=600",
        "cow": "pages=64 rounds=3000",
        "aliases": "count=30720 large=512",
        "selfmap": "rounds=500",
        "badtables": "rounds=200",
        "flood": "rounds=1 roots=520 tables=2100",
        "hugemix": "rounds=600",
        "ptballoon": "rounds=40",
        "smppt": "rounds=30",
    },
    "bochs-vmx": {
        "pttorture": "rounds=1",
        "wptoggle": "rounds=100 every=5",
        "switcher": "rounds=50",
        "cow": "pages=32 rounds=300",
        "aliases": "count=16384 large=64",  # all 30 000 take minutes
        "selfmap": "rounds=100",
        "badtables": "rounds=20",
        "hugemix": "rounds=100",
        "ptballoon": "rounds=10",
        "smppt": "rounds=20",
    },
}
# An audit of two thousand tables takes longer there than the watchdog lets pass.
TOO_LONG = {("bochs-vmx", SHADOW): ("flood",)}

# What the hypervisor is told, and how the tests are called, for each way in which a platform can run them.
MODES = {
    "qemu-svm": (("", ""), ("shadow-", SHADOW)),
    "bochs-vmx": (("", ""), ("shadow-", SHADOW)),
}


def page_table_kernel(platform: str, cmdline: str, name: str, options: str = "") -> Module:
    sizes = SHADOW_SIZES if SHADOW in cmdline else SIZES
    words = sizes[platform].get(name, "")
    return build.guest_module(name, f"{options} -- {words}".strip() if words else options)


def page_tables_test(platform: str, prefix: str, cmdline: str) -> Test:
    names = [name for name in KERNELS if name not in TOO_LONG.get((platform, cmdline), ())]

    def run(work: Path) -> list[Case]:
        modules = [page_table_kernel(platform, cmdline, name) for name in names]
        return boot_and_judge(make_spec(platform, modules, cmdline=cmdline), Expect(ktap=names), work)

    return Test(f"{platform}/{prefix}page-tables", run)


def small_pages_test(platform: str, prefix: str, cmdline: str) -> Test:
    """The guest's large pages over 4K pages of the host."""

    def run(work: Path) -> list[Case]:
        modules = [page_table_kernel(platform, cmdline, name) for name in SMALL_PAGES]
        spec = make_spec(platform, modules, cmdline=f"{cmdline} max_page=4k".strip())
        return boot_and_judge(spec, Expect(ktap=SMALL_PAGES), work)

    return Test(f"{platform}/{prefix}page-tables-4k", run)


def processors_test(platform: str, prefix: str, cmdline: str) -> Test:
    """Several processors at the same tables."""

    def run(work: Path) -> list[Case]:
        modules = [page_table_kernel(platform, cmdline, "smppt", "vcpus=2")]
        return boot_and_judge(make_spec(platform, modules, smp=2, cmdline=cmdline), Expect(ktap=("smppt",)), work)

    return Test(f"{platform}/{prefix}page-tables-smp", run)


def shadow_tests() -> list[Test]:
    makers = (page_tables_test, small_pages_test, processors_test)
    return [make(vendor, *mode) for vendor in reversed(VENDORS) for mode in MODES[vendor] for make in makers]
