from tests.actions.refusal import refused


def test_a_pool_of_one_host_has_its_coordinator_and_nobody_else(client, toolstack, pool):
    host = toolstack.this_host
    assert client.pool.is_slave(host) is False
    assert client.pool.recover_slaves() == []
    client.pool.sync_database()
    client.pool.designate_new_master(host)
    assert client.pool.get_master(pool) == host


def test_the_coordinator_is_not_ejected(client, toolstack, pool):
    before = client.host.get_record(toolstack.this_host)
    assert refused(client.pool.eject, toolstack.this_host)[0] == "OPERATION_NOT_ALLOWED"
    assert refused(client.pool.eject, "OpaqueRef:dead") == ("HANDLE_INVALID", "host", "OpaqueRef:dead")
    assert client.host.get_record(toolstack.this_host) == before


def test_high_availability_that_is_off_cannot_be_turned_off(client):
    assert refused(client.pool.disable_ha) == ("HA_NOT_ENABLED",)


def test_hosts_that_announce_themselves(client, toolstack):
    uuid = client.host.get_uuid(toolstack.this_host)
    assert client.pool.hello(uuid, "127.0.0.1") == "ok"
    assert client.pool.hello("no such host", "127.0.0.1") == "unknown_host"


def test_members_add_to_the_audit(house, caplog):
    with caplog.at_level("INFO"):
        house.caller(superuser=True, pool=True).pool.audit_log_append("somebody did something")
    assert "somebody did something" in caplog.messages
