from datetime import UTC, datetime

import pytest

from tests.actions import standing_house
from tests.fakes.house import House
from xapi.actions import message
from xapi.datamodel.classes.message import AlertMessage, Cls
from xapi.datamodel.failure import Failure

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


@pytest.fixture
def host_uuid(client, toolstack):
    return client.host.get_uuid(toolstack.this_host)


def post(client, host_uuid, name="ALARM", priority="3", body="<b/>"):
    return client.message.create(name, priority, "Host", host_uuid, body)


def test_a_posted_alert_is_found_by_every_way_there_is(client, clock, host_uuid):
    ref = post(client, host_uuid)
    record = client.message.get_record(ref)
    assert record == {
        "uuid": record["uuid"],
        "name": "ALARM",
        "priority": "3",
        "cls": "Host",
        "obj_uuid": host_uuid,
        "timestamp": clock.now(),
        "body": "<b/>",
    }
    assert client.message.get_by_uuid(record["uuid"]) == ref
    assert ref in client.message.get_all()
    assert client.message.get_all_records()[ref] == record
    assert client.message.get_all_records_where('field "name" = "ALARM"') == {ref: record}
    assert client.message.get_all_records_where('field "name" = "OTHER"') == {}


def test_alerts_since_a_moment_are_those_after_it(client, clock, host_uuid):
    early = post(client, host_uuid)
    moment = clock.now()
    clock.advance(5)
    late = post(client, host_uuid)
    assert set(client.message.get_since(moment)) >= {late}
    assert early not in client.message.get_since(moment)
    assert list(client.message.get("Host", host_uuid, datetime(1970, 1, 1, tzinfo=UTC))) == [late, early]
    assert list(client.message.get("Host", host_uuid, moment)) == [late]


def test_an_alert_about_nothing_is_refused(client, host_uuid):
    before = client.message.get_all()
    with pytest.raises(Failure) as refused:
        client.message.create("ALARM", "1", "VM", host_uuid, "")
    assert (refused.value.code, refused.value.params) == ("UUID_INVALID", ("VM", host_uuid))
    with pytest.raises(Failure, match="UUID_INVALID"):
        client.message.get("VM", host_uuid, datetime(2024, 1, 1, tzinfo=UTC))
    assert client.message.get_all() == before


def test_a_destroyed_alert_is_gone_and_listeners_hear_of_it(client, host_uuid):
    ref = post(client, host_uuid)
    token = client("event.from", ["message"], "", 0.0)["token"]
    client.message.destroy(ref)
    (event,) = client("event.from", ["message"], token, 0.0)["events"]
    assert (event["class"], event["operation"], event["ref"]) == ("message", "del", ref)
    with pytest.raises(Failure) as refused:
        client.message.get_record(ref)
    assert (refused.value.code, refused.value.params) == ("HANDLE_INVALID", ("message", ref))
    with pytest.raises(Failure, match="HANDLE_INVALID"):
        client.message.destroy(ref)


def test_several_are_destroyed_or_none(client, host_uuid):
    one, other = post(client, host_uuid), post(client, host_uuid)
    with pytest.raises(Failure, match="HANDLE_INVALID"):
        client.message.destroy_many([one, "OpaqueRef:dead", other])
    assert {one, other} <= set(client.message.get_all())
    client.message.destroy_many([one, other])
    assert not {one, other} & set(client.message.get_all())


def test_the_oldest_make_room(client, toolstack, clock, host_uuid, monkeypatch):
    client.message.destroy_many(client.message.get_all())
    monkeypatch.setattr(message, "MOST_KEPT", 3)
    refs = []
    for _ in range(5):
        clock.advance(1)
        refs.append(post(client, host_uuid))
    assert client.message.get_all() == refs[:1:-1]


def test_alerts_about_an_object_can_go_with_it(client, toolstack, host_uuid):
    ref = post(client, host_uuid)
    with toolstack.db.transaction() as transaction:
        other = message.post(toolstack, transaction, "X", 5, Cls.POOL, "no such object", "")
        message.forget_all_about(transaction, host_uuid)
    assert toolstack.db.find(AlertMessage, ref) is None
    assert toolstack.db.find(AlertMessage, other) is not None


def test_alerts_survive_a_restart(short_path, clock):
    first = House(short_path, clock)
    ref = post(first.client, first.client.host.get_uuid(first.toolstack.this_host))
    record = first.client.message.get_record(ref)
    first.close()
    again = House(short_path, clock)
    try:
        assert again.client.message.get_record(ref) == record
    finally:
        again.close()
