"""XenAPI's class event."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.errors import (
    EVENT_FROM_TOKEN_PARSE_FAILURE,
    EVENT_SUBSCRIPTION_PARSE_FAILURE,
    EVENTS_LOST,
    SESSION_NOT_REGISTERED,
)
from xapi.datamodel.model import Entity, SetOf, StaticRO, field, message
from xapi.datamodel.roles import READ_ONLY
from xapi.datamodel.types import WireEnum


class EventOperation(WireEnum):
    """Whether an object was added, deleted or modified."""

    ADD = "add"
    DEL = "del"
    MOD = "mod"


class Event(Entity, name="event", listed=False, stored=False, persistent=False, events=False):
    """The report that an object was added, changed or deleted, delivered by event.from and event.next."""

    id: StaticRO[int] = field("number that grows with every event")
    timestamp: StaticRO[datetime] = field("when the event happened", since="published rio, deprecated boston")
    class_: StaticRO[str] = field("class of the object concerned, in lower case")
    operation: StaticRO[EventOperation] = field("whether the object was added, changed or deleted")
    ref_: StaticRO[str] = field("reference of the object concerned")
    obj_uuid: StaticRO[str] = field("uuid of the object concerned", since="published rio, deprecated boston")


@message(Event, role=READ_ONLY, since="published rio, deprecated boston")
def register(classes: SetOf[str]) -> None:
    """Subscribe the session to events of the given classes; '*' stands for all.

    Replaced by event.from, which needs no registration.
    """


@message(Event, role=READ_ONLY, since="published rio, deprecated boston")
def unregister(classes: SetOf[str]) -> None:
    """End the session's subscription to events of the given classes.

    Replaced by event.from.
    """


@message(
    Event,
    role=READ_ONLY,
    errors=(SESSION_NOT_REGISTERED, EVENTS_LOST, EVENT_SUBSCRIPTION_PARSE_FAILURE),
    since="published rio, deprecated boston",
    asynchronous=False,
)
def next() -> SetOf[Event]:
    """Wait for events of the registered classes and return them.

    Events missed between calls can be lost (EVENTS_LOST). Replaced by event.from.
    """


@message(
    Event,
    role=READ_ONLY,
    errors=(EVENT_FROM_TOKEN_PARSE_FAILURE, EVENT_SUBSCRIPTION_PARSE_FAILURE),
    since="boston",
    asynchronous=False,
)
def from_(classes: SetOf[str], token: str, timeout: float) -> SetOf[Event]:
    """Return all changes since the token, waiting up to timeout seconds for one.

    Classes may name one object ('vm/REF'); an empty token delivers every object first. The reply holds the next
    token.
    """


@message(Event, role=READ_ONLY, asynchronous=False)
def get_current_id() -> int:
    """Return the number of the most recent event."""


@message(Event, role=READ_ONLY, since="tampa", asynchronous=False)
def inject(class_: str, ref: str) -> str:
    """Report an object as changed without changing it and return the matching token.

    A client that sees a later token knows it has seen everything before it.
    """
