import pytest

from tests.actions.refusal import guest_on, refused
from xapi.datamodel.classes import Host, HostMetrics


def test_a_host_without_guests_is_empty_already(client, host):
    assert client.host.get_vms_which_prevent_evacuation(host) == {}
    client.host.assert_can_evacuate(host)
    client.host.evacuate(host)
    assert client.host.get_current_operations(host) == {}


def test_guests_of_the_only_host_cannot_go_anywhere(client, toolstack, host):
    guest = guest_on(toolstack, host)
    assert client.host.get_vms_which_prevent_evacuation(host) == {guest: ["NO_HOSTS_AVAILABLE", guest]}
    assert refused(client.host.assert_can_evacuate, host) == ("CANNOT_EVACUATE_HOST", f"NO_HOSTS_AVAILABLE,{guest}")
    assert refused(client.host.evacuate, host) == ("NO_HOSTS_AVAILABLE", guest)


def test_a_guest_that_may_not_move_says_why(client, toolstack, host):
    guest = guest_on(toolstack, host)
    client.VM.set_blocked_operations(guest, {"pool_migrate": "because"})
    with toolstack.db.transaction() as transaction:
        transaction.create(Host, enabled=True, metrics=transaction.create(HostMetrics, live=True))
    (reason,) = client.host.get_vms_which_prevent_evacuation(host).values()
    assert reason[0] == "OPERATION_BLOCKED"


def test_a_network_that_is_not_there(client, host):
    assert refused(client.host.evacuate, host, "OpaqueRef:dead") == ("HANDLE_INVALID", "network", "OpaqueRef:dead")


@pytest.mark.parametrize("message", ["evacuate", "assert_can_evacuate", "get_vms_which_prevent_evacuation"])
def test_a_host_that_is_not_there(client, message):
    assert refused(getattr(client.host, message), "OpaqueRef:dead") == ("HANDLE_INVALID", "host", "OpaqueRef:dead")
