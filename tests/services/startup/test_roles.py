from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import Role as RoleRow
from xapi.datamodel.roles import CLIENT_CERT, POOL_ADMIN, READ_ONLY, ROLES
from xapi.dispatch import logins
from xapi.services.startup.roles import permission_uuid


def test_roles_have_their_well_known_references(home):
    home.start()
    for role in ROLES:
        row = home.get(RoleRow, role.ref)
        assert (row.uuid, row.name_label, row.is_internal) == (role.uuid, role.name, role.internal)
    assert home.get(RoleRow, CLIENT_CERT.ref).is_internal


def test_a_role_holds_the_permissions_that_its_sessions_carry(home):
    home.start()
    for role in ROLES:
        names = [home.get(RoleRow, ref).name_label for ref in home.get(RoleRow, role.ref).subroles]
        assert sorted(names) == sorted(logins.permissions(frozenset({role}))), role.name


def test_a_permission_is_a_role_without_subroles(home):
    home.start()
    row = home.get(RoleRow, f"OpaqueRef:{permission_uuid('vm.start')}")
    assert (row.name_label, row.subroles) == ("vm.start", ())
    assert row.ref in home.get(RoleRow, POOL_ADMIN.ref).subroles
    assert row.ref not in home.get(RoleRow, READ_ONLY.ref).subroles


def test_roles_are_made_anew_at_each_start_and_never_stored(home):
    home.start()
    made = {row.ref for row in home.all(RoleRow)}
    assert len(made) > len(CATALOG.methods)
    stored = dict(home.database._store.load())
    assert stored[RoleRow] == []
    home.restart()
    assert {row.ref for row in home.all(RoleRow)} == made
