"""The derived messages: every one of every class once, every field read, and every RW field written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.house import House
from xapi.datamodel.catalog import CATALOG, Kind, Method
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Entity, Qualifier
from xapi.datamodel.types import Basic, EnumType, MapType, RefType, SetType, Type
from xapi.dispatch.implement import IMPLEMENTATIONS
from xapi.dispatch.records import HANDLERS

STORED = [entity for entity in CATALOG.entities.values() if entity.stored]
REMOVED = "removed"


@pytest.fixture(scope="module")
def house(lasting_house: House) -> House:
    return lasting_house


@pytest.fixture(scope="module")
def samples(house: House) -> dict[type[Entity], str]:
    """One object of each class, put into the rows directly."""
    made: dict[type[Entity], str] = {}
    for entity in STORED:
        with house.toolstack.db.transaction() as transaction:
            made[entity] = transaction.create(entity)
    return made


def another(kind: Type, house: House, samples: dict[type[Entity], str]) -> Any:
    """A value, in the form of the wire, that is not the empty one."""
    match kind:
        case Basic.STRING:
            return "another"
        case Basic.INT:
            return "1"
        case Basic.FLOAT:
            return 1.5
        case Basic.BOOL:
            return True
        case Basic.DATETIME:
            return datetime(2024, 2, 29, 12, 30, 45, tzinfo=UTC)
        case EnumType(enum):
            return str(list(enum)[-1])
        case RefType(entity):
            return samples.get(entity, NULL)
        case SetType(of):
            return [another(of, house, samples)]
        case MapType(key, value):
            return {another(key, house, samples): another(value, house, samples)}
        case _:
            raise AssertionError(kind)


def fields(entity: type[Entity]) -> list[Any]:
    return [field for field in entity.fields if not field.internal]


@pytest.mark.parametrize("entity", STORED, ids=lambda entity: entity.wire_name)
def test_every_field_reads_as_the_record_has_it(house, samples, entity):
    client, ref = house.client, samples[entity]
    getter = CATALOG.methods.get(f"{entity.wire_name}.get_record")
    record = client(f"{entity.wire_name}.get_record", ref) if getter and getter.state != REMOVED else None
    if record is not None:
        assert list(record) == [field.name for field in fields(entity)]
    for field in fields(entity):
        name = f"{entity.wire_name}.get_{field.name}"
        if CATALOG.methods[name].state == REMOVED:
            with pytest.raises(Failure, match="MESSAGE_REMOVED"):
                client(name, ref)
        elif name not in IMPLEMENTATIONS:
            value = client(name, ref)
            assert record is None or value == record[field.name], name


@pytest.mark.parametrize("entity", STORED, ids=lambda entity: entity.wire_name)
def test_every_rw_field_is_written_and_read_back(house, samples, entity):
    client, ref = house.client, samples[entity]
    for field in fields(entity):
        setter = CATALOG.methods.get(f"{entity.wire_name}.set_{field.name}")
        if field.qualifier is not Qualifier.RW or setter is None or setter.kind is not Kind.SET:
            continue
        if setter.state == REMOVED:
            with pytest.raises(Failure, match="MESSAGE_REMOVED"):
                client(setter.wire_name, ref, another(field.type, house, samples))
            continue
        if setter.wire_name in IMPLEMENTATIONS:
            continue  # tested with its action
        value = another(field.type, house, samples)
        client(setter.wire_name, ref, value)
        assert client(f"{entity.wire_name}.get_{field.name}", ref) == value, setter.wire_name
        _members(house, samples, setter, ref)


def _members(house: House, samples: dict[type[Entity], str], setter: Method, ref: str) -> None:
    """Add to the set or map that was just set, and take away from it."""
    client, field, noun = house.client, setter.field, setter.entity.wire_name
    read = f"{noun}.get_{field.name}"
    match field.type:
        case SetType(of):
            client(f"{noun}.add_{field.name}", ref, "more")
            client(f"{noun}.add_{field.name}", ref, "more")
            assert client(read, ref) == ["more", another(of, house, samples)]
            client(f"{noun}.remove_{field.name}", ref, "more")
            assert client(read, ref) == [another(of, house, samples)]
        case MapType() if f"{noun}.add_to_{field.name}" not in IMPLEMENTATIONS:
            before = client(read, ref)
            client(f"{noun}.add_to_{field.name}", ref, "more", "value")
            assert client(read, ref) == {**before, "more": "value"}
            with pytest.raises(Failure, match="MAP_DUPLICATE_KEY") as twice:
                client(f"{noun}.add_to_{field.name}", ref, "more", "value")
            assert twice.value.params == (noun, field.name, ref, "more")
            client(f"{noun}.remove_from_{field.name}", ref, "more")
            client(f"{noun}.remove_from_{field.name}", ref, "more")
            assert client(read, ref) == before


@pytest.mark.parametrize("entity", STORED, ids=lambda entity: entity.wire_name)
def test_every_way_to_find_an_object_finds_it(house, samples, entity):
    client, ref, noun = house.client, samples[entity], entity.wire_name
    row = house.toolstack.db.get(entity, ref)
    uuid = row[entity.field_named["uuid"].index] if "uuid" in entity.field_named else ""
    ways: dict[str, tuple[tuple[object, ...], object]] = {
        "get_by_uuid": ((uuid,), lambda found: found == ref),
        "get_by_name_label": (
            (row.name_label if "name_label" in entity.field_named else "",),
            lambda found: ref in found,
        ),
        "get_all": ((), lambda found: ref in found),
        "get_all_where": ((f'field "uuid" = "{uuid}"',), lambda found: found == [ref]),
        "get_all_records": ((), lambda found: found[ref] == client(f"{noun}.get_record", ref)),
        "get_all_records_where": (
            (f'field "uuid" = "{uuid}"',),
            lambda found: found == {ref: client(f"{noun}.get_record", ref)},
        ),
    }
    for name, (params, finds) in ways.items():
        method = CATALOG.methods.get(f"{noun}.{name}")
        if method is None or method.wire_name in IMPLEMENTATIONS:
            continue
        if method.state == REMOVED:
            with pytest.raises(Failure, match="MESSAGE_REMOVED"):
                client(method.wire_name, *params)
        else:
            assert finds(client(method.wire_name, *params)), method.wire_name


@pytest.mark.parametrize("entity", STORED, ids=lambda entity: entity.wire_name)
def test_what_is_not_there_is_named(house, entity):
    nowhere = "OpaqueRef:nowhere"
    for method in CATALOG.methods.values():
        if method.entity is not entity or method.kind not in HANDLERS or method.wire_name in IMPLEMENTATIONS:
            continue
        if method.state == REMOVED or not method.params or not isinstance(method.params[0].type, RefType):
            continue
        extra = [another(param.type, house, {}) for param in method.params[1:]]
        with pytest.raises(Failure) as refused:
            house.client(method.wire_name, nowhere, *extra)
        assert refused.value.description == ["HANDLE_INVALID", entity.wire_name, nowhere], method.wire_name


def test_an_unknown_uuid_is_named(house):
    with pytest.raises(Failure) as refused:
        house.client.VM.get_by_uuid("nobody's")
    assert refused.value.description == ["UUID_INVALID", "VM", "nobody's"]


def test_a_reference_to_nothing_is_not_stored(house, samples):
    vm = samples[CATALOG.entities["VM"]]
    before = house.client.VM.get_affinity(vm)
    with pytest.raises(Failure) as refused:
        house.client.VM.set_affinity(vm, "OpaqueRef:nowhere")
    assert refused.value.description == ["HANDLE_INVALID", "host", "OpaqueRef:nowhere"]
    assert house.client.VM.get_affinity(vm) == before


@pytest.mark.parametrize(
    ("setter", "value", "field"),
    [
        ("set_is_a_template", "true", "value"),
        ("set_user_version", "one", "value"),
        ("set_tags", "not a list", "value"),
        ("set_other_config", ["no map"], "value"),
        ("set_actions_after_shutdown", "nosuch", "value"),
        ("set_name_label", ["a list"], "value"),
    ],
)
def test_a_value_of_another_type_is_refused_and_changes_nothing(house, samples, setter, value, field):
    vm = samples[CATALOG.entities["VM"]]
    before = house.client.VM.get_record(vm)
    with pytest.raises(Failure) as refused:
        house.client(f"VM.{setter}", vm, value)
    assert refused.value.description == ["FIELD_TYPE_ERROR", field]
    assert house.client.VM.get_record(vm) == before
