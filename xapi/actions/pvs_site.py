"""Sites of provisioning servers (XenAPI's class PVS_site): their records."""

from __future__ import annotations

from xapi.actions.backends import check_openvswitch
from xapi.datamodel.classes import PVSCacheStorage, PVSProxy, PVSSite
from xapi.datamodel.classes import pvs_site as api
from xapi.datamodel.errors import PVS_SITE_CONTAINS_RUNNING_PROXIES, PVS_SITE_CONTAINS_SERVERS
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.introduce)
def introduce(ctx: Context, name_label: str, name_description: str, PVS_uuid: str) -> Ref[PVSSite]:
    """Write a site down; its caches would need Open vSwitch."""
    with ctx.transaction() as transaction:
        check_openvswitch(transaction)
        return transaction.create(PVSSite, name_label=name_label, name_description=name_description, PVS_uuid=PVS_uuid)


@implements(api.forget)
def forget(ctx: Context, self: Ref[PVSSite]) -> None:
    """Remove a site that has neither running proxies nor servers, with its proxies and cache storage."""
    with ctx.transaction() as transaction:
        site = transaction.get(PVSSite, self)
        proxies = [transaction.get(PVSProxy, ref) for ref in site.proxies]
        running = [proxy.ref for proxy in proxies if proxy.currently_attached]
        if running:
            raise PVS_SITE_CONTAINS_RUNNING_PROXIES(*running)
        if site.servers:
            raise PVS_SITE_CONTAINS_SERVERS(*site.servers)
        for proxy in proxies:
            transaction.delete(PVSProxy, proxy.ref)
        for storage in transaction.all(PVSCacheStorage):
            if storage.site == self:
                transaction.delete(PVSCacheStorage, storage.ref)
        transaction.delete(PVSSite, self)


@implements(api.set_PVS_uuid)
def set_PVS_uuid(ctx: Context, self: Ref[PVSSite], value: str) -> None:
    """Note how the provisioning servers call the site."""
    with ctx.transaction() as transaction:
        transaction.update(PVSSite, self, PVS_uuid=value)
