"""Consoles of simulated domains: each listens on a Unix socket of its own, once somebody has asked for it."""

import contextlib
import os
import selectors
import socket
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from xapi.hypervisor.interface import (
    ChangeKind,
    ConsoleEndpoint,
    ConsoleProtocol,
    DomainChanged,
    DomainEvent,
    NoSuchDomain,
    StateUnusable,
    Unsupported,
)
from xapi.hypervisor.simulator.machine import Machine
from xapi.hypervisor.simulator.screens import ProtocolError, RfbScreen, Screen, TextScreen

_CHUNK = 65536
_PATIENCE = 8 * 1024 * 1024  # bytes that wait for a client who does not read, before we stop listening to it


@dataclass(slots=True)
class _Listener:
    domid: int
    name: str
    protocol: ConsoleProtocol
    path: Path
    socket: socket.socket


@dataclass(slots=True)
class _Connection:
    domid: int
    screen: Screen
    socket: socket.socket
    waiting: bytes = b""


class SimulatedConsoles:
    """The Consoles protocol: one thread serves them all, and there is none before the first is asked for."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lock = threading.Lock()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._listeners: dict[tuple[int, ConsoleProtocol], _Listener] = {}
        self._selector: selectors.BaseSelector | None = None
        self._thread: threading.Thread | None = None
        self._wake_out, self._wake_in = -1, -1
        self._gone: set[int] = set()
        self._closing = False
        self._unsubscribe = machine.events.subscribe(self._notice)

    def endpoint(self, uuid: str, protocol: ConsoleProtocol) -> ConsoleEndpoint:
        """Where this console listens, listening from now on; raises Unsupported when the domain has none such."""
        self._machine.strike("console", uuid)
        domain = self._machine.domain(uuid)
        if protocol not in domain.config.consoles:
            raise Unsupported(f"a {protocol} console of domain {uuid}")
        with self._lock:
            if self._closing:
                raise StateUnusable(str(self._machine.directory), "the driver was closed")
            known = self._listeners.get((domain.domid, protocol))
            if known is None:
                known = self._listen(domain.domid, domain.config.name, protocol)
        still = self._machine.domains.get(uuid)
        if still is None or still.domid != domain.domid:  # it went meanwhile, and its event may have come too early
            self._orphan(domain.domid)
            raise NoSuchDomain(uuid)
        return ConsoleEndpoint(protocol, known.path)

    def close(self) -> None:
        """Hang up everywhere and end the thread."""
        self._unsubscribe()
        with self._lock:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
            if thread is not None:
                self._wake()
        if thread is not None:
            thread.join()

    def _listen(self, domid: int, name: str, protocol: ConsoleProtocol) -> _Listener:
        """Begin to listen; the directory is a short temporary one, as a socket's path has at most 107 bytes."""
        selector = self._started()
        assert self._directory is not None
        path = Path(self._directory.name) / f"{domid}.{protocol}"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listening.bind(str(path))
            path.chmod(0o600)
            listening.listen(16)
        except OSError as error:
            listening.close()
            raise StateUnusable(str(path), error.strerror or "cannot listen") from error
        listener = _Listener(domid, name, protocol, path, listening)
        self._listeners[domid, protocol] = listener
        selector.register(listening, selectors.EVENT_READ, listener)
        self._wake()
        return listener

    def _started(self) -> selectors.BaseSelector:
        if self._selector is None:
            self._directory = tempfile.TemporaryDirectory(prefix="xapi-consoles-")
            self._wake_out, self._wake_in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._wake_out, selectors.EVENT_READ, None)
            self._thread = threading.Thread(target=self._serve, name="simulator-consoles", daemon=True)
            self._thread.start()
        return self._selector

    def _notice(self, event: DomainEvent) -> None:
        if self._selector is not None and isinstance(event, DomainChanged) and event.what is ChangeKind.DESTROYED:
            self._orphan(event.domid)

    def _orphan(self, domid: int) -> None:
        with self._lock:
            if not self._closing:
                self._gone.add(domid)
                self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes just as well
            os.write(self._wake_in, b"!")

    # ------------------------------------------------------------------------------------- on the serving thread

    def _serve(self) -> None:
        selector = self._selector
        assert selector is not None
        while not self._closing:
            for key, ready in selector.select():
                if key.data is None:
                    os.read(self._wake_out, _CHUNK)
                elif isinstance(key.data, _Listener):
                    self._accept(selector, key.data)
                else:
                    self._converse(selector, key.data, ready)
            with self._lock:
                gone, self._gone = self._gone, set()
            if gone:
                self._hang_up(selector, gone)
        self._hang_up(selector, None)
        selector.close()
        os.close(self._wake_out)
        os.close(self._wake_in)
        if self._directory is not None:
            self._directory.cleanup()

    def _accept(self, selector: selectors.BaseSelector, listener: _Listener) -> None:
        try:
            accepted, _address = listener.socket.accept()
        except OSError:
            return  # the caller gave up already, or we have no descriptor for it
        accepted.setblocking(False)
        make = RfbScreen if listener.protocol is ConsoleProtocol.RFB else TextScreen
        screen: Screen = make(listener.name)
        connection = _Connection(listener.domid, screen, accepted, screen.greet())
        selector.register(accepted, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def _converse(self, selector: selectors.BaseSelector, connection: _Connection, ready: int) -> None:
        try:
            if ready & selectors.EVENT_READ:
                data = connection.socket.recv(_CHUNK)
                if not data:
                    self._drop(selector, connection)
                    return
                connection.waiting += connection.screen.feed(data)
            if connection.waiting:
                sent = connection.socket.send(connection.waiting)
                connection.waiting = connection.waiting[sent:]
        except BlockingIOError:
            pass  # it was ready a moment ago; the selector will say when it is again
        except (OSError, ProtocolError):
            self._drop(selector, connection)
            return
        wanted = selectors.EVENT_WRITE if connection.waiting else 0
        if len(connection.waiting) < _PATIENCE:
            wanted |= selectors.EVENT_READ
        selector.modify(connection.socket, wanted, connection)

    def _drop(self, selector: selectors.BaseSelector, connection: _Connection) -> None:
        selector.unregister(connection.socket)
        connection.socket.close()

    def _hang_up(self, selector: selectors.BaseSelector, domids: set[int] | None) -> None:
        """Close every socket of these domains, or of all."""
        for key in list(selector.get_map().values()):
            data = key.data
            if data is not None and (domids is None or data.domid in domids):
                selector.unregister(key.fileobj)
                data.socket.close()
                if isinstance(data, _Listener):
                    data.path.unlink(missing_ok=True)
                    with self._lock:
                        self._listeners.pop((data.domid, data.protocol), None)
