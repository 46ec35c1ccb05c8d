"""Which device numbers are still free in a VM."""

from __future__ import annotations

from xapi.actions.vif import allowed_devices
from xapi.datamodel.classes import VM
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


@implements(api.get_allowed_VIF_devices)
def get_allowed_VIF_devices(ctx: Context, vm: Ref[VM]) -> tuple[str, ...]:
    """Answer the numbers that a new network card may have."""
    return tuple(allowed_devices(ctx.db, ctx.db.get(VM, vm)))
