# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios (docs/scenarios.md): read, checked, and made into boot modules.

A scenario is a text of one statement a line.  What is before the first operation says in which VM it runs and beside
whom; the operations go as a script to the kernel tests/guest/scenario.c.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Optional

from . import build
from .bundle import Module, module_name
from .config import ROOT, UserError
from .scenario_ops import NO_RELATION, OPS, RELATIONS, Op, Param, names

FOLDER = ROOT / "scenarios"
NAME_MAX = 24  # a VM's name is at most 31 characters, and that of a neighbour is longer
NESTING_MAX = 8  # the kernel's
DEFAULT_VM = "mem=64M vcpus=2"
MIB_MAX = 512


class ScenarioError(UserError):
    """A mistake in a scenario: file, line and column, and what is allowed there."""

    def __init__(self, file: str, line: int, column: int, text: str) -> None:
        super().__init__(f"{file}:{line}:{column}: {text}")
        self.line, self.column = line, column


@dataclass(frozen=True)
class Word:
    """A word and where it begins, counted from 1."""

    text: str
    column: int


@dataclass(frozen=True)
class Neighbour:
    """A VM that runs beside: a test kernel, its module's options and words."""

    kernel: str
    options: str


@dataclass
class Scenario:
    """What a file says."""

    name: str
    file: str  # as it is named in sentences
    seed: int = 1
    vm: str = DEFAULT_VM
    boot: str = ""
    memory: str = ""
    beside: list[Neighbour] = field(default_factory=list)
    script: list[str] = field(default_factory=list)


def words_of(line: str) -> list[Word]:
    """Words up to a '#' that begins one."""
    found: list[Word] = []
    for match in re.finditer(r"\S+", line):
        if match[0].startswith("#"):
            break
        found.append(Word(match[0], match.start() + 1))
    return found


