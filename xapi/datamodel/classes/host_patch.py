"""XenAPI's class host_patch."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.pool_patch import PoolPatch


class HostPatch(Entity, name="host_patch", since="published rio, deprecated ely", role=POOL_OPERATOR):
    """An old-style patch on one host; pool_update has replaced it."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: StaticRO[str] = field("name of the patch as shown to people", default="", group="name", since="rio")
    name_description: StaticRO[str] = field("what the patch mends", default="", group="name", since="rio")
    version: StaticRO[str] = field("version of the patch", since="rio")
    host: StaticRO[Ref[Host]] = field("host the patch was uploaded to or applied on", since="rio")
    filename: DynamicRO[str] = field("name of the patch file on the host", since="rio", internal=True)
    applied: DynamicRO[bool] = field("true if the patch has been applied to the host", since="rio")
    timestamp_applied: DynamicRO[datetime] = field("when the patch was applied", since="rio")
    size: DynamicRO[int] = field("bytes the patch file takes on disk", since="rio")
    pool_patch: StaticRO[Ref[PoolPatch]] = field(
        "pool-wide patch this one is an instance of", default=NULL, since="miami"
    )
    other_config: RW[Map[str, str]] = field("free key/value pairs for clients", default={}, since="miami")


@message(HostPatch, since="published rio, deprecated miami")
def destroy(self: Ref[HostPatch]) -> None:
    """Delete the patch file from the host; the patch, if applied, stays in force."""


@message(HostPatch, since="published rio, deprecated miami")
def apply(self: Ref[HostPatch]) -> str:
    """Apply the patch to its host and return the output; pool_update.apply replaces it."""
