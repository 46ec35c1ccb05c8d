"""XenAPI's class LVHD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import DynamicRO, Entity, Ref, identity, message

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.sr import SR


class LVHD(Entity, since="dundee", listed=False):
    """Calls that concern SRs which keep VHD images in LVM volumes; no objects of it exist."""

    uuid: DynamicRO[str] = identity(since="rio")


@message(LVHD)
def enable_thin_provisioning(host: Ref[Host], SR: Ref[SR], initial_allocation: int, allocation_quantum: int) -> str:
    """Convert an LVM-based SR so that disks take space as they are written.

    Both sizes are in bytes: the first given to a new disk, the second added whenever it fills up.
    """
