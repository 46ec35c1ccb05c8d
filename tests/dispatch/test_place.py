from __future__ import annotations

import pytest

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.failure import Failure
from xapi.dispatch.place import Place, Standing, assert_served_here


def refusal(place: Place, name: str) -> list[str]:
    try:
        assert_served_here(place, CATALOG.methods[name])
    except Failure as failure:
        return failure.description
    return []


def test_the_coordinator_serves_everything():
    assert [name for name in CATALOG.methods if refusal(Place(), name)] == []


def test_a_member_names_its_coordinator():
    member = Place(Standing.MEMBER, "192.0.2.1")
    assert refusal(member, "VM.start") == ["HOST_IS_SLAVE", "192.0.2.1"]
    assert refusal(member, "session.login_with_password") == ["HOST_IS_SLAVE", "192.0.2.1"]
    assert refusal(member, "session.slave_local_login_with_password") == []
    assert refusal(member, "pool.is_slave") == []


@pytest.mark.parametrize("name", ["pool.emergency_transition_to_master", "host.is_in_emergency_mode"])
def test_in_an_emergency_only_what_helps_is_served(name):
    lost = Place(Standing.EMERGENCY)
    assert refusal(lost, name) == []
    assert refusal(lost, "VM.get_all") == ["HOST_STILL_BOOTING"]


def test_a_host_that_becomes_a_member_sends_clients_on(client, toolstack):
    toolstack.place.standing, toolstack.place.coordinator = Standing.MEMBER, "192.0.2.1"
    with pytest.raises(Failure) as caught:
        client.bare("session.login_with_password", "root", "")
    assert caught.value.description == ["HOST_IS_SLAVE", "192.0.2.1"]
    with pytest.raises(Failure) as caught:
        client.VM.get_all()
    assert caught.value.description == ["HOST_IS_SLAVE", "192.0.2.1"]
