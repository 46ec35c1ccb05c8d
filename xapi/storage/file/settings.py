"""What is kept of an SR itself in its directory: that it is one, its UUID, its name."""

from __future__ import annotations

import json
import os
from pathlib import Path

from xapi.storage.file.directory import LOCK_NAME, TEMPORARY_NAME, Directory
from xapi.system.atomic_file import write_atomically

KEYS = ("name_label", "name_description")


def load_settings(directory: Directory) -> tuple[str, str]:
    """Return the SR's name and description, empty where nothing is kept or it cannot be read."""
    try:
        untrusted = json.loads(directory.read_small(directory.settings))
    except (OSError, ValueError, RecursionError):
        return "", ""
    values = [untrusted.get(key) if isinstance(untrusted, dict) else None for key in KEYS]
    name, description = (value if isinstance(value, str) else "" for value in values)
    return name, description


def save_settings(directory: Directory, name_label: str, name_description: str) -> None:
    """Keep the SR's UUID, name and description."""
    content = {"uuid": directory.sr_uuid, "name_label": name_label, "name_description": name_description}
    write_atomically(Path(directory.settings), json.dumps(content).encode())


def remove_settings(directory: Directory) -> None:
    """Remove everything of ours that is not a disk."""
    for name in directory.names():
        if TEMPORARY_NAME.fullmatch(name):
            directory.remove(os.path.join(directory.path, name))
    directory.remove(directory.settings)
    directory.remove(os.path.join(directory.path, LOCK_NAME))
    directory.sync()
