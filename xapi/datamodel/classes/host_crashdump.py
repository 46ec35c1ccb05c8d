"""XenAPI's class host_crashdump."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class HostCrashdump(Entity, name="host_crashdump", role=POOL_OPERATOR):
    """A dump saved when a host crashed."""

    uuid: DynamicRO[str] = identity()
    host: StaticRO[Ref[Host]] = field("host that crashed")
    timestamp: DynamicRO[datetime] = field("when the crash happened")
    size: DynamicRO[int] = field("bytes the dump takes on disk")
    filename: StaticRO[str] = field("name of the dump within the host's crash directory", internal=True)
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={}, since="miami")


@message(HostCrashdump)
def destroy(self: Ref[HostCrashdump]) -> None:
    """Delete the dump from the host's disk, and its record."""


@message(HostCrashdump)
def upload(self: Ref[HostCrashdump], url: str, options: Map[str, str]) -> None:
    """Send the dump to the given URL, for support.

    An empty URL stands for the vendor's default address; options can carry a proxy and a file name.
    """
