"""The document in `other_config:perfmon` that says which measurements of an object raise an alarm, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

LONGEST = 64 * 1024
MOST_VARIABLES = 64


@dataclass(frozen=True, slots=True)
class WantedAlarm:
    """One `<variable>`: the `value` of each tag in it, and its text as an alarm's body shows it."""

    values: Mapping[str, str]
    text: str


def read_alarms(document: str) -> tuple[WantedAlarm, ...]:
    """Read a `<config>` document; ValueError says what is wrong with it."""
    if len(document) > LONGEST:
        raise ValueError("the document is too long")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, remove_blank_text=True
    )
    try:
        root = etree.fromstring(document.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise ValueError(f"the document is not XML: {problem}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("a document type is not accepted")
    variables = list(root.iter("variable"))
    if len(variables) > MOST_VARIABLES:
        raise ValueError("too many variables")
    return tuple(_alarm(variable) for variable in variables)


def _alarm(variable: etree._Element) -> WantedAlarm:
    values: dict[str, str] = {}
    for child in variable:
        if isinstance(child.tag, str):
            values.setdefault(child.tag, child.get("value", ""))
    variable.tail = None
    etree.indent(variable, space="\t")
    return WantedAlarm(values, etree.tostring(variable, encoding="unicode") + "\n")
