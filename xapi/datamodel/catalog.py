"""The sealed contract: every class, field and message, with what is derived from their declarations.

Importing this module imports all of `classes` and seals them. The derived messages are written down nowhere else:
getters, setters, `add_to_`/`remove_from_`, `add_`/`remove_`, `get_record`, `get_by_uuid`, `get_by_name_label`,
`create`, `destroy`, `get_all` and its family follow from the fields and options of a class.
"""

from __future__ import annotations

import inspect
import types as python_types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from xapi.datamodel import classes
from xapi.datamodel.failure import ErrorCode
from xapi.datamodel.model import EPOCH, NOTHING, NULL, Entity, Field, Message, Qualifier, Ref, current_state
from xapi.datamodel.roles import READ_ONLY, Role, allowed_roles
from xapi.datamodel.types import Basic, EnumType, MapType, OptionType, RecordType, RefType, SetType, Type, WireEnum

BASIC: Mapping[Any, Basic] = {
    str: Basic.STRING,
    int: Basic.INT,
    float: Basic.FLOAT,
    bool: Basic.BOOL,
    datetime: Basic.DATETIME,
    type(None): Basic.VOID,
}


class Kind(StrEnum):
    """Where a message comes from: declared, or derived from a class or from a field."""

    EXPLICIT = "explicit"
    GET_RECORD = "get_record"
    GET_BY_UUID = "get_by_uuid"
    GET_BY_NAME_LABEL = "get_by_name_label"
    GET_ALL = "get_all"
    GET_ALL_WHERE = "get_all_where"
    GET_ALL_RECORDS = "get_all_records"
    GET_ALL_RECORDS_WHERE = "get_all_records_where"
    CREATE = "create"
    DESTROY = "destroy"
    GET = "field_get"
    SET = "field_set"
    ADD_TO = "field_add_to"
    REMOVE_FROM = "field_remove_from"
    ADD = "field_add"
    REMOVE = "field_remove"


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a message, the session left out."""

    name: str
    type: Type
    required: bool = True
    default: Any = None
    since: str = ""
    secret: bool = False


@dataclass(frozen=True, eq=False)
class Method:
    """One message that clients may call, explicit or derived."""

    wire_name: str
    entity: type[Entity]
    name: str
    kind: Kind
    params: tuple[Param, ...]
    result: Type
    role: Role
    about: str
    history: tuple[tuple[str, str], ...]
    field: Any = None  # the Field; mypy would take that for a descriptor here
    declared: Message[..., Any] | None = None
    errors: tuple[ErrorCode, ...] = ()
    session: bool = True
    asynchronous: bool = False
    pool_internal: bool = False
    hidden: bool = False
    secret: bool = False
    emergency: bool = False
    client_certificate: bool = False
    map_key_roles: Mapping[str, Role] = dataclass_field(default_factory=lambda: NOTHING)

    @cached_property
    def state(self) -> str:
        """Where the message stands in its life: prototyped, published, deprecated or removed."""
        return current_state(self.history)

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """The roles that may call it."""
        return allowed_roles(self.role, client_certificate=self.client_certificate)

    @cached_property
    def fewest(self) -> int:
        """How many parameters must be there, not counting the session."""
        return sum(param.required for param in self.params)


def resolve(annotation: Any) -> Type:
    """The declared type that a Python annotation stands for."""
    if annotation in BASIC:
        return BASIC[annotation]
    if annotation is None:
        return Basic.VOID
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Ref:
        return RefType(arguments[0])
    if origin is tuple:
        return SetType(resolve(arguments[0]))
    if origin in (typing.Union, python_types.UnionType):
        (inner,) = (part for part in arguments if part is not type(None))
        return OptionType(resolve(inner))
    if origin is not None and issubclass(origin, Mapping):
        return MapType(resolve(arguments[0]), resolve(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, WireEnum):
        return EnumType(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Entity):
        return RecordType(annotation)
    raise TypeError(f"{annotation!r} is not a type of the contract")


def empty(kind: Type) -> Any:
    """The value of a type when nobody gives one: zero, nothing, the null reference."""
    match kind:
        case Basic.STRING:
            return ""
        case Basic.INT:
            return 0
        case Basic.FLOAT:
            return 0.0
        case Basic.BOOL:
            return False
        case Basic.DATETIME:
            return EPOCH
        case RefType():
            return NULL
        case SetType():
            return ()
        case MapType():
            return {}
        case EnumType(enum):
            return next(iter(enum))
        case _:
            return None


def _seal(entity: type[Entity], names: Mapping[str, Any]) -> None:
    """Give the fields of a class their place in a row, their type, and what they inherit from the class."""
    hints = typing.get_type_hints(entity, localns=dict(names))
    fields = tuple(value for value in vars(entity).values() if isinstance(value, Field))
    for index, field in enumerate(fields, start=1):
        annotation = hints[field.name if field.name in hints else f"{field.name}_"]
        field.qualifier = Qualifier(typing.get_origin(annotation).__name__)
        (argument,) = typing.get_args(annotation)
        field.type = resolve(argument)
        field.index = index
        field.owner = entity
        field.history = field.history or entity.history
        field.getter_role = field.getter_role or entity.reads
        field.setter_role = field.setter_role or entity.role
        if not field.has_default:
            field.default = empty(field.type)
        if field.constructor is None:
            field.constructor = (
                entity.constructor
                and field.qualifier is not Qualifier.DYNAMIC_RO
                and not field.derived
                and not field.internal
            )
    entity.fields = fields
    entity.field_named = {field.name: field for field in fields}


def _explicit(declared: Message[..., Any], names: Mapping[str, Any]) -> Method:
    """The callable form of a declared message."""
    hints = typing.get_type_hints(declared.function, localns=dict(names))
    params = tuple(
        Param(
            name=name.rstrip("_"),
            type=resolve(hints[name]),
            required=parameter.default is inspect.Parameter.empty,
            default=None if parameter.default is inspect.Parameter.empty else parameter.default,
            since=declared.param_since.get(name, ""),
            secret=name in declared.secret_params,
        )
        for name, parameter in inspect.signature(declared.function).parameters.items()
    )
    return Method(
        wire_name=declared.wire_name,
        entity=declared.owner,
        name=declared.name,
        kind=Kind.EXPLICIT,
        params=params,
        result=resolve(hints["return"]),
        role=declared.role,
        about=declared.about,
        history=declared.history,
        declared=declared,
        errors=declared.errors,
        session=declared.session,
        asynchronous=declared.asynchronous,
        pool_internal=declared.pool_internal,
        hidden=declared.hidden,
        secret=declared.secret,
        emergency=declared.emergency,
        client_certificate=declared.client_certificate,
        map_key_roles=declared.map_key_roles,
    )


def _derived_from_class(entity: type[Entity]) -> Iterator[Method]:
    """The messages that a class has because of what it is."""
    one, record, text = RefType(entity), RecordType(entity), Basic.STRING
    this = (Param("self", one),)
    where = (Param("expr", text),)
    noun = entity.wire_name

    def derive(kind: Kind, params: tuple[Param, ...], result: Type, about: str, **options: Any) -> Method:
        options = {"role": entity.reads, "client_certificate": entity.reads is READ_ONLY, **options}
        return Method(
            wire_name=f"{noun}.{kind}",
            entity=entity,
            name=str(kind),
            kind=kind,
            params=params,
            result=result,
            about=about,
            history=entity.history,
            **options,
        )

    if not entity.stored:
        return
    if entity.fields and "uuid" in entity.field_named:
        yield derive(Kind.GET_RECORD, this, record, f"Answer all fields of the {noun}.")
        yield derive(Kind.GET_BY_UUID, (Param("uuid", text),), one, f"Find the {noun} with this UUID.")
    if entity.constructor:
        whole = (Param("args", record),)
        change: dict[str, Any] = {"role": entity.role, "asynchronous": True, "client_certificate": False}
        yield derive(Kind.CREATE, whole, one, f"Make a {noun} with these fields and answer its reference.", **change)
        yield derive(Kind.DESTROY, this, Basic.VOID, f"Remove the {noun}.", **change)
    if "name_label" in entity.field_named and entity.field_named["name_label"].group and entity.listed:
        label = (Param("label", text),)
        yield derive(Kind.GET_BY_NAME_LABEL, label, SetType(one), f"Find every {noun} with this name.")
    if entity.listed:
        many = MapType(one, record)
        yield derive(Kind.GET_ALL, (), SetType(one), f"Answer the reference of every {noun}.")
        yield derive(Kind.GET_ALL_WHERE, where, SetType(one), f"Find every {noun} that a query picks.", hidden=True)
        yield derive(Kind.GET_ALL_RECORDS, (), many, f"Answer every {noun} with all its fields.")
        yield derive(
            Kind.GET_ALL_RECORDS_WHERE,
            where,
            many,
            f"Answer all fields of every {noun} that a query picks.",
            hidden=True,
        )


def _derived_from_field(field: Field[Any]) -> Iterator[Method]:
    """The messages that a class has because of one field."""
    entity, noun = field.owner, field.owner.wire_name
    this, kind = Param("self", RefType(entity)), field.type
    assert field.getter_role and field.setter_role

    def derive(how: Kind, verb: str, params: tuple[Param, ...], result: Type, about: str) -> Method:
        reading = how is Kind.GET
        role = field.getter_role if reading else field.setter_role
        assert role
        return Method(
            wire_name=f"{noun}.{verb}_{field.name}",
            entity=entity,
            name=f"{verb}_{field.name}",
            kind=how,
            params=(this, *params),
            result=result,
            role=role,
            about=about,
            history=field.history,
            field=field,
            client_certificate=role is READ_ONLY or (field.client_certificate and how is Kind.SET),
            map_key_roles=field.map_key_roles if how in (Kind.ADD_TO, Kind.REMOVE_FROM) else NOTHING,
        )

    yield derive(Kind.GET, "get", (), kind, f"Answer {field.name} of the {noun}: {field.about}.")
    if field.qualifier is not Qualifier.RW:
        return
    value = Param("value", kind)
    yield derive(Kind.SET, "set", (value,), Basic.VOID, f"Set {field.name} of the {noun}: {field.about}.")
    match kind:
        case MapType(key=key_type, value=value_type):
            key, item = Param("key", key_type), Param("value", value_type)
            yield derive(Kind.ADD_TO, "add_to", (key, item), Basic.VOID, f"Add a key to {field.name} of the {noun}.")
            yield derive(
                Kind.REMOVE_FROM, "remove_from", (key,), Basic.VOID, f"Remove a key from {field.name} of the {noun}."
            )
        case SetType(of=item_type):
            item = Param("value", item_type)
            yield derive(Kind.ADD, "add", (item,), Basic.VOID, f"Add a value to {field.name} of the {noun}.")
            yield derive(Kind.REMOVE, "remove", (item,), Basic.VOID, f"Remove a value from {field.name} of the {noun}.")


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that is declared, by the names of the wire."""

    entities: Mapping[str, type[Entity]]
    enums: Mapping[str, type[WireEnum]]
    methods: Mapping[str, Method]
    by_lower_name: Mapping[str, type[Entity]]

    def stored(self) -> Iterator[type[Entity]]:
        """The classes whose objects live in the database."""
        return (entity for entity in self.entities.values() if entity.stored)

    def inverse_of(self, field: Field[Any]) -> Field[Any]:
        """The field of the other class that mirrors this one."""
        owner, _, name = field.inverse.partition(".")
        return self.entities[owner].field_named[name]


def _read_catalog() -> Catalog:
    entities: dict[str, type[Entity]] = {}
    enums: dict[str, type[WireEnum]] = {}
    declared: list[Message[..., Any]] = []
    names: dict[str, Any] = {"classes": classes}
    for module in classes.MODULES:
        for name, value in vars(module).items():
            if isinstance(value, Message):
                declared.append(value)
            elif isinstance(value, type) and value.__module__ == module.__name__:
                names[name] = value
                if issubclass(value, Entity):
                    entities[value.wire_name] = value
                elif issubclass(value, WireEnum):
                    enums[value.wire_name()] = value
    for entity in entities.values():
        _seal(entity, names)
    methods: dict[str, Method] = {}
    for entity in entities.values():
        derived = [*_derived_from_class(entity)]
        if entity.stored:
            derived += [
                method for field in entity.fields if not field.internal for method in _derived_from_field(field)
            ]
        methods |= {method.wire_name: method for method in derived}
    for message in declared:
        methods[message.wire_name] = _explicit(message, names)
    lower = {name.lower(): entity for name, entity in entities.items()}
    return Catalog(entities, enums, dict(sorted(methods.items())), lower)


CATALOG = _read_catalog()
