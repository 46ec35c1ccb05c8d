"""XenAPI's class Diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import Entity, Map, Ref, SetOf, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class Diagnostics(
    Entity, since="stockholm", role=POOL_OPERATOR, listed=False, stored=False, persistent=False, events=False
):
    """Calls that look into the running toolstack; no objects of this class exist."""


@message(Diagnostics, hidden=True)
def gc_compact(host: Ref[Host]) -> None:
    """Run a full memory clean-up in the toolstack of the host."""


@message(Diagnostics, hidden=True)
def gc_stats(host: Ref[Host]) -> Map[str, str]:
    """Return memory management counters of the host's toolstack."""


@message(Diagnostics, hidden=True)
def db_stats() -> Map[str, str]:
    """Return how often the database lock was taken, and its average, least and longest times."""


@message(Diagnostics, hidden=True)
def network_stats(host: Ref[Host], params: Map[str, str]) -> SetOf[SetOf[str]]:
    """Return request and connection counts for each HTTP path the host serves.

    The map can narrow the rows by method and uri; its key params names the wanted columns, separated by commas.
    """
