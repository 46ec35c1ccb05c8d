"""Whether somebody is who they say they are, and what they may do then."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.classes import Host, Subject
from xapi.datamodel.errors import SESSION_AUTHENTICATION_FAILED
from xapi.datamodel.model import Ref
from xapi.datamodel.roles import ROLES, Role, allowed_roles
from xapi.db.database import Database
from xapi.dispatch.sessions import Session, Sessions
from xapi.system.passwords import Authenticator, LockoutDelay, WrongPassword

SUPERUSER = "root"


def permissions(roles: frozenset[Role]) -> tuple[str, ...]:
    """The names of all permissions that the roles give: messages, and keys of maps with a rule of their own."""
    names: list[str] = []
    for method in CATALOG.methods.values():
        if not roles.isdisjoint(method.roles):
            names.append(method.wire_name.lower())
        names += (
            f"{method.wire_name}/key:{key}".lower()
            for key, role in method.map_key_roles.items()
            if not roles.isdisjoint(allowed_roles(role))
        )
    return tuple(names)


@dataclass(slots=True)
class LogIns:
    """Checks passwords, slows guessing down, and opens sessions."""

    authenticator: Authenticator
    lockout: LockoutDelay
    sessions: Sessions
    database: Database
    this_host: Ref[Host]
    lock: Lock

    def log_in(self, user: str, password: str, address: str, originator: str) -> Session:
        """Open a session for a user with a password; SESSION_AUTHENTICATION_FAILED says why not."""
        self.authenticate(user, password, address)
        if user == SUPERUSER:
            return self.sessions.open(user=user, originator=originator, this_host=self.this_host, superuser=True)
        subject = self.subject_named(user)
        roles = frozenset(role for role in ROLES if role.ref in subject.roles)
        if not roles:
            raise SESSION_AUTHENTICATION_FAILED(user, "the user has no role in this pool")
        return self.sessions.open(
            user=user,
            originator=originator,
            this_host=self.this_host,
            roles=roles,
            subject=subject.ref,
            subject_identifier=subject.subject_identifier,
            permissions=permissions(roles),
        )

    def log_in_locally(self, user: str, originator: str) -> Session:
        """Open a superuser's session for somebody at the Unix socket, whom the file system has let in."""
        return self.sessions.open(
            user=user or SUPERUSER, originator=originator, this_host=self.this_host, superuser=True
        )

    def authenticate(self, user: str, password: str, address: str) -> None:
        """Check a password; whoever has guessed too often must wait first."""
        with self.lock:
            seconds = self.lockout.delay(user, address)
        if seconds > 0:
            raise SESSION_AUTHENTICATION_FAILED(user, f"too many failures; try again in {seconds:.0f} seconds")
        try:
            self.authenticator.authenticate(user, password)
        except WrongPassword as wrong:
            with self.lock:
                self.lockout.note_failure(user, address)
            raise SESSION_AUTHENTICATION_FAILED(user, str(wrong)) from None
        with self.lock:
            self.lockout.note_success(user, address)

    def subject_named(self, user: str) -> Subject:
        """The subject that stands for a user known to the machine."""
        for subject in self.database.all(Subject):
            if user in (subject.subject_identifier, subject.other_config.get("subject-name")):
                return subject
        raise SESSION_AUTHENTICATION_FAILED(user, "the user has no role in this pool")
