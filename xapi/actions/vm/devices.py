"""Which device numbers are still free in a VM."""

from __future__ import annotations

from xapi.datamodel.classes import VIF, VM
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements

CARDS = 7  # network cards that a guest can have


@implements(api.get_allowed_VIF_devices)
def get_allowed_VIF_devices(ctx: Context, vm: Ref[VM]) -> tuple[str, ...]:
    """Answer the numbers that a new network card may have."""
    row = ctx.db.get(VM, vm)
    taken = {vif.device for ref in row.VIFs if (vif := ctx.db.find(VIF, ref)) is not None}
    return tuple(str(number) for number in range(CARDS) if str(number) not in taken)
