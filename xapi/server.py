"""Wires the house: opens the database, finds what the host has, and listens."""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import Lock, Timer
from typing import Protocol

from xapi import actions
from xapi.actions.attach_disks import AttachDisks
from xapi.actions.attach_networks import AttachNetworks
from xapi.actions.host.certificates import TlsFront, record_server_certificate
from xapi.actions.host.files import HostFiles
from xapi.actions.host.machine import Agent, Machine, SimulatedMachine
from xapi.actions.host.operating_system import turn_off_expired_ssh
from xapi.actions.pci import refresh_pcis
from xapi.actions.pif_scan import start_networking
from xapi.actions.pusb import refresh_pusbs
from xapi.actions.sr.attaching import plug_at_start
from xapi.actions.storage_repositories import StorageRepositories
from xapi.actions.vdi.moving import StorageMoves
from xapi.actions.vdi.unfinished_moves import finish_moves
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
from xapi.http_handlers.console_relay import ConsoleRelays
from xapi.http_handlers.database_restore import apply_staged
from xapi.http_handlers.half_imported import remove_half_imported
from xapi.http_handlers.import_url import ImportNetworks
from xapi.http_handlers.routes import Routes, make_doors
from xapi.hypervisor.interface import HypervisorDriver
from xapi.hypervisor.simulator.driver import Simulator
from xapi.monitoring.recorder import Recorder
from xapi.monitoring.saved import Folder
from xapi.network.interface import NetworkDriver
from xapi.rpc.endpoint import Endpoint
from xapi.rpc.http import Server
from xapi.services import nbd_export
from xapi.services.coalescer import Coalescer
from xapi.services.guest_watcher import GuestWatcher
from xapi.services.metering import Metering
from xapi.services.path_watcher import PathWatcher
from xapi.services.periodic import Periodic
from xapi.services.repository_scanner import RepositoryScanner
from xapi.services.snapshot_schedule import SnapshotSchedules
from xapi.services.startup import Started, identify, startup
from xapi.services.startup.tools_image import provide_tools_image
from xapi.storage.datapath.processes import DataPathProcesses
from xapi.storage.interface import SrDriver
from xapi.system.certificate_checks import CertificateProblem
from xapi.system.certificates import ensure_server_certificate, server_context
from xapi.system.clock import Clock, SystemClock
from xapi.system.log import start_logging
from xapi.system.memory import give_back_large_buffers
from xapi.system.passwords import Authenticator, LockoutDelay, Pam, PasswordFile
from xapi.system.settings import Address, Settings, from_command_line
from xapi.system.undo import on_failure

LOG = logging.getLogger("xapi.server")
WORKERS = 256
SWITCH_SECONDS = 0.0001  # after which a busy thread lets another one go on
REAP_SECONDS = 60.0
REVIVE_SECONDS = 5.0  # after which a disk whose process has died is served again
CLOSING_SECONDS = 2.0  # that running calls have to end when the server stops
ANYWHERE = frozenset({"", "0.0.0.0", "::"})


class StateInUse(Exception):
    """Another toolstack runs on the same state directory."""


class NoSuchDriver(Exception):
    """The settings ask for a driver that is not installed."""


