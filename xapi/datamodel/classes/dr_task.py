"""XenAPI's class DR_task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import DynamicRO, Entity, Map, Ref, SetOf, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.sr import SR


class DRTask(Entity, name="DR_task", since="boston", role=POOL_OPERATOR):
    """A disaster recovery session that makes the SRs of a lost site readable in this pool."""

    uuid: DynamicRO[str] = identity(since="rio")
    introduced_SRs: DynamicRO[SetOf[Ref[SR]]] = many(
        "SR.introduced_by", "SRs made known to the pool for this recovery; forgotten again at its end", since="rio"
    )


@message(DRTask)
def create(type: str, device_config: Map[str, str], whitelist: SetOf[str]) -> Ref[DRTask]:
    """Find and attach the SRs that a storage target holds, to read VMs from them.

    For block storage the whitelist names the SCSI identifiers to look at.
    """


@message(DRTask)
def destroy(self: Ref[DRTask]) -> None:
    """End the recovery by detaching and forgetting the SRs it introduced.

    SRs that recovered VMs use stay.
    """
