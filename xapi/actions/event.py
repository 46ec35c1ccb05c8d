"""Events: what has changed since a token, now or as soon as something does (XenAPI's class event)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import event as api
from xapi.datamodel.errors import (
    EVENT_FROM_TOKEN_PARSE_FAILURE,
    EVENT_SUBSCRIPTION_PARSE_FAILURE,
    EVENTS_LOST,
    HANDLE_INVALID,
    SESSION_NOT_REGISTERED,
)
from xapi.datamodel.model import Entity
from xapi.datamodel.types import Basic
from xapi.db.changes import Destroyed, EventsLost, Key
from xapi.db.database import Database, Version
from xapi.db.schema import CLASSES
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements, overrides
from xapi.dispatch.perform import Rendered, guarded
from xapi.rpc.call import Done, Outcome, Waiting
from xapi.rpc.forms import Form

LONGEST = 3600.0  # seconds that one call may wait
KEPT = 256  # rendered events and counts that are kept for other listeners
FEW = 64  # names in a subscription, or events in an answer, up to which it is kept for others who ask the same
EVENT_CLASSES = frozenset(entity for entity in CLASSES if entity.events)
ALL_NAMES = tuple(sorted(CATALOG.by_lower_name))


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a listener wants to hear of: whole classes, and single objects."""

    classes: frozenset[type[Entity]]
    objects: frozenset[Key]

    def wants(self, entity: type[Entity], ref: str) -> bool:
        """Say whether the listener wants to hear of this object."""
        return entity in self.classes or (entity, ref) in self.objects

    def keys(self) -> Iterable[Key]:
        """What to be woken for."""
        yield from ((entity, "") for entity in self.classes)
        yield from self.objects

    def entities(self) -> set[type[Entity]]:
        """The classes to look through."""
        return {*self.classes, *(entity for entity, _ in self.objects)}


@dataclass(frozen=True, slots=True)
class Change:
    """One event: an object that was made, changed or destroyed, with its state unless it is gone."""

    generation: int
    operation: str
    entity: type[Entity]
    ref: str
    version: Version | None


def subscription(names: Collection[str]) -> Subscription:
    """Read "*", "vm" or "VM/OpaqueRef:…", in any case; a class that there is not never changes."""
    return _known_subscription(tuple(names)) if len(names) <= FEW else _read_subscription(names)


def _read_subscription(names: Iterable[str]) -> Subscription:
    classes: set[type[Entity]] = set()
    objects: set[Key] = set()
    for name in names:
        if name == "*":
            classes.update(EVENT_CLASSES)
            continue
        kind, slash, ref = name.partition("/")
        if "/" in ref:
            raise EVENT_SUBSCRIPTION_PARSE_FAILURE(name)
        entity = CATALOG.by_lower_name.get(kind.lower())
        if entity not in EVENT_CLASSES:
            continue
        if slash:
            objects.add((entity, ref))
        else:
            classes.add(entity)
    return Subscription(frozenset(classes), frozenset(objects))


_known_subscription = lru_cache(maxsize=KEPT)(_read_subscription)


def read_token(token: str) -> int:
    """The generation in a token; nothing at all, or zero and less, stands for the beginning."""
    if not token:
        return -1
    _, _, generation = token.partition(",")
    try:
        return max(-1, int(generation) or -1)
    except ValueError:
        raise EVENT_FROM_TOKEN_PARSE_FAILURE(token) from None


def write_token(generation: int) -> str:
    """The token that stands for all that was published up to a generation."""
    return f"{generation:020d},{generation:020d}"


Counts = tuple[int, ...]  # of objects, class by class in the order of CLASSES


def changes_since(database: Database, wanted: Subscription, since: int) -> tuple[list[Change], int, Counts]:
    """The changes after a generation in order, the generation now, and how many objects there are of each class.

    All three belong to one moment. Raises EventsLost when destructions so old are forgotten.
    """
    found: list[Change] = []
    with database.published:
        now = database.generation
        for entity in wanted.entities():
            table = database.tables[entity]
            refs = table.log.changed_since(since) if since >= 0 else None
            for ref in table if refs is None else refs:
                version = table.get(ref)
                if version is not None and version.generation > since and wanted.wants(entity, ref):
                    operation = "add" if version.created > since else "mod"
                    found.append(Change(version.generation, operation, entity, ref, version))
            gone: Sequence[Destroyed] = table.log.destroyed_since(since) if since >= 0 else ()
            found += (
                Change(one.generation, "del", entity, one.ref, None)
                for one in gone
                if one.created <= since and one.ref not in table and wanted.wants(entity, one.ref)
            )
        counts = tuple(map(len, database.tables.values()))
    found.sort(key=lambda change: change.generation)
    return found, now, counts


@lru_cache(maxsize=KEPT)
def render_event(form: Form, change: Change) -> bytes:
    """One event as a struct; kept for a while, as many listeners ask for the same."""
    members = [
        ("id", form.value(Basic.STRING, str(change.generation))),
        ("timestamp", form.value(Basic.STRING, "0.0")),
        ("class", form.value(Basic.STRING, change.entity.wire_name.lower())),
        ("operation", form.value(Basic.STRING, change.operation)),
        ("ref", form.value(Basic.STRING, change.ref)),
    ]
    if change.version is not None:
        members.append(("snapshot", form.record(change.version)))
    return b"".join(form.struct(members))


