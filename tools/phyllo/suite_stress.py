# SPDX-License-Identifier: GPL-2.0-only
"""The short tier of the memory stress: its kernels and the scenarios, on both vendors; `make soak` is the long one."""

from dataclasses import dataclass
from pathlib import Path

from . import scenario
from .expect import Expect, boot_and_judge, boot_with_dialogue, make_spec
from .ktap import Case
from .suite_booted import SHADOW
from .suite_run import run_case
from .suite_smp import smp_kernel
from .suite_vms import spec, then
from .testing import Test

VENDORS = ("qemu-svm", "bochs-vmx")

# Words for each kernel.  Bochs executes a tenth of what QEMU does.
KERNELS = {
    "qemu-svm": {
        "mmu_stress": "mib=8 slots=5",
        "demand_paging": "mib=8 slots=2",
        "access_tracking_perf": "mib=8",
        "dirty_log_perf": "mib=8 iterations=3",
        "memslot_modification_stress": "mib=4 modifications=40",
        "memslot_perf": "mib=4 rounds=5",
        "page_table": "mib=8 iterations=2",
        "hugepage_nx": "mib=4 rounds=20",
        "balloon_storm": "mib=4 rounds=12",
        "alias_storm": "aliases=32 rounds=4",
        "fork_storm": "pages=128 rounds=16",
    },
    "bochs-vmx": {
        "mmu_stress": "mib=1 slots=4",
        "demand_paging": "mib=2",
        "access_tracking_perf": "mib=2",
        "dirty_log_perf": "mib=2 iterations=2",
        "memslot_modification_stress": "mib=1 modifications=6",
        "memslot_perf": "mib=1 rounds=2",
        "page_table": "mib=4 iterations=1",
        "hugepage_nx": "mib=4 rounds=3",
        "balloon_storm": "mib=1 rounds=3",
        "alias_storm": "aliases=8 rounds=1",
        "fork_storm": "pages=64 rounds=4",
    },
}

# Without nested paging, where each change of the guest's own tables is an exit.
SHADOW_KERNELS = {
    "qemu-svm": {
        "mmu_stress": "mib=4 slots=5",
        "demand_paging": "mib=4 slots=2",
        "dirty_log_perf": "mib=4 iterations=2",
        "memslot_modification_stress": "mib=2 modifications=20",
        "memslot_perf": "mib=2 rounds=2",
        "page_table": "mib=4 iterations=1",
        "balloon_storm": "mib=2 rounds=8",
        "alias_storm": "aliases=16 rounds=1",
        "fork_storm": "pages=64 rounds=4",
    },
    "bochs-vmx": {"alias_storm": "aliases=4 rounds=1", "fork_storm": "pages=16 rounds=2"},
}


@dataclass(frozen=True)
class Way:
    """One way to map, and of working together."""

    cmdline: str
    vcpus: int
    words: str = ""  # for every kernel


WAYS = {
    ("qemu-svm", "2m"): Way("nx_huge_pages=on", 2),
    ("qemu-svm", "4k"): Way("max_page=4k fault_around=1", 4, "overlap=on order=random"),
    ("qemu-svm", "shadow"): Way(SHADOW, 2),
    ("qemu-svm", "shadow-4k"): Way(f"{SHADOW} max_page=4k dirty=wrprot", 3, "overlap=on order=random"),
    ("bochs-vmx", "2m"): Way("nx_huge_pages=on", 2),
    ("bochs-vmx", "shadow"): Way(SHADOW, 2),
}


def sizes_of(platform: str, way: Way) -> dict[str, str]:
    return KERNELS[platform] | (SHADOW_KERNELS[platform] if SHADOW in way.cmdline else {})


def kernels_test(platform: str, name: str, way: Way) -> Test:
    """Every stress kernel, one after the other."""
    sizes = sizes_of(platform, way)

    def run(work: Path) -> list[Case]:
        modules = [
            smp_kernel(kernel, way.vcpus, f"{size} {way.words}".strip(), "mem=64M")
            for kernel, size in sizes.items()
        ]  # fmt: skip
        boot_spec = make_spec(platform, modules, smp=2, cmdline=way.cmdline)
        return boot_and_judge(boot_spec, Expect(ktap=tuple(sizes)), work)

    return Test(f"{platform}/stress-{name}", run)


# ---- scenarios ---------------------------------------------------------------------------------

# What Bochs does in some seconds; all of them are in the long tier.
SHORT_ON_BOCHS = ("populate", "dirty-passes", "balloon", "slots")


