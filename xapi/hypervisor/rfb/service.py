"""Serving consoles on Unix sockets: one thread for all of them, and none before the first is asked for.

Sockets listen in a private directory of short name, because a socket's path has at most 107 bytes. Nobody who does not
read, or reads slowly, holds up anybody else, and each has only so many bytes waiting.
"""

import logging
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from xapi.hypervisor.rfb.errors import ProtocolError
from xapi.system.waking_selector import WakingSelector

LOG = logging.getLogger(__name__)
CONTROL_DOMAIN = "00000000-0000-0000-0000-000000000000"
"""The name of domain 0, as Xen itself calls it; drivers that know it have consoles of the host under this name."""
VIEWERS = 64
"""How many may look at one console at a time."""
TICK = 1.0
_CHUNK = 65536
_PATIENCE = 4 * 1024 * 1024  # bytes that wait for a viewer before we stop listening to it


class Conversation(Protocol):
    """What is said to one viewer; without I/O."""

    def greet(self) -> bytes:
        """What to send before anything came."""

    def feed(self, data: bytes) -> bytes:
        """Take what came and answer what to send; raises ProtocolError to hang up."""

    def update(self) -> bytes:
        """What else there is to send, now that everything else has gone."""

    def close(self) -> None:
        """The viewer has gone."""


class Screen(Protocol):
    """One console, which any number of viewers share."""

    def converse(self) -> Conversation:
        """Begin with a new viewer."""

    def tick(self) -> None:
        """Notice that time has passed; called about once a second while somebody looks."""


class Source(Protocol):
    """Something that speaks by itself, such as a line to a guest's serial port (see `stream_line.StreamLine`)."""

    def fileno(self) -> int:
        """The descriptor that says when there is something to hear."""

    def receive(self) -> bool:
        """Take what there is to hear now; False when there will be nothing more."""

    def close(self) -> None:
        """Hang up."""


@dataclass(eq=False, slots=True)
class _Listener:
    key: Hashable
    make: Callable[[], Screen]
    path: Path
    socket: socket.socket
    screen: Screen | None = None  # there is none before somebody looks
    viewers: set["_Viewer"] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class _Viewer:
    listener: _Listener
    conversation: Conversation
    socket: socket.socket
    waiting: bytes = b""
    wanted: int = 0


@dataclass(eq=False, slots=True)
class _Heard:
    source: Source
    keys: frozenset[Hashable]  # of the consoles that show what it says


class ConsoleClosed(Exception):
    """The service has ended, or cannot listen."""


