# SPDX-License-Identifier: GPL-2.0-only
"""The table of `make bench`: our figures, KVM's, and the bars."""

import json
from pathlib import Path
from typing import Optional, Sequence

from .bench_jobs import KVM, Figure
from .bench_reference import KVM_REFERENCE, ROWS, Row
from .config import UserError, build_dir

FORMAT = "{:<24}{:<8}{:>9}{:>10}{:>8}{:>9}  {:<5}{}"

HEAD = ["name", "mode", "Phyllo", "KVM 6.1", "ratio", "bar", "met"]

# Name and mode of a row.
Key = tuple[str, str]


def kvm_json() -> Path:
    """Written by `make bench-kvm`."""
    return build_dir() / "bench-kvm.json"


def key_of(figure: Figure) -> Key:
    return figure.name, figure.mode


def read_figures(text: str) -> list[Figure]:
    try:
        return [Figure(**row) for row in json.loads(text)]
    except (ValueError, TypeError) as err:
        raise UserError(f"{kvm_json()} is not what make bench-kvm writes ({err}); remove it") from None


def kvm_column() -> tuple[dict[Key, float], str]:
    """What `make bench-kvm` measured here, and what is committed where it did not; and a sentence of which."""
    values = dict(KVM_REFERENCE)
    path = kvm_json()
    if not path.is_file():
        return values, "the committed ones (make bench-kvm measures them here)"
    figures = read_figures(path.read_text())
    measured = {key_of(figure): figure.value for figure in figures if figure.platform == KVM}
    left = dict.fromkeys(name for name, mode in values if (name, mode) not in measured)
    rest = f", but the committed ones of {', '.join(left)}" if left else ""
    return {**values, **measured}, f"from {path}{rest}"


def number(value: Optional[float]) -> str:
    if value is None:
        return "–"
    if value >= 1e6:
        return f"{value / 1e6:.1f} M"
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def cells(figure: Figure, kvm: Optional[float]) -> list[str]:
    """Name, mode, ours, KVM's, how often ours goes into it, the bar, and whether it is reached."""
    bar = ROWS.get(figure.name, Row("")).bar_in(figure.mode)
    ratio = f"{kvm / figure.value:.1f}" if kvm and figure.value else "–"
    verdict = "" if bar is None else "yes" if figure.value <= bar else "NO"
    return [figure.name, figure.mode, number(figure.value), number(kvm), ratio, number(bar), verdict]


def in_order(figures: Sequence[Figure]) -> list[Figure]:
    order = list(ROWS)
    return sorted(figures, key=lambda f: order.index(f.name) if f.name in order else len(order))


def table(figures: Sequence[Figure], kvm: dict[Key, float]) -> str:
    lines = [FORMAT.format(*HEAD, "what")]
    for figure in in_order(figures):
        what = ROWS.get(figure.name, Row("")).what
        lines.append(FORMAT.format(*cells(figure, kvm.get(key_of(figure))), what))
    return "\n".join(lines)


def markdown(figures: Sequence[Figure], kvm: dict[Key, float]) -> str:
    """The table of docs/performance.md."""
    rows = [HEAD, ["---", "---", *["---:"] * 4, "---"]]
    rows += [cells(figure, kvm.get(key_of(figure))) for figure in in_order(figures)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
