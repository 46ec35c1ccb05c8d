"""The vocabulary in which XenAPI's classes, fields and messages are declared.

A class of the contract is a subclass of `Entity`; its fields are annotated `RW`, `StaticRO` or `DynamicRO`; its
messages are functions without a body, under `@message`. An instance of such a class is one immutable row of the
database: a tuple that begins with the object's reference and goes on with the fields in the order of declaration.
`catalog` seals the declarations once, when everything is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, ParamSpec, Self, TypeAlias, TypeVar, cast, overload

from xapi.datamodel.failure import ErrorCode
from xapi.datamodel.roles import POOL_ADMIN, READ_ONLY, Role
from xapi.datamodel.types import Type

T = TypeVar("T")
K = TypeVar("K")
R = TypeVar("R", covariant=True)
E = TypeVar("E", bound="Entity", covariant=True)
P = ParamSpec("P")

SetOf: TypeAlias = tuple[T, ...]
Map: TypeAlias = Mapping[K, T]


class Ref(str, Generic[E]):
    """The reference of an object of class `E`; at run time any `str` serves, `NULL` points nowhere."""

    __slots__ = ()


NULL: Final[Ref[Any]] = cast("Ref[Any]", "OpaqueRef:NULL")
NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Qualifier(StrEnum):
    """Who may set a field: anybody at any time, the creator, or the toolstack alone."""

    RW = "RW"
    STATIC_RO = "StaticRO"
    DYNAMIC_RO = "DynamicRO"


class Field(Generic[T]):
    """One declared field. Read on a row it gives the value, read on the class it gives itself."""

    def __init__(self, about: str, **options: Any) -> None:
        self.about = about
        self.has_default: bool = "default" in options
        self.default: Any = options.pop("default", None)
        self.group: str = options.pop("group", "")
        self.history: tuple[tuple[str, str], ...] = read_history(options.pop("since", ""))
        self.internal: bool = options.pop("internal", False)
        self.persistent: bool = options.pop("persistent", True)
        self.inverse: str = options.pop("inverse", "")
        self.derived: bool = options.pop("derived", False)
        self.dangling: bool = options.pop("dangling", False)
        self.getter_role: Role | None = options.pop("reads", None)
        self.setter_role: Role | None = options.pop("writes", None)
        self.client_certificate: bool = options.pop("client_certificate", False)
        self.map_key_roles: Mapping[str, Role] = options.pop("map_keys", {})
        self.setter_acts: bool = options.pop("setter_acts", False)
        self.constructor: bool | None = options.pop("constructor", None)
        if options:
            raise TypeError(f"unknown options of a field: {', '.join(options)}")
        # Filled in when the catalogue is sealed.
        self.name = ""
        self.index = -1
        self.qualifier = Qualifier.DYNAMIC_RO
        self.type: Type
        self.owner: type[Entity]

    def __set_name__(self, owner: type[Entity], name: str) -> None:
        self.name = name.rstrip("_")

    @overload
    def __get__(self, row: None, owner: type[Entity]) -> Self: ...
    @overload
    def __get__(self, row: Entity, owner: type[Entity]) -> T: ...
    def __get__(self, row: Entity | None, owner: type[Entity]) -> Self | T:
        if row is None:
            return self
        value: T = row[self.index]
        return value

    @property
    def state(self) -> str:
        """Where the field stands in its life: prototyped, published, deprecated or removed."""
        return current_state(self.history)

    @property
    def path(self) -> str:
        """The name by which queries and the stored database know the field: `memory__static_max`."""
        return f"{self.group}__{self.name[len(self.group) + 1 :]}" if self.group else self.name


class RW(Field[T]):
    """A field that clients may set at any time."""


class StaticRO(Field[T]):
    """A field that is set when the object is made, and later by messages of its own only."""


class DynamicRO(Field[T]):
    """A field that the toolstack alone sets."""


def field(about: str, **options: Any) -> Any:
    """Declare a field; see `Field` for the options.

    `default` the value when nobody gives one; `group` the leading words that queries separate by two underscores;
    `since` releases of its life; `internal` kept out of records; `inverse` the field of the other class that
    mirrors this one; `persistent=False` lost at a restart; `dangling` may name objects that are gone.
    """
    return Field(about, **options)


def many(inverse: str, about: str, **options: Any) -> Any:
    """Declare a set that is computed from the field `inverse` ("Class.field") of the objects that point here."""
    return Field(about, inverse=inverse, derived=True, **options)


def identity(**options: Any) -> Any:
    """Declare the UUID of a class."""
    return Field("the identifier that stays the same wherever the object goes", writes=POOL_ADMIN, **options)


class Entity(tuple[Any, ...]):
    """A declared class; its instances are rows. The first element is the reference."""

    __slots__ = ()
    wire_name: ClassVar[str]
    about: ClassVar[str]
    history: ClassVar[tuple[tuple[str, str], ...]]
    role: ClassVar[Role]
    reads: ClassVar[Role]
    constructor: ClassVar[bool]
    listed: ClassVar[bool]
    stored: ClassVar[bool]
    persistent: ClassVar[bool]
    events: ClassVar[bool]
    fields: ClassVar[tuple[Field[Any], ...]] = ()
    field_named: ClassVar[Mapping[str, Field[Any]]] = {}

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        since: str = "rio",
        role: Role = POOL_ADMIN,
        reads: Role = READ_ONLY,
        constructor: bool = False,
        listed: bool = True,
        stored: bool = True,
        persistent: bool = True,
        events: bool = True,
    ) -> None:
        """Note how the class behaves.

        `role` may change objects, `reads` may look at them; `constructor` gives create and destroy; `listed` gives
        get_all; `stored` keeps rows; `persistent` keeps them over a restart; `events` tells listeners of them.
        """
        super().__init_subclass__()
        cls.wire_name = name or cls.__name__
        cls.about = inspect.cleandoc(cls.__doc__ or "")
        cls.history = read_history(since)
        cls.role, cls.reads = role, reads
        cls.constructor, cls.listed, cls.stored = constructor, listed, stored
        cls.persistent, cls.events = persistent, events

    @property
    def ref(self) -> Ref[Self]:
        """The reference of this row's object."""
        reference: Ref[Self] = self[0]
        return reference


