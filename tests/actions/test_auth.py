import os
import pwd

import pytest

from tests.actions import standing_house
from tests.actions.refusal import refused
from tests.fakes.house import Caller
from xapi.dispatch.logins import LogIns
from xapi.system.passwords import Pam

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


@pytest.fixture
def pool(client, toolstack):
    toolstack.part(LogIns).authenticator = Pam()
    (ref,) = client.pool.get_all()
    return ref


@pytest.fixture
def enabled(client, toolstack, pool):
    client.pool.enable_external_auth(pool, {}, "users", "PAM")
    return toolstack.this_host


def test_nobody_is_looked_up_while_no_directory_is_enabled(client):
    assert refused(client.auth.get_subject_identifier, "root") == ("AUTH_IS_DISABLED",)
    assert refused(client.auth.get_group_membership, "u0") == ("AUTH_IS_DISABLED",)


def test_users_and_groups_of_the_operating_system(client, enabled):
    me = pwd.getpwuid(os.getuid())
    assert client.auth.get_subject_identifier(me.pw_name) == f"u{me.pw_uid}"
    information = client.auth.get_subject_information_from_identifier(f"u{me.pw_uid}")
    assert information["subject-name"] == me.pw_name
    groups = client.auth.get_group_membership(f"u{me.pw_uid}")
    assert f"g{me.pw_gid}" in groups
    assert client.auth.get_subject_information_from_identifier(f"g{me.pw_gid}")["subject-is-group"] == "true"
    assert client.auth.get_group_membership(f"g{me.pw_gid}") == []


@pytest.mark.parametrize("identifier", ["", "x0", "u", "u4294967290", "u99999999999", "g4294967290", "S-1-5-21"])
def test_identifiers_of_nobody(client, enabled, identifier):
    wanted = ("SUBJECT_CANNOT_BE_RESOLVED",)
    assert refused(client.auth.get_subject_information_from_identifier, identifier) == wanted
    assert refused(client.auth.get_group_membership, identifier) == wanted
    assert refused(client.auth.get_subject_identifier, "no-such-user") == wanted


def test_a_directory_is_enabled_once(client, pool, enabled):
    assert client.host.get_external_auth_type(enabled) == "PAM"
    assert client.host.get_external_auth_service_name(enabled) == "users"
    assert refused(client.pool.enable_external_auth, pool, {}, "x", "PAM") == ("POOL_AUTH_ALREADY_ENABLED", enabled)
    assert refused(client.host.enable_external_auth, enabled, {}, "x", "PAM") == (
        "AUTH_ALREADY_ENABLED",
        "PAM",
        "users",
    )
    client.pool.detect_nonhomogeneous_external_auth(pool)
    client.pool.disable_external_auth(pool, {})
    assert client.host.get_external_auth_type(enabled) == ""


def test_sessions_of_others_end_with_the_directory(house, client, toolstack, pool, enabled):
    subject = client.subject.create({"subject_identifier": "u0"})
    session = toolstack.sessions.open(
        user="daemon", originator="", this_host=enabled, subject=subject, subject_identifier="u0", superuser=True
    )
    daemon = Caller(house.performer, session.ref)
    assert daemon.VM.get_all()
    client.pool.disable_external_auth(pool)
    assert refused(daemon.VM.get_all)[0] == "SESSION_INVALID"


def test_directories_that_are_not_known(client, toolstack, pool):
    assert refused(client.pool.enable_external_auth, pool, {}, "corp.example", "AD") == ("AUTH_UNKNOWN_TYPE", "AD")


def test_a_server_with_one_password_has_no_other_users(client, toolstack, pool):
    toolstack.part(LogIns).authenticator = object()
    failure = refused(client.pool.enable_external_auth, pool, {}, "x", "PAM")
    assert failure[:2] == ("POOL_AUTH_ENABLE_FAILED", toolstack.this_host)
    assert client.host.get_external_auth_type(toolstack.this_host) == ""


def test_nothing_is_reached_over_ldap(client, toolstack, pool):
    assert refused(client.pool.external_auth_set_ldaps, pool, True) == ("AUTH_IS_DISABLED",)
    client.pool.enable_external_auth(pool, {}, "users", "PAM")
    assert refused(client.host.external_auth_set_ldaps, toolstack.this_host, True)[0] == "AUTH_SET_LDAPS_FAILED"


def test_what_the_directory_knows_of_a_subject_overrules_the_client(client, enabled):
    subject = client.subject.create({"subject_identifier": "u0", "other_config": {"subject-name": "x", "note": "y"}})
    known = client.subject.get_other_config(subject)
    assert (known["subject-name"], known["note"]) == (pwd.getpwuid(0).pw_name, "y")
    assert refused(client.subject.create, {"subject_identifier": "nobody"}) == ("SUBJECT_CANNOT_BE_RESOLVED",)