def chosen(platform: str) -> list[scenario.Scenario]:
    paths = scenario.shipped()
    return [scenario.read(path) for path in paths if platform != "bochs-vmx" or path.stem in SHORT_ON_BOCHS]


def scenarios_test(platform: str) -> Test:
    """Those that want nothing of their own of the machine: one after the other in one boot."""

    def run(work: Path) -> list[Case]:
        plain = [one for one in chosen(platform) if not one.boot and not one.beside]
        modules = [module for one in plain for module in scenario.modules(one)]
        expect = Expect(ktap=[one.name for one in plain])
        return with_replay(platform, plain, boot_and_judge(make_spec(platform, modules, smp=2), expect, work))

    return Test(f"{platform}/scenarios", run)


def scenario_test(platform: str, one: scenario.Scenario) -> Test:
    """One in a boot of its own, with who runs beside it."""

    def run(work: Path) -> list[Case]:
        boot_spec = make_spec(platform, list(scenario.modules(one)), smp=2, cmdline=one.boot)
        cases = boot_and_judge(boot_spec, Expect(ktap=scenario.vm_names(one)), work)
        return with_replay(platform, [one], cases)

    return Test(f"{platform}/scenario-{one.name}", run)


def with_replay(platform: str, ran: list[scenario.Scenario], cases: list[Case]) -> list[Case]:
    """A failure says how to have it again."""
    for case in cases:
        for one in ran:
            if case.status == "failed" and case.name.startswith((f"{one.name}:", f"{one.name}-")):
                case.detail.append(f"again: {scenario.replay(one, platform)}")
    return cases


def prompt_test(platform: str) -> Test:
    """The same scenarios from the prompt, with those who run beside."""
    names = ("unmap-storm", "age-beside") if platform == "qemu-svm" else ("small-pages",)
    steps = [(then("'help' lists"), f"run {names[0]}\r")]
    for name, following in zip(names, (*(f"run {name}" for name in names[1:]), "vms")):
        steps.append((then(rf"{name}\| ok 1 test_scenario[\s\S]*---- {name}: ended with code 0"), f"{following}\r"))
    steps.append((then(rf" {names[-1]} +off .* started 1 time"), "quit\r"))
    # Behind its report its memory is freed, and that may take longer than the prompt does to come back.
    again = [(then(rf" {names[-1]} +ending "), "vms\r")]

    def run(work: Path) -> list[Case]:
        modules = [
            module
            for path in scenario.shipped()
            for module in scenario.modules(scenario.read(path), later=True)
        ]  # fmt: skip
        boot_spec = spec(platform, modules, "end=prompt", tty=True)
        return boot_with_dialogue(boot_spec, Expect(), steps, work, again)

    return Test(f"{platform}/scenario-prompt", run)


def mistakes_test() -> Test:
    """What a user sees when a scenario is wrong, and when it fails."""

    def run(work: Path) -> list[Case]:
        work.mkdir(parents=True, exist_ok=True)
        wrong, fails = work / "wrong.scn", work / "fails.scn"
        wrong.write_text("memory 4M\nwrite\n\n  unmap page=3\n")
        fails.write_text("seed 3\nvm mem=32M vcpus=1\nmemory 1M\nwrite\nunmap -> 5\n")
        again = r"^phyllo: again: make run SCENARIO=\S*fails\.scn SEED=9 PLATFORM=qemu-svm$"
        place = r"wrong\.scn:4:9: 'unmap' does not"
        return [
            run_case("a mistake has a line and a column", False, place, SCENARIO=str(wrong)),
            run_case("a failure names its line", False, r"# line:5: unmap gave 0", SCENARIO=str(fails)),
            run_case("a failure says how to have it again", False, again, SCENARIO=str(fails), SEED="9"),
            run_case("no such file", False, "there is no such file", SCENARIO="scenarios/none.scn"),
            run_case("a seed for no scenario", False, "goes with SCENARIO= only", SEED="9"),
        ]

    return Test("scenario-mistakes", run)


def memory_stress_tests() -> list[Test]:
    tests = [kernels_test(*key, way) for key, way in WAYS.items()]
    for platform in VENDORS:
        tests.append(scenarios_test(platform))
        own = [one for one in chosen(platform) if one.boot or one.beside]
        tests += [scenario_test(platform, one) for one in own]
    return [*tests, prompt_test("qemu-svm"), mistakes_test()]