class Message(Generic[P, R]):
    """One declared message: what clients may call, with whom it is allowed to."""

    def __init__(
        self,
        function: Callable[P, R],
        owner: type[Entity],
        *,
        role: Role | None,
        errors: tuple[ErrorCode, ...],
        since: str,
        session: bool,
        asynchronous: bool,
        pool_internal: bool,
        hidden: bool,
        secret: bool,
        client_certificate: bool,
        map_keys: Mapping[str, Role],
        emergency: bool,
        param_since: Mapping[str, str],
        secret_params: tuple[str, ...],
    ) -> None:
        self.function = function
        self.owner = owner
        self.name = function.__name__.rstrip("_")
        self.wire_name = f"{owner.wire_name}.{self.name}"
        self.about = inspect.cleandoc(function.__doc__ or "")
        self.role = role or owner.role
        self.errors = errors
        self.history = read_history(since) or owner.history
        self.session = session
        self.asynchronous = asynchronous
        self.pool_internal = pool_internal
        self.hidden = hidden
        self.secret = secret
        self.client_certificate = client_certificate or self.role is READ_ONLY
        self.map_key_roles = map_keys
        self.emergency = emergency
        self.param_since = param_since
        self.secret_params = secret_params


def message(
    owner: type[Entity],
    *,
    role: Role | None = None,
    errors: tuple[ErrorCode, ...] = (),
    since: str = "",
    session: bool = True,
    asynchronous: bool = True,
    pool_internal: bool = False,
    hidden: bool = False,
    secret: bool = False,
    client_certificate: bool = False,
    map_keys: Mapping[str, Role] = NOTHING,
    emergency: bool = False,
    param_since: Mapping[str, str] = NOTHING,
    secret_params: tuple[str, ...] = (),
) -> Callable[[Callable[P, R]], Message[P, R]]:
    """Declare a message of `owner`: the function's parameters, defaults, result and docstring are the contract.

    `role` the least that may call; `session=False` needs none; `asynchronous` may be called as `Async.`;
    `pool_internal` is for the pool's own hosts; `secret` keeps its parameters out of logs; `emergency` works while
    the coordinator is away; `param_since` the release of parameters that came later than the message.
    """

    def declare(function: Callable[P, R]) -> Message[P, R]:
        return Message(
            function,
            owner,
            role=role,
            errors=errors,
            since=since,
            session=session,
            asynchronous=asynchronous,
            pool_internal=pool_internal,
            hidden=hidden,
            secret=secret,
            client_certificate=client_certificate,
            map_keys=map_keys,
            emergency=emergency,
            param_since=param_since,
            secret_params=secret_params,
        )

    return declare


def read_history(text: str) -> tuple[tuple[str, str], ...]:
    """Read "rio" or "prototyped kolkata, published lima" as pairs of state and release."""
    if not text:
        return ()
    if " " not in text:
        return (("published", text),)
    pairs = (part.split() for part in text.split(","))
    return tuple((state, release) for state, release in pairs)


def current_state(history: tuple[tuple[str, str], ...]) -> str:
    """The state that the last change of a life left behind; growing or changing leaves it as it was."""
    return next((state for state, _ in reversed(history) if state not in ("changed", "extended")), "published")
