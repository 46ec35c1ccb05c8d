"""Wires the house: opens the database, finds what the host has, and listens."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from threading import Event, Lock
from typing import Any

from xapi import actions
from xapi.actions.attach_disks import AttachDisks
from xapi.actions.attach_networks import AttachNetworks
from xapi.actions.sr.attaching import plug_at_start
from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import Host
from xapi.db.database import Database
from xapi.db.store import Store, open_engine
from xapi.db.upgrade import NewerDatabase, prepare
from xapi.dispatch.events import EventFeed
from xapi.dispatch.logins import LogIns
from xapi.dispatch.occupy import derive_allowed_operations, fill_all_allowed_operations
from xapi.dispatch.perform import Performer
from xapi.dispatch.sessions import SessionLimits, Sessions
from xapi.dispatch.tasks import Tasks
from xapi.dispatch.toolstack import Toolstack
from xapi.http_handlers.routes import Routes, make_doors
from xapi.hypervisor.interface import HypervisorDriver
from xapi.network.interface import NetworkDriver
from xapi.rpc.endpoint import Endpoint
from xapi.rpc.http import Server
from xapi.services.guest_watcher import GuestWatcher
from xapi.services.periodic import Periodic
from xapi.services.startup import startup
from xapi.storage.interface import SrDriver
from xapi.system.certificate_checks import CertificateProblem
from xapi.system.certificates import ensure_server_certificate, server_context
from xapi.system.clock import Clock, SystemClock
from xapi.system.log import start_logging
from xapi.system.passwords import Authenticator, LockoutDelay, Pam, PasswordFile
from xapi.system.settings import Settings, from_command_line

LOG = logging.getLogger("xapi.server")
WORKERS = 256
REAP_SECONDS = 60.0


class StateInUse(Exception):
    """Another toolstack runs on the same state directory."""


class RunningServer:
    """One toolstack with its doors open. Everything that was started is stopped by `close`, in reverse."""

    def __init__(self, settings: Settings, clock: Clock | None = None, *, doors: bool = True) -> None:
        self.settings = settings
        self._doors = doors
        self._stack = ExitStack()
        try:
            self._open(clock or SystemClock())
        except BaseException:
            self._stack.close()
            raise

    def _open(self, clock: Clock) -> None:
        settings, stack = self.settings, self._stack
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        stack.enter_context(_locked(settings.state / "lock"))
        actions.load()
        database = self._database()
        hypervisor = open_hypervisor(settings)
        stack.callback(hypervisor.close)
        hostname = socket.gethostname()
        self.certificate = ensure_server_certificate(
            settings.server_certificate, hostname, (settings.https.host,), clock.now()
        )
        drivers = open_storage_drivers(settings)
        started = startup(database, clock, hypervisor, settings, drivers=tuple(driver.type for driver in drivers))
        fill_all_allowed_operations(database)
        database.derivations.append(derive_allowed_operations)
        workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="async")
        stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        limits = SessionLimits(settings.sessions_per_originator, settings.sessions_total, settings.session_idle_hours)
        events = EventFeed(database, clock)
        self.toolstack = Toolstack(
            db=database,
            clock=clock,
            state=settings.state,
            this_host=started.this_host,
            sessions=Sessions(database, clock, limits),
            tasks=Tasks(database, clock, started.this_host),
            events=events,
            workers=workers,
            hypervisor=hypervisor,
            https_port=settings.https.port,
        )
        self.authenticator = _authenticator(settings)
        self.toolstack.parts[LogIns] = LogIns(
            self.authenticator,
            LockoutDelay(clock),
            self.toolstack.sessions,
            database,
            started.this_host,
            Lock(),
        )
        repositories = StorageRepositories(drivers)
        stack.callback(repositories.close)
        networking = open_network_driver(settings)
        stack.callback(networking.close)
        attach_networks = AttachNetworks(database, networking, started.this_host)
        self.toolstack.parts |= {
            StorageRepositories: repositories,
            AttachDisks: AttachDisks(database, repositories),
            AttachNetworks: attach_networks,
        }
        plug_at_start(database, repositories, started.to_plug)
        attach_networks.remember()
        hypervisor.configure(database.get(Host, started.this_host).other_config)
        guests = GuestWatcher(self.toolstack)
        guests.start()
        stack.callback(guests.stop)
        events.start()
        stack.callback(events.stop)
        reaper = Periodic("reaper", REAP_SECONDS, self.toolstack.reap)
        reaper.start()
        stack.callback(reaper.stop)
        if self._doors:
            self._listen()

    def _database(self) -> Database:
        settings = self.settings
        engine = open_engine(settings.database)
        path = Path(engine.url.database) if engine.url.get_backend_name() == "sqlite" and engine.url.database else None
        kept = prepare(engine, path)
        if kept is not None:
            LOG.info("the database was upgraded; the old one is kept as %s", kept)
        database = Database(Store(engine))
        self._stack.callback(database.close)
        return database

    def _listen(self) -> None:
        settings = self.settings
        self.performer = Performer(self.toolstack)
        self.http = Server(Routes(Endpoint(self.performer), make_doors(self.toolstack)))
        self._stack.callback(self.http.close, 2.0)
        self.https_address = self.http.listen_tcp(
            settings.https.host, settings.https.port, server_context(settings.server_certificate)
        )
        self.http_address = None
        if settings.http is not None:
            self.http_address = self.http.listen_tcp(settings.http.host, settings.http.port)
        self.http.listen_unix(settings.socket, 0o600)
        self.http.start()

    def close(self) -> None:
        """Close the doors, let running calls end, and leave everything durable."""
        self._stack.close()


def _locked(path: Path) -> ExitStack:
    """Hold a file's lock for as long as the stack is open, so that two toolstacks never share a state."""
    stack = ExitStack()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stack.close()
        raise StateInUse(f"another xapi runs with the state in {path.parent}") from None
    return stack


