"""XenAPI's class pool_update."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.vdi import VDI


class LivepatchStatus(WireEnum):
    """Whether live patching covers an update fully, in part or plays no role."""

    OK_LIVEPATCH_COMPLETE = "ok_livepatch_complete"
    OK_LIVEPATCH_INCOMPLETE = "ok_livepatch_incomplete"
    OK = "ok"


class UpdateAfterApplyGuidance(WireEnum):
    """What has to be restarted after an update: HVM guests, PV guests, the host or the toolstack."""

    RESTART_HVM = "restartHVM"
    RESTART_PV = "restartPV"
    RESTART_HOST = "restartHost"
    RESTART_XAPI = "restartXAPI"


class PoolUpdate(Entity, name="pool_update", since="ely", role=POOL_OPERATOR):
    """An update package, held in a VDI, that can be applied to the hosts of the pool."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: StaticRO[str] = field("name of the update as its author gave it", default="", group="name", since="rio")
    name_description: StaticRO[str] = field("what the update changes", default="", group="name", since="rio")
    version: StaticRO[str] = field("version number of the update", default="")
    installation_size: StaticRO[int] = field("space the update needs on a host when installed, in bytes", default=0)
    key: StaticRO[str] = field("name of the GPG key the update is signed with", default="")
    after_apply_guidance: StaticRO[SetOf[UpdateAfterApplyGuidance]] = field(
        "what has to be restarted for the update to take effect", default=()
    )
    vdi: StaticRO[Ref[VDI]] = field("VDI that holds the update's contents", since="rio")
    hosts: DynamicRO[SetOf[Ref[Host]]] = field("hosts to which the update has been applied", inverse="host.updates")
    other_config: RW[Map[str, str]] = field("free key/value pairs kept for clients", default={}, since="inverness")
    enforce_homogeneity: StaticRO[bool] = field(
        "true if all hosts of a pool must have the update or none", default=False, since="inverness"
    )


@message(PoolUpdate)
def introduce(vdi: Ref[VDI]) -> Ref[PoolUpdate]:
    """Read and verify the update in a VDI and record it in the pool.

    A bad signature or an update already known under another VDI is refused.
    """


@message(PoolUpdate)
def precheck(self: Ref[PoolUpdate], host: Ref[Host]) -> LivepatchStatus:
    """Check whether the update can be applied to a host and how far live patching goes."""


@message(PoolUpdate)
def apply(self: Ref[PoolUpdate], host: Ref[Host]) -> None:
    """Install the update on one host.

    What must be restarted afterwards is in after_apply_guidance.
    """


@message(PoolUpdate)
def pool_apply(self: Ref[PoolUpdate]) -> None:
    """Install the update on every host that lacks it."""


@message(PoolUpdate)
def pool_clean(self: Ref[PoolUpdate]) -> None:
    """Delete the update's files from all hosts and free its VDI, keeping the record."""


@message(PoolUpdate)
def destroy(self: Ref[PoolUpdate]) -> None:
    """Remove the record of an update.

    Refused while the update is applied to a host.
    """


@message(PoolUpdate, hidden=True, param_since={"use_localhost_proxy": "naples"})
def attach(self: Ref[PoolUpdate], use_localhost_proxy: bool = False) -> str:
    """Make the contents of the update readable by hosts and return the URL; internal.

    The proxy flag gives a URL on the host's own address.
    """


@message(PoolUpdate, hidden=True)
def detach(self: Ref[PoolUpdate]) -> None:
    """Withdraw what pool_update.attach made readable; internal."""


@message(PoolUpdate, hidden=True)
def resync_host(host: Ref[Host]) -> None:
    """Bring the list of applied updates in line with what is installed on a host; internal."""
