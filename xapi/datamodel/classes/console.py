"""XenAPI's class console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, field, identity
from xapi.datamodel.roles import VM_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes


class ConsoleProtocol(WireEnum):
    """Tells text terminals (vt100) from VNC screens (rfb) and Remote Desktop (rdp)."""

    VT100 = "vt100"
    RFB = "rfb"
    RDP = "rdp"


class Console(Entity, name="console", role=VM_ADMIN, constructor=True):
    """A way to reach the screen or the text terminal of a VM."""

    uuid: DynamicRO[str] = identity()
    protocol: DynamicRO[ConsoleProtocol] = field("protocol spoken once connected")
    location: DynamicRO[str] = field("URI to connect to, on the host where the VM runs")
    VM: DynamicRO[Ref[classes.VM]] = field("virtual machine whose screen or terminal it is")
    other_config: RW[Map[str, str]] = field("keys and values that clients attach to the console")
    port: RW[int] = field("TCP port on the host that connections are passed on to", internal=True, constructor=True)
