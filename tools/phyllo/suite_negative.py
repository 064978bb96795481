# SPDX-License-Identifier: GPL-2.0-only
"""Tests of what must go wrong, and be said well: bad guests, bad options, crashes, poor machines."""

import re
import struct
from pathlib import Path
from typing import Callable, Sequence

from . import build
from .badimages import BAD, bad_modules
from .bundle import Module, module_from_file
from .config import ROOT
from .expect import Expect, boot_and_judge, make_spec
from .ktap import Case
from .platforms import EXIT_FAILED, EXIT_NO_VIRT, EXIT_OK, EXIT_PANIC
from .testing import Test

VENDORS = ("qemu-svm", "bochs-vmx")
# crash=: what the report must call it
CRASHES = {
    "ud": "#UD",
    "pf": "#PF page fault: write to 0+: a null pointer",
    "stack": "stack of CPU 0 overflowed",
    "bug": r"machine_crash|crash\.c:\d+",
    "text": "#PF page fault: write to .*: not permitted",
    "exec": "#PF page fault: fetch from .*: not permitted",
    "hang": "ran out in stage 'waiting for what never comes'",
}

# crash=: what the watchdog says of it, and in which function
OVERSTAYS = {
    "irqoff": r"interrupts (were )?off.*\n( +[0-9a-f]{16} .*\n)*? +[0-9a-f]{16}  crash_irqoff\+",
    "lockhold": r"has not let go of the CPU for \d+ ms\n( +[0-9a-f]{16} .*\n)*? +[0-9a-f]{16}  crash_lockhold\+",
}

# The start of an error in the log.
SENTENCE = r"^\[[^]]*\] error: "


def hello() -> list[Module]:
    return [build.guest_module("hello")]


def boot_test(name: str, modules: Callable[[], Sequence[Module]], expect: Expect, **options: object) -> Test:
    platform = str(options.pop("platform", "qemu-svm"))

    def run(work: Path) -> list[Case]:
        return boot_and_judge(make_spec(platform, modules(), **options), expect, work)

    return Test(f"negative/{name}", run)


def failed(*says: tuple[str, str], ktap: Sequence[str] = ("hello",), **fields: object) -> Expect:
    """A guest fails, the hypervisor goes on: the others run, no memory is lost."""
    never = [("no memory is lost", "not all memory came back")]
    return Expect(code=EXIT_FAILED, end="failed", ktap=ktap, says=says, never=never, **fields)  # type: ignore[arg-type]


# ---- images --------------------------------------------------------------------------------


def text_as_guest(platform: str) -> Test:
    says = ("names the file and why", SENTENCE + r".*README\.md.*(not|no) ")
    return boot_test(
        f"text-as-guest-{platform}",
        lambda: [module_from_file(ROOT / "README.md"), *hello()],
        failed(says),
        platform=platform,
    )


