"""Carrying bytes between viewers and consoles: one thread for all connections, however many and however idle.

A connection costs a few hundred bytes while nothing moves, and at most about a megabyte while its viewer does not read:
then the guest's side is not read either. It ends when either side does, so nothing is left when a VM stops.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from xapi.hypervisor.rfb.messages import Activity
from xapi.rpc.websocket import CloseCode, WebSocket
from xapi.system.waking_selector import WakingSelector

LOG = logging.getLogger(__name__)
MOST = 2048
CHUNK = 64 * 1024
ROOM = 256 * 1024
"""Bytes that may wait in one direction before its source is read no more."""
TICK = 1.0
PING_AFTER = 30.0
"""Seconds of silence after which a WebSocket gets a sign of life, so that no proxy takes it for dead."""
FAREWELL = 10.0
"""Seconds that a viewer has to read what the guest said last."""
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_TURNS = 16
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class TooManyConsoles(Exception):
    """There is no room for another connection, or the relays were closed."""


class ConsoleTaken(Exception):
    """Somebody else looks at the console, and only one may; `users` are they."""

    def __init__(self, users: list[str]) -> None:
        super().__init__(", ".join(users))
        self.users = users


@dataclass(eq=False, slots=True)
class Seat:
    """The right to look at a VM's console, from before the connection until it ends."""

    vm: str
    user: str


@dataclass(eq=False, slots=True)
class _Relay:
    seat: Seat
    viewer: socket.socket
    guest: socket.socket
    codec: WebSocket | None
    activity: Activity | None
    idle_limit: float
    last_active: float
    last_sent: float
    to_viewer: bytearray = field(default_factory=bytearray)
    to_guest: bytearray = field(default_factory=bytearray)
    until: float = 0.0  # when a viewer that does not read its last bytes is given up; 0 while both sides are there
    watched: dict[socket.socket, int] = field(default_factory=dict)


