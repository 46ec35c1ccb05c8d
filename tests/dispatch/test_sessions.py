"""Who is logged in, for how long, and who must go when there are too many."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import pytest

from tests.fakes.house import House
from xapi.datamodel.failure import Failure
from xapi.db.store import Operation
from xapi.dispatch.sessions import Session, SessionLimits, Sessions

DAY = 24 * 3600.0


@pytest.fixture
def sessions(house, clock) -> Sessions:
    return Sessions(house.toolstack.db, clock, SessionLimits(per_originator=3, total=5, idle_hours=24.0))


def open_one(house: House, sessions: Sessions, originator: str = "") -> Session:
    return sessions.open(user="u", originator=originator, this_host=house.toolstack.this_host, superuser=True)


def alive(sessions: Sessions, session: Session) -> bool:
    try:
        sessions.get(session.ref)
    except Failure as gone:
        assert gone.description == ["SESSION_INVALID", session.ref]
        return False
    return True


def test_the_least_recently_used_of_an_originator_makes_room(house, sessions, clock):
    opened = []
    for _ in range(3):
        clock.advance(1)
        opened.append(open_one(house, sessions, "backup"))
    other = open_one(house, sessions, "somebody else")
    clock.advance(1)
    sessions.get(opened[0].ref)
    newest = open_one(house, sessions, "backup")
    assert [alive(sessions, one) for one in (*opened, other, newest)] == [True, False, True, True, True]


def test_sessions_without_an_originator_share_their_own_limit(house, sessions, clock):
    opened = []
    for _ in range(7):
        clock.advance(1)
        opened.append(open_one(house, sessions))
    assert [alive(sessions, one) for one in opened] == [False, False, True, True, True, True, True]


def test_a_session_ends_after_a_day_without_use(house, sessions, clock):
    idle, used = open_one(house, sessions), open_one(house, sessions)
    clock.advance(DAY - 1)
    sessions.get(used.ref)
    clock.advance(2)
    assert sessions.reap() == 1
    assert alive(sessions, used) and not alive(sessions, idle)


def test_a_session_that_ended_has_no_row(house, sessions, client):
    one = open_one(house, sessions)
    assert client("session.get_uuid", one.ref)
    sessions.close(one.ref)
    sessions.close(one.ref)
    with pytest.raises(Failure) as gone:
        client("session.get_uuid", one.ref)
    assert gone.value.description == ["HANDLE_INVALID", "session", one.ref]


def test_reading_writes_nothing_to_the_disk(house, client, clock, monkeypatch):
    reader, store, written = threading.get_ident(), house.toolstack.db._store, []
    write = store.write

    def watched(operations: Iterable[Operation], settings: Mapping[str, str] | None = None) -> None:
        counted = list(operations)
        if threading.get_ident() == reader:  # services write when it is their time
            written.extend(counted)
        write(counted, settings)

    monkeypatch.setattr(store, "write", watched)
    clock.advance(3600)
    client.VM.get_all_records()
    client.pool.get_all()
    client.event.from_(["vm"], "", 0.0)
    assert written == []
    client.pool.set_name_label(client.pool.get_all()[0], "written")
    assert written


@pytest.mark.parametrize("wrong", ["", "OpaqueRef:NULL", "nonsense"])
def test_what_is_no_session_is_refused(client, wrong):
    with pytest.raises(Failure) as refused:
        client.bare("VM.get_all", wrong)
    assert refused.value.description == ["SESSION_INVALID", wrong]


def test_a_session_of_another_type_is_refused(client):
    with pytest.raises(Failure) as refused:
        client.bare("VM.get_all", {"deep": [["nest"]]})
    assert refused.value.description == ["FIELD_TYPE_ERROR", "session_id"]
