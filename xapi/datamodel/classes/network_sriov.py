"""XenAPI's class network_sriov."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, DynamicRO, Entity, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.pif import PIF


class SriovConfigurationMode(WireEnum):
    """Whether virtual functions are set by sysfs, by module options, by hand, or in an unknown way."""

    SYSFS = "sysfs"
    MODPROBE = "modprobe"
    MANUAL = "manual"
    UNKNOWN = "unknown"


class NetworkSriov(Entity, name="network_sriov", since="kolkata", role=POOL_OPERATOR):
    """SR-IOV switched on for a network card, so that VMs can use slices of the hardware."""

    uuid: DynamicRO[str] = identity(since="rio")
    physical_PIF: StaticRO[Ref[PIF]] = field("card that supplies the virtual functions", default=NULL)
    logical_PIF: StaticRO[Ref[PIF]] = field("interface that represents the SR-IOV network on this host", default=NULL)
    requires_reboot: DynamicRO[bool] = field(
        "true if the host must restart before SR-IOV comes into or out of effect", default=False
    )
    configuration_mode: DynamicRO[SriovConfigurationMode] = field(
        "how virtual functions are switched on for this card's driver", default=SriovConfigurationMode.UNKNOWN
    )


@message(NetworkSriov)
def create(pif: Ref[PIF], network: Ref[Network]) -> Ref[NetworkSriov]:
    """Switch SR-IOV on for a card and tie it to a network.

    Refused for hardware without SR-IOV and for networks with PIFs of another kind. Some drivers need a host
    restart.
    """


@message(NetworkSriov)
def destroy(self: Ref[NetworkSriov]) -> None:
    """Switch SR-IOV off for the card and remove its logical interface.

    Refused while VMs use it; some drivers need a host restart.
    """


@message(NetworkSriov, role=READ_ONLY)
def get_remaining_capacity(self: Ref[NetworkSriov]) -> int:
    """Return how many virtual functions of the card are still free."""
