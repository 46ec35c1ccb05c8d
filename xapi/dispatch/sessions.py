"""Who is logged in. Sessions live in memory; their rows are there for clients to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock

from xapi.datamodel.classes import Host
from xapi.datamodel.classes import Session as SessionRow
from xapi.datamodel.errors import FIELD_TYPE_ERROR, SESSION_INVALID
from xapi.datamodel.model import NULL, Ref
from xapi.datamodel.roles import Role
from xapi.db.database import Database
from xapi.system.clock import Clock

ROW_REFRESH = 60.0  # seconds after which a session's row is told that the session was used


@dataclass(slots=True, eq=False)
class Session:
    """One log-in: who it is, what may be done in it, and when it was used last (monotonic seconds)."""

    ref: str
    user: str
    originator: str = ""
    roles: frozenset[Role] = frozenset()
    superuser: bool = False
    pool: bool = False
    last_used: float = 0.0
    row_told: float = 0.0
    subscriptions: set[str] = field(default_factory=set)
    event_token: int = -1

    def may(self, allowed: tuple[Role, ...]) -> bool:
        """Say whether one of the session's roles is among the allowed."""
        return self.superuser or self.pool or not self.roles.isdisjoint(allowed)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions there may be, and how long an unused one lives (hours)."""

    per_originator: int = 500
    total: int = 200
    idle_hours: float = 24.0


class Sessions:
    """The sessions of this toolstack."""

    def __init__(self, database: Database, clock: Clock, limits: SessionLimits) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._sessions: dict[str, Session] = {}
        self._lock = Lock()

    def open(
        self,
        *,
        user: str,
        originator: str,
        this_host: Ref[Host],
        roles: frozenset[Role] = frozenset(),
        superuser: bool = False,
        pool: bool = False,
        subject: str = NULL,
        subject_identifier: str = "",
        permissions: tuple[str, ...] = (),
        client_certificate: bool = False,
    ) -> Session:
        """Log somebody in; the sessions unused for longest make room when there are too many."""
        now = self._clock.now()
        with self._database.transaction() as transaction:
            ref = transaction.create(
                SessionRow,
                this_host=this_host,
                pool=pool,
                is_local_superuser=superuser,
                last_active=now,
                validation_time=now,
                subject=subject,
                auth_user_sid=subject_identifier,
                auth_user_name=user,
                rbac_permissions=permissions,
                originator=originator,
                client_certificate=client_certificate,
            )
        moment = self._clock.monotonic()
        session = Session(ref, user, originator, roles, superuser, pool, moment, moment)
        with self._lock:
            self._sessions[ref] = session
            crowded = self._crowded(session)
        for old in crowded:
            self.close(old.ref)
        return session

    def _crowded(self, newest: Session) -> list[Session]:
        """The sessions that must go to keep the limits, least recently used first; never the newest."""
        others = sorted((one for one in self._sessions.values() if one is not newest), key=lambda one: one.last_used)
        same = [one for one in others if one.originator == newest.originator]
        if newest.originator:
            return same[: max(0, len(same) + 1 - self._limits.per_originator)]
        return same[: max(0, len(same) + 1 - self._limits.total)]

    def get(self, ref: object) -> Session:
        """The session of a reference, marked as used now; SESSION_INVALID when there is none."""
        if not isinstance(ref, str):
            raise FIELD_TYPE_ERROR("session_id")
        session = self._sessions.get(ref)
        if session is None:
            raise SESSION_INVALID(ref)
        session.last_used = now = self._clock.monotonic()
        if now - session.row_told > ROW_REFRESH:
            session.row_told = now
            self._tell_row(session)
        return session

    def _tell_row(self, session: Session) -> None:
        """Note the use in the row; that costs no disk and tells nobody, as sessions have no events."""
        with self._database.transaction() as transaction:
            if transaction.find(SessionRow, session.ref) is not None:
                transaction.update(SessionRow, session.ref, last_active=self._clock.now())

    def close(self, ref: str) -> None:
        """Log out; a session that is gone already stays gone."""
        with self._lock:
            gone = self._sessions.pop(ref, None)
        if gone is not None:
            with self._database.transaction() as transaction:
                if transaction.find(SessionRow, ref) is not None:
                    transaction.delete(SessionRow, ref)

    def all(self) -> list[Session]:
        """Every session."""
        with self._lock:
            return list(self._sessions.values())

    def reap(self) -> int:
        """Close the sessions that nobody has used for too long; answers how many."""
        oldest = self._clock.monotonic() - timedelta(hours=self._limits.idle_hours).total_seconds()
        idle = [session for session in self.all() if session.last_used < oldest]
        for session in idle:
            self.close(session.ref)
        return len(idle)
