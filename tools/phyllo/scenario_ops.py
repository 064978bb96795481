# SPDX-License-Identifier: GPL-2.0-only
"""The statements of scenarios: what each takes, and what the kernel that runs them (tests/guest/scenario.c) gets.

A parameter turns the text of its value into numbers, or raises ValueError with what is allowed.
"""

import re
from dataclasses import dataclass
from typing import Callable

RANDOM = -1  # as the first page of a range
PAGES_MAX = 1 << 18

Convert = Callable[[str], list[int]]


@dataclass(frozen=True)
class Param:
    """One parameter: NAME=value, or the value alone for the one that is `first`."""

    name: str
    convert: Convert
    default: str | None = None  # None: it must be given


@dataclass(frozen=True)
class Op:
    """A statement: its parameters in the order in which the kernel takes them."""

    params: tuple[Param, ...] = ()
    first: str = ""  # this one may be given without its name, as the first word
    result: bool = False  # it gives a number, which "-> N" may expect
    phase: bool = False  # all processors take part: not while a storm has them


def number(low: int, high: int) -> Convert:
    def convert(text: str) -> list[int]:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return [int(text)]

    return convert


def choice(**values: int) -> Convert:
    def convert(text: str) -> list[int]:
        if text not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return [values[text]]

    return convert


def pages(text: str) -> list[int]:
    """all; random; random:MOST; FIRST; FIRST+COUNT."""
    match = re.fullmatch(r"(all)|random(?::([0-9]{1,6}))?|([0-9]{1,6})(?:\+([0-9]{1,6}))?", text)
    if match and match[1]:
        return [0, 0]
    if match and match[3] is None:
        count = int(match[2] or 64)
        if 1 <= count <= PAGES_MAX:
            return [RANDOM, count]
    elif match:
        count = int(match[4] or 1)
        if 1 <= count <= PAGES_MAX:
            return [int(match[3]), count]
    raise ValueError("all, random, random:MOST, FIRST or FIRST+COUNT (in pages)")


PAGES = Param("pages", pages, "all")
BLOCK = Param("block", choice(on=1, off=0), "on")
ID = Param("id", number(0, 3))
PLACE = Param("place", number(0, 2), "0")
STYLE = Param("style", choice(default=0, wrprot=1, dbit=2, pml=3), "default")
HOW = Param("how", choice(rw=0, ro=1, none=2))
# As DIRTY_START has them: everything set at first, large pages split late, both.
FLAGS = Param("with", choice(none=0, all_set=1, no_split=2, both=3), "none")

OPS: dict[str, Op] = {
    "write": Op((Param("percent", number(1, 100), "100"),), phase=True),
    "verify": Op(phase=True),
    "attempt": Op(result=True, phase=True),
    "wp_toggle": Op((Param("times", number(1, 100000), "16"),), "times", phase=True),
    "storm": Op((Param("what", choice(start=1, stop=0)),), "what"),
    "step": Op((Param("steps", number(1, 1000000), "16"),), "steps"),
    "unmap": Op((PAGES, BLOCK), result=True),
    "age": Op((PAGES,), result=True),
    "test_age": Op((PAGES,), result=True),
    "migrate": Op((PAGES, BLOCK), result=True),
    "protect": Op((PAGES, BLOCK, HOW), "how", result=True),
    "balloon_out": Op((PAGES, BLOCK), result=True),
    "balloon_in": Op((PAGES, BLOCK), result=True),
    "zap_all": Op(result=True),
    "audit": Op(result=True),
    "nx_recover": Op(result=True),
    "wait": Op((Param("yields", number(1, 1000000)),), "yields"),
    "dirty_start": Op((STYLE, FLAGS), result=True),
    "dirty_get": Op((Param("clear", choice(on=1, off=0), "on"),), result=True),
    "dirty_clear": Op(result=True),
    "dirty_stop": Op(result=True),
    "slot_create": Op((ID, Param("pages", number(1, 2048)), PLACE), "id", result=True),
    "slot_move": Op((ID, Param("place", number(0, 2))), "id", result=True),
    "slot_delete": Op((ID,), "id", result=True),
    "slot_use": Op((ID,), "id"),
    "mark": Op(),
    "repeat": Op((Param("times", number(1, 1000000)),), "times"),
    "end": Op(),
}

RELATIONS = {"=": 1, "<=": 2, ">=": 3, "<": 4, ">": 5, "!=": 6}
NO_RELATION = (0, 0)


def names() -> str:
    return ", ".join([*OPS, "expect"])
