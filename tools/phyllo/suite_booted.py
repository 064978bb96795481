# SPDX-License-Identifier: GPL-2.0-only
"""Tests that boot: the test kernels on both vendors, every boot path, several CPUs, every way to map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from . import build
from .bundle import Module
from .config import build_dir
from .expect import Expect, boot_and_judge, make_spec
from .ktap import Case
from .media import build_iso, grub_config
from .run import iso_entries
from .testing import Test

VENDORS = ("qemu-svm", "bochs-vmx")

# Several kernels share a boot, which costs seconds; a kernel that takes the
# hypervisor down takes only its own pack with it.
PACKS = {
    "memory": ("hello", "memory", "balloon", "unmap", "hypercall", "ptwrite"),
    "cpu": ("cpuid", "exceptions", "reinject", "singlestep", "fpu", "msr", "apic", "apictimer", "mmio"),
    "modes": ("paging", "realmode", "boot32", "mb2", "console"),
    "variants": (
        *(f"hello-{how}" for how in ("flat", "com1", "e9", "hc", "port", "shutdown")),
        "hypercall-vmcall",
    ),
}

# The file of a guest, where it is not its name, and its options.
FILES = {
    "hello-flat": "hello.bin",  # no ELF: loaded by the addresses of its header
    "hello-com1": "hello.elf",
    "hello-e9": "hello.elf",
    "hello-hc": "hello.elf",
    "hello-port": "hello.elf",
    "hello-shutdown": "hello.elf",
    "hypercall-vmcall": "hypercall.elf",
}
OPTIONS = {
    "paging": "mem=5G",  # PAE reaches above 4 GiB
    "hello-com1": "-- console=com1",
    "hello-e9": "-- console=e9",
    "hello-hc": "-- console=hc",
    "hello-port": "-- exit=port",
    "hello-shutdown": "-- exit=shutdown",
    "hypercall-vmcall": "-- hypercall=vmcall",
}
# These check their own modules: how many there are, and the sum of all their bytes.
WANT_MODULES = ("boot32", "mb2")
OWN_MODULES = (b"one byte less than a page".ljust(4095, b"."), bytes(range(256)) * 33)

# hello prints the command line it was given.
GUEST_WORDS = "one two=2"


def kernel(name: str) -> list[Module]:
    """The module or modules that make up one guest."""
    file = build.guest_file(FILES.get(name, f"{name}.elf"))
    if name not in WANT_MODULES:
        return [Module(f"{name}{file.suffix}", file.read_bytes(), OPTIONS.get(name, ""))]
    total = sum(sum(data) for data in OWN_MODULES)
    options = f"-- modules={len(OWN_MODULES)} modsum={total}"
    own = [
        Module(f"{name}-{n}.data", data, f"for={name} -- words of module {n}") for n, data in enumerate(OWN_MODULES)
    ]
    return [Module(f"{name}.elf", file.read_bytes(), options), *own]


def kernels(names: Sequence[str]) -> list[Module]:
    return [module for name in names for module in kernel(name)]


# Everything that runs on nested paging runs without it, too: the same packs, with this option.
SHADOW = "mmu=shadow"


def pack_test(platform: str, pack: str, names: Sequence[str], cmdline: str = "") -> Test:
    def run(work: Path) -> list[Case]:
        return boot_and_judge(make_spec(platform, kernels(names), cmdline=cmdline), Expect(ktap=names), work)

    return Test(f"{platform}/{'shadow-' if SHADOW in cmdline else ''}{pack}", run)


# Bochs needs three minutes for those; its packs are smaller.  (options of the guest by name)
SHADOW_BOCHS: dict[str, dict[str, str]] = {
    "memory": {
        "hello": "",
        "memory": "mem=24M",
        "balloon": "-- rounds=40",
        "unmap": "-- rounds=100",
        "hypercall": "-- rounds=50",
        "ptwrite": "",
    },
    "cpu": {name: "-- rounds=5" if name == "reinject" else "" for name in PACKS["cpu"] if name != "fpu"},
    "modes": {name: OPTIONS.get(name, "") for name in ("paging", "realmode", "console")},
}

# Processors of Bochs whose guests never have nested paging: without EPT, without VPIDs, the timer and the controls
# for EFER; and with EPT, but without unrestricted guests.
SHADOW_CPUS = {
    "no-ept": ("core2_penryn_t9600", r"no nested paging for want of extended page tables.*no VPID, no timer"),
    "no-unrestricted": ("corei5_lynnfield_750", r"no nested paging for want of unrestricted guests, VPID, timer"),
}


def small_shadow_test(pack: str) -> Test:
    guests = SHADOW_BOCHS[pack]

    def run(work: Path) -> list[Case]:
        modules = [build.guest_module(name, options) for name, options in guests.items()]
        spec = make_spec("bochs-vmx", modules, cmdline=SHADOW)
        return boot_and_judge(spec, Expect(ktap=tuple(guests)), work)

    return Test(f"bochs-vmx/shadow-{pack}", run)


def unnested_test(name: str) -> Test:
    """What the processor lacks is told, and mmu=auto does the rest: all modes, and a start by SIPI."""
    cpu, lacks = SHADOW_CPUS[name]
    names = ("hello", "realmode", *(("paging", "msr", "smpboot") if name == "no-ept" else ()))

    def run(work: Path) -> list[Case]:
        options = {"paging": OPTIONS["paging"], "smpboot": "vcpus=2 -- rounds=3"}
        modules = [build.guest_module(kernel, options.get(kernel, "")) for kernel in names]
        expect = Expect(
            ktap=names,
            says=[("names what is missing", lacks), ("falls back", r"hello: .*no nested paging.* shadow paging")],
        )
        return boot_and_judge(make_spec("bochs-vmx", modules, cpu=cpu, smp=2), expect, work)

    return Test(f"bochs-vmx/shadow-{name}", run)


# ---- what the MMU can do, in each way to map ---------------------------------------------

MMU_KERNELS = ("mode", "protect", "age", "dirty", "slots", "zapall", "migrate", "nxhuge", "latency")

# Bochs executes a tenth of what QEMU does: less memory, fewer rounds.
MMU_SIZES = {
    "qemu-svm": {},
    "bochs-vmx": {
        "protect": "mib=2",
        "age": "mib=4",
        "dirty": "mib=4 rounds=2",
        "slots": "mib=6",
        "zapall": "mib=4 rounds=12",
        "migrate": "mib=4 rounds=12",
    },
}
# Each fault takes the lock, and there is no fault-around: a fraction of the rounds takes as long.
SHADOW_SIZES = {
    "qemu-svm": {"dirty": "mib=6 rounds=2", "slots": "mib=6", "zapall": "mib=8 rounds=20"},
    "bochs-vmx": {
        "protect": "mib=2",
        "age": "mib=4",
        "dirty": "mib=4 rounds=1",
        "slots": "mib=4",
        "zapall": "mib=2 rounds=3",
        "migrate": "mib=2 rounds=3",
    },
}


@dataclass(frozen=True)
class Mapping:
    """One way to map: options of the hypervisor, and what the kernel `mode` must then find."""

    name: str
    cmdline: str
    mode: str


MAPPINGS = (
    Mapping("2m", "", "level=2 ad=on nx=off around=8"),
    Mapping("4k-ad-off", "ad=off max_page=4k dirty=wrprot", "level=1 ad=off nx=off around=8 dirty=1"),
    Mapping("4k-dbit", "max_page=4k fault_around=16 dirty=dbit", "level=1 ad=on nx=off around=16 dirty=2"),
    Mapping("nx-ad-off", "nx_huge_pages=on ad=off fault_around=1", "level=2 ad=off nx=on around=1 dirty=1"),
    Mapping("shadow", SHADOW, "format=shadow level=2 ad=on nx=off around=1 dirty=2"),
    Mapping(
        "shadow-4k",
        f"{SHADOW} max_page=4k dirty=wrprot ad=off",
        "format=shadow level=1 ad=on nx=off around=1 dirty=1",
    ),
    Mapping("1g", "max_page=1g nx_huge_pages=on fault_around=64", "level=3 ad=on nx=on around=64"),
)


def mmu_kernel(platform: str, name: str, mapping: Mapping) -> Module:
    sizes = SHADOW_SIZES if SHADOW in mapping.cmdline else MMU_SIZES
    words = [sizes[platform].get(name, "")]
    if name == "mode":
        words.append(mapping.mode)
        if "format=" not in mapping.mode:
            words.append(f"format={'ept' if platform == 'bochs-vmx' else 'npt'}")
    text = " ".join(word for word in words if word)
    return build.guest_module(name, f"-- {text}" if text else "")


def mapping_test(platform: str, mapping: Mapping) -> Test:
    def run(work: Path) -> list[Case]:
        modules = [mmu_kernel(platform, name, mapping) for name in MMU_KERNELS]
        spec = make_spec(platform, modules, cmdline=mapping.cmdline)
        return boot_and_judge(spec, Expect(ktap=MMU_KERNELS), work)

    return Test(f"{platform}/mmu-{mapping.name}", run)


def pages_1g_test() -> Test:
    """Where there is room for it, memory is mapped by 1G pages, and everything works on those."""

    def run(work: Path) -> list[Case]:
        modules = [
            build.guest_module("memory", "mem=2G"),
            build.guest_module("dirty", "mem=2G -- mib=8 rounds=2"),
            build.guest_module("zapall", "mem=2G -- rounds=50"),
        ]
        names = ("memory", "dirty", "zapall")
        expect = Expect(ktap=names, says=[("maps a page of 1G", r"\bpages_1g +[1-9]")])
        return boot_and_judge(make_spec("qemu-svm", modules, mem=4096, cmdline="max_page=1g"), expect, work)

    return Test("qemu-svm/mmu-1g-whole", run)


def smp_test(platform: str, smp: int) -> Test:
    """All CPUs come up, and guests run all the same."""

    def run(work: Path) -> list[Case]:
        says = [(f"{smp} processors are up", rf"\] {smp} processors$")]
        expect = Expect(ktap=("hello", "memory"), says=says)
        return boot_and_judge(make_spec(platform, kernels(("hello", "memory")), smp=smp), expect, work)

    return Test(f"{platform}/smp-{smp}", run)


def smp_limit_test() -> Test:
    """smp= keeps CPUs of the machine down."""

    def run(work: Path) -> list[Case]:
        expect = Expect(ktap=("hello",), says=[("one processor is up", r"\] 1 processors?$")])
        return boot_and_judge(make_spec("qemu-svm", kernels(("hello",)), smp=4, cmdline="smp=1"), expect, work)

    return Test("qemu-svm/smp-option", run)


def boot_path_test(path: str) -> Test:
    """The same guests by every way of booting, with options and a guest command line that arrive whole."""

    def run(work: Path) -> list[Case]:
        modules = [
            build.guest_module("hello", f"name=greeter mem=32M -- {GUEST_WORDS}"),
            build.guest_module("memory"),
        ]
        says = [
            ("names its boot path", rf"booted by {path} "),
            ("reads its command line", r"\] command line: .*log=debug"),
            ("guest gets its command line", rf'^greeter\| # command line: ".*{GUEST_WORDS}"'),
            ("finds several processors", r"\] 2 processors$"),
        ]
        spec = make_spec("qemu-svm", modules, boot=path, cmdline="log=debug")
        return boot_and_judge(spec, Expect(ktap=("greeter", "memory"), says=says), work)

    return Test(f"boot/{path}", run)


def iso_test(path: str) -> Test:
    """The ISO that `make iso` makes boots on BIOS and UEFI, by itself."""

    def run(work: Path) -> list[Case]:
        work.mkdir(parents=True, exist_ok=True)
        modules = build.default_modules()
        iso = build_dir() / "tests" / f"iso-{path}.iso"
        build_iso(iso, build.elf_path(), modules, grub_config(iso_entries(modules), timeout=0))
        try:
            return boot_and_judge(
                make_spec("qemu-svm", boot=path, iso=iso, mem=1024), Expect(ktap=build.DEFAULT_NAMES), work
            )
        finally:
            iso.unlink()

    return Test(f"iso/{path}", run)


def small_pages_test(platform: str) -> Test:
    """max_page=4k: no larger page maps the guest."""

    def run(work: Path) -> list[Case]:
        expect = Expect(ktap=("memory",), never=[("maps no larger page", r"\bpages_(2m|1g) +[1-9]")])
        return boot_and_judge(make_spec(platform, kernels(("memory",)), cmdline="max_page=4k"), expect, work)

    return Test(f"{platform}/max-page-4k", run)


def booted_tests() -> list[Test]:
    tests = [pack_test(vendor, pack, names) for vendor in reversed(VENDORS) for pack, names in PACKS.items()]
    tests += [boot_path_test(path) for path in ("efi", "grub-uefi", "grub-bios", "pvh")]
    tests += [iso_test("grub-bios"), iso_test("grub-uefi")]
    tests += [smp_test("qemu-svm", smp) for smp in (1, 4)]
    tests += [smp_test("bochs-vmx", 2), smp_limit_test()]
    tests += [small_pages_test(vendor) for vendor in VENDORS]
    tests += [pack_test("qemu-svm", pack, names, SHADOW) for pack, names in PACKS.items()]
    tests += [small_shadow_test(pack) for pack in SHADOW_BOCHS]
    tests += [unnested_test(name) for name in SHADOW_CPUS]
    tests += [
        mapping_test(vendor, mapping)
        for vendor in reversed(VENDORS)
        for mapping in MAPPINGS
        if vendor == "qemu-svm" or mapping.name != "shadow-4k"
    ]
    tests += [pages_1g_test()]
    return tests