class ConsoleRelays:
    """All console connections of a toolstack. `now` tells seconds that only grow."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._seats: dict[str, list[Seat]] = {}
        self._count = 0
        self._fresh: list[_Relay] = []
        self._relays: set[_Relay] = set()
        self._selector: WakingSelector | None = None
        self._thread: threading.Thread | None = None
        self._closing = False

    @property
    def count(self) -> int:
        """How many seats are taken."""
        return self._count

    def take_seat(self, vm: str, user: str, *, alone: bool) -> Seat:
        """Reserve a connection; ConsoleTaken when only one may look and another does, TooManyConsoles."""
        with self._lock:
            taken = self._seats.get(vm, [])
            if alone and taken:
                raise ConsoleTaken(sorted({seat.user for seat in taken}))
            if self._closing or self._count >= MOST:
                raise TooManyConsoles(f"{self._count} consoles are connected")
            seat = Seat(vm, user)
            self._seats.setdefault(vm, []).append(seat)
            self._count += 1
            return seat

    def leave(self, seat: Seat) -> None:
        """Give a seat back; doing so twice does no harm."""
        with self._lock:
            taken = self._seats.get(seat.vm, [])
            if seat in taken:
                taken.remove(seat)
                self._count -= 1
                if not taken:
                    del self._seats[seat.vm]

    def carry(
        self,
        seat: Seat,
        viewer: socket.socket,
        ahead: bytes,
        guest: socket.socket,
        *,
        codec: WebSocket | None = None,
        activity: Activity | None = None,
        idle_limit: float = 0.0,
    ) -> None:
        """Carry bytes from now on, and own both sockets and the seat. Does not wait.

        `ahead` is what the viewer sent already. After `idle_limit` seconds without any activity (any bytes count if
        `activity` is None) the connection ends; 0 is never.
        """
        now = self._now()
        relay = _Relay(seat, viewer, guest, codec, activity, idle_limit, now, now)
        viewer.setblocking(False)
        guest.setblocking(False)
        self._take_from_viewer(relay, ahead)
        with self._lock:
            if not self._closing:
                self._fresh.append(relay)
                self._started().wake()
                return
        self._end(relay)

    def close(self) -> None:
        """End every connection, and the thread."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
            if self._selector is not None:
                self._selector.wake()
        if thread is not None:
            thread.join()

    def _started(self) -> WakingSelector:
        if self._selector is None:
            self._selector = WakingSelector()
            self._thread = threading.Thread(target=self._serve, name="console-relays", daemon=True)
            self._thread.start()
        return self._selector

    # --------------------------------------------------------------------------------------- on the thread

    def _serve(self) -> None:
        selector = self._selector
        assert selector is not None
        eager: set[_Relay] = set()
        next_tick = self._now()
        while not self._closing:
            ready = selector.select(0 if eager else TICK if self._relays else None)
            stirred, eager = eager, set()
            stirred.update(key.data for key, _ in ready)
            with self._lock:
                fresh, self._fresh = self._fresh, []
            self._relays.update(fresh)
            stirred.update(fresh)
            eager = {relay for relay in stirred if relay in self._relays and self._pump(relay)}
            now = self._now()
            if now >= next_tick:
                next_tick = now + TICK
                for relay in list(self._relays):
                    self._look_after(relay, now)
        with self._lock:
            self._relays.update(self._fresh)
        for relay in list(self._relays):
            if relay.codec is not None and not relay.to_viewer:
                relay.codec.close(CloseCode.GOING_AWAY)
                with suppress(OSError):
                    relay.viewer.send(relay.codec.outbound())
            self._end(relay)
        selector.close()

    def _look_after(self, relay: _Relay, now: float) -> None:
        if relay.until and now > relay.until:
            self._end(relay)
        elif relay.idle_limit and now - relay.last_active > relay.idle_limit:
            LOG.info("the console of %s was idle for %d seconds and is closed", relay.seat.vm, relay.idle_limit)
            self._end(relay)
        elif relay.codec is not None and not relay.to_viewer and now - relay.last_sent > PING_AFTER:
            relay.codec.ping()
            relay.to_viewer += relay.codec.outbound()
            self._pump(relay)

    def _pump(self, relay: _Relay) -> bool:
        """Move what can be moved without waiting; say whether there may be more."""
        try:
            for _ in range(_TURNS):
                if not self._turn(relay):
                    break
            else:
                return True
        except OSError as error:
            LOG.debug("a console of %s was cut off: %s", relay.seat.vm, error)
            self._end(relay)
            return False
        if relay.until and not relay.to_viewer:
            self._end(relay)
        else:
            self._watch(relay)
        return False

    def _turn(self, relay: _Relay) -> bool:
        """One read and one write on each side; whether anything moved. ConnectionError when the viewer has gone."""
        moved = False
        open_both = not relay.until
        if open_both and len(relay.to_guest) < ROOM and (data := _receive(relay.viewer)) is not None:
            if not data:
                raise ConnectionResetError("the viewer has gone")
            self._take_from_viewer(relay, data)
            moved = True
        if not relay.until and relay.to_guest:
            try:
                moved |= _send(relay.guest, relay.to_guest)
            except OSError:
                self._begin_farewell(relay)
        if not relay.until and len(relay.to_viewer) < ROOM and (data := _receive_from_guest(relay.guest)) is not None:
            moved = True
            if not data:
                self._begin_farewell(relay)
            elif relay.codec is not None:
                relay.codec.wrap(data)
                relay.to_viewer += relay.codec.outbound()
            else:
                relay.to_viewer += data
        if relay.to_viewer and _send(relay.viewer, relay.to_viewer):
            relay.last_sent = self._now()
            moved = True
        return moved

    def _take_from_viewer(self, relay: _Relay, data: bytes) -> None:
        if relay.codec is not None:
            data = relay.codec.receive(data)
            relay.to_viewer += relay.codec.outbound()
            if relay.codec.closed:
                relay.until = self._now() + FAREWELL
        if data and (relay.activity is None or relay.activity.feed(data)):
            relay.last_active = self._now()
        relay.to_guest += data

    def _begin_farewell(self, relay: _Relay) -> None:
        relay.until = self._now() + FAREWELL
        if relay.codec is not None:
            relay.codec.close()
            relay.to_viewer += relay.codec.outbound()

    def _watch(self, relay: _Relay) -> None:
        """Let the selector report what can be done next, and nothing else."""
        viewer = _WRITE if relay.to_viewer else 0
        guest = 0
        if not relay.until:
            viewer |= _READ if len(relay.to_guest) < ROOM else 0
            guest |= _WRITE if relay.to_guest else 0
            guest |= _READ if len(relay.to_viewer) < ROOM else 0
        for side, wanted in ((relay.viewer, viewer), (relay.guest, guest)):
            before = relay.watched.get(side, 0)
            if wanted == before:
                continue
            assert self._selector is not None
            if not before:
                self._selector.register(side, wanted, relay)
            elif wanted:
                self._selector.modify(side, wanted, relay)
            else:
                self._selector.unregister(side)
            relay.watched[side] = wanted

    def _end(self, relay: _Relay) -> None:
        self._relays.discard(relay)
        for side in (relay.viewer, relay.guest):
            if relay.watched.pop(side, 0) and self._selector is not None:
                self._selector.unregister(side)
        if isinstance(relay.viewer, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                relay.viewer.unwrap()  # says goodbye; the answer to it is not awaited
        for side in (relay.viewer, relay.guest):
            side.close()
        self.leave(relay.seat)


def _receive(side: socket.socket) -> bytes | None:
    """What came, empty at the end; None when nothing did."""
    try:
        return side.recv(CHUNK)
    except _BLOCKED:
        return None


def _receive_from_guest(side: socket.socket) -> bytes | None:
    try:
        return _receive(side)
    except OSError:
        return b""  # what the guest said before it broke off still goes out


def _send(side: socket.socket, waiting: bytearray) -> bool:
    """Send what goes at once of what waits; whether anything went."""
    try:
        sent = side.send(bytes(waiting[:CHUNK]))
    except _BLOCKED:
        return False
    del waiting[:sent]
    return sent > 0
