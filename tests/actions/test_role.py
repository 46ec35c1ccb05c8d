import pytest

from tests.actions import standing_house
from xapi.datamodel.failure import Failure

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


def role(client, name):
    (ref,) = client.role.get_by_name_label(name)
    return ref


def test_a_role_contains_what_its_lower_roles_contain(client):
    reader = set(client.role.get_permissions_name_label(role(client, "read-only")))
    operator = set(client.role.get_permissions_name_label(role(client, "pool-operator")))
    admin = set(client.role.get_permissions_name_label(role(client, "pool-admin")))
    assert "vm.get_record" in reader
    assert "vm.start" not in reader
    assert reader < operator < admin


def test_permissions_are_roles_too_and_their_own_only_permission(client):
    start = role(client, "vm.start")
    assert client.role.get_subroles(start) == []
    assert client.role.get_permissions(start) == [start]
    assert start in client.role.get_permissions(role(client, "vm-operator"))


def test_the_holders_of_a_permission(client):
    start = role(client, "vm.start")
    names = {client.role.get_name_label(ref) for ref in client.role.get_by_permission(start)}
    assert names == {"pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator"}
    assert set(client.role.get_by_permission_name_label("vm.start")) == set(client.role.get_by_permission(start))
    assert client.role.get_by_permission_name_label("no.such") == []
    assert client.role.get_by_permission("OpaqueRef:dead") == []


def test_roles_and_permissions_can_be_fetched_apart(client):
    roles = client.role.get_all_records_where("subroles<>[]")
    permissions = client.role.get_all_records_where("subroles=[]")
    assert len(roles) == 7
    assert len(roles) + len(permissions) == len(client.role.get_all())
    assert list(client.role.get_all_records_where('field "name__label" = "pool-admin"')) == [role(client, "pool-admin")]


def test_a_role_that_is_not_there(client):
    with pytest.raises(Failure) as refused:
        client.role.get_permissions("OpaqueRef:dead")
    assert refused.value.params == ("role", "OpaqueRef:dead")
