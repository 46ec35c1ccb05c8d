"""Which kind of bridges the hosts of the pool have, as their records tell."""

from __future__ import annotations

from xapi.datamodel.classes import Host
from xapi.datamodel.errors import OPENVSWITCH_NOT_ACTIVE
from xapi.lifecycle.view import View
from xapi.network.interface import Backend


def openvswitch_active(view: View) -> bool:
    """Whether every host has Open vSwitch for its bridges (`network_backend` in its software_version)."""
    return all(host.software_version.get("network_backend") == Backend.OPENVSWITCH for host in view.all(Host))


def check_openvswitch(view: View) -> None:
    """Pass when every host has Open vSwitch; OPENVSWITCH_NOT_ACTIVE otherwise."""
    if not openvswitch_active(view):
        raise OPENVSWITCH_NOT_ACTIVE()
