"""What a PBD's other_config tells of the paths to its LUN while it is plugged.

The keys are those that clients look for: `multipathed`, `mpath-SCSIID` with a list of two numbers (the paths that work,
and the most that there have been), and `iscsi_sessions`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import PBD, SR
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.storage.errors import StorageFailure
from xapi.storage.facts import Paths

LOG = logging.getLogger("xapi.storage")
MULTIPATHED: Final = "multipathed"
SESSIONS: Final = "iscsi_sessions"
PREFIX: Final = "mpath-"
MULTIPATHABLE: Final = "multipathable"
"""In `SR.sm_config`: the SR can have several paths, on whichever hosts they are wanted."""
COUNTS: Final = re.compile(r"\[([0-9]+), ([0-9]+)\]")


class Counts(NamedTuple):
    """The paths to a LUN: how many work, and how many there are or have been since the SR was plugged."""

    active: int
    most: int

    @property
    def text(self) -> str:
        """As other_config has them."""
        return f"[{self.active}, {self.most}]"


def counts_in(other_config: Mapping[str, str]) -> dict[str, Counts]:
    """The paths that a PBD's other_config tells of, by the SCSI ids of their LUNs."""
    matches = {key: COUNTS.fullmatch(text) for key, text in other_config.items() if key.startswith(PREFIX)}
    return {
        key.removeprefix(PREFIX): Counts(int(match[1]), int(match[2]))
        for key, match in matches.items()
        if match is not None
    }


def found_paths(repositories: StorageRepositories, kind: str, sr_uuid: str) -> Paths | None:
    """How an SR that was just attached is reached; None for one that lies on no LUN, or whose paths cannot be told."""
    try:
        return repositories.paths({sr_uuid: kind}).get(sr_uuid)
    except StorageFailure as error:
        LOG.warning("the paths to SR %s cannot be counted: %s", sr_uuid, error)
        return None


def note_paths(transaction: Transaction, pbd: Ref[PBD], paths: Paths | None) -> None:
    """Let a plugged PBD tell how its SR is reached, and nothing else than that."""
    row = transaction.get(PBD, pbd)
    told = {} if paths is None else _keys(paths, counts_in(row.other_config))
    other_config = {**_without(row.other_config), **told}
    if other_config != row.other_config:
        transaction.update(PBD, pbd, other_config=other_config)
    sr = transaction.get(SR, row.SR)
    if paths is not None and MULTIPATHABLE not in sr.sm_config:
        transaction.update(SR, sr.ref, sm_config={**sr.sm_config, MULTIPATHABLE: "true"})


def forget_paths(transaction: Transaction, pbd: Ref[PBD]) -> None:
    """Let a PBD that is not plugged tell nothing of paths."""
    note_paths(transaction, pbd, None)


def _keys(paths: Paths, before: Mapping[str, Counts]) -> dict[str, str]:
    told: dict[str, str] = {}
    if paths.active is not None and paths.known is not None:
        most = max(paths.known, before[paths.scsi_id].most if paths.scsi_id in before else 0)
        told = {MULTIPATHED: "true", PREFIX + paths.scsi_id: Counts(paths.active, most).text}
    return told if paths.sessions is None else {**told, SESSIONS: str(paths.sessions)}


def _without(other_config: Mapping[str, str]) -> dict[str, str]:
    return {
        key: text
        for key, text in other_config.items()
        if key not in (MULTIPATHED, SESSIONS) and not key.startswith(PREFIX)
    }
