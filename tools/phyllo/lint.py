# SPDX-License-Identifier: GPL-2.0-only
"""Rules of the tree that a compiler does not check: who includes whom, sizes, licences, names.

Each rule takes the list of files and yields complaints "FILE:LINE: what".
"""

import ast
import re
import shlex
import subprocess
from pathlib import Path
from typing import Callable, Iterable, Iterator

from . import build
from .config import ROOT, UserError, build_dir
from .ktap import Case
from .testing import Test

FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 100
COLUMNS_MAX = 120  # for Python; C is laid out by hand at 100

CODE = (".c", ".h", ".asm", ".def")
STD_HEADERS = {"stdint.h", "stddef.h", "stdbool.h", "stdatomic.h"}
# Doors of mm/ that other rooms may use.
MM_DOORS = {"mm/mmu.h", "mm/types.h", "mm/errno.h", "mm/sync.h"}
VENDOR_WORDS = re.compile(r"\b(vmcb|vmcs)\w*", re.IGNORECASE)
# Vendor files that have no twin, and why.
VENDOR_ALONE = {
    "vmcb.h": "the control block of AMD-V",
    "vmcs.h": "the field numbers of VT-x",
    "vmx_insn.h": "VMREAD, VMWRITE and their relatives; SVM's control block is memory",
    "vmx_host.c": "the host state that VM exit loads; VMRUN saves the host's by itself",
    "vmx_check.c": "which rule a refused guest state breaks; SVM has few, and no need of a search",
    "vmx_log.c": "the processor's log of dirtied pages; AMD-V has none",
    "vmx_real.c": "real mode as virtual-8086 mode; SVM has paged real mode",
    "vmx_segment.c": "segment states that only VM entry checks",
}
# Files that carry no comment.
NO_SPDX = re.compile(r"(^LICENSE$|^\.gitignore$|^tests/fuzz/corpus/|\.(bin|png|json|diff|patch)$)")

Rule = Callable[[list[str]], Iterable[str]]


def tracked_files() -> list[str]:
    """Files of the project: what git knows or would add; without git, all but build products."""
    try:
        out = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, text=True,
        )  # fmt: skip
        names = [name for name in out.stdout.split("\0") if name]
    except (OSError, subprocess.SubprocessError):
        skip = {".git", "__pycache__", build_dir().name}
        paths = (path for path in ROOT.rglob("*") if path.is_file())
        names = [str(path.relative_to(ROOT)) for path in paths if not skip & set(path.relative_to(ROOT).parts)]
    return sorted(name for name in names if (ROOT / name).is_file())


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8", "replace")


def strip_comments(text: str) -> str:
    """C without comments and strings, with the lines kept."""
    pattern = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL)
    return pattern.sub(lambda m: "\n" * m[0].count("\n"), text)


def includes(name: str) -> Iterator[tuple[int, str, str]]:
    """Line, "<" or '"', and header of each #include."""
    for number, line in enumerate(read(name).splitlines(), start=1):
        match = re.match(r"\s*#\s*include\s*([<\"])([^>\"]+)", line)
        if match:
            yield number, match[1], match[2]


# ---- rules ------------------------------------------------------------------------------


def rule_spdx(files: list[str]) -> Iterator[str]:
    for name in files:
        if NO_SPDX.search(name) or not (ROOT / name).stat().st_size:
            continue
        head = "\n".join(read(name).splitlines()[:5])
        if "SPDX-License-Identifier:" not in head and not name.endswith(".md"):
            yield f"{name}:1: no SPDX-License-Identifier in the first lines"


def rule_whitespace(files: list[str]) -> Iterator[str]:
    for name in files:
        if NO_SPDX.search(name):
            continue
        text = read(name)
        for number, line in enumerate(text.splitlines(), start=1):
            if line != line.rstrip():
                yield f"{name}:{number}: white space at the end of the line"
        if text and not text.endswith("\n"):
            yield f"{name}: no newline at the end"


def rule_mm_includes(files: list[str]) -> Iterator[str]:
    for name in files:
        if name.startswith("mm/") and name.endswith((".c", ".h")):
            for number, kind, header in includes(name):
                if header not in STD_HEADERS if kind == "<" else not header.startswith("mm/"):
                    yield f"{name}:{number}: mm/ includes {header}; only mm/ and {', '.join(sorted(STD_HEADERS))}"


def rule_mm_lock(files: list[str]) -> Iterator[str]:
    """mmu_lock is taken with the clock in hand."""
    for name in files:
        if name.startswith("mm/") and name.endswith((".c", ".h")) and not name.startswith("mm/lock."):
            for number, line in enumerate(strip_comments(read(name)).splitlines(), start=1):
                if re.search(r"\b(read|write)_(un)?lock\(&.*\bmmu_lock\)", line):
                    yield f"{name}:{number}: takes mmu_lock without mm/lock.h"


