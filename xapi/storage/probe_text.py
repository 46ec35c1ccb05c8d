"""The XML texts with which the public drivers answer a probe, and that clients take apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from xapi.storage.facts import ProbeResult

Element = tuple[str, "str | Sequence[Element]"]
"""A name with a text, or with elements inside."""


def document(name: str, content: Sequence[Element]) -> str:
    """Return an indented XML document, laid out as minidom's toprettyxml does: clients strip the white space."""
    return "\n".join(['<?xml version="1.0" ?>', *_lines((name, content), 0)]) + "\n"


def _lines(element: Element, depth: int) -> list[str]:
    name, content = element
    indent = "\t" * depth
    if not content:
        return [f"{indent}<{name}/>"]
    if isinstance(content, str):
        inside = [f"{indent}\t{escape(_legal(content), quote=False)}"]
    else:
        inside = [line for part in content for line in _lines(part, depth + 1)]
    return [f"{indent}<{name}>", *inside, f"{indent}</{name}>"]


def _legal(text: str) -> str:
    """Replace the characters that XML cannot have."""
    return "".join(letter if letter >= " " and not "\ud800" <= letter <= "\udfff" else "?" for letter in text)


def sr_list(uuids: Iterable[str]) -> str:
    """Return the list of the SRs that were found."""
    return document("SRlist", [("SR", [("UUID", uuid)]) for uuid in uuids])


def sr_list_of(results: Iterable[ProbeResult]) -> str:
    """Return the list of the SRs in the findings of a probe."""
    return sr_list(result.sr.uuid for result in results if result.sr is not None and result.sr.uuid)
