import pytest

from tests.actions.refusal import refused
from xapi.datamodel.classes import PIF
from xapi.datamodel.classes.pif import IpConfigurationMode


@pytest.fixture
def other(client, host):
    return next(ref for ref in client.host.get_PIFs(host) if not client.PIF.get_management(ref))


def change(toolstack, ref, **values):
    with toolstack.db.transaction() as transaction:
        transaction.update(PIF, ref, **values)


def test_management_moves_to_an_interface_with_an_address(client, toolstack, host, other):
    before = client.host.get_management_interface(host)
    change(
        toolstack,
        other,
        IP="192.0.2.7",
        ip_configuration_mode=IpConfigurationMode.STATIC,
        currently_attached=True,
    )
    client.host.management_reconfigure(other)
    assert client.host.get_management_interface(host) == other
    assert client.PIF.get_management(before) is False
    assert client.host.get_address(host) == "192.0.2.7"
    client.host.management_reconfigure(other)
    change(toolstack, before, IP="192.0.2.8", ip_configuration_mode=IpConfigurationMode.STATIC, currently_attached=True)
    client.pool.management_reconfigure(client.PIF.get_network(before))
    assert client.host.get_management_interface(host) == before


def test_an_interface_without_an_address_is_refused(client, toolstack, host, other):
    before = client.host.get_management_interface(host)
    change(toolstack, other, IP="", ip_configuration_mode=IpConfigurationMode.NONE)
    assert refused(client.host.management_reconfigure, other) == ("PIF_HAS_NO_NETWORK_CONFIGURATION", other)
    network = client.PIF.get_network(other)
    assert refused(client.pool.management_reconfigure, network) == ("PIF_HAS_NO_NETWORK_CONFIGURATION", other)
    change(toolstack, other, ip_configuration_mode=IpConfigurationMode.DHCP, currently_attached=True)
    assert refused(client.host.management_reconfigure, other) == ("INTERFACE_HAS_NO_IP", other)
    assert client.host.get_management_interface(host) == before


def test_a_network_without_interfaces_cannot_carry_management(client, host):
    network = client.network.create({"name_label": "inner"})
    assert refused(client.pool.management_reconfigure, network) == ("PIF_NOT_PRESENT", host, network)


def test_only_a_host_that_is_cut_off_is_reconfigured_locally(client):
    assert refused(client.host.local_management_reconfigure, "xenbr0") == ("NOT_IN_EMERGENCY_MODE",)
