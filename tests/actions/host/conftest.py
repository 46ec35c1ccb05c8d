import pytest

from tests.actions.standing_house import clock, house, standing
from xapi.actions.host.machine import Machine, SimulatedMachine

__all__ = ["clock", "host", "house", "standing"]


@pytest.fixture
def host(toolstack):
    """This host, on a simulated machine."""
    toolstack.parts[Machine] = SimulatedMachine(toolstack.db, toolstack.clock, toolstack.this_host)
    return toolstack.this_host
