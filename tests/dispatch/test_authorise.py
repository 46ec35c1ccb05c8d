"""Who may call what: every message by every role, and the keys of maps that have a rule of their own."""

from __future__ import annotations

import pytest

from tests.fakes.house import Caller, House
from xapi.datamodel.catalog import CATALOG, Kind, Method
from xapi.datamodel.errors import ERRORS
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import LOCAL_ROOT, POOL_ADMIN, ROLES, Role
from xapi.datamodel.types import Basic, EnumType, MapType, OptionType, RecordType, RefType, SetType, Type
from xapi.dispatch.authorise import AUDIT, authorise, key_role
from xapi.rpc.call import Call, Refused
from xapi.rpc.forms import XML
from xapi.rpc.http_message import Peer

DENIED = "RBAC_PERMISSION_DENIED"
NOWHERE = "OpaqueRef:nowhere"
LOGGED_IN = [method for method in CATALOG.methods.values() if method.session]


@pytest.fixture(scope="module")
def house(lasting_house: House) -> House:
    return lasting_house


def plausible(kind: Type) -> object:
    """A wire value that the declared type takes; references lead nowhere."""
    match kind:
        case Basic.BOOL:
            return False
        case Basic.FLOAT:
            return 0.0
        case Basic.INT:
            return "0"
        case Basic.DATETIME:
            return "19700101T00:00:00Z"
        case RefType():
            return NOWHERE
        case EnumType(enum):
            return str(next(iter(enum)))
        case SetType():
            return []
        case MapType() | RecordType():
            return {}
        case OptionType(of):
            return plausible(of)
        case _:
            return "x"


def plausible_params(method: Method) -> list[object]:
    return [plausible(param.type) for param in method.params if param.required]


def harmless(method: Method) -> bool:
    """Say whether a call with plausible parameters cannot change anything: it only reads, or is about nothing."""
    reads = method.kind not in (Kind.EXPLICIT, Kind.CREATE)
    first = method.params[0].type if method.params and method.params[0].required else None
    return reads or (isinstance(first, RefType) and first.entity.stored)


def refusal(house: House, caller: Caller, method: Method) -> str:
    """The code with which a call is refused, or nothing; what could change something is only asked for admission."""
    params = plausible_params(method)
    if harmless(method):
        outcome = house.performer(Call(method.wire_name, [caller.session, *params], XML, Peer(local=True)))
        if isinstance(outcome, Refused):
            assert outcome.description[0] in ERRORS, (method.wire_name, outcome.description)
            return outcome.description[0]
        return ""
    try:
        authorise(house.toolstack.sessions.get(caller.session), method, params)
    except Failure as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_message(house, role):
    caller = house.caller(role)
    wrong = []
    for method in LOGGED_IN:
        if method.state == "removed":
            continue
        code = refusal(house, caller, method)
        if method.pool_internal:
            expected = code == "INTERNAL_ERROR"
        else:
            expected = (code == DENIED) == (role not in method.roles)
        if not expected:
            wrong.append((method.wire_name, code))
    assert not wrong


def test_the_superuser_is_never_denied(house):
    denied = [method.wire_name for method in LOGGED_IN if refusal(house, house.client, method) == DENIED]
    assert not denied


def test_what_is_for_the_local_superuser_alone_is_denied_to_every_role(house):
    alone = [method for method in LOGGED_IN if method.role is LOCAL_ROOT and not method.pool_internal]
    assert alone
    caller = house.caller(*ROLES)
    assert {refusal(house, caller, method) for method in alone if method.state != "removed"} == {DENIED}


def test_the_refusal_names_the_permission(house):
    with pytest.raises(Failure) as refused:
        house.caller(ROLES[-1]).VM.set_name_label(NOWHERE, "x")
    assert refused.value.description == [DENIED, "VM.set_name_label", "No permission in user session"]


def test_somebody_without_a_role_may_only_do_what_needs_none(house):
    caller = house.caller()
    assert {refusal(house, caller, method) for method in LOGGED_IN if method.kind is Kind.GET_ALL} <= {
        DENIED,
        "MESSAGE_REMOVED",
    }


WITH_KEYS = [
    (method, pattern.replace("*", "x"), role) for method in LOGGED_IN for pattern, role in method.map_key_roles.items()
]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_key_with_a_rule_of_its_own(house, role):
    caller = house.caller(role)
    for method, key, least in WITH_KEYS:
        params = [NOWHERE, key, "v"][: len(method.params)]
        with pytest.raises(Failure) as refused:
            caller(method.wire_name, *params)
        allowed = _reaches(role, least)
        if allowed:
            assert refused.value.code != DENIED, (method.wire_name, key)
        else:
            permission = f"{method.wire_name}/key:{key}"
            assert refused.value.description[:2] == [DENIED, permission], (method.wire_name, key)


def _reaches(role: Role, least: Role) -> bool:
    return role.rank <= least.rank and (role.name != "client-cert" or least.name == "read-only")


def test_other_keys_follow_the_message():
    method = CATALOG.methods["VM.add_to_other_config"]
    assert key_role(method, [NOWHERE, "nobody's key", "v"]) is None
    assert WITH_KEYS


def test_the_pool_may_call_what_is_internal_and_nobody_else(house):
    internal = [method for method in LOGGED_IN if method.pool_internal]
    assert internal
    pool = house.toolstack.sessions.get(house.caller(pool=True).session)
    admin = house.toolstack.sessions.get(house.caller(POOL_ADMIN).session)
    for method in internal:
        params = plausible_params(method)
        authorise(pool, method, params)
        with pytest.raises(Failure, match="INTERNAL_ERROR"):
            authorise(admin, method, params)


def test_a_change_leaves_a_line_and_a_read_leaves_none(house, caplog, monkeypatch):
    monkeypatch.setattr(AUDIT, "handlers", [caplog.handler])  # it may have a file of its own
    caplog.set_level("INFO", logger=AUDIT.name)
    vm = house.client.VM.get_all()[0]
    caplog.clear()
    house.client.VM.get_record(vm)
    house.client.VM.get_all_records()
    assert caplog.messages == []
    house.client.VM.set_name_label(vm, "x")
    assert {message.split(" by ")[0] for message in caplog.messages} == {"VM.set_name_label"}
    caplog.clear()
    with pytest.raises(Failure):
        house.caller(ROLES[-1]).VM.set_name_label(vm, "x")
    assert caplog.messages[0].startswith("denied VM.set_name_label")