class Reader:
    """Takes lines, makes a scenario."""

    def __init__(self, name: str, file: str) -> None:
        self.out = Scenario(name, file)
        self.line = 0
        self.loops: list[tuple[int, int, bool]] = []  # line and column of repeat; did a storm run there?
        self.storming = False
        self.headers: set[str] = set()
        self.heads: dict[str, Callable[[list[Word]], None]] = {
            "seed": self.head_seed,
            "vm": self.head_vm,
            "boot": self.head_boot,
            "memory": self.head_memory,
            "beside": self.head_beside,
        }

    def wrong(self, column: int, text: str) -> ScenarioError:
        return ScenarioError(self.out.file, self.line, column, text)

    def feed(self, line: str) -> None:
        self.line += 1
        if any(ord(char) > 0x7E or (ord(char) < 0x20 and char != "\t") for char in line.partition("#")[0]):
            raise self.wrong(1, "only printable ASCII characters are allowed outside comments")
        words = words_of(line)
        if not words:
            return
        if words[0].text in self.heads:
            self.header(words)
        elif words[0].text == "expect":
            self.expect(words)
        elif words[0].text in OPS:
            self.statement(words[0], OPS[words[0].text], words[1:])
        else:
            raise self.wrong(
                words[0].column,
                f"there is no statement {words[0].text!r}; there are: {', '.join(self.heads)}, {names()}",
            )

    def finish(self) -> Scenario:
        if self.loops:
            self.line, column, _ = self.loops[-1]
            raise self.wrong(column, "this 'repeat' has no 'end'")
        self.line += 1
        if not self.out.script:
            raise self.wrong(1, "there is no operation in this scenario")
        if self.storming:
            raise self.wrong(1, "the storm is not stopped: 'storm stop' is missing")
        return self.out

    # ---- what comes before the operations -----------------------------------------------------

    def header(self, words: list[Word]) -> None:
        head = words[0]
        if self.out.script:
            raise self.wrong(head.column, f"{head.text!r} must come before the first operation")
        if head.text in self.headers and head.text != "beside":
            raise self.wrong(head.column, f"there are two lines of {head.text!r}")
        if len(words) == 1:
            raise self.wrong(head.column, f"{head.text!r} takes something: see docs/scenarios.md")
        self.headers.add(head.text)
        self.heads[head.text](words)

    def head_seed(self, words: list[Word]) -> None:
        self.only(words, 2)
        if not re.fullmatch(r"[0-9]{1,9}", words[1].text):
            raise self.wrong(words[1].column, "the seed is a number of at most 9 digits")
        self.out.seed = int(words[1].text)

    def head_vm(self, words: list[Word]) -> None:
        for word in words[1:]:
            if not re.fullmatch(r"(mem|cap|vcpus|cpus|vcpu\.pin|mmu)=\S+|privileged", word.text):
                raise self.wrong(
                    word.column, "allowed are mem=, cap=, vcpus=, cpus=, vcpu.pin=, mmu= and privileged (docs/boot.md)"
                )
        self.out.vm = " ".join(word.text for word in words[1:])

    def head_boot(self, words: list[Word]) -> None:
        for word in words[1:]:
            if not re.fullmatch(r"[a-z0-9_.]+=\S+", word.text):
                raise self.wrong(word.column, "boot options are NAME=VALUE")
        self.out.boot = " ".join(word.text for word in words[1:])

    def head_memory(self, words: list[Word]) -> None:
        """memory 16M [slots=4] [order=random] [reserve=25]"""
        size = re.fullmatch(r"([0-9]{1,4})M", words[1].text)
        if not size or not 1 <= int(size[1]) <= MIB_MAX:
            raise self.wrong(words[1].column, f"the size is from 1M to {MIB_MAX}M")
        out = [f"mib={size[1]}"]
        for word in words[2:]:
            if not re.fullmatch(r"slots=([1-9]|[1-9][0-9])|order=(random|linear)|reserve=[0-9]{1,2}", word.text):
                raise self.wrong(word.column, "allowed are slots=1 to 99, order=random or linear, reserve=0 to 99")
            out.append(word.text)
        self.out.memory = " ".join(out)

    def head_beside(self, words: list[Word]) -> None:
        kernel = words[1]
        if not re.fullmatch(r"[a-z][a-z0-9_]*", kernel.text) or not (ROOT / f"tests/guest/{kernel.text}.c").is_file():
            raise self.wrong(kernel.column, f"there is no test kernel {kernel.text!r} (tests/guest/)")
        self.out.beside.append(Neighbour(kernel.text, " ".join(word.text for word in words[2:])))

    def only(self, words: list[Word], count: int) -> None:
        if len(words) > count:
            raise self.wrong(words[count].column, f"nothing is allowed here: {words[0].text!r} takes no more")

    # ---- operations ----------------------------------------------------------------------------

    def emit(self, name: str, *args: object) -> None:
        self.out.script.append(" ".join([str(self.line), name, *(str(arg) for arg in args)]))

    def relation(self, words: list[Word], after: Word) -> tuple[int, int]:
        """[=|<|<=|>|>=|!=] NUMBER, and nothing behind it."""
        words = list(words)
        op = 1
        if words and words[0].text in RELATIONS:
            after = words.pop(0)
            op = RELATIONS[after.text]
        if not words:
            raise self.wrong(after.column + len(after.text), "a number is missing here")
        if not re.fullmatch(r"-?[0-9]{1,15}", words[0].text):
            text = f"{words[0].text!r} is no number; before it may stand {' '.join(RELATIONS)}"
            raise self.wrong(words[0].column, text)
        if len(words) > 1:
            raise self.wrong(words[1].column, "nothing is allowed behind what is expected")
        return op, int(words[0].text)

    def expect(self, words: list[Word]) -> None:
        """expect [+]STATISTIC RELATION NUMBER"""
        if len(words) < 2 or not re.fullmatch(r"\+?[a-z][a-z0-9_]{0,22}", words[1].text):
            column = words[1].column if len(words) > 1 else words[0].column + len("expect")
            raise self.wrong(column, "the name of a statistic is missing here (+NAME: its change since 'mark')")
        if len(words) < 3 or words[2].text not in RELATIONS:
            column = words[2].column if len(words) > 2 else words[1].column + len(words[1].text)
            raise self.wrong(column, f"one of {' '.join(RELATIONS)} is missing here")
        self.emit("expect", words[1].text, *self.relation(words[2:], words[2]))

    def statement(self, name: Word, op: Op, words: list[Word]) -> None:
        want = NO_RELATION
        arrow = next((i for i, word in enumerate(words) if word.text == "->"), None)
        if arrow is not None:
            if not op.result:
                raise self.wrong(words[arrow].column, f"{name.text!r} gives nothing that could be expected")
            want = self.relation(words[arrow + 1 :], words[arrow])
            words = words[:arrow]
        args = self.arguments(name, op, words)
        self.order(name, op, args)
        self.emit(f"storm_{'start' if args[0] else 'stop'}" if name.text == "storm" else name.text,
                  *([] if name.text == "storm" else args), *(want if op.result else ()))  # fmt: skip

    def arguments(self, name: Word, op: Op, words: list[Word]) -> list[int]:
        given: dict[str, Word] = {}
        known = {param.name: param for param in op.params}
        for index, word in enumerate(words):
            key, equals, value = word.text.partition("=")
            if not equals and index == 0 and op.first:
                key, value = op.first, word.text
                at = word.column
            else:
                at = word.column + len(key) + 1
            if key not in known or (not equals and key != op.first):
                raise self.wrong(word.column, f"{name.text!r} does not take {word.text!r}; {self.takes(op)}")
            if key in given:
                raise self.wrong(word.column, f"{key}= is given twice")
            given[key] = Word(value, at)
        return [value for param in op.params for value in self.value(name, param, given.get(param.name))]

    def value(self, name: Word, param: Param, word: Optional[Word]) -> list[int]:
        if word is None:
            if param.default is None:
                raise self.wrong(name.column + len(name.text), f"{param.name}= is missing here")
            return param.convert(param.default)
        try:
            return param.convert(word.text)
        except ValueError as err:
            raise self.wrong(word.column, f"{param.name}= takes {err}") from err

    @staticmethod
    def takes(op: Op) -> str:
        return "it takes " + (", ".join(f"{param.name}=" for param in op.params) or "nothing")

    def order(self, name: Word, op: Op, args: list[int]) -> None:
        """What may come when."""
        if op.phase and self.storming:
            raise self.wrong(name.column, f"{name.text!r} needs the processors that storm: 'storm stop' comes first")
        if name.text == "storm":
            if self.storming == bool(args[0]):
                raise self.wrong(name.column, f"a storm {'runs already' if self.storming else 'does not run'}")
            self.storming = bool(args[0])
        elif name.text == "repeat":
            if len(self.loops) == NESTING_MAX:
                raise self.wrong(name.column, f"at most {NESTING_MAX} times 'repeat' in each other")
            self.loops.append((self.line, name.column, self.storming))
        elif name.text == "end":
            if not self.loops:
                raise self.wrong(name.column, "there is no 'repeat' to end")
            if self.loops.pop()[2] != self.storming:
                raise self.wrong(name.column, "what is repeated begins and ends with a storm, or without one")


