"""What the original service was seen to answer, and the one rule by which our answers are held to it.

The rule, for one recorded answer and ours:

* The same kind of answer (a value, an error, a page), with the same HTTP status.
* Names in angle brackets (`<ref1>`, `<uuid2>`) stand for whatever we say there, the same each time; `<time>` is a date.
* Words such as `str` and `map` stand for any value of that kind; a list or a map that was shortened to its shape
  (it holds names or words, or nothing at all in an entry called "shape") stands for one of any length.
* An accident of the original (INTERNAL_ERROR, or a text that quotes its language's exceptions) is equal to any named
  error of ours; NOT_IMPLEMENTED is not one.
* Sentences for people (PAM's, pages') are free. The order of `allowed_operations` is free.
"""

from __future__ import annotations

import json
import re
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xapi.datamodel.errors import ERRORS

OBSERVED = Path(__file__).resolve().parents[3] / "shared" / "facts" / "observed" / "edge-cases.json"
NOT_YET = Path(__file__).with_name("not_yet_equal.txt")

NAME = re.compile(r"<(?:no)?(?:ref|uuid)[0-9]*>|opaqueref:<uuid[0-9]+>")
WORDS: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": float,
    "DateTime": xmlrpc.client.DateTime,
    "<time>": xmlrpc.client.DateTime,
    "map": dict,
    "dict": dict,
}
ACCIDENTS = re.compile(r"Failure\(|MenhirBasics|Dispatcher_FieldNotFound|missing field")
FREE_TEXT = {"SESSION_AUTHENTICATION_FAILED": 1, "INVALID_VALUE": 1}  # how many parameters are held to the record
NOT_NAMED = frozenset({"INTERNAL_ERROR", "NOT_IMPLEMENTED"})


@dataclass
class Seen:
    """One answer in the form of the records."""

    http: int
    kind: str
    value: Any
    headers: Mapping[str, str] = field(default_factory=dict)


def load() -> dict[str, Any]:
    """The records by label; empty when they are not beside this checkout."""
    return json.loads(OBSERVED.read_text()) if OBSERVED.exists() else {}


def not_yet() -> dict[str, str]:
    """The labels whose answers are known to differ, each with the reason."""
    lines = NOT_YET.read_text().splitlines() if NOT_YET.exists() else []
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


def difference(label: str, recorded: Mapping[str, Any], ours: Seen) -> str:
    """What makes our answer unequal; empty when nothing does."""
    if recorded["http"] != ours.http:
        return f"status {ours.http} instead of {recorded['http']}"
    kind = recorded["kind"]
    if kind == "http" or kind.startswith("not-"):
        wrong = {
            name: ours.headers.get(name)
            for name, value in recorded.get("headers", {}).items()
            if ours.headers.get(name) != value
        }
        return f"headers {wrong}" if wrong else ""
    if kind != ours.kind:
        return f"{ours.kind} {_short(ours.value)} instead of {kind} {_short(recorded['value'])}"
    names: dict[str, object] = {}
    if kind == "error":
        return _error(recorded["value"], ours.value, names)
    if kind == "json":
        return _json(recorded["value"], ours.value, names)
    return _value(recorded["value"], ours.value, names, label)


def _error(theirs: list[str], ours: list[str], names: dict[str, object]) -> str:
    code = ours[0]
    accident = theirs[0] == "INTERNAL_ERROR" or any(ACCIDENTS.search(text) for text in theirs[1:])
    if accident and code in ERRORS and code not in NOT_NAMED:
        return ""
    held = FREE_TEXT.get(theirs[0]) if accident or theirs[0] == "SESSION_AUTHENTICATION_FAILED" else None
    end = None if held is None else held + 1
    return _value(theirs[:end], ours[:end], names, "error")


def _json(theirs: Mapping[str, Any], ours: Mapping[str, Any], names: dict[str, object]) -> str:
    if theirs.keys() != ours.keys():
        return f"members {sorted(ours)} instead of {sorted(theirs)}"
    error = theirs.get("error")
    if isinstance(error, dict) and isinstance(ours.get("error"), dict):
        given = ours["error"]
        if error["code"] != given["code"]:
            return f"code {given['code']}"
        return _error([error["message"], *error["data"]], [given["message"], *given["data"]], names)
    if isinstance(error, list) and isinstance(ours.get("error"), list):
        return _error(error, ours["error"], names)
    return _value(theirs, ours, names, "json")


def _value(theirs: Any, ours: Any, names: dict[str, object], where: str) -> str:
    if isinstance(theirs, str):
        return _text(theirs, ours, names, where)
    if type(theirs) is not type(ours):
        return f"{where}: {_short(ours)} instead of {_short(theirs)}"
    if isinstance(theirs, dict):
        return _dict(theirs, ours, names, where)
    if isinstance(theirs, list):
        return _list(theirs, ours, names, where)
    return "" if theirs == ours else f"{where}: {_short(ours)} instead of {_short(theirs)}"


def _text(theirs: str, ours: Any, names: dict[str, object], where: str) -> str:
    if NAME.fullmatch(theirs):
        if names.setdefault(theirs, ours) == ours and isinstance(ours, str):
            return ""
    elif theirs in WORDS:
        if isinstance(ours, WORDS[theirs]):
            return ""
    elif theirs == "N,N":
        if isinstance(ours, str) and re.fullmatch("[0-9]{20},[0-9]{20}", ours):
            return ""
    elif theirs == ours:
        return ""
    return f"{where}: {_short(ours)} instead of {_short(theirs)}"


def _dict(theirs: dict[str, Any], ours: dict[str, Any], names: dict[str, object], where: str) -> str:
    if not theirs and "shape" in where:
        return ""
    if set(theirs) == {"<ref>"}:
        return "".join(_value(theirs["<ref>"], item, names, where) for item in ours.values())
    if theirs.keys() != ours.keys():
        return f"{where}: members differ in {sorted(theirs.keys() ^ ours.keys())}"
    return "; ".join(found for key in theirs if (found := _value(theirs[key], ours[key], names, f"{where}.{key}")))


def _list(theirs: list[Any], ours: list[Any], names: dict[str, object], where: str) -> str:
    if not theirs and "shape" in where:
        return ""
    if len(theirs) == 1 and isinstance(theirs[0], str) and (NAME.fullmatch(theirs[0]) or theirs[0] in WORDS):
        return "" if all(isinstance(item, str) for item in ours) else f"{where}: {_short(ours)}"
    if "allowed_operations" in where:
        theirs, ours = sorted(theirs), sorted(ours)
    if len(theirs) != len(ours):
        return f"{where}: {_short(ours)} instead of {_short(theirs)}"
    pairs = enumerate(zip(theirs, ours, strict=True))
    return "; ".join(found for index, (a, b) in pairs if (found := _value(a, b, names, f"{where}[{index}]")))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 160 else f"{text[:157]}..."
