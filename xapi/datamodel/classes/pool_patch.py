"""XenAPI's class pool_patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.host_patch import HostPatch
    from xapi.datamodel.classes.pool_update import PoolUpdate


class AfterApplyGuidance(WireEnum):
    """What has to be restarted after a hotfix: HVM guests, PV guests, the host or the toolstack."""

    RESTART_HVM = "restartHVM"
    RESTART_PV = "restartPV"
    RESTART_HOST = "restartHost"
    RESTART_XAPI = "restartXAPI"


class PoolPatch(Entity, name="pool_patch", since="published miami, deprecated ely", role=POOL_OPERATOR):
    """A hotfix of the old patch format that has been uploaded to the pool; see pool_update."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: StaticRO[str] = field("name of the hotfix as its author gave it", default="", group="name", since="rio")
    name_description: StaticRO[str] = field("what the hotfix changes", default="", group="name", since="rio")
    version: StaticRO[str] = field("version number of the hotfix", default="", since="miami")
    filename: DynamicRO[str] = field(
        "path of the uploaded file on the coordinator", default="", since="miami", internal=True
    )
    size: DynamicRO[int] = field("size of the uploaded hotfix in bytes", default=0, since="miami")
    pool_applied: DynamicRO[bool] = field(
        "true if the hotfix has been applied to every host", default=False, since="miami"
    )
    host_patches: DynamicRO[SetOf[Ref[HostPatch]]] = many(
        "host_patch.pool_patch", "records of this hotfix on the hosts it has been applied to", since="miami"
    )
    after_apply_guidance: DynamicRO[SetOf[AfterApplyGuidance]] = field(
        "what has to be restarted for the hotfix to take effect", default=(), since="miami"
    )
    pool_update: StaticRO[Ref[PoolUpdate]] = field(
        "update of the current format that stands behind this record", default=NULL, since="ely"
    )
    other_config: RW[Map[str, str]] = field("free key/value pairs kept for clients", default={}, since="miami")


@message(PoolPatch)
def apply(self: Ref[PoolPatch], host: Ref[Host]) -> str:
    """Apply the hotfix to one host and return the output.

    Replaced by pool_update.apply.
    """


@message(PoolPatch)
def pool_apply(self: Ref[PoolPatch]) -> None:
    """Apply the hotfix to every host that lacks it.

    Replaced by pool_update.pool_apply.
    """


@message(PoolPatch)
def precheck(self: Ref[PoolPatch], host: Ref[Host]) -> str:
    """Run the hotfix's own checks on a host and return their output.

    Replaced by pool_update.precheck.
    """


@message(PoolPatch)
def clean(self: Ref[PoolPatch]) -> None:
    """Delete the hotfix's file from the coordinator, keeping the record.

    Replaced by pool_update.pool_clean.
    """


@message(PoolPatch, since="published tampa, deprecated ely")
def pool_clean(self: Ref[PoolPatch]) -> None:
    """Delete the hotfix's files from all hosts, keeping the record.

    Replaced by pool_update.pool_clean.
    """


@message(PoolPatch)
def destroy(self: Ref[PoolPatch]) -> None:
    """Delete a hotfix and its files from the pool.

    Refused if it is applied anywhere. Replaced by pool_update.destroy.
    """


@message(PoolPatch, since="published tampa, deprecated ely")
def clean_on_host(self: Ref[PoolPatch], host: Ref[Host]) -> None:
    """Delete the hotfix's file from one host.

    Replaced by pool_update.pool_clean.
    """
