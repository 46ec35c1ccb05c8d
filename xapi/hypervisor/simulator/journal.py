"""The simulator's memory across restarts of the toolstack: lines of JSON, appended, compacted when they grow."""

from pathlib import Path

from xapi.hypervisor.interface import StateUnusable
from xapi.hypervisor.simulator.codec import decode, encode
from xapi.system import journal

SMALLEST_LIMIT = journal.SMALLEST_LIMIT


class Journal(journal.Journal):
    """The journal of a directory that no other process may use at the same time; StateUnusable is its error."""

    def __init__(self, directory: Path, smallest_limit: int = SMALLEST_LIMIT) -> None:
        super().__init__(directory / "journal", directory / "lock", encode, decode, StateUnusable, smallest_limit)