def parse(text: str, name: str, file: str) -> Scenario:
    reader = Reader(name, file)
    for line in text.splitlines():
        reader.feed(line)
    return reader.finish()


def read(path: Path) -> Scenario:
    name = module_name(path).rpartition(".")[0] or module_name(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise UserError(f"{path} cannot be read as a scenario: {err}") from err
    file = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    if len(name) > NAME_MAX:
        raise UserError(f"{file}: the name of a scenario has at most {NAME_MAX} characters")
    return parse(text, name, file)


# ---- modules -------------------------------------------------------------------------------------


def with_mmu(options: str, mmu: str) -> str:
    """The options of a module with another MMU, before what is meant for the kernel."""
    before, dashes, words = options.partition("--")
    before = " ".join(word for word in before.split() if not (mmu and word.startswith("mmu=")))
    return f"{before}{f' mmu={mmu}' if mmu else ''}{f' -- {words.strip()}' if dashes else ''}".strip()


def neighbour_name(scenario: Scenario, number: int) -> str:
    return f"{scenario.name}-{number}"


def vm_names(scenario: Scenario) -> list[str]:
    """Its VMs: its own, then those beside."""
    return [scenario.name, *(neighbour_name(scenario, n) for n, _ in enumerate(scenario.beside, start=1))]


def modules(scenario: Scenario, mmu: str = "", later: bool = False) -> Iterator[Module]:
    """later: they wait until somebody runs the scenario at the prompt."""
    name = scenario.name
    words = f"seed={scenario.seed} {scenario.memory}".strip()
    off = "off " if later else ""
    yield build.named_module(name, "scenario", with_mmu(f"{off}{scenario.vm} -- {words}", mmu))
    yield Module(f"{name}.scn", "".join(f"{line}\n" for line in scenario.script).encode(), f"for={name}")
    for number, other in enumerate(scenario.beside, start=1):
        off = f"with={name} " if later else ""
        yield build.named_module(neighbour_name(scenario, number), other.kernel, with_mmu(off + other.options, mmu))


def replay(scenario: Scenario, platform: str, mmu: str = "", cmdline: str = "") -> str:
    """The one command that runs it again."""
    words = [f"SCENARIO={scenario.file}", f"SEED={scenario.seed}", f"PLATFORM={platform}"]
    words += [f"MMU={mmu}"] if mmu else []
    words += [f"CMDLINE='{cmdline}'"] if cmdline else []
    return f"make run {' '.join(words)}"


def shipped() -> list[Path]:
    return sorted(FOLDER.glob("*.scn"))
