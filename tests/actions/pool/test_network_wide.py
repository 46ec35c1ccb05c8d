from tests.actions.refusal import refused
from xapi.datamodel.classes import Host


def test_without_open_vswitch_its_settings_are_refused(client, pool):
    assert refused(client.pool.set_vswitch_controller, "192.0.2.1")[0] == "OPERATION_NOT_ALLOWED"
    assert refused(client.pool.set_igmp_snooping_enabled, pool, True) == ("OPENVSWITCH_NOT_ACTIVE",)
    assert client.pool.get_igmp_snooping_enabled(pool) is False


def test_a_controller_has_an_address(client, toolstack):
    software = {**client.host.get_software_version(toolstack.this_host), "network_backend": "openvswitch"}
    with toolstack.db.transaction() as transaction:
        transaction.update(Host, toolstack.this_host, software_version=software)
    for address in ("x", "1.2.3", "::1"):
        assert refused(client.pool.set_vswitch_controller, address) == ("INVALID_IP_ADDRESS_SPECIFIED", "address")
    client.pool.set_vswitch_controller("")
