# SPDX-License-Identifier: GPL-2.0-only
"""Random scenarios: as text, from a seed, in such an order that every statement makes sense."""

import random
from dataclasses import dataclass, field
from typing import Callable

# What the hypervisor may be told at boot; each is the default half of the time.
BOOT_OPTIONS = (
    ("max_page", ("4k", "2m", "1g")),
    ("fault_around", ("1", "16", "64")),
    ("dirty", ("wrprot", "dbit")),
    ("ad", ("off",)),
    ("nx_huge_pages", ("on",)),
)


@dataclass(frozen=True)
class Sizes:
    """What a platform does in some seconds."""

    mib: tuple[int, ...]
    vcpus: tuple[int, ...]
    repeats: int
    steps: int
    rounds: int  # of neighbours


QUICK = Sizes((2, 4, 8, 16), (1, 2, 2, 3, 4), 14, 24, 30)
SLOW = Sizes((1, 2, 4), (1, 2, 2), 6, 8, 6)


@dataclass
class Author:
    """Writes one scenario."""

    dice: random.Random
    sizes: Sizes
    lines: list[str] = field(default_factory=list)
    logging: bool = False
    pages: int = 0

    def say(self, line: str, depth: int = 0) -> None:
        self.lines.append("    " * depth + line)

    def chance(self, percent: int) -> bool:
        return self.dice.randrange(100) < percent

    # ---- the head -------------------------------------------------------------------------------

    def head(self, seed: int) -> None:
        mib = self.dice.choice(self.sizes.mib)
        slots = self.dice.choice((1, 1, 2, 3, 5))
        self.say(f"seed {seed}")
        self.say(f"boot guests=together {' '.join(self.boot_options())}".rstrip())
        self.say(f"vm mem=64M vcpus={self.dice.choice(self.sizes.vcpus)}")
        order = self.dice.choice(("linear", "random"))
        self.say(f"memory {mib}M slots={slots} order={order} reserve={self.dice.choice((10, 25, 50))}")
        self.pages = mib * 256 // slots // 512 * 512 * slots or mib * 256 // slots * slots
        self.neighbours()
        self.say("")

    def boot_options(self) -> list[str]:
        chosen = {name: self.dice.choice(values) for name, values in BOOT_OPTIONS if self.chance(40)}
        if chosen.get("dirty") == "dbit":  # the hypervisor refuses to do that without Dirty bits
            chosen.pop("ad", None)
        return [f"{name}={value}" for name, value in chosen.items()]

    def neighbours(self) -> None:
        rounds = self.sizes.rounds
        calm = [  # they count what is mapped and what is young: nobody else touches their memory
            "mmu_stress mem=48M vcpus=2 -- mib=2 slots=5",
            "balloon_storm mem=48M vcpus=2 -- mib=1 rounds=6",
            "dirty_log_perf mem=48M vcpus=2 -- mib=2 iterations=2",
            "memslot_modification_stress mem=48M vcpus=2 -- mib=1 modifications=12",
            "memslot_perf mem=48M -- mib=2 rounds=3",
            "demand_paging mem=48M vcpus=2 -- mib=4",
        ]
        rough = [
            "smpstress mem=48M vcpus=2 -- mib=1 rounds=2",
            "canary mem=24M -- mib=1 rounds=1",
            f"alias_storm mem=48M vcpus=2 -- aliases=16 rounds={rounds // 6}",
            f"fork_storm mem=48M vcpus=2 -- pages=128 rounds={rounds}",
        ]
        kind = self.dice.randrange(5)
        if kind == 1:
            self.say(f"beside {self.dice.choice(calm)}")
        elif kind == 2:
            self.say("beside age_forever mem=16M privileged")
            self.say(f"beside {self.dice.choice(calm)}")
        elif kind == 3:
            self.say(f"beside multi_vm_storm mem=16M privileged -- rounds={rounds * 3}")
            self.say(f"beside {self.dice.choice(rough)}")

    # ---- operations --------------------------------------------------------------------------------

    def some(self) -> str:
        """A range, as a word."""
        kind = self.dice.randrange(6)
        if kind == 0:
            return "all"
        if kind == 1:
            return f"random:{self.dice.choice((1, 8, 600))}"
        return "random"

    def block(self) -> str:
        return self.dice.choice(("", "", " block=off"))

    def quiet_range(self) -> Callable[[], str]:
        return self.dice.choice((self.unmap, self.age, self.migrate, self.zap, self.balloon, self.get))

    def unmap(self) -> str:
        return f"unmap pages={self.some()}{self.block()}"

    def age(self) -> str:
        return f"{self.dice.choice(('age', 'test_age'))} pages={self.some()}"

    def migrate(self) -> str:
        return f"migrate pages={self.some()}{self.block()}"

    def zap(self) -> str:
        return self.dice.choice(("zap_all", "nx_recover", "audit", "wait 20"))

    def balloon(self) -> str:
        return f"balloon_{self.dice.choice(('out', 'in'))} pages={self.some()}{self.block()}"

    def get(self) -> str:
        if not self.logging:
            return self.unmap()
        return self.dice.choice(("dirty_get", "dirty_get", "dirty_get clear=off", "dirty_clear"))

    def protect(self, depth: int) -> None:
        for _ in range(self.dice.randrange(1, 3)):
            self.say(f"protect {self.dice.choice(('ro', 'none'))} pages={self.some()}{self.block()}", depth)

    def slots(self, depth: int) -> None:
        number, at = self.dice.randrange(4), self.dice.randrange(3)
        self.say(f"slot_create {number} pages={self.dice.choice((1, 17, 300, 700))} place={at}", depth)
        self.say(f"slot_use {number}", depth)
        for _ in range(self.dice.randrange(3)):
            at = (at + self.dice.randrange(1, 3)) % 3
            self.say(f"slot_move {number} place={at}", depth)
            self.say(f"slot_use {number}", depth)
        self.say(f"slot_delete {number}", depth)

    # ---- blocks -------------------------------------------------------------------------------------

    def phases(self) -> None:
        """All processors do the same, then one works on the memory."""
        for _ in range(self.dice.randrange(1, 4)):
            self.say(self.quiet_range()())
        self.say(f"write percent={self.dice.choice((3, 30, 100))}")
        if self.chance(30):
            self.say(f"wp_toggle {self.dice.choice((1, 20, 100))}")
        if self.logging:
            self.say("dirty_get")
        self.say("verify")

    def protected(self) -> None:
        self.protect(0)
        self.say("attempt")
        self.say("verify")
        self.say("protect rw")
        self.say("attempt -> 0")

    def log(self) -> None:
        if self.logging:
            self.say("dirty_get")
            self.say("dirty_stop")
        else:
            style = self.dice.choice(("default", "default", "wrprot"))
            self.say(f"dirty_start style={style} with={self.dice.choice(('none', 'all_set', 'no_split', 'both'))}")
        self.logging = not self.logging

    def storm(self) -> None:
        self.say("storm start")
        self.say(f"repeat {self.dice.randrange(2, self.sizes.repeats)}")
        for _ in range(self.dice.randrange(2, 6)):
            kind = self.dice.randrange(10)
            if kind == 0:
                self.protect(1)
                self.say(f"step {self.sizes.steps // 4 + 1}", 1)
                self.say("protect rw", 1)
            elif kind == 1:
                self.slots(1)
            else:
                self.say(self.quiet_range()(), 1)
            if self.chance(60):
                self.say(f"step {self.dice.randrange(1, self.sizes.steps)}", 1)
        self.say("end")
        self.say("storm stop")
        self.say("verify")

    def body(self) -> None:
        self.say("write")
        for _ in range(self.dice.randrange(3, 7)):
            self.dice.choice((self.phases, self.protected, self.log, self.storm, self.storm))()
            self.say("audit")
        if self.logging:
            self.log()
        self.say("balloon_in")
        self.say("write percent=50")
        self.say("verify")


def random_scenario(seed: int, quick: bool) -> str:
    author = Author(random.Random(seed), QUICK if quick else SLOW)
    author.head(seed)
    author.body()
    return "\n".join(author.lines) + "\n"
