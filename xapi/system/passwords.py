"""Who somebody is: the password file of a development host, PAM on a real one, and a brake on guessing."""

from __future__ import annotations

import hmac
import ipaddress
import pwd
import secrets
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Protocol, TypeVar

import pam

from xapi.system.atomic_file import create_once, write_atomically
from xapi.system.clock import Clock

# The texts of Linux-PAM's pam_strerror, which clients of the XenAPI know from SESSION_AUTHENTICATION_FAILED.
UNKNOWN_USER = "User not known to the underlying authentication module"
WRONG_PASSWORD = "Authentication failure"
NOT_AVAILABLE = "Authentication service cannot retrieve authentication info"

ROOT = "root"

V = TypeVar("V")


class WrongPassword(Exception):
    """Somebody is not let in; `reason` is a text that the client may see."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PasswordNotChanged(Exception):
    """A new password is not taken; `reason` is a text that the client may see."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Authenticator(Protocol):
    """Something that knows passwords; it may be asked from many threads at once."""

    def authenticate(self, user: str, password: str) -> None:
        """Return if the password is the user's; raise WrongPassword if it is not, or if that cannot be found out."""

    def change(self, user: str, new: str) -> None:
        """Give the user a new password, durably; raise PasswordNotChanged if that is not possible."""


class PasswordFile:
    """The one user root, whose password is the content of a file that only its owner can read.

    The file is read at each attempt, so an administrator can replace it while the server runs. A line break at its end
    does not count.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> bool:
        """Make the file with a random password unless it is there; true if it was made. An old file is left alone."""
        password = secrets.token_urlsafe(18)
        while password.startswith("-"):  # would look like an option on a command line
            password = secrets.token_urlsafe(18)
        return create_once(self.path, f"{password}\n".encode(), 0o600)

    def password(self) -> str:
        """The present password; raises OSError if the file cannot be read."""
        return self._stored().decode(errors="replace")

    def authenticate(self, user: str, password: str) -> None:
        """Let in root with the content of the file; any other user is unknown, and an empty file lets in nobody."""
        if user != ROOT:
            raise WrongPassword(UNKNOWN_USER)
        try:
            stored = self._stored()
        except OSError:
            raise WrongPassword(NOT_AVAILABLE) from None
        given = password.encode(errors="surrogatepass")
        if not hmac.compare_digest(stored, given) or not stored:
            raise WrongPassword(WRONG_PASSWORD)

    def change(self, user: str, new: str) -> None:
        """Replace the content of the file, atomically."""
        if user != ROOT:
            raise PasswordNotChanged(UNKNOWN_USER)
        if not new or not new.isprintable():
            raise PasswordNotChanged(
                "A password needs at least one character, and no line breaks or control characters"
            )
        write_atomically(self.path, f"{new}\n".encode(), 0o600)

    def _stored(self) -> bytes:
        return self.path.read_bytes().rstrip(b"\r\n")


class PamConversation(Protocol):
    """What is needed of python-pam's PamAuthenticator: one attempt, and then its code and reason."""

    code: int
    reason: str | bytes | None

    def authenticate(self, username: str, password: str, service: str, *, resetcreds: bool) -> bool:
        """Whether PAM lets the user in; sets code and reason."""


class Pam:
    """The users of the operating system, by way of PAM.

    Each attempt has a PAM handle of its own and holds no lock, so a module that waits for a distant directory delays
    nobody else. No more than `limit` attempts are made at once; one that finds no room for `patience` seconds fails.
    """

    def __init__(
        self,
        service: str = "xapi",
        limit: int = 16,
        patience: float = 30.0,
        start: Callable[[], PamConversation] = pam.PamAuthenticator,
    ) -> None:
        self._service = service
        self._room = BoundedSemaphore(limit)
        self._patience = patience
        self._start = start

    def authenticate(self, user: str, password: str) -> None:
        """Ask PAM's `auth` and `account` modules; the reason for a refusal is PAM's own text."""
        if not self._room.acquire(timeout=self._patience):
            raise WrongPassword(NOT_AVAILABLE)
        try:
            conversation = self._start()
            try:
                # Credentials (tickets, key rings) are for log-in programs; this process would gather everybody's.
                accepted = conversation.authenticate(user, password, self._service, resetcreds=False)
            except ValueError:  # a NUL, or a lone surrogate: no system account has those
                raise WrongPassword(WRONG_PASSWORD) from None
            if accepted:
                return
            # Many PAM stacks hide an unknown user behind a general failure; clients tell the two apart by this text.
            unknown = conversation.code == pam.PAM_AUTH_ERR and not _known(user)
        finally:
            self._room.release()
        reason = conversation.reason or WRONG_PASSWORD
        raise WrongPassword(UNKNOWN_USER if unknown else reason if isinstance(reason, str) else reason.decode())

    def change(self, user: str, new: str) -> None:
        """Refuse: python-pam cannot change passwords, the operating system's own tools can."""
        raise PasswordNotChanged("The passwords of this host are PAM's: change them with passwd on the host itself")


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@dataclass(slots=True)
class _Guesses:
    failures: int
    ready_at: float
    last: float


