import pytest

from tests.actions import standing_house
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


def test_a_secret_keeps_its_value_until_it_is_destroyed(client):
    ref = client.secret.create({"value": "hunter2", "other_config": {"for": "tests"}})
    uuid = client.secret.get_uuid(ref)
    assert client.secret.get_by_uuid(uuid) == ref
    assert client.secret.get_record(ref) == {"uuid": uuid, "value": "hunter2", "other_config": {"for": "tests"}}
    client.secret.set_value(ref, "hunter3")
    assert client.secret.get_value(ref) == "hunter3"
    client.secret.destroy(ref)
    with pytest.raises(Failure, match="HANDLE_INVALID"):
        client.secret.get_value(ref)
    with pytest.raises(Failure) as refused:
        client.secret.destroy(ref)
    assert refused.value.params == ("secret", ref)


def test_members_may_be_missing(client):
    ref = client.secret.create({})
    assert client.secret.get_value(ref) == ""


def test_a_secret_can_be_introduced_under_its_uuid_once(client):
    uuid = "11111111-2222-3333-4444-555555555555"
    ref = client.secret.introduce(uuid, "x", {})
    assert client.secret.get_by_uuid(uuid) == ref
    with pytest.raises(Failure) as refused:
        client.secret.introduce(uuid, "y")
    assert (refused.value.code, refused.value.params) == ("UUID_INVALID", ("secret", uuid))


def test_only_operators_see_values(house, client):
    ref = client.secret.create({"value": "hunter2"})
    assert house.caller(POOL_OPERATOR).secret.get_value(ref) == "hunter2"
    with pytest.raises(Failure, match="RBAC_PERMISSION_DENIED"):
        house.caller(READ_ONLY).secret.get_value(ref)
    with pytest.raises(Failure, match="RBAC_PERMISSION_DENIED"):
        house.caller(READ_ONLY).secret.get_all_records()
