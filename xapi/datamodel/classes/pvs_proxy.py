"""XenAPI's class PVS_proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, DynamicRO, Entity, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.pvs_site import PVSSite
    from xapi.datamodel.classes.vif import VIF


class PvsProxyStatus(WireEnum):
    """Whether a cache proxy is off, ready, at work, or barred by the VM's PVS settings or version."""

    STOPPED = "stopped"
    INITIALISED = "initialised"
    CACHING = "caching"
    INCOMPATIBLE_WRITE_CACHE_MODE = "incompatible_write_cache_mode"
    INCOMPATIBLE_PROTOCOL_VERSION = "incompatible_protocol_version"


class PVSProxy(Entity, name="PVS_proxy", since="ely", role=POOL_OPERATOR):
    """The caching of streamed disk blocks for one VIF that boots from a PVS site."""

    uuid: DynamicRO[str] = identity()
    site: StaticRO[Ref[PVSSite]] = field("provisioning site the VM boots from", default=NULL)
    VIF: StaticRO[Ref[classes.VIF]] = field("interface through which the VM loads its disk", default=NULL)
    currently_attached: DynamicRO[bool] = field(
        "true while the host's cache daemon serves this interface", default=False
    )
    status: DynamicRO[PvsProxyStatus] = field(
        "how far the caching has got, or why it cannot work", default=PvsProxyStatus.STOPPED
    )


@message(PVSProxy)
def create(site: Ref[PVSSite], VIF: Ref[VIF]) -> Ref[PVSProxy]:
    """Have the streamed disk of a VM's interface cached on its host.

    Only the VIF with the lowest device number of the VM qualifies, and only one proxy is allowed.
    """


@message(PVSProxy)
def destroy(self: Ref[PVSProxy]) -> None:
    """Stop caching for the interface and remove the proxy."""