class LockoutDelay:
    """A brake on guessing: after a few failures, each further attempt has to wait twice as long as the one before.

    Failures count per user and per address (an IPv6 network of 64 bits is one address). The user's failures elsewhere
    don't delay an address from which that user has logged in before, so a stranger who guesses cannot lock the
    administrator out. A pure state machine over an injected clock: it never sleeps. Its tables are bounded, and forget
    the oldest first. Safe for threads.

    For each attempt call `delay`; if it answers 0.0, check the password and call `note_failure` or `note_success`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        free: int = 3,
        first: float = 0.5,
        longest: float = 30.0,
        forget_after: float = 900.0,
        capacity: int = 4096,
    ) -> None:
        self._clock = clock
        self._free = free
        self._first = first
        self._longest = longest
        self._forget_after = forget_after
        self._capacity = capacity
        self._guesses: OrderedDict[tuple[str, str], _Guesses] = OrderedDict()
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = Lock()

    def delay(self, user: str, address: str) -> float:
        """0.0 if this attempt may be checked now; otherwise the seconds after which to ask again.

        After a few failures the answer 0.0 is given to one attempt only: others that come side by side wait until its
        outcome is known, or at least for as long as after a failure.
        """
        now = self._clock.monotonic()
        with self._lock:
            entries = [
                entry
                for key in self._keys(_name(user), _place(address))
                if (entry := self._present(key, now)) is not None and entry.failures >= self._free
            ]
            wait = max((entry.ready_at - now for entry in entries), default=0.0)
            if wait > 0:
                return wait
            for entry in entries:
                entry.ready_at = now + self._penalty(entry.failures)
            return 0.0

    def note_failure(self, user: str, address: str) -> None:
        """Count a wrong password against the user and the address."""
        now = self._clock.monotonic()
        with self._lock:
            for key in (("user", _name(user)), ("address", _place(address))):
                entry = self._present(key, now) or _Guesses(0, now, now)
                entry.failures += 1
                entry.last = now
                entry.ready_at = max(entry.ready_at, now + self._penalty(entry.failures))
                self._remember(self._guesses, key, entry)

    def note_success(self, user: str, address: str) -> None:
        """Welcome the address to the user, and forget the failures that were of this user at this address only.

        Others stay: a guesser with an account of his own, or with the luck that the administrator logs in often, would
        wipe out the brake's memory.
        """
        by_user, by_address = ("user", _name(user)), ("address", _place(address))
        with self._lock:
            failures = {key: entry.failures for key in (by_user, by_address) if (entry := self._guesses.get(key))}
            if len(failures) == 2:
                fewest = min(failures.values())
                for key in [key for key, count in failures.items() if count == fewest]:
                    del self._guesses[key]
            self._remember(self._welcome, (by_user[1], by_address[1]), None)

    def __len__(self) -> int:
        return len(self._guesses) + len(self._welcome)

    def _keys(self, user: str, place: str) -> list[tuple[str, str]]:
        by_address = ("address", place)
        return [by_address] if (user, place) in self._welcome else [("user", user), by_address]

    def _present(self, key: tuple[str, str], now: float) -> _Guesses | None:
        entry = self._guesses.get(key)
        if entry is not None and now - entry.last > self._forget_after:
            del self._guesses[key]
            return None
        return entry

    def _penalty(self, failures: int) -> float:
        beyond = failures - self._free
        if beyond < 0:
            return 0.0
        return float(min(self._first * 2 ** min(beyond, 32), self._longest))

    def _remember(self, table: OrderedDict[tuple[str, str], V], key: tuple[str, str], value: V) -> None:
        table[key] = value
        table.move_to_end(key)
        while len(table) > self._capacity:
            table.popitem(last=False)


def _name(user: str) -> str:
    return user[:256]  # longer ones would make the bounded tables large


def _place(address: str) -> str:
    """The part of an address that somebody cannot change at will: IPv6 hands out networks of 64 bits."""
    with suppress(ValueError):
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            if parsed.ipv4_mapped is not None:
                return str(parsed.ipv4_mapped)
            return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
    return address
