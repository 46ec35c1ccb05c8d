"""The sealed contract as plain text, one field or message a line: what must not change by accident."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from xapi.datamodel.catalog import CATALOG, Kind, Method
from xapi.datamodel.errors import ERRORS
from xapi.datamodel.model import Field
from xapi.datamodel.roles import ROLES


def dump() -> str:
    """The whole contract."""
    return "\n".join([*_roles(), *_enums(), *_errors(), *_classes()]) + "\n"


def _roles() -> Iterator[str]:
    for role in ROLES:
        yield f"role {role.rank} {role.name} {role.uuid}{' internal' if role.internal else ''}"


def _enums() -> Iterator[str]:
    for name, enum in sorted(CATALOG.enums.items()):
        yield f"enum {name}: {' '.join(str(value) or repr('') for value in enum)}"


def _errors() -> Iterator[str]:
    for code, error in sorted(ERRORS.items()):
        yield f"error {code}({', '.join(error.params)})"


def _classes() -> Iterator[str]:
    for name, entity in CATALOG.entities.items():
        yield ""
        yield f"class {name}{_flags(entity, 'constructor', 'listed', 'stored', 'persistent', 'events')} {_life(entity)}"
        yield f"  explicit by {entity.role.name}, implicit by {entity.reads.name}"
        yield from (_field(field) for field in entity.fields)
        messages = (method for method in CATALOG.methods.values() if method.entity is entity)
        yield from (_message(method) for method in messages if method.kind is Kind.EXPLICIT)
        derived = [method.name for method in CATALOG.methods.values() if method.entity is entity and _derived(method)]
        yield f"  derived: {' '.join(derived)}"


def _derived(method: Method) -> bool:
    return method.kind is not Kind.EXPLICIT


def _flags(thing: object, *names: str) -> str:
    return "".join(f" {name}" for name in names if getattr(thing, name))


def _life(thing: Any) -> str:
    return "[" + ", ".join(f"{state} {release}" for state, release in thing.history) + "]"


def _field(field: Field[Any]) -> str:
    text = f"  {field.qualifier} {field.type} {field.name}"
    if field.path != field.name:
        text += f" at {field.path}"
    if field.has_default:
        text += f" = {_plain(field.default)}"
    text += _flags(field, "internal", "derived", "dangling", "constructor", "setter_acts")
    text += "" if field.persistent else " volatile"
    if field.inverse:
        text += f" mirrors {field.inverse}"
    assert field.getter_role and field.setter_role
    text += f" read by {field.getter_role.name}, set by {field.setter_role.name}{_keys(field.map_key_roles)}"
    return text if field.history == field.owner.history else f"{text} {_life(field)}"


def _message(method: Method) -> str:
    params = ", ".join(
        f"{param.type} {param.name}{'' if param.required else f' = {_plain(param.default)}'}"
        f"{' secret' if param.secret else ''}{f' since {param.since}' if param.since else ''}"
        for param in method.params
    )
    text = f"  message {method.name}({params}) -> {method.result} by {method.role.name}{_keys(method.map_key_roles)}"
    text += _flags(method, "asynchronous", "pool_internal", "hidden", "secret", "emergency", "client_certificate")
    text += "" if method.session else " no session"
    if method.errors:
        text += f" raises {' '.join(error.code for error in method.errors)}"
    return text if method.history == method.entity.history else f"{text} {_life(method)}"


def _keys(roles: Any) -> str:
    return "".join(f", key {key} by {role.name}" for key, role in roles.items())


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return f"[{', '.join(_plain(item) for item in value)}]"
    if hasattr(value, "items"):
        return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
    return repr(str(value)) if isinstance(value, str) else str(value)
