from __future__ import annotations

import pytest

from tests.fakes.guests import halted
from xapi.datamodel.failure import Failure


def test_a_fault_asked_for_by_a_key_happens(client):
    (host,) = client.host.get_all()
    vm = halted(client)
    client.host.add_to_other_config(host, "simulator:fault:create", "out_of_memory,times=1")
    with pytest.raises(Failure) as caught:
        client.VM.start(vm, False, False)
    assert caught.value.code == "HOST_NOT_ENOUGH_FREE_MEMORY"
    assert client.VM.get_power_state(vm) == "Halted"
    client.VM.start(vm, False, False)
    assert client.VM.get_power_state(vm) == "Running"


def test_a_key_that_the_driver_refuses_is_not_recorded(client):
    (host,) = client.host.get_all()
    before = client.host.get_other_config(host)
    with pytest.raises(Failure) as caught:
        client.host.add_to_other_config(host, "simulator:fault:create", "no such fault")
    assert caught.value.code == "INVALID_VALUE"
    assert client.host.get_other_config(host) == before