def open_hypervisor(settings: Settings) -> HypervisorDriver:
    """Open the driver that the settings name; `auto` takes the simulator until a real one is found to work here."""
    name = "simulator" if settings.hypervisor == "auto" else settings.hypervisor
    for point in entry_points(group="xapi.hypervisor"):
        if point.name == name:
            tables: Mapping[str, Mapping[str, str]] = {"simulator": settings.simulator}
            opened: HypervisorDriver = point.load()(settings.state / name, tables.get(name, {}))
            return opened
    raise LookupError(f"there is no driver for the hypervisor {name!r}")


def open_storage_drivers(settings: Settings) -> tuple[SrDriver, ...]:
    """Every storage driver that is installed, one a type."""
    found: list[SrDriver] = []
    for point in sorted(entry_points(group="xapi.storage"), key=lambda one: one.name):
        found += point.load()(settings.state)
    return tuple(found)


def open_network_driver(settings: Settings) -> NetworkDriver:
    """Open the driver that makes the bridges of this host."""
    (point,) = entry_points(group="xapi.network", name="simulator")
    opened: NetworkDriver = point.load()(settings.state / "network", settings.network)
    return opened


def _authenticator(settings: Settings) -> Authenticator:
    if settings.auth == "pam":
        return Pam()
    passwords = PasswordFile(settings.root_password)
    passwords.prepare()
    return passwords


def greeting(server: RunningServer) -> str:
    """What a person reads who has just started a host: where it is, how to log in, what to try."""
    settings = server.settings
    host, port = server.https_address
    address = f"{host}:{port}"
    lines = [
        "",
        f"  xapi is ready.  HTTPS  https://{address}",
    ]
    if server.http_address is not None:
        lines.append(f"                  HTTP   http://{server.http_address[0]}:{server.http_address[1]}")
    lines += [f"                  socket {settings.socket}", ""]
    password = "your own"
    if settings.auth == "password":
        password = settings.root_password.read_text().strip()
    lines += [
        f"  user root, password {password}",
        "",
        "  Try:",
        f"    curl --insecure https://{address}/",
        f"    curl --insecure https://{address}/jsonrpc -d '"
        '{"jsonrpc":"2.0","id":1,"method":"session.login_with_password","params":["root","' + password + "\"]}'",
        f"    {sys.executable} -c \"import ssl, XenAPI; s = XenAPI.Session('https://{address}', ignore_ssl=True);"
        f" s.login_with_password('root', '{password}'); print(s.xenapi.VM.get_all_records())\"",
        "",
        "  Stop with Ctrl-C.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the server until it is told to stop (SIGINT or SIGTERM)."""
    settings = from_command_line()
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = start_logging(settings.log_level, settings.log_file, settings.audit_log)
    signal.signal(signal.SIGHUP, lambda *_: logs.reopen())
    sys.setswitchinterval(0.00005)  # small calls do not wait long beside large answers
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        server = RunningServer(settings)
    except (StateInUse, CertificateProblem, NewerDatabase, OSError) as problem:
        sys.stderr.write(f"xapi: {problem}\n")
        return 1
    sys.stdout.write(greeting(server))
    sys.stdout.flush()
    stopping.wait()
    server.close()
    return 0


__all__: list[Any] = ["RunningServer", "StateInUse", "main", "open_hypervisor"]