class RunningServer:
    """One toolstack with its doors open. Everything that was started is stopped by `close`, in reverse."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, *, doors: bool = True, background: bool = True
    ) -> None:
        """Open everything; without `doors` nobody can connect, without `background` nothing happens by the clock."""
        self._stack = ExitStack()
        self.https_address: tuple[str, int] | None = None
        self.http_address: tuple[str, int] | None = None
        with on_failure(self._stack.close):
            self._open(settings, clock or SystemClock(), doors, background)

    def _open(self, settings: Settings, clock: Clock, doors: bool, background: bool) -> None:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stack.enter_context(_locked(settings.state / "lock"))
        actions.load()
        address = "localhost" if settings.https.host in ANYWHERE else settings.https.host
        self.certificate = ensure_server_certificate(
            settings.server_certificate, socket.gethostname(), (address,), clock.now()
        )
        self.settings = self._bound(settings) if doors else settings
        database = self._database()
        hypervisor = open_hypervisor(settings)
        self._stack.callback(hypervisor.close)
        drivers = open_storage_drivers(settings)
        types = tuple(driver.type for driver in drivers)
        if isinstance(hypervisor, Simulator):
            provide_tools_image(settings.state / "tools")
        started = startup(database, clock, hypervisor, self.settings, drivers=types)
        facts = hypervisor.host.facts()
        with database.transaction() as transaction:
            record_server_certificate(transaction, started.this_host, self.certificate)
            refresh_pusbs(transaction, started.this_host, facts.usb_devices)
            refresh_pcis(transaction, started.this_host, facts.pci_devices)
        fill_all_allowed_operations(database)
        database.derivations.append(derive_allowed_operations)
        self.toolstack = self._assembled(database, clock, hypervisor, started)
        self._furnish(drivers, started)
        self._start_services(background)
        if doors:
            self._routes = Routes(Endpoint(Performer(self.toolstack)), make_doors(self.toolstack))
            self.http.start()

    def _bound(self, settings: Settings) -> Settings:
        """Take the addresses, so that what is made from now on can name them; nobody is answered yet."""
        self.http = Server(lambda method, path: self._routes(method, path))
        self._stack.callback(self.http.close, CLOSING_SECONDS)
        self.tls = server_context(settings.server_certificate)
        self.https_address = self.http.listen_tcp(settings.https.host, settings.https.port, self.tls)
        if settings.http is not None:
            self.http_address = self.http.listen_tcp(settings.http.host, settings.http.port)
        self.http.listen_unix(settings.socket, 0o600)
        return replace(settings, https=Address(settings.https.host, self.https_address[1]))

    def _database(self) -> Database:
        engine = open_engine(self.settings.database)
        path = Path(engine.url.database) if engine.url.get_backend_name() == "sqlite" and engine.url.database else None
        kept = prepare(engine, path)
        if kept is not None:
            LOG.info("the database was upgraded; the old one is kept as %s", kept)
        store = Store(engine)
        apply_staged(store, self.settings.state, identify(self.settings.state).uuid)
        database = Database(store)
        self._stack.callback(database.close)
        return database

    def _assembled(self, database: Database, clock: Clock, hypervisor: HypervisorDriver, started: Started) -> Toolstack:
        settings = self.settings
        workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="async")
        self._stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        limits = SessionLimits(settings.sessions_per_originator, settings.sessions_total, settings.session_idle_hours)
        return Toolstack(
            db=database,
            clock=clock,
            state=settings.state,
            this_host=started.this_host,
            sessions=Sessions(database, clock, limits),
            tasks=Tasks(database, clock, started.this_host),
            events=EventFeed(database, clock),
            workers=workers,
            hypervisor=hypervisor,
            https_port=settings.https.port,
        )

    def _furnish(self, drivers: Sequence[SrDriver], started: Started) -> None:
        """Give the toolstack what its actions reach through it."""
        toolstack, database = self.toolstack, self.toolstack.db
        data_paths = DataPathProcesses(self.settings.state / "datapath")
        repositories = StorageRepositories(drivers, data_paths)
        self._stack.callback(repositories.close)
        networking = open_network_driver(self.settings, started.installation.uuid)
        self._stack.callback(networking.close)
        attach_networks = AttachNetworks(database, networking, started.this_host)
        authenticator = open_authenticator(self.settings)
        toolstack.parts |= {
            LogIns: LogIns(
                authenticator, LockoutDelay(toolstack.clock), toolstack.sessions, database, started.this_host, Lock()
            ),
            StorageRepositories: repositories,
            DataPathProcesses: data_paths,
            AttachDisks: AttachDisks(database, repositories, data_paths, toolstack.hypervisor.features),
            AttachNetworks: attach_networks,
            StorageMoves: StorageMoves(),
            ImportNetworks: ImportNetworks(self.settings.import_networks),
            TlsFront: self,
            Recorder: Recorder(Folder(self.settings.state / "rrd")),
            HostFiles: replace(HostFiles.under(self.settings.state), log=self.settings.log_file),
        }
        if isinstance(toolstack.hypervisor, Simulator):
            toolstack.parts[Machine] = SimulatedMachine(database, toolstack.clock, started.this_host)
        relays = toolstack.parts[ConsoleRelays] = ConsoleRelays(toolstack.clock.monotonic)
        self._stack.callback(relays.close)
        plug_at_start(database, repositories, started.to_plug)
        notes = database.get(Host, started.this_host).other_config
        networking.configure(notes)
        toolstack.hypervisor.configure(notes)
        start_networking(attach_networks, toolstack.clock.now())

    def _start_services(self, background: bool) -> None:
        toolstack = self.toolstack
        by_news: tuple[Service, ...] = (
            GuestWatcher(toolstack),
            toolstack.events,
            nbd_export.NbdExports(
                toolstack, self.settings.server_certificate, nbd_export.port_of(self.settings.network)
            ),
        )
        by_the_clock: tuple[Service, ...] = (
            Periodic("reaper", REAP_SECONDS, toolstack.reap),
            Periodic("data paths", REVIVE_SECONDS, toolstack.part(DataPathProcesses).revive),
            RepositoryScanner(toolstack),
            PathWatcher(toolstack),
            Periodic("SSH", REAP_SECONDS, lambda: turn_off_expired_ssh(toolstack)),
            SnapshotSchedules(toolstack),
            Coalescer(toolstack),
            Metering(toolstack, toolstack.part(Recorder)),
        )
        for service in (*by_news, *by_the_clock) if background else by_news:
            service.start()
            self._stack.callback(service.stop)
        # Now that the guest watcher has found out which VMs still run, their disks are attached again.
        finish_moves(toolstack)
        toolstack.parts[AttachDisks].resume()
        remove_half_imported(toolstack)

    def reload_certificate(self) -> None:
        """Show the certificate that is in the file now to each new connection."""
        if self.https_address is not None:
            self.tls.load_cert_chain(self.settings.server_certificate)

    def close(self) -> None:
        """Close the doors, let running calls end, and leave everything durable."""
        self._stack.close()


class Service(Protocol):
    """Something that happens by itself."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, and return when it has ended."""


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


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """The drivers that this installation has, in the order of their names."""
    return tuple(sorted(entry_points(group=group), key=lambda point: point.name))


