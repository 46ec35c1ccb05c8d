"""What may be done with a network: any number of interfaces may be attaching to it at the same time."""

from __future__ import annotations

from typing import Final

from xapi.datamodel.classes.network import Network
from xapi.datamodel.classes.network import NetworkOperations as Op
from xapi.datamodel.failure import Failure
from xapi.lifecycle.view import View

LISTED: Final[tuple[Op, ...]] = ()  # attaching is something that happens, not something to ask for


def why_not(_view: View, _network: Network, _operation: Op, *, ignoring: str = "") -> Failure | None:
    """Nothing ever stands against it."""
    del ignoring
    return None


def allowed_operations(_view: View, _network: Network) -> tuple[Op, ...]:
    """Nothing is listed."""
    return LISTED
