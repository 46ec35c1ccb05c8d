"""Who this installation is: the UUIDs of host and control domain, kept in a file of KEY='value' lines.

The form is that of /etc/xensource-inventory, which programs on a host read with a shell; a copy can be written there.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xapi.system.inventory import inventory_text, write_inventory

FILE_NAME = "inventory"
INSTALLATION_UUID = "INSTALLATION_UUID"
CONTROL_DOMAIN_UUID = "CONTROL_DOMAIN_UUID"


class DamagedInventory(Exception):
    """The inventory is there and cannot be understood; starting with new UUIDs would lose the host's objects."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The UUIDs that stay with this installation for its life: those of host and control domain."""

    uuid: str
    control_domain: str


def read_inventory(path: Path) -> dict[str, str]:
    """The keys and values of an inventory; none where there is no file. DamagedInventory for anything else in it."""
    try:
        words = shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except FileNotFoundError:
        return {}
    except ValueError as error:  # of the quotes, or of UTF-8
        raise DamagedInventory(f"{path} cannot be read: {error}") from error
    if any("=" not in word for word in words):
        raise DamagedInventory(f"{path} holds more than lines of KEY='value'")
    return dict(word.split("=", 1) for word in words)


def identify(state: Path) -> Installation:
    """The UUIDs of this installation, made up and kept at the first start; DamagedInventory if they are no UUIDs."""
    path = state / FILE_NAME
    found = read_inventory(path)
    for key in (INSTALLATION_UUID, CONTROL_DOMAIN_UUID):
        if key not in found:
            found[key] = str(uuid.uuid4())
            continue
        try:
            found[key] = str(uuid.UUID(found[key]))
        except ValueError as error:
            raise DamagedInventory(f"{key} in {path} is not a UUID: {found[key]!r}") from error
    # The UUIDs must be on disk before any row carries them.
    keep_inventory(path, found)
    return Installation(found[INSTALLATION_UUID], found[CONTROL_DOMAIN_UUID])


def keep_inventory(path: Path, values: Mapping[str, str]) -> None:
    """Make the file hold exactly these values, sorted by key; it is left alone when it does already."""
    values = {key: values[key] for key in sorted(values)}
    if not path.exists() or path.read_bytes() != inventory_text(values).encode():
        write_inventory(path, values)
