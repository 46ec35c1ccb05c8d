"""XenAPI's class PVS_site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import PVS_SITE_CONTAINS_RUNNING_PROXIES, PVS_SITE_CONTAINS_SERVERS
from xapi.datamodel.model import RW, DynamicRO, Entity, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR

if TYPE_CHECKING:
    from xapi.datamodel.classes.pvs_cache_storage import PVSCacheStorage
    from xapi.datamodel.classes.pvs_proxy import PVSProxy
    from xapi.datamodel.classes.pvs_server import PVSServer


class PVSSite(Entity, name="PVS_site", since="ely", role=POOL_OPERATOR):
    """A Citrix Provisioning farm site whose disk streaming hosts may cache."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field("name shown to people", default="", group="name")
    name_description: RW[str] = field("free-text remark shown to people", default="", group="name")
    PVS_uuid: StaticRO[str] = field("identifier under which the provisioning servers know the site", default="")
    cache_storage: DynamicRO[SetOf[Ref[PVSCacheStorage]]] = field(
        "storage set aside on hosts for the site's cache", default=(), dangling=True
    )
    servers: DynamicRO[SetOf[Ref[PVSServer]]] = many("PVS_server.site", "provisioning servers that belong to the site")
    proxies: DynamicRO[SetOf[Ref[PVSProxy]]] = many("PVS_proxy.site", "cache proxies of VMs that boot from the site")


@message(PVSSite)
def introduce(name_label: str, name_description: str, PVS_uuid: str) -> Ref[PVSSite]:
    """Make a provisioning site known to the pool."""


@message(PVSSite, errors=(PVS_SITE_CONTAINS_RUNNING_PROXIES, PVS_SITE_CONTAINS_SERVERS))
def forget(self: Ref[PVSSite]) -> None:
    """Drop the site from the pool.

    Refused while proxies run for it or servers are recorded for it.
    """


@message(PVSSite)
def set_PVS_uuid(self: Ref[PVSSite], value: str) -> None:
    """Record the identifier under which the provisioning servers know the site."""