class ConsoleService:
    """Any number of consoles on sockets of their own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._listeners: dict[Hashable, _Listener] = {}
        self._selector: WakingSelector | None = None
        self._thread: threading.Thread | None = None
        self._gone: set[Hashable] = set()
        self._heard: set[_Heard] = set()
        self._looking: set[_Listener] = set()
        self._closing = False

    @property
    def started(self) -> bool:
        """Whether anything was ever asked for."""
        return self._thread is not None

    def listen(self, key: Hashable, file_name: str, make: Callable[[], Screen]) -> Path:
        """The socket of a console, made when it is asked for first; ConsoleClosed where that cannot be.

        `make` is called on the serving thread, when the first viewer comes.
        """
        with self._lock:
            if self._closing:
                raise ConsoleClosed("the consoles were closed")
            known = self._listeners.get(key)
            return known.path if known is not None else self._listen(key, file_name, make)

    def hear(self, source: Source, keys: frozenset[Hashable]) -> None:
        """Listen to a source from now on, whether or not anybody looks, so that it never waits for us.

        The consoles of these keys show what it says. When it ends, or they are hung up, both are closed. The source
        is the service's from here; ConsoleClosed where it listens no more, and then the source is closed too.
        """
        with self._lock:
            if self._closing:
                source.close()
                raise ConsoleClosed("the consoles were closed")
            heard = _Heard(source, keys)
            self._heard.add(heard)
            selector = self._started()
            selector.register(source.fileno(), selectors.EVENT_READ, heard)
            selector.wake()

    def hang_up(self, keys: set[Hashable]) -> None:
        """Close these consoles, with everybody who looks at them."""
        with self._lock:
            if self._selector is not None and not self._closing:
                self._gone |= keys
                self._selector.wake()

    def close(self) -> None:
        """Hang up everywhere and end the thread."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
            if self._selector is not None:
                self._selector.wake()
        if thread is not None:
            thread.join()

    def _listen(self, key: Hashable, file_name: str, make: Callable[[], Screen]) -> Path:
        selector = self._started()
        assert self._directory is not None
        path = Path(self._directory.name) / file_name
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listening.bind(str(path))
            path.chmod(0o600)
            listening.listen(64)
        except OSError as error:
            listening.close()
            raise ConsoleClosed(f"{path}: {error.strerror}") from error
        listener = self._listeners[key] = _Listener(key, make, path, listening)
        selector.register(listening, selectors.EVENT_READ, listener)
        selector.wake()
        return path

    def _started(self) -> WakingSelector:
        if self._selector is None:
            self._directory = tempfile.TemporaryDirectory(prefix="xapi-consoles-")
            self._selector = WakingSelector()
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        return self._selector

    # ------------------------------------------------------------------------------------- on the serving thread

    def _serve(self) -> None:
        selector = self._selector
        assert selector is not None
        due = time.monotonic() + TICK
        while not self._closing:
            happened = selector.select(max(0.0, due - time.monotonic()) if self._looking else None)
            stirred: set[_Listener] = set()
            for key, ready in happened:
                if isinstance(key.data, _Listener):
                    self._accept(selector, key.data)
                elif isinstance(key.data, _Heard):
                    stirred |= self._hear(selector, key.data)
                elif self._converse(key.data, ready):
                    stirred.add(key.data.listener)
            if time.monotonic() >= due:
                due = time.monotonic() + TICK
                stirred = set(self._looking)
            for listener in stirred:
                self._refresh(listener)
            with self._lock:
                gone, self._gone = self._gone, set()
            if gone:
                self._drop_listeners(selector, gone)
        self._drop_listeners(selector, set(self._listeners))
        for heard in self._heard:  # those that no console shows
            heard.source.close()
        selector.close()
        if self._directory is not None:
            self._directory.cleanup()

    def _hear(self, selector: selectors.BaseSelector, heard: _Heard) -> set[_Listener]:
        """Listen once; the consoles at which somebody sees something new."""
        if not heard.source.receive():
            with self._lock:
                self._heard.discard(heard)
                self._gone |= heard.keys
            selector.unregister(heard.source.fileno())
            heard.source.close()
            return set()
        found = (self._listeners.get(key) for key in heard.keys)
        return {listener for listener in found if listener is not None and listener.viewers}

    def _refresh(self, listener: _Listener) -> None:
        if listener.screen is not None:
            listener.screen.tick()
        for viewer in list(listener.viewers):
            self._push(viewer)

    def _accept(self, selector: selectors.BaseSelector, listener: _Listener) -> None:
        try:
            accepted, _address = listener.socket.accept()
        except OSError:
            return  # the caller gave up already, or we have no descriptor for it
        if len(listener.viewers) >= VIEWERS:
            accepted.close()
            return
        accepted.setblocking(False)
        if listener.screen is None:
            listener.screen = listener.make()
        conversation = listener.screen.converse()
        viewer = _Viewer(listener, conversation, accepted, conversation.greet(), selectors.EVENT_READ)
        listener.viewers.add(viewer)
        self._looking.add(listener)
        selector.register(accepted, viewer.wanted, viewer)
        self._push(viewer)

    def _converse(self, viewer: _Viewer, ready: int) -> bool:
        """Listen to a viewer, or send on to it; say whether it said something."""
        data = b""
        try:
            if ready & selectors.EVENT_READ:
                data = viewer.socket.recv(_CHUNK)
                if not data:
                    self._drop(viewer)
                    return False
                viewer.waiting += viewer.conversation.feed(data)
        except BlockingIOError:
            return False
        except (OSError, ProtocolError) as error:
            LOG.debug("console %s: %s", viewer.listener.key, error)
            self._drop(viewer)
            return False
        self._push(viewer)
        return bool(data)

    def _push(self, viewer: _Viewer) -> None:
        """Send what the viewer takes; once it has all, what else is new."""
        try:
            if not viewer.waiting:
                viewer.waiting = viewer.conversation.update()
            while viewer.waiting:
                sent = viewer.socket.send(viewer.waiting)
                viewer.waiting = viewer.waiting[sent:] or viewer.conversation.update()
        except BlockingIOError:
            pass  # the selector will say when it takes more
        except OSError:
            self._drop(viewer)
            return
        wanted = selectors.EVENT_WRITE if viewer.waiting else 0
        if len(viewer.waiting) < _PATIENCE:
            wanted |= selectors.EVENT_READ
        if wanted != viewer.wanted and self._selector is not None and viewer in viewer.listener.viewers:
            viewer.wanted = wanted
            self._selector.modify(viewer.socket, wanted, viewer)

    def _drop(self, viewer: _Viewer) -> None:
        listener = viewer.listener
        if viewer in listener.viewers:
            listener.viewers.discard(viewer)
            if not listener.viewers:
                self._looking.discard(listener)
            assert self._selector is not None
            self._selector.unregister(viewer.socket)
            viewer.socket.close()
            viewer.conversation.close()

    def _drop_listeners(self, selector: selectors.BaseSelector, keys: set[Hashable]) -> None:
        with self._lock:
            ended = {heard for heard in self._heard if not heard.keys.isdisjoint(keys)}
            self._heard -= ended
        for heard in ended:
            selector.unregister(heard.source.fileno())
            heard.source.close()
        for key in keys:
            with self._lock:
                listener = self._listeners.pop(key, None)
            if listener is not None:
                for viewer in list(listener.viewers):
                    self._drop(viewer)
                selector.unregister(listener.socket)
                listener.socket.close()
                listener.path.unlink(missing_ok=True)
