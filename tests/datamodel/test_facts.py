"""The sealed catalogue against the facts of the public XenAPI, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xapi.datamodel.catalog import CATALOG, Kind, empty
from xapi.datamodel.errors import ERRORS
from xapi.datamodel.model import NULL
from xapi.datamodel.roles import ROLES
from xapi.datamodel.types import WireEnum

FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts" / "xenapi-facts.json"
# The original declares a set as the default of this enumeration; a value of the enumeration serves better.
ODD_DEFAULTS = {"host.create"}


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    if not FACTS.exists():
        pytest.skip("the facts are not beside this checkout")
    return json.loads(FACTS.read_text())


def test_classes(facts):
    assert list(CATALOG.entities) == sorted(CATALOG.entities, key=list(CATALOG.entities).index)
    assert set(CATALOG.entities) == {declared["name"] for declared in facts["classes"]}
    for declared in facts["classes"]:
        entity = CATALOG.entities[declared["name"]]
        assert [list(step) for step in entity.history] == declared["lifecycle"]["transitions"], declared["name"]
        assert entity.role.name == declared["explicit_min_role"]
        assert entity.reads.name == declared["implicit_min_role"]
        assert entity.constructor == declared["gen_constructor_destructor"]
        assert entity.listed == declared["get_all_exposed"]
        assert entity.stored == declared["in_database"]
        assert entity.persistent == declared["persist"]
        assert entity.events == declared["gen_events"]


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "year"):
        return value.strftime("%Y%m%dT%H:%M:%SZ")
    if isinstance(value, WireEnum):
        return str(value)
    return value


def test_fields(facts):
    for declared in facts["classes"]:
        entity = CATALOG.entities[declared["name"]]
        assert [field.name for field in entity.fields] == [field["name"] for field in declared["fields"]]
        for field, wanted in zip(entity.fields, declared["fields"], strict=True):
            where = f"{declared['name']}.{field.name}"
            assert str(field.type) == wanted["type"], where
            assert field.path == wanted["db_column"], where
            assert field.qualifier == wanted["qualifier"], where
            assert field.has_default == wanted["has_default"], where
            if field.has_default:
                assert plain(field.default) == (wanted["default"] or plain(empty(field.type))), where
            assert field.internal == wanted["internal_only"], where
            assert field.derived == wanted["derived_set"], where
            assert field.persistent == wanted["field_persist_flag"], where
            assert field.dangling == wanted["ignore_foreign_key"], where
            assert bool(field.constructor) == wanted["ctor_arg"], where
            assert field.setter_acts == wanted["setter_has_effect"], where
            assert [list(step) for step in field.history] == wanted["lifecycle"]["transitions"], where
            assert {key: role.name for key, role in field.map_key_roles.items()} == wanted["map_key_roles"], where
            assert field.getter_role.name == wanted["getter_min_role"], where
            if wanted["setter_min_role"]:
                assert field.setter_role.name == wanted["setter_min_role"], where
            if field.derived:
                assert field.inverse == f"{wanted['relation']['class']}.{wanted['relation']['field']}", where


def test_messages(facts):
    wanted = {message["wire"]: message for declared in facts["classes"] for message in declared["messages"]}
    assert list(CATALOG.methods) == sorted(wanted)
    assert len(CATALOG.methods) == facts["meta"]["counts"]["messages"]
    for name, message in wanted.items():
        method = CATALOG.methods[name]
        params = [param for param in message["params"] if not (message["session"] and param["name"] == "session_id")]
        assert method.kind == message["kind"], name
        assert [param.name for param in method.params] == [
            {"__value": "args", "__structure": "args"}.get(param["name"], param["name"]) for param in params
        ], name
        assert [str(param.type) for param in method.params] == [param["type"] for param in params], name
        assert [param.required for param in method.params] == [param["required"] for param in params], name
        assert [param.secret for param in method.params] == [param.get("secret", False) for param in params], name
        if name not in ODD_DEFAULTS:
            for param, fact in zip(method.params, params, strict=True):
                if not param.required:
                    assert plain(param.default) == (fact["default"] or plain(param.default)), (name, param.name)
        if method.kind is Kind.EXPLICIT:
            assert [param.since for param in method.params] == [param.get("since", "") for param in params], name
        assert str(method.result) == message["result"], name
        assert method.role.name == message["min_role"], name
        assert [role.name for role in method.roles] == message["roles"], name
        assert {key: role.name for key, role in method.map_key_roles.items()} == message["map_key_roles"], name
        assert [error.code for error in method.errors] == message["errors"], name
        assert [list(step) for step in method.history] == message["lifecycle"]["transitions"], name
        for ours, theirs in (
            ("asynchronous", "async"),
            ("session", "session"),
            ("pool_internal", "pool_internal"),
            ("hidden", "hidden_from_docs"),
            ("secret", "secret"),
            ("emergency", "emergency"),
        ):
            assert getattr(method, ours) == message[theirs], (name, theirs)


def test_enumerations(facts):
    assert {name: [str(value) for value in enum] for name, enum in CATALOG.enums.items()} == {
        enum["name"]: enum["values"] for enum in facts["enums"]
    }


def test_errors(facts):
    assert {code: list(error.params) for code, error in ERRORS.items()} == {
        error["name"]: error["params"] or [] for error in facts["errors"]
    }


def test_roles(facts):
    assert [(role.name, role.rank, role.internal, role.uuid) for role in ROLES] == [
        (role["name"], role["rank"], role["internal"], role["uuid"]) for role in facts["roles"]
    ]


def test_null_reference(facts):
    assert facts["api_version"]["null_ref"] == NULL