@lru_cache(maxsize=KEPT)
def render_counts(form: Form, counts: Counts) -> bytes:
    """The number of objects of every class, also of those that are never stored."""
    numbers = {entity.wire_name.lower(): number for entity, number in zip(CLASSES, counts, strict=True)}
    return b"".join(form.struct((name, form.count(numbers.get(name, 0))) for name in ALL_NAMES))


def render_batch(form: Form, changes: list[Change], generation: int, counts: Counts) -> Rendered:
    """What `event.from` answers, in one piece."""
    events = b"".join(form.array(render_event(form, change) for change in changes))
    token = form.value(Basic.STRING, write_token(generation))
    valid = render_counts(form, counts)
    whole = form.struct((("events", events), ("valid_ref_counts", valid), ("token", token)))
    return Rendered((b"".join(whole),))


@overrides("event.from")
def from_(ctx: Context, classes: tuple[str, ...], token: str, timeout: float) -> Rendered | Waiting:
    """Answer the changes since a token as soon as there are some, or nothing when the time has passed."""
    wanted = subscription(classes)
    since = read_token(token)
    seen = ctx.db.generation
    if since > ctx.db.generation:
        since = ctx.db.generation
    seconds = min(max(timeout, 0.0), LONGEST) if math.isfinite(timeout) else LONGEST

    def look(last: bool) -> Rendered | None:
        question = (ctx.form, wanted, since, last)
        kept = ctx.toolstack.events.kept(ctx.db.generation)
        if question in kept:
            known: Rendered | None = kept[question]
            return known
        try:
            changes, generation, counts = changes_since(ctx.db, wanted, since)
        except EventsLost:
            raise EVENTS_LOST() from None
        answer = render_batch(ctx.form, changes, generation, counts) if changes or last else None
        if len(changes) <= FEW:
            kept[question] = answer  # right for as long as it is kept, even if it is newer than what was asked for
        return answer

    return look(seconds <= 0) or _wait(ctx, wanted, seconds, look, seen)


def _wait(
    ctx: Context, wanted: Subscription, seconds: float, look: Callable[[bool], Rendered | None], seen: int
) -> Waiting:
    """Go on looking each time that something wanted changes after the generation `seen`."""

    def attempt(last: bool) -> Outcome | None:
        def look_once() -> Outcome:
            ctx.toolstack.sessions.get(ctx.session.ref)
            rendered = look(last)
            return NOTHING_YET if rendered is None else Done(rendered.fragment)

        outcome = guarded("event.from", look_once)
        return None if outcome is NOTHING_YET or isinstance(outcome, Waiting) else outcome

    return ctx.toolstack.events.wait([*wanted.keys()], seconds, attempt, seen)


NOTHING_YET = Done(())


@implements(api.register)
def register(ctx: Context, classes: tuple[str, ...]) -> None:
    """Add classes to what the session's `event.next` tells."""
    subscription(classes)
    if not ctx.session.subscriptions:
        ctx.session.event_token = ctx.db.generation
    ctx.session.subscriptions.update(classes)


@implements(api.unregister)
def unregister(ctx: Context, classes: tuple[str, ...]) -> None:
    """Take classes out of what the session's `event.next` tells."""
    gone = {name.lower() for name in classes}
    ctx.session.subscriptions = {name for name in ctx.session.subscriptions if name.lower() not in gone}


@overrides("event.next")
def next_(ctx: Context) -> Rendered | Waiting:
    """Answer the changes since the last call as soon as there are some."""
    session = ctx.session
    if not session.subscriptions:
        raise SESSION_NOT_REGISTERED(session.ref)
    wanted = subscription(session.subscriptions)
    seen = ctx.db.generation

    def look(last: bool) -> Rendered | None:
        try:
            changes, generation, _ = changes_since(ctx.db, wanted, session.event_token)
        except EventsLost:
            session.event_token = ctx.db.generation
            raise EVENTS_LOST() from None
        session.event_token = generation
        if not changes and not last:
            return None
        return Rendered(ctx.form.array(render_event(ctx.form, change) for change in changes))

    return look(False) or _wait(ctx, wanted, LONGEST, look, seen)


@implements(api.get_current_id)
def get_current_id(ctx: Context) -> int:
    """The generation of the newest change."""
    return ctx.db.generation


@implements(api.inject)
def inject(ctx: Context, class_: str, ref: str) -> str:
    """Make an event for an object that has not changed, and answer the token that comes before it."""
    entity = CATALOG.by_lower_name.get(class_.lower())
    if entity is None or entity not in ctx.db.tables or ctx.db.find(entity, ref) is None:
        raise HANDLE_INVALID(class_, ref)
    token = write_token(ctx.db.generation)
    with ctx.transaction() as transaction:
        transaction.touch(entity, ref)
    return token
