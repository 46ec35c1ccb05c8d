"""XenAPI's class PVS_cache_storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import NULL, DynamicRO, Entity, Ref, StaticRO, field, identity
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.pvs_site import PVSSite


class PVSCacheStorage(Entity, name="PVS_cache_storage", since="ely", role=POOL_OPERATOR, constructor=True):
    """Space in an SR that one host uses to cache the disks of a PVS site."""

    uuid: DynamicRO[str] = identity()
    host: StaticRO[Ref[Host]] = field("host that uses the space", default=NULL)
    SR: StaticRO[Ref[classes.SR]] = field("storage repository in which the cache lies", default=NULL)
    site: StaticRO[Ref[PVSSite]] = field("provisioning site whose disks are cached", default=NULL)
    size: StaticRO[int] = field("bytes the cache may take", default=21474836480)
    VDI: DynamicRO[Ref[classes.VDI]] = field("disk that holds the cache; null until it is first needed", default=NULL)