def rule_mm_doors(files: list[str]) -> Iterator[str]:
    """The other rooms enter mm/ by its doors; arch/ also implements mm/port.h."""
    for name in files:
        if name.startswith(("vmm/", "host/", "lib/", "boot/", "arch/")) and name.endswith((".c", ".h")):
            allowed = MM_DOORS | ({"mm/port.h"} if name.startswith("arch/") else set())
            for number, _, header in includes(name):
                if header.startswith("mm/") and header not in allowed:
                    yield f"{name}:{number}: includes {header}; allowed are {', '.join(sorted(allowed))}"


def rule_vendor_includes(files: list[str]) -> Iterator[str]:
    """Nobody but a vendor's own folder (and the tests of it) includes its headers."""
    for name in files:
        if name.startswith("tests/"):
            continue
        for vendor in ("svm", "vmx"):
            folder = f"arch/x86/{vendor}/"
            if name.endswith((".c", ".h")) and not name.startswith(folder):
                for number, _, header in includes(name):
                    if header.startswith(folder):
                        yield f"{name}:{number}: includes {header} from outside {folder}"


def rule_first_include(files: list[str]) -> Iterator[str]:
    """x.c includes x.h (or the x_impl.h it shares with its parts) first."""
    for name in files:
        if not name.endswith(".c") or name.startswith("tests/") or not (ROOT / f"{name[:-2]}.h").is_file():
            continue
        first = next(includes(name), (1, "", "nothing"))
        own = (f"{name[:-2]}.h", f"{name[:-2]}_impl.h", f"{Path(name).stem}.h")
        if first[2] not in own:
            yield f"{name}:{first[0]}: includes {first[2]} first, not {name[:-2]}.h"


def rule_c_includes(files: list[str]) -> Iterator[str]:
    """A hosted test may: it compiles our string functions under other names beside the C library's."""
    for name in files:
        if name.endswith((".c", ".h")) and not name.startswith("tests/host/"):
            for number, _, header in includes(name):
                if header.endswith(".c"):
                    yield f"{name}:{number}: includes the source file {header}"


def rule_pragma_once(files: list[str]) -> Iterator[str]:
    """Every header has it but the public one, which any compiler must take."""
    for name in files:
        if name.endswith(".h") and not name.startswith("include/") and "\n#pragma once\n" not in read(name):
            yield f"{name}:1: no #pragma once"


def rule_vendor_words(files: list[str]) -> Iterator[str]:
    for name in files:
        inside = name.startswith(("arch/x86/svm/", "arch/x86/vmx/"))
        if inside or not name.endswith(CODE) or name.startswith("tests/"):
            continue
        for number, line in enumerate(strip_comments(read(name)).splitlines(), start=1):
            match = VENDOR_WORDS.search(line.split(";")[0] if name.endswith(".asm") else line)
            if match:
                yield f"{name}:{number}: {match[0]} outside its vendor's folder"


def rule_vendor_mirror(files: list[str]) -> Iterator[str]:
    """svm_x has a vmx_x and the other way round."""
    names = {vendor: set() for vendor in ("svm", "vmx")}
    for name in files:
        for vendor, seen in names.items():
            if name.startswith(f"arch/x86/{vendor}/") and name.endswith(CODE):
                seen.add(Path(name).name)
    for vendor, other in (("svm", "vmx"), ("vmx", "svm")):
        for file in sorted(names[vendor]):
            twin = re.sub(rf"^{vendor}", other, file)
            if file not in VENDOR_ALONE and twin not in names[other]:
                yield f"arch/x86/{vendor}/{file}:1: arch/x86/{other}/ has no {twin}"


def functions(text: str) -> Iterator[tuple[int, int, str]]:
    """First line, number of lines and heading of each function in kernel style."""
    lines = text.splitlines()
    start = None
    for index, line in enumerate(lines):
        if line == "{" and index and lines[index - 1].rstrip().endswith(")"):
            start = index
        elif line.startswith("}") and start is not None:
            yield start, index - start + 1, lines[start - 1].strip()
            start = None


def rule_sizes(files: list[str]) -> Iterator[str]:
    for name in files:
        if not name.endswith((*CODE, ".py", ".sh")):
            continue
        text = read(name)
        count = text.count("\n")
        if count > FILE_LINES_MAX:
            yield f"{name}:1: {count} lines; at most {FILE_LINES_MAX}"
        if name.endswith((".c", ".h")):
            for line, size, heading in functions(text):
                if size > FUNCTION_LINES_MAX:
                    yield f"{name}:{line}: {size} lines in {heading}; at most {FUNCTION_LINES_MAX}"


def rule_python(files: list[str]) -> Iterator[str]:
    for name in files:
        if not name.endswith(".py"):
            continue
        try:
            tree = ast.parse(read(name), name)
        except SyntaxError as err:
            yield f"{name}:{err.lineno}: {err.msg}"
            continue
        for number, line in enumerate(read(name).splitlines(), start=1):
            if len(line) > COLUMNS_MAX:
                yield f"{name}:{number}: {len(line)} columns; at most {COLUMNS_MAX}"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno}: {node.name} is too long"


