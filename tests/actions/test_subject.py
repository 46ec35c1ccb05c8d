import pytest

from tests.actions import standing_house
from tests.fakes.house import Caller
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import POOL_ADMIN, READ_ONLY, VM_OPERATOR

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


@pytest.fixture
def subject(client):
    return client.subject.create({"subject_identifier": "u1000", "other_config": {"subject-name": "ann"}})


def test_a_new_subject_has_no_role(client, subject):
    assert client.subject.get_roles(subject) == []
    assert client.subject.get_permissions_name_label(subject) == []
    with pytest.raises(Failure, match="SUBJECT_ALREADY_EXISTS"):
        client.subject.create({"subject_identifier": "u1000"})
    assert client.subject.get_all() == [subject]


def test_roles_are_granted_and_taken_away(client, subject):
    client.subject.add_to_roles(subject, READ_ONLY.ref)
    client.subject.add_to_roles(subject, VM_OPERATOR.ref)
    assert set(client.subject.get_roles(subject)) == {READ_ONLY.ref, VM_OPERATOR.ref}
    names = client.subject.get_permissions_name_label(subject)
    assert "vm.start" in names
    assert len(names) == len(set(names))
    with pytest.raises(Failure, match="ROLE_ALREADY_EXISTS"):
        client.subject.add_to_roles(subject, READ_ONLY.ref)
    with pytest.raises(Failure, match="ROLE_NOT_FOUND"):
        client.subject.add_to_roles(subject, "OpaqueRef:dead")
    client.subject.remove_from_roles(subject, READ_ONLY.ref)
    with pytest.raises(Failure, match="ROLE_NOT_FOUND"):
        client.subject.remove_from_roles(subject, READ_ONLY.ref)
    assert client.subject.get_roles(subject) == [VM_OPERATOR.ref]


@pytest.fixture
def session_of(house, toolstack):
    def log_in(subject, *roles):
        session = toolstack.sessions.open(
            user="ann",
            originator="tests",
            this_host=toolstack.this_host,
            roles=frozenset(roles),
            subject=subject,
            subject_identifier="u1000",
        )
        return Caller(house.performer, session.ref)

    return log_in


def test_a_role_that_is_taken_away_is_gone_in_running_sessions(client, subject, session_of):
    client.subject.add_to_roles(subject, POOL_ADMIN.ref)
    ann = session_of(subject, POOL_ADMIN)
    made = ann.secret.create({"value": "x"})
    client.subject.add_to_roles(subject, READ_ONLY.ref)
    client.subject.remove_from_roles(subject, POOL_ADMIN.ref)
    with pytest.raises(Failure, match="RBAC_PERMISSION_DENIED"):
        ann.secret.destroy(made)
    assert "secret.destroy" not in client("session.get_rbac_permissions", ann.session)
    assert ann.VM.get_all()


def test_the_sessions_of_a_destroyed_subject_end(client, subject, session_of):
    ann = session_of(subject, READ_ONLY)
    assert ann.VM.get_all()
    client.subject.destroy(subject)
    with pytest.raises(Failure, match="SESSION_INVALID"):
        ann.VM.get_all()
