"""The simulated network's memory across restarts: lines of JSON, appended, made short at each start."""

from __future__ import annotations

from pathlib import Path

import orjson

from xapi.network.interface import StateUnusable
from xapi.system import journal


class Journal(journal.Journal):
    """The journal of a directory that no other process may use at the same time; StateUnusable is its error."""

    def __init__(self, directory: Path) -> None:
        path, lock = directory / "network", directory / "network.lock"
        super().__init__(path, lock, orjson.dumps, orjson.loads, StateUnusable)
