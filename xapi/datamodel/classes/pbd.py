"""XenAPI's class PBD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import SR_UNKNOWN_DRIVER
from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.host import Host


class PBD(Entity, role=POOL_OPERATOR, constructor=True):
    """The link between one host and one SR, with the settings that host needs to reach the storage."""

    uuid: DynamicRO[str] = identity()
    host: StaticRO[Ref[Host]] = field("host that reaches the storage through this link")
    SR: StaticRO[Ref[classes.SR]] = field("storage repository at the other end")
    device_config: StaticRO[Map[str, str]] = field(
        "how the host reaches the storage: server, path, device or similar, depending on the driver"
    )
    currently_attached: DynamicRO[bool] = field("true while the host has the SR attached")
    other_config: RW[Map[str, str]] = field("free settings of clients and toolstack", default={}, since="miami")


@message(PBD, errors=(SR_UNKNOWN_DRIVER,))
def plug(self: Ref[PBD]) -> None:
    """Attach the SR on the host; does nothing if it is attached already.

    A scan may follow that brings the disk records up to date.
    """


@message(PBD)
def unplug(self: Ref[PBD]) -> None:
    """Detach the SR from the host; does nothing if it is detached already.

    Refused while a disk of the SR is in use by a VM on that host.
    """


@message(PBD, since="miami")
def set_device_config(self: Ref[PBD], value: Map[str, str]) -> None:
    """Replace the settings by which the host reaches the storage; takes effect at the next plug."""
