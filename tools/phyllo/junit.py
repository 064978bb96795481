# SPDX-License-Identifier: GPL-2.0-only
"""Results as JUnit XML, for machines."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Iterable

from .ktap import Case

# XML 1.0 has no way to write these.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    return NOT_XML.sub("?", text)


def case_element(group: str, case: Case) -> ET.Element:
    element = ET.Element("testcase", classname=xml_text(group), name=xml_text(case.name), time=f"{case.seconds:.3f}")
    if case.status == "skipped":
        ET.SubElement(element, "skipped", message=xml_text(case.reason))
    elif case.status == "failed":
        failure = ET.SubElement(element, "failure", message=xml_text(case.reason or "failed"))
        failure.text = xml_text("\n".join(case.detail))
    return element


def write_junit(path: Path, groups: Iterable[tuple[str, list[Case], float]]) -> None:
    """groups: name, cases, seconds."""
    root = ET.Element("testsuites", name="phyllo")
    for name, cases, seconds in groups:
        count = lambda status: str(sum(case.status == status for case in cases))
        suite = ET.SubElement(
            root, "testsuite", name=xml_text(name), tests=str(len(cases)), failures=count("failed"),
            skipped=count("skipped"), errors="0", time=f"{seconds:.3f}",
        )  # fmt: skip
        suite.extend(case_element(name, case) for case in cases)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
