import pytest

from xapi.actions.host.machine import Machine, SimulatedMachine


@pytest.fixture
def host(toolstack):
    """This host, on a simulated machine."""
    toolstack.parts[Machine] = SimulatedMachine(toolstack.db, toolstack.clock, toolstack.this_host)
    return toolstack.this_host
