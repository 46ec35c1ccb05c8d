"""Where a call runs: here, or on the host that must do it.

The coordinator of a pool serves every call; a member serves what concerns itself alone and names the coordinator for
the rest; a member that has lost its coordinator (emergency mode) serves what is needed to help it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from xapi.datamodel.catalog import Method
from xapi.datamodel.classes import Host
from xapi.datamodel.errors import HOST_IS_SLAVE, HOST_OFFLINE, HOST_STILL_BOOTING
from xapi.datamodel.types import RefType
from xapi.lifecycle.view import View

LOOKED_UP_FIRST = frozenset({"host.apply_updates", "Cluster_host.create"})
"""What is not implemented and yet looks at its object before it is sent to a host."""


class Standing(Enum):
    """What this host is in its pool."""

    COORDINATOR = "coordinator"
    MEMBER = "member"
    EMERGENCY = "emergency"


@dataclass(slots=True)
class Place:
    """This host's standing, and where the coordinator is if it is another host."""

    standing: Standing = Standing.COORDINATOR
    coordinator: str = ""


def assert_served_here(place: Place, method: Method) -> None:
    """Let a call pass that this host serves; HOST_IS_SLAVE [address] or HOST_STILL_BOOTING otherwise."""
    if place.standing is Standing.COORDINATOR or method.emergency:
        return
    if place.standing is Standing.EMERGENCY:
        raise HOST_STILL_BOOTING()
    raise HOST_IS_SLAVE(place.coordinator)


def assert_host_there(view: View, method: Method, params: list[Any], runs_on: str, *, implemented: bool) -> bool:
    """Pass when the host that a call names is there; HOST_OFFLINE [host] otherwise. Answers whether it names one.

    `runs_on` is the parameter that names the host; whatever is not implemented would be sent to the host that it
    names in any parameter.
    """
    if runs_on:
        index = [param.name for param in method.params].index(runs_on)
        first = method.params[0].type
        if index and isinstance(first, RefType):
            view.get(first.entity, params[0])
        if view.find(Host, params[index]) is None:
            raise HOST_OFFLINE(params[index])
        return True
    if not implemented and method.wire_name not in LOOKED_UP_FIRST:
        for param, value in zip(method.params, params, strict=True):
            if param.type == RefType(Host) and view.find(Host, value) is None:
                raise HOST_OFFLINE(value)
    return False
