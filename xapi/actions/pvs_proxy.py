"""Caches of streamed disks (XenAPI's class PVS_proxy): the cache itself is not there, its records can be removed."""

from __future__ import annotations

from xapi.actions.backends import check_openvswitch
from xapi.datamodel.classes import VIF, PVSProxy, PVSSite
from xapi.datamodel.classes import pvs_proxy as api
from xapi.datamodel.errors import NOT_IMPLEMENTED, OPERATION_NOT_ALLOWED
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.create, checks_first=False)
def create(ctx: Context, site: Ref[PVSSite], VIF: Ref[VIF]) -> Ref[PVSProxy]:
    """Refuse: there is no program here that would cache a streamed disk, even where there is Open vSwitch."""
    check_openvswitch(ctx.db)
    raise NOT_IMPLEMENTED("PVS_proxy.create")


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[PVSProxy]) -> None:
    """Remove a proxy that is not at work."""
    with ctx.transaction() as transaction:
        if transaction.get(PVSProxy, self).currently_attached:
            raise OPERATION_NOT_ALLOWED("The PVS-proxy is running")
        transaction.delete(PVSProxy, self)
