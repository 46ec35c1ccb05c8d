"""What a support bundle of this host can have in it; the door /system-status makes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from xml.sax.saxutils import quoteattr

from xapi.datamodel.classes import Host
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements

LONGEST_LOG: Final = 64 << 20
"""Bytes of a log that go into a bundle, counted from its end."""


class Personal(StrEnum):
    """Whether a part tells of persons: names, addresses, what they did."""

    NO = "no"
    YES = "yes"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """One part that can be asked for, by a key that graphical clients have a name for; at most so many bytes, or -1."""

    key: str
    personal: Personal
    content_type: str = "text/plain"
    most: int = -1


ENTRIES: Final = (
    ReportEntry("xenserver-install", Personal.NO),
    ReportEntry("xenserver-domains", Personal.MAYBE),
    ReportEntry("process-list", Personal.NO),
    ReportEntry("xenserver-databases", Personal.YES),
    ReportEntry("xenserver-logs", Personal.YES, most=LONGEST_LOG),
)
"""The parts in their order: versions; VMs, storage and tasks by number; threads; the database; logs."""


@implements(api.get_system_status_capabilities, runs_on="host")
def get_system_status_capabilities(ctx: Context, host: Ref[Host]) -> str:
    """What a support bundle can have in it, as the XML that graphical clients read; -1 is no bound."""
    rows = "".join(
        f'  <capability content-type={quoteattr(entry.content_type)} default-checked="yes" key={quoteattr(entry.key)}'
        f' max-size="{entry.most}" max-time="-1" min-size="-1" min-time="-1" pii={quoteattr(entry.personal)}/>\n'
        for entry in ENTRIES
    )
    return f'<?xml version="1.0" ?>\n<system-status-capabilities>\n{rows}</system-status-capabilities>\n'