def open_hypervisor(settings: Settings) -> HypervisorDriver:
    """Open the driver that the settings name; `auto` takes the simulator until a real one is found to work here."""
    name = "simulator" if settings.hypervisor == "auto" else settings.hypervisor
    for point in _installed("xapi.hypervisor"):
        if point.name == name:
            tables: Mapping[str, Mapping[str, str]] = {"simulator": settings.simulator}
            opened: HypervisorDriver = point.load()(settings.state / name, tables.get(name, {}))
            return opened
    raise NoSuchDriver(f"there is no driver for the hypervisor {name!r} yet; --hypervisor simulator works everywhere")


def open_storage_drivers(settings: Settings) -> tuple[SrDriver, ...]:
    """Every storage driver that is installed, one a type."""
    found: list[SrDriver] = []
    for point in _installed("xapi.storage"):
        found += point.load()(settings.state)
    return tuple(found)


def open_network_driver(settings: Settings, installation: str) -> NetworkDriver:
    """Open the driver that makes the bridges of this host; a simulated one has the cards of its installation."""
    (point,) = (point for point in _installed("xapi.network") if point.name == "simulator")
    host = "127.0.0.1" if settings.https.host in ANYWHERE else settings.https.host
    lease = {"lease.eth0": f"{host}/{8 if host.startswith('127.') else 24}"} if ":" not in host else {}
    own = {key: value for key, value in settings.network.items() if key != nbd_export.SETTING}
    opened: NetworkDriver = point.load()(settings.state / "network", {"seed": installation, **lease, **own})
    return opened


