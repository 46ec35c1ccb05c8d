"""XenAPI's class Driver_variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import DynamicRO, Entity, Ref, field, identity, message

if TYPE_CHECKING:
    from xapi.datamodel.classes.host_driver import HostDriver


class DriverVariant(Entity, name="Driver_variant", since="prototyped 25.2.0"):
    """One installed version of a host driver."""

    uuid: DynamicRO[str] = identity()
    name: DynamicRO[str] = field("name that tells the version apart from others of its driver")
    driver: DynamicRO[Ref[HostDriver]] = field("driver this is a version of")
    version: DynamicRO[str] = field("version string given by the maker")
    hardware_present: DynamicRO[bool] = field("true if the host has a device this version can drive")
    priority: DynamicRO[float] = field("rank among the versions; a higher one is to be preferred")
    status: DynamicRO[str] = field("maturity of the version, such as production or beta")


@message(DriverVariant)
def select(self: Ref[DriverVariant]) -> None:
    """Choose this version for its driver.

    It comes into use after the host has rebooted.
    """
