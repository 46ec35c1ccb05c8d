"""Memory dumps of crashed VMs (XenAPI's class crashdump)."""

from __future__ import annotations

from xapi.datamodel.classes import VDI, Crashdump
from xapi.datamodel.classes import crashdump as api
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message


@implements(api.destroy)
def destroy(ctx: Context, self: Ref[Crashdump]) -> None:
    """Remove a dump and the disk that holds it."""
    disk = ctx.db.get(Crashdump, self).VDI
    if ctx.db.find(VDI, disk) is not None:
        run_message(ctx, "VDI.destroy", disk)
    with ctx.transaction() as transaction:
        if transaction.find(Crashdump, self) is not None:
            transaction.delete(Crashdump, self)
