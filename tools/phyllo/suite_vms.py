# SPDX-License-Identifier: GPL-2.0-only
"""Several VMs in one boot: side by side, ruled by one of them, by the prompt, and ended in the middle of things."""

from pathlib import Path
from typing import Sequence

from . import build
from .bundle import Module
from .expect import Expect, boot_and_judge, boot_with_dialogue, make_spec
from .ktap import Case
from .platforms import EXIT_FAILED
from .testing import Test

VENDORS = ("qemu-svm", "bochs-vmx")
TOGETHER = "guests=together"

# After all VMs are gone, what is in use is what was in use before the first.
BALANCE = (
    "all memory came back",
    r"balance: after {} starts of VMs (\d+) pages and (\d+) objects are in use, \1 and \2 b",
)
LOST = ("no memory is lost", "not all memory came back")


def vm(kernel: str, name: str, options: str = "", words: str = "") -> Module:
    """One VM: a test kernel under a name of its own."""
    text = f"{options} -- {words}" if words else options
    return build.named_module(name, kernel, text.strip())


def sizes(platform: str, qemu: str, bochs: str) -> str:
    """Bochs executes a tenth of what QEMU does."""
    return bochs if platform == "bochs-vmx" else qemu


def spec(platform: str, modules: Sequence[Module], cmdline: str = "", **options: object) -> object:
    return make_spec(platform, modules, **{"smp": 2, "cmdline": f"{TOGETHER} {cmdline}".rstrip(), **options})


def balance(starts: object) -> tuple[str, str]:
    return BALANCE[0], BALANCE[1].format(starts)


def together_test(platform: str) -> Test:
    """Four VMs at once, more vCPUs than CPUs: each works as if it were alone."""

    def run(work: Path) -> list[Case]:
        stress = sizes(platform, "mib=12 rounds=20", "mib=4 rounds=4")
        modules = [
            vm("smpstress", "alpha", "mem=64M vcpus=3", stress),
            vm("smpstress", "beta", "mem=64M vcpus=2 cpus=0-1", f"{stress} seed=7"),
            vm("canary", "gamma", "mem=48M vcpu.pin=1", sizes(platform, "id=3 rounds=2 mib=8", "id=3 rounds=1 mib=2")),
            vm("hello", "delta", "mem=32M restart=3"),
        ]
        names = ("alpha", "beta", "gamma")
        return boot_and_judge(spec(platform, modules), Expect(ktap=names, says=[balance(7)], never=[LOST]), work)

    return Test(f"{platform}/vms-together", run)


def warden_test(platform: str) -> Test:
    """A privileged VM works on another's memory, pauses it, ends it under load; an unprivileged one may not."""

    def run(work: Path) -> list[Case]:
        modules = [
            vm("warden", "warden", "privileged mem=32M", f"victim=prey rounds={sizes(platform, '40', '4')}"),
            vm("warden", "prey", "mem=48M vcpus=2 paused", "how=victim mib=4"),
            vm("warden", "plain", "mem=32M", "how=plain"),
            vm("warden", "lemming", "privileged mem=16M", "how=suicide"),
        ]
        says = [balance(r"\d+"), ("a VM may end itself", "^---- lemming: destroyed")]
        expect = Expect(ktap=("warden", "plain"), says=says, never=[LOST])
        return boot_and_judge(spec(platform, modules, "guest_timeout=200"), expect, work)

    return Test(f"{platform}/vms-warden", run)


def neighbours_test(platform: str) -> Test:
    """One VM dies of a triple fault, one takes all memory it gets, one hangs; the others do not notice."""

    def run(work: Path) -> list[Case]:
        modules = [
            vm("triple", "triple", "mem=16M"),
            vm("noisy", "hog", "mem=2G cap=64M", "how=hog"),
            vm("hang", "hang", "mem=16M"),
            vm("hello", "hello", "mem=16M"),
            vm("canary", "canary", "mem=32M", sizes(platform, "id=5 rounds=2 mib=4", "id=5 rounds=1 mib=1")),
        ]
        stopped = r"^\[[^]]*\] error: {}: vcpu 0 stopped: .*{}"
        says = [
            ("triple fault", stopped.format("triple", "triple fault")),
            ("the cap is named", stopped.format("hog", "its cap on host memory")),
            ("the time limit", stopped.format("hang", "guest_timeout")),
            ("two are well, three are not", "^phyllo: 5 guests run, 3 failed"),
            balance(5),
        ]
        expect = Expect(code=EXIT_FAILED, end="failed", ktap=("hello", "canary"), says=says, never=[LOST])
        limit = sizes(platform, "guest_timeout=12", "guest_timeout=60")
        return boot_and_judge(spec(platform, modules, limit), expect, work)

    return Test(f"{platform}/vms-neighbours", run)


