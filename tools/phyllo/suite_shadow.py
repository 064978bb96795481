# SPDX-License-Identifier: GPL-2.0-only
"""Guests that work their page tables hard, on both vendors and in each MMU mode that the platform has.

Under nested paging the processor's own walker is the oracle for these kernels; under shadow paging they
are what that has to stand.
"""

from pathlib import Path

from . import build
from .bundle import Module
from .expect import Expect, boot_and_judge, make_spec
from .ktap import Case
from .suite_booted import VENDORS
from .testing import Test

KERNELS = ("pttorture", "wptoggle", "switcher", "cow", "aliases", "selfmap", "badtables", "flood", "hugemix", "ptballoon")

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
    },
}

MODES = ("tdp",)


def page_table_kernel(platform: str, name: str) -> Module:
    words = SIZES[platform].get(name, "")
    return build.guest_module(name, f"-- {words}" if words else "")


def page_tables_test(platform: str, mode: str) -> Test:
    def run(work: Path) -> list[Case]:
        modules = [page_table_kernel(platform, name) for name in KERNELS]
        return boot_and_judge(make_spec(platform, modules), Expect(ktap=KERNELS), work)

    return Test(f"{platform}/{mode}-page-tables", run)


def shadow_tests() -> list[Test]:
    return [page_tables_test(vendor, mode) for vendor in reversed(VENDORS) for mode in MODES]