def truncated_image() -> Test:
    def modules() -> list[Module]:
        whole = build.guest_module("memory").data
        # ELF64: where the first program header says the file's part of the segment lies
        offset, size = (struct.unpack_from("<Q", whole, 64 + at)[0] for at in (8, 32))
        return [Module("cut.elf", whole[: offset + size // 2]), *hello()]

    return boot_test("truncated-image", modules, failed(("names the file", SENTENCE + r".*cut\.elf.*\w+")))


def lying_images() -> Test:
    says = [(f"{name} is refused", SENTENCE + rf".*{re.escape(name)}.*\w+ \w+") for name in BAD]
    return boot_test("lying-images", lambda: [*bad_modules(), *hello()], failed(*says))


# ---- options -------------------------------------------------------------------------------


def option_tests() -> list[Test]:
    refused = Expect(code=EXIT_FAILED, end="failed", says=[("says so", r"unknown option.*bogus")])
    misspelt = Expect(
        code=EXIT_FAILED, end="failed", says=[("suggests the right name", r"vendr.*did you mean.*vendor")]
    )
    value = Expect(code=EXIT_FAILED, end="failed", says=[("lists the values", r"vendor.*auto.*svm.*vmx")])
    helped = Expect(says=[(f"lists {name}", rf"^ +{name}\b") for name in ("guest_timeout", "mem", "vendor")])
    module = failed(("names the option", SENTENCE + r".*hello2\.elf.*memm"))
    return [
        boot_test("unknown-option", hello, refused, cmdline="bogus=1"),
        boot_test("misspelt-option", hello, misspelt, cmdline="vendr=svm"),
        boot_test("bad-value", hello, value, cmdline="vendor=via"),
        boot_test("help", hello, helped, cmdline="help"),
        boot_test(
            "bad-module-option",
            lambda: [Module("hello2.elf", hello()[0].data, "memm=64M"), *hello()],
            module,
        ),
        boot_test("no-guest", list, Expect(code=EXIT_FAILED, end="failed", says=[("says so", "no guest was given")])),
    ]


# ---- guests that go wrong ---------------------------------------------------------------------

# The triple-fault kernel announces where it will die; the report must say the same.
ANNOUNCED = r"# triple fault at rip 0x([0-9a-f]+), cr3 0x([0-9a-f]+)\b"
REPORT = [
    ("a report names RIP", r"^ +rip [0-9a-f]{16}"),
    ("a report names CR3", r"\bcr3 [0-9a-f]{16}"),
    ("a report lists the last exits", r"last exits.*\n +\S+.*rip [0-9a-f]+"),
]


def variant(kernel: str, file: str, options: str = "") -> Module:
    """A test kernel under another name, so that one boot can hold it twice."""
    return build.named_module(file, kernel, options)


def stopped(*names: str) -> list[tuple[str, str]]:
    return [(f"{name} is stopped", SENTENCE + rf"{name}: vcpu 0 stopped: \w+") for name in names]


def stopped_guests(platform: str) -> list[Test]:
    """Each is stopped with a report; the next one runs as if nothing had been."""
    triple = [
        ("says triple fault", SENTENCE + "triple: .*triple fault"),
        ("names the RIP it died at", ANNOUNCED + r"[\s\S]*\n +rip 0*\1\b"),
        ("names its CR3", ANNOUNCED + r"[\s\S]*\bcr3 0*\2\b"),
    ]

    def wild() -> list[Module]:
        others = [variant("wild", f"wild-{how}", f"-- how={how}") for how in ("write", "exec", "decode")]
        return [build.guest_module("wild"), *others, *hello()]

    # What the kernel protect (or slots) does last, and a word of the sentence that it is stopped with.
    protections = {
        "protect-busy": ("protect", "busy", "busy"),
        "protect-debug": ("protect", "debug", "debug exception"),
        "protect-nopage": ("protect", "nopage", "no #VE information page"),
        "protect-lostpage": ("protect", "lostpage", "no memory any more"),
        "protect-real": ("realmode", "protected", "real mode"),
        "slots-readonly": ("slots", "readonly", "read-only"),
        "slots-deleted": ("slots", "deleted", "no memory"),
    }

    def protected() -> list[Module]:
        return [*(variant(file, name, f"-- how={how}") for name, (file, how, _) in protections.items()), *hello()]

    reasons = [
        (f"{name} says why", SENTENCE + rf"{name}: vcpu 0 stopped: .*{word}")
        for name, (_, _, word) in protections.items()
    ]

    return [
        boot_test(
            f"protected-{platform}",
            protected,
            failed(*reasons, *REPORT),
            platform=platform,
        ),
        boot_test(
            f"triple-{platform}",
            lambda: [build.guest_module("triple"), variant("triple", "init0", "-- how=init"), *hello()],
            failed(*triple, *stopped("init0"), ("says INIT", SENTENCE + "init0: .*INIT of vCPU 0"), *REPORT),
            platform=platform,
        ),
        boot_test(
            f"wild-{platform}",
            wild,
            failed(
                *stopped("wild", "wild-write", "wild-exec", "wild-decode"),
                ("names RIP and bytes", SENTENCE + r"wild-decode: .*cannot emulate .* rip 0x[0-9a-f]+: 0f 10 07"),
                *REPORT,
            ),
            platform=platform,
        ),
        boot_test(
            f"hang-{platform}",
            lambda: [build.guest_module("hang"), *hello()],
            failed(*stopped("hang"), ("names the limit", SENTENCE + r"hang: .*guest_timeout"), *REPORT),
            platform=platform,
            cmdline="guest_timeout=3",
        ),
        boot_test(
            f"sleep-{platform}",
            # it halts, and what its timer sends is never let through
            lambda: [build.guest_module("hang", "-- how=sleep"), *hello()],
            failed(*stopped("hang"), ("names the limit", SENTENCE + r"hang: .*guest_timeout"), *REPORT),
            platform=platform,
            cmdline="guest_timeout=3",
        ),
        boot_test(
            f"nomem-{platform}",
            # it touches more than the host has
            lambda: [build.guest_module("nomem", "mem=4G"), *hello()],
            failed(*stopped("nomem"), ("names the reason", SENTENCE + r"nomem: .*memory"), *REPORT),
            platform=platform,
            mem=128,
        ),
    ]


def debug_loop() -> Test:
    """
    Each delivery of the guest's #DB raises the next one: nothing but the exits lets the limit in.  QEMU 7.2 aborts over
    a breakpoint in the delivery of an exception (it locks twice), so Bochs alone shows it.
    """
    return boot_test(
        "debug-loop-bochs-vmx",
        lambda: [build.guest_module("hang", "-- how=debug"), *hello()],
        failed(*stopped("hang"), ("names the limit", SENTENCE + r"hang: .*guest_timeout"), *REPORT),
        platform="bochs-vmx",
        cmdline="guest_timeout=3",
    )


def halted_guest() -> Test:
    """A guest that halts with interrupts off can never go on: it has ended, and that is no failure."""
    says = [("says so", r"^---- hang: halted")]
    modules = lambda: [build.guest_module("hang", "-- how=hlt"), *hello()]
    return boot_test("halted-guest", modules, Expect(ktap=("hello",), says=says))


def failing_guest() -> Test:
    """A guest that says by port 0xf4 that it failed makes the run a failure."""
    says = [("the guest's code is told", r"^---- boot32: ended with code 1 \(failure\)")]
    # it checks its modules, and it has none
    modules = lambda: [build.guest_module("boot32", "-- modules=7 modsum=0 exit=port"), *hello()]
    return boot_test("failing-guest", modules, failed(*says))


# ---- the hypervisor itself -------------------------------------------------------------------


def crash_test(platform: str, crash: str) -> Test:
    """A crash ends in order: registers, a backtrace with names, the log, exit code 37."""
    says = [
        ("names the stage", r"panic on CPU \d+, thread main, in stage '.+'"),
        ("shows registers", r"\bcr2 [0-9a-f]{16}"),
        ("shows the log", r"newest lines of the log"),
        ("says what happened", CRASHES[crash]),
        ("backtrace has names", r"^ +[0-9a-f]{16} +[a-z_][a-z0-9_.]+\+0x[0-9a-f]+"),
    ]
    if crash != "stack":  # whose backtrace is longer than what is shown
        says.append(("backtrace reaches main", r"\bphyllo_main\+0x[0-9a-f]+"))
    expect = Expect(code=EXIT_PANIC, end="failed", says=says)
    return boot_test(f"crash-{crash}-{platform}", hello, expect, platform=platform, cmdline=f"crash={crash}")


def crash_running_test(platform: str) -> Test:
    """A crash beside a VM says what was done last to its memory."""
    says = [
        ("says what happened", "crash=running: hang runs"),
        ("names the VM", "^events of hang$"),
        ("tells its operations", r"^  last operations on memory:\n.*  slot create of gfns 0x0-0x"),
        ("tells who holds the lock", "^  under way: "),
    ]
    expect = Expect(code=EXIT_PANIC, end="failed", says=says)
    hang = lambda: [build.guest_module("hang", "mem=16M")]
    return boot_test(f"crash-running-{platform}", hang, expect, platform=platform, cmdline="crash=running")


def watchdog_test(platform: str, smp: int, how: str) -> Test:
    """Who keeps interrupts off, or a lock, for too long is named once, and the run goes on.  On QEMU by
    -icount: how long something takes must not depend on what else the host does."""
    again = ("says it once", r"watchdog:[\s\S]*watchdog:")
    expect = Expect(ktap=("hello",), says=[("names the function", OVERSTAYS[how])], never=[again], watchdog=True)
    return boot_test(
        f"watchdog-{how}-{platform}-{smp}",
        hello,
        expect,
        platform=platform,
        smp=smp,
        icount=platform == "qemu-svm",
        cmdline=f"crash={how} watchdog={100 if platform == 'qemu-svm' else 400}",
    )


def poor_machines() -> list[Test]:
    no_virt = Expect(code=EXIT_NO_VIRT, end="failed", says=[("says what is missing", "AMD-V|SVM")])
    no_vmx = Expect(end="failed", says=[("says what is missing", "VT-x|VMX")])
    no_npt = Expect(ktap=("hello",), says=[("falls back, and says so", r"hello: .*no nested paging.* shadow paging")])
    tdp = failed(("says what is missing", SENTENCE + r"tables: mmu=tdp needs nested paging"))
    wrong = Expect(code=EXIT_NO_VIRT, end="failed", says=[("says what is missing", "VT-x|VMX")])
    small = Expect(code=EXIT_FAILED, end="failed", says=[("says so in a sentence", "memory")])
    return [
        boot_test("no-svm", hello, no_virt, cpu="EPYC,-svm"),
        boot_test("no-npt", hello, no_npt, cpu="EPYC,-npt"),
        boot_test(
            "no-npt-tdp",
            lambda: [*hello(), build.guest_module("memory", "name=tables mmu=tdp")],
            tdp,
            cpu="EPYC,-npt",
        ),
        boot_test("no-vmx-bochs", hello, no_vmx, platform="bochs-vmx", cpu="p4_prescott_celeron_336"),
        boot_test("wrong-vendor", hello, wrong, cmdline="vendor=vmx"),
        boot_test("little-memory", hello, small, mem=8),
        boot_test("log-error", hello, Expect(code=EXIT_OK, ktap=("hello",)), cmdline="log=error"),
    ]


def table_write_test() -> Test:
    """A page table written by an instruction that is not emulated and needs that table itself."""
    says = (
        "says what and shows the instruction",
        SENTENCE + r"ptwrite: vcpu 0 stopped: .*page table, nor let it run; at rip 0x[0-9a-f]+: 0f 11",
    )
    return boot_test(
        "shadow-table-write",
        lambda: [build.guest_module("ptwrite", "mmu=shadow -- how=self"), *hello()],
        failed(says),
    )


def negative_tests() -> list[Test]:
    tests = [text_as_guest(vendor) for vendor in VENDORS]
    tests += [truncated_image(), lying_images(), *option_tests(), halted_guest(), failing_guest(), *poor_machines()]
    tests += [table_write_test(), debug_loop()]
    tests += [test for vendor in VENDORS for test in stopped_guests(vendor)]
    tests += [crash_test("qemu-svm", crash) for crash in CRASHES]
    tests += [crash_running_test("qemu-svm")]
    tests += [crash_test("bochs-vmx", crash) for crash in ("pf", "stack", "text", "exec")]
    tests += [watchdog_test(vendor, 2, how) for vendor in VENDORS for how in OVERSTAYS]
    tests += [watchdog_test(vendor, 1, how) for vendor in VENDORS for how in OVERSTAYS]
    return tests
