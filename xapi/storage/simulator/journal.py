"""The disks of a simulated SR, kept in a file to which each change adds a line; written anew when the SR is attached.

A process that is killed loses nothing; a machine that loses power may lose the last changes, which is good enough for
disks that are not real.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

from xapi.storage.facts import VdiFacts
from xapi.storage.file.directory import is_uuid
from xapi.system.atomic_file import write_atomically

FIELDS = {item.name for item in fields(VdiFacts)}


@dataclass(frozen=True, slots=True)
class Disk:
    """A simulated disk. `log_parent` is the older snapshot from which its changes are known, if it is tracked."""

    facts: VdiFacts
    log_parent: str = ""


@dataclass(frozen=True, slots=True)
class SrNames:
    """What the SR is called."""

    name_label: str = ""
    name_description: str = ""


def encode_disk(disk: Disk) -> str:
    """Return the line that says that a disk is there and how."""
    facts = asdict(disk.facts) | {"snapshot_time": disk.facts.snapshot_time.isoformat()}
    return json.dumps({"disk": facts, "log_parent": disk.log_parent})


def encode_gone(location: str) -> str:
    """Return the line that says that a disk is no more."""
    return json.dumps({"gone": location})


def encode_names(names: SrNames) -> str:
    """Return the line that says what the SR is called."""
    return json.dumps({"sr": asdict(names)})


def load(path: Path) -> tuple[dict[str, Disk], SrNames]:
    """Return the disks and the SR's names; a line that was cut off is no line."""
    disks: dict[str, Disk] = {}
    names = SrNames()
    for line in path.read_bytes().split(b"\n"):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if not isinstance(content, Mapping):
            continue
        if "disk" in content:
            disk = _disk(content)
            if disk is not None:
                disks[disk.facts.location] = disk
        elif "gone" in content:
            disks.pop(str(content["gone"]), None)
        elif "sr" in content:
            names = SrNames(*(str(content["sr"].get(item.name, "")) for item in fields(SrNames)))
    return disks, names


def _disk(content: Mapping[str, object]) -> Disk | None:
    untrusted = content["disk"]
    if not isinstance(untrusted, dict):
        return None
    try:
        values = {key: value for key, value in untrusted.items() if key in FIELDS}
        values["snapshot_time"] = datetime.fromisoformat(values["snapshot_time"])
        facts = VdiFacts(**values)
    except (TypeError, KeyError, ValueError):
        return None
    sound = is_uuid(facts.location) and type(facts.virtual_size) is int
    return Disk(facts, str(content.get("log_parent", ""))) if sound else None


class Journal:
    """The open file. Not safe for several threads: the SR's lock is held."""

    def __init__(self, path: Path, disks: Mapping[str, Disk], names: SrNames) -> None:
        lines = [encode_names(names), *map(encode_disk, disks.values())]
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def add(self, line: str) -> None:
        """Add a line, in one write."""
        os.write(self._descriptor, f"{line}\n".encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