def restart_test(platform: str) -> Test:
    """Made, run and freed again and again: the allocator is where it was."""

    def run(work: Path) -> list[Case]:
        times = int(sizes(platform, "150", "30"))
        modules = [vm("hello", "hello", f"mem=16M vcpus=2 restart={times}")]
        expect = Expect(ktap=(), says=[balance(times + 1)], never=[LOST])
        return boot_and_judge(spec(platform, modules, "log=info"), expect, work)

    return Test(f"{platform}/vms-restart", run)


def then(text: str) -> str:
    """And the prompt behind it: the UART holds 16 keys, so nothing is typed before the last was taken."""
    return text + r"[\s\S]*phyllo> \Z"


def prompt_test(platform: str) -> Test:
    """The prompt works while guests run."""
    there = then("staying here for ever")
    steps = [
        (there, "vms\r"),
        (then(r"1 hang +running +1 vCPU,"), "pause hang\r"),
        (then(r"pause hang\n"), "vms\r"),
        (then(r"1 hang +paused "), "pause other\r"),
        (then("no VM is called 'other'"), "resume hang\r"),
        (then(r"resume hang\n"), "stats hang\r"),
        (then(r"exit_interrupt +\d+"), "threads\r"),
        (then(r"hang/0 +CPU [01] "), "run hang\r"),
        (then("hang runs already"), "restart hang\r"),
        (there, "vms\r"),
        (then(r"1 hang +running .* started 2 times"), "destroy hang\r"),
        (then(r"^---- hang: destroyed[\s\S]*^phyllo: 1 guests run, 0 failed"), "resume hang\r"),
        (then("hang does not run"), "run hang\r"),
        (there, "vms\r"),
        (then(r"1 hang +running "), "\x03"),
        (then("^---- hang: stopped from the console"), "memory\r"),
        (then("MiB free"), "quit\r"),
    ]

    def run(work: Path) -> list[Case]:
        boot = spec(platform, [vm("hang", "hang", "mem=16M")], "end=prompt", tty=True)
        return boot_with_dialogue(boot, Expect(), steps, work)

    return Test(f"{platform}/vms-prompt", run)


def refused_tests() -> list[Test]:
    """What a module line asks for and cannot have, and a VM that nobody will ever wake."""

    def test(name: str, module: str, says: str, beside: tuple[str, ...] = ("hello",)) -> Test:
        def run(work: Path) -> list[Case]:
            modules = [vm("hello", "bad", module), *(vm("hello", other, "mem=16M") for other in beside)]
            expect = Expect(code=EXIT_FAILED, end="failed", ktap=beside, says=[("says why", says)], never=[LOST])
            return boot_and_judge(spec("qemu-svm", modules), expect, work)

        return Test(f"vms/{name}", run)

    error = r"^\[[^]]*\] error: bad"
    for_good = "^---- bad: stopped: it is paused, and nobody can resume it"
    return [
        test("no-such-cpu", "cpus=7-9", error + ": no CPU of cpus= is up; there are 2"),
        test("no-such-pin", "vcpus=2 vcpu.pin=0,2", error + ": vcpu.pin= names CPU 2"),
        test("too-many-vcpus", "vcpus=65", error + r"\.elf: bad guest option 'vcpus=65': vcpus= takes a number"),
        test("unknown-mmu", "mmu=shadows", error + r"\.elf: bad guest option 'mmu=shadows': mmu= takes"),
        test("paused-for-good", "paused", for_good),
        # Found out before its VM has been made.
        test("paused-alone", "paused", for_good, beside=()),
    ]


def vms_tests() -> list[Test]:
    tests = []
    for platform in reversed(VENDORS):
        tests += [together_test(platform), warden_test(platform), neighbours_test(platform)]
        tests += [restart_test(platform), prompt_test(platform)]
    return [*tests, *refused_tests()]
