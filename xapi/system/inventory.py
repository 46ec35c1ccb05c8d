"""The file in which programs on the host look up its identity, /etc/xensource-inventory by custom."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from xapi.system.atomic_file import write_atomically


def inventory_text(values: Mapping[str, str]) -> str:
    """The content of an inventory file: KEY='value' in each line, which a shell can source.

    Raises ValueError for a key that is no shell variable, or a value with a line break: simple readers split lines.
    """
    lines = []
    for key, value in values.items():
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) is None:
            raise ValueError(f"{key!r} cannot be the name of an inventory entry")
        if not value.isprintable():
            raise ValueError(f"the inventory entry {key} has a control character in its value")
        quoted = value.replace("'", "'\\''")
        lines.append(f"{key}='{quoted}'\n")
    return "".join(lines)


def write_inventory(path: Path, values: Mapping[str, str]) -> None:
    """Replace the inventory file by these values, such as INSTALLATION_UUID and CONTROL_DOMAIN_UUID, atomically."""
    write_atomically(path, inventory_text(values).encode(), 0o644)