def open_authenticator(settings: Settings) -> Authenticator:
    """What passwords are checked against."""
    if settings.auth == "pam":
        return Pam()
    passwords = PasswordFile(settings.root_password)
    passwords.prepare()
    return passwords


TRY = """
  xapi is ready.  HTTPS  https://{address}{http}
                  socket {socket}

  user root, password {password}

  Try:
    curl --insecure https://{address}/
    curl --insecure https://{address}/jsonrpc -d \\
      '{{"jsonrpc":"2.0","id":1,"method":"session.login_with_password","params":["root","{password}"]}}'
    {python} -c "import ssl, xmlrpc.client as x; \\
      api = x.ServerProxy('https://{address}', context=ssl._create_unverified_context()); \\
      s = api.session.login_with_password('root', '{password}')['Value']; \\
      print(*(vm['name_label'] for vm in api.VM.get_all_records(s)['Value'].values()), sep=chr(10))"

  Stop with Ctrl-C.
"""


def greeting(server: RunningServer) -> str:
    """What a person reads who has just started a host: where it is, how to log in, what to try."""
    settings = server.settings
    assert server.https_address is not None
    host, port = server.https_address
    http = server.http_address
    return TRY.format(
        address=f"{host}:{port}",
        http="" if http is None else f"\n                  HTTP   http://{http[0]}:{http[1]}",
        socket=settings.socket,
        password=settings.root_password.read_text().strip() if settings.auth == "password" else "...",
        python="python3",
    )


class Wishes:
    """What is asked of the process: by signals, and by calls that restart or stop the toolstack.

    All of it comes through a pipe: a signal handler that took a lock could meet the main thread in the middle of
    taking it. `Agent` of the host's actions.
    """

    RESTART = 255  # no signal has this number
    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    PAUSE = 0.5  # seconds in which the call that asks is answered

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in self.SIGNALS:
            signal.signal(number, lambda *_: None)

    def next(self) -> int:
        """Wait for the next wish: the number of a signal, or RESTART."""
        return os.read(self._reading, 1)[0]

    def _ask(self, wish: int) -> None:
        Timer(self.PAUSE, os.write, (self._writing, bytes([wish]))).start()

    def restart(self) -> None:
        """Start the toolstack anew, soon."""
        self._ask(self.RESTART)

    def stop(self) -> None:
        """End the toolstack, soon."""
        self._ask(signal.SIGTERM)


def settle_memory() -> None:
    """Keep what lives as long as the server out of the garbage collector's way, and let that come rarely.

    Rows and their wire forms hold no cycles; looking through all of them again and again was the largest single cost
    of events.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def main() -> int:
    """Run the server until it is told to stop (SIGINT or SIGTERM); SIGHUP opens the logs anew."""
    settings = from_command_line()
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = start_logging(settings.log_level, settings.log_file, settings.audit_log)
    faulthandler.register(signal.SIGUSR1)  # tells on standard error what every thread is doing
    sys.setswitchinterval(SWITCH_SECONDS)
    give_back_large_buffers()
    wishes = Wishes()
    wish = Wishes.RESTART
    while wish == Wishes.RESTART:
        try:
            server = RunningServer(settings)
        except (StateInUse, CertificateProblem, NewerDatabase, NoSuchDriver, OSError) as problem:
            told = problem.strerror if isinstance(problem, OSError) and not problem.filename else None
            sys.stderr.write(f"xapi: {told or problem}\n")
            return 1
        server.toolstack.parts[Agent] = wishes
        settle_memory()
        sys.stdout.write(greeting(server))
        sys.stdout.flush()
        while (wish := wishes.next()) == signal.SIGHUP:
            logs.reopen()
        server.close()
    return 0