def rule_shell(files: list[str]) -> Iterator[str]:
    for name in files:
        if name.endswith(".sh") or read(name)[:20].startswith(("#!/bin/bash", "#!/usr/bin/env bash")):
            done = subprocess.run(
                ["bash", "-n", str(ROOT / name)], stderr=subprocess.PIPE, text=True, timeout=60, check=False
            )
            if done.returncode:
                yield f"{name}: {done.stderr.strip()}"


# ---- headers alone ------------------------------------------------------------------------


def header_flags(name: str, flags: dict[str, list[str]]) -> list[list[str]]:
    """The compiler flags under which this header must stand alone; the public one under several."""
    if name.startswith("include/"):
        plain = ["-Iinclude", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-pragma-once-outside-header"]
        return [flags["CFLAGS"], flags["GUEST_CFLAGS"], ["-std=c99", *plain], ["-x", "c++", *plain]]
    if name.startswith("tests/guest/"):
        return [flags["GUEST_CFLAGS"]]
    if name.startswith(("tests/host/", "tests/fuzz/", "tools/")):
        return [flags["HOSTED_CFLAGS"]]
    if name.startswith("boot/efi/"):
        return [flags["EFI_CFLAGS"]]
    if name.startswith(("mm/", "lib/", "boot/parse", "vmm/load/")):
        return [flags["CFLAGS"], flags["HOSTED_CFLAGS"]]
    return [flags["CFLAGS"]]


def compile_header(name: str, flags: list[str]) -> str:
    """Twice in a row, so that a missing guard shows as well.  Empty, or the first error."""
    source = f'#include "{name}"\n#include "{name}"\nextern int lint_unit;\n'
    language = [] if "-x" in flags else ["-x", "c"]
    compiler = "clang" if "c++" in flags else "gcc"  # clang brings its C++ along
    done = subprocess.run(
        [compiler, *language, *flags, "-I.", "-fsyntax-only", "-"], cwd=ROOT, input=source, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    return (errors[0] if errors else "failed") if done.returncode else ""


def rule_headers(files: list[str]) -> Iterator[str]:
    flags = {}
    for variable in ("CFLAGS", "HOSTED_CFLAGS", "GUEST_CFLAGS", "EFI_CFLAGS"):
        flags[variable] = shlex.split(build.make_variable(variable))
    for name in files:
        if not name.endswith(".h"):
            continue
        for variant in header_flags(name, flags):
            error = compile_header(name, variant)
            if error:
                yield f"{name}: does not compile alone: {error}"
                break


# ---- as tests --------------------------------------------------------------------------------

RULES: dict[str, Rule] = {
    "SPDX lines": rule_spdx,
    "white space": rule_whitespace,
    "mm/ includes itself only": rule_mm_includes,
    "mm/ is entered by its doors": rule_mm_doors,
    "mmu_lock is taken by mm/lock.h": rule_mm_lock,
    "vendor headers stay in their folder": rule_vendor_includes,
    "vendor words stay in their folder": rule_vendor_words,
    "vendor folders mirror each other": rule_vendor_mirror,
    "own header comes first": rule_first_include,
    "no source file is included": rule_c_includes,
    "headers have a guard": rule_pragma_once,
    "headers stand alone": rule_headers,
    "sizes of files and functions": rule_sizes,
    "Python": rule_python,
    "shell": rule_shell,
}


def run_rules(work: Path) -> list[Case]:
    files = tracked_files()
    cases = []
    for name, rule in RULES.items():
        complaints = list(rule(files))
        detail = [f"{len(complaints)} complaints" if len(complaints) > 1 else "one complaint", *complaints[:40]]
        cases.append(Case(name, "failed" if complaints else "passed", detail if complaints else []))
    return cases


def run_clang(work: Path) -> list[Case]:
    """The second compiler takes the hypervisor and the guests, too."""
    try:
        build.make_quietly("CC=clang", f"B={build_dir()}/clang", "all")
    except UserError as err:
        return [Case("hypervisor and guests", "failed", str(err).splitlines())]
    return [Case("hypervisor and guests", "passed")]


def run_thread_safety(work: Path) -> list[Case]:
    """clang's -Wthread-safety over mm/ and the scheduler: who holds which lock, as the prototypes say."""
    try:
        build.make_quietly("thread-safety")
    except UserError as err:
        return [Case("locks of mm/ and of the scheduler", "failed", str(err).splitlines())]
    return [Case("locks of mm/ and of the scheduler", "passed")]


def lint_tests() -> list[Test]:
    clang = Test("lint/clang", run_clang)
    return [Test("lint/rules", run_rules), clang, Test("lint/thread-safety", run_thread_safety)]
