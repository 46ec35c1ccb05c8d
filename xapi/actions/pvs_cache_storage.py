"""Space for caches of streamed disks (XenAPI's class PVS_cache_storage): its records can be removed."""

from __future__ import annotations

from typing import Any

from xapi.actions.backends import check_openvswitch
from xapi.datamodel.classes import PVSCacheStorage, PVSProxy
from xapi.datamodel.errors import NOT_IMPLEMENTED, PVS_CACHE_STORAGE_IS_IN_USE
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys


@creates(PVSCacheStorage)
def create(ctx: Context, values: dict[str, Any]) -> Ref[PVSCacheStorage]:
    """Refuse: there is no program here that would cache a streamed disk, even where there is Open vSwitch."""
    check_openvswitch(ctx.db)
    raise NOT_IMPLEMENTED("PVS_cache_storage.create")


@destroys(PVSCacheStorage)
def destroy(ctx: Context, self: Ref[PVSCacheStorage]) -> None:
    """Remove space that no running proxy of its site uses."""
    with ctx.transaction() as transaction:
        storage = transaction.get(PVSCacheStorage, self)
        if any(proxy.currently_attached and proxy.site == storage.site for proxy in transaction.all(PVSProxy)):
            raise PVS_CACHE_STORAGE_IS_IN_USE(self)
        transaction.delete(PVSCacheStorage, self)
