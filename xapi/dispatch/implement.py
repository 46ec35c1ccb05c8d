"""How an action says which declared message it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from xapi.datamodel.catalog import CATALOG, Kind
from xapi.datamodel.model import Entity, Message, Ref
from xapi.datamodel.types import WireEnum
from xapi.dispatch.context import Context

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Entity)
Action = Callable[Concatenate[Context, P], R]


@dataclass(frozen=True, slots=True)
class Implementation:
    """An action and how it is to be called.

    `occupies` is the operation that its first object is busy with meanwhile; `runs_on` the parameter that names the
    host that does it; `checks_first=False` when the action itself says what is wrong with its first reference.
    """

    action: Callable[..., Any]
    occupies: WireEnum | None = None
    runs_on: str = ""
    checks_first: bool = True


IMPLEMENTATIONS: dict[str, Implementation] = {}


def _register(wire_name: str, implementation: Implementation) -> None:
    if wire_name in IMPLEMENTATIONS:
        raise TypeError(f"{wire_name} is implemented twice")
    IMPLEMENTATIONS[wire_name] = implementation


def implements(
    message: Message[P, R], *, occupies: WireEnum | None = None, runs_on: str = "", checks_first: bool = True
) -> Callable[[Action[P, R]], Action[P, R]]:
    """Say that the function below does a declared message; mypy holds it to the declared signature."""

    def register(action: Action[P, R]) -> Action[P, R]:
        _register(message.wire_name, Implementation(action, occupies, runs_on, checks_first))
        return action

    return register


def creates(
    entity: type[E],
) -> Callable[[Callable[[Context, dict[str, Any]], Ref[E]]], Callable[[Context, dict[str, Any]], Ref[E]]]:
    """Say that the function below makes objects of a class, from the fields that the client gave."""

    def register(action: Callable[[Context, dict[str, Any]], Ref[E]]) -> Callable[[Context, dict[str, Any]], Ref[E]]:
        _register(f"{entity.wire_name}.{Kind.CREATE}", Implementation(action))
        return action

    return register


def destroys(
    entity: type[E], *, occupies: WireEnum | None = None
) -> Callable[[Callable[[Context, Ref[E]], None]], Callable[[Context, Ref[E]], None]]:
    """Say that the function below removes an object of a class."""

    def register(action: Callable[[Context, Ref[E]], None]) -> Callable[[Context, Ref[E]], None]:
        _register(f"{entity.wire_name}.{Kind.DESTROY}", Implementation(action, occupies))
        return action

    return register


def overrides(wire_name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say that the function below does a derived message (a setter, `add_to_`, …) in a way of its own."""
    if wire_name not in CATALOG.methods:
        raise TypeError(f"there is no message {wire_name}")

    def register(action: Callable[..., Any]) -> Callable[..., Any]:
        _register(wire_name, Implementation(action))
        return action

    return register
