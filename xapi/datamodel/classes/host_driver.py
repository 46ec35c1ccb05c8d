"""XenAPI's class Host_driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity, many, message

if TYPE_CHECKING:
    from xapi.datamodel.classes.driver_variant import DriverVariant
    from xapi.datamodel.classes.host import Host


class HostDriver(Entity, name="Host_driver", since="prototyped 25.2.0"):
    """A device driver on a host that is installed in several versions to choose from."""

    uuid: DynamicRO[str] = identity()
    host: StaticRO[Ref[Host]] = field("host the driver is installed on", default=NULL)
    name: DynamicRO[str] = field("technical name of the driver")
    friendly_name: DynamicRO[str] = field("name of the driver for people")
    variants: DynamicRO[SetOf[Ref[DriverVariant]]] = many(
        "Driver_variant.driver", "versions of the driver that can be chosen"
    )
    active_variant: DynamicRO[Ref[DriverVariant]] = field("version loaded at the moment; null if none is")
    selected_variant: DynamicRO[Ref[DriverVariant]] = field(
        "version that will be loaded at the next boot; null if none is chosen"
    )
    type: DynamicRO[str] = field("kind of device driven, such as network or storage")
    description: DynamicRO[str] = field("what the driver is for")
    info: DynamicRO[str] = field("where to read more about the driver")


@message(HostDriver)
def select(self: Ref[HostDriver], variant: Ref[DriverVariant]) -> None:
    """Choose the version of the driver to load.

    It comes into use after the host has rebooted.
    """


@message(HostDriver)
def deselect(self: Ref[HostDriver]) -> None:
    """Choose no version of the driver, so that none of them is loaded at the next boot."""


@message(HostDriver)
def rescan(host: Ref[Host]) -> None:
    """Look again for such drivers on the host and update their objects."""
