"""XenAPI's class crashdump."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel import classes


class Crashdump(Entity, name="crashdump", since="published rio, deprecated inverness", role=POOL_OPERATOR):
    """A dump of a VM's memory kept after the guest crashed; deprecated."""

    uuid: DynamicRO[str] = identity(since="rio")
    VM: StaticRO[Ref[classes.VM]] = field("virtual machine that crashed", since="rio")
    VDI: StaticRO[Ref[classes.VDI]] = field("disk image that holds the dump", since="rio")
    other_config: RW[Map[str, str]] = field(
        "keys and values that clients attach to the dump", default={}, since="miami"
    )


@message(Crashdump, since="rio")
def destroy(self: Ref[Crashdump]) -> None:
    """Delete the record of a crash dump and the disk image that holds it."""
