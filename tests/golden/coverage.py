"""The ledger of messages: which are done, which follow from the declarations, and which are still missing."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from xapi import actions
from xapi.datamodel.catalog import CATALOG, Kind, Method
from xapi.dispatch.implement import IMPLEMENTATIONS
from xapi.dispatch.records import HANDLERS

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
COVERAGE = ROOT / "docs" / "coverage.md"
NOT_IMPLEMENTED = Path(__file__).with_name("not_implemented.txt")
HEAD = "# Messages that answer NOT_IMPLEMENTED. This list may only shrink; `make docs` takes out what is done.\n"
MENTION = re.compile(r"(?=\b([A-Za-z_]+)[._]([a-z][A-Za-z_0-9]*)\b)")


class State(StrEnum):
    """How it stands with a message."""

    IMPLEMENTED = "implemented"
    DERIVED = "derived"
    REMOVED = "removed"
    MISSING = "not implemented"


def state(method: Method) -> State:
    """How it stands with one message."""
    if method.state == "removed":
        return State.REMOVED
    if method.wire_name in IMPLEMENTATIONS:
        return State.IMPLEMENTED
    return State.DERIVED if method.kind in HANDLERS else State.MISSING


def states() -> Mapping[str, State]:
    """How it stands with every message."""
    actions.load()
    importlib.import_module("xapi.http_handlers.import_url")  # an archive comes through the doors' own reader
    return {name: state(method) for name, method in CATALOG.methods.items()}


def missing() -> list[str]:
    """The messages that answer NOT_IMPLEMENTED."""
    return [name for name, one in states().items() if one is State.MISSING]


def listed() -> list[str]:
    """The messages that are known to be missing."""
    lines = NOT_IMPLEMENTED.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def mentions() -> Mapping[str, list[str]]:
    """The test modules that name each message, by its name with a dot."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        where = str(path.relative_to(TESTS))
        for match in MENTION.finditer(path.read_text()):
            found.setdefault(f"{match[1]}.{match[2].rstrip('_')}", set()).add(where)
    return {name: sorted(places) for name, places in found.items()}


def render() -> str:
    """The ledger as a page."""
    known, named = states(), mentions()
    counts = {one: sum(found is one for found in known.values()) for one in State}
    lines = [
        "# Coverage of the contract",
        "",
        "Written by `make docs` from the declarations and the tests; not to be edited. A message that is not",
        "implemented answers NOT_IMPLEMENTED; the list of those, `tests/golden/not_implemented.txt`, may only shrink.",
        "Every message is called by every role in `tests/dispatch/test_authorise.py`, and every derived one with an",
        "object of its class in `tests/dispatch/test_records.py`. The last column: the tests that mention a message.",
        "",
        f"{len(known)} messages: " + ", ".join(f"{count} {one}" for one, count in counts.items()) + ".",
    ]
    for entity in CATALOG.entities.values():
        methods = [method for method in CATALOG.methods.values() if method.entity is entity]
        lines += ["", f"## {entity.wire_name}", "", *_table(methods, known, named)]
    return "\n".join(lines) + "\n"


def _table(methods: Iterable[Method], known: Mapping[str, State], named: Mapping[str, list[str]]) -> list[str]:
    own = [method for method in methods if method.kind is Kind.EXPLICIT or method.kind not in HANDLERS]
    derived = [method for method in methods if method not in own]
    lines = []
    if own:
        lines += ["| message | state | tests |", "|---|---|---|"]
        for method in own:
            places = ", ".join(named.get(method.wire_name, []))
            lines.append(f"| {method.name} | {known[method.wire_name]} | {places} |")
    for one in (State.DERIVED, State.IMPLEMENTED, State.REMOVED):
        names = [method.name for method in derived if known[method.wire_name] is one]
        if names:
            label = {State.DERIVED: "Derived", State.IMPLEMENTED: "Derived, with an action", State.REMOVED: "Removed"}[
                one
            ]
            lines += ["", f"{label} ({len(names)}): {', '.join(names)}."]
    return lines
