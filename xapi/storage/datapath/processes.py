"""The datapath processes of this host: started, paused, stopped, and found again after a restart of the toolstack.

Each disk that is served has a name made from its SR and its location. In the directory, `NAME.json` says what is
served, `NAME` is the socket for clients and `NAME.control` that for commands. A process lives as long as somebody has
its disk open, whatever becomes of the toolstack.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, RLock

from xapi.storage.datapath.control import Control, ControlFailed, ControlGone
from xapi.storage.errors import StorageFailure, VdiUnavailable
from xapi.storage.facts import FileBackend, NbdBackend
from xapi.system.atomic_file import write_atomically
from xapi.system.command import CommandFailed, run

LOG = logging.getLogger("xapi.storage.datapath")
CONTROL_SUFFIX = ".control"
RECORD_SUFFIX = ".json"
START_SECONDS = 60.0
MODULE = "xapi.storage.datapath"


@dataclass(frozen=True, slots=True)
class Served:
    """What one process serves."""

    sr_uuid: str
    location: str
    path: str
    format: str
    read_only: bool

    @property
    def name(self) -> str:
        """The name of its sockets: short, for these may not have long ones."""
        key = "\0".join((self.sr_uuid, self.location, str(self.read_only)))
        return hashlib.sha256(key.encode()).hexdigest()[:24]

    @classmethod
    def parse(cls, untrusted: bytes) -> Served | None:
        """Return what a record says, None if it is damaged."""
        try:
            found = cls(**json.loads(untrusted))
        except (ValueError, TypeError, RecursionError):
            return None
        texts = (found.sr_uuid, found.location, found.path, found.format)
        return found if all(isinstance(text, str) for text in texts) and isinstance(found.read_only, bool) else None


@dataclass
class Process:
    """One process, and how many have its disk open since the toolstack started."""

    served: Served
    users: int = 0


class DataPathProcesses:
    """Serves chains to guests, one process a disk; a DataPaths for the drivers. Safe to use from several threads."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._python = python
        self._lock = Lock()
        self._processes: dict[str, Process] = {}
        self._turns: dict[tuple[str, str], AbstractContextManager[bool]] = {}
        self._adopt()

    def _adopt(self) -> None:
        """Find the processes that an earlier toolstack has left at work, and clear away what dead ones left."""
        for path in sorted(self._directory.glob(f"*{RECORD_SUFFIX}")):
            served = Served.parse(path.read_bytes())
            if served is None or path.stem != served.name:
                path.unlink()
                continue
            process = Process(served)
            if self._alive(process):
                LOG.info("disk %s is still being served", served.location)
                self._processes[served.name] = process
            else:
                self._clear(served.name)

    def _turn(self, sr_uuid: str, location: str) -> AbstractContextManager[bool]:
        """Return the lock of a disk: nobody begins to serve it while it is paused, served or not."""
        with self._lock:
            return self._turns.setdefault((sr_uuid, location), RLock())

    # Files

    def _socket(self, name: str) -> str:
        return str(self._directory / name)

    def _record(self, name: str) -> Path:
        return self._directory / f"{name}{RECORD_SUFFIX}"

    def _clear(self, name: str) -> None:
        for path in (self._socket(name), self._socket(name) + CONTROL_SUFFIX, str(self._record(name))):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _control(self, process: Process) -> Control:
        return Control(self._socket(process.served.name) + CONTROL_SUFFIX)

    def _alive(self, process: Process) -> bool:
        try:
            with self._control(process) as control:
                control.call("status")
        except ControlGone:
            return False
        except ControlFailed as error:
            LOG.warning("disk %s: its datapath does not answer: %s", process.served.location, error)
        return True

    # Serving

    def open(self, sr_uuid: str, location: str, backend: FileBackend) -> NbdBackend:
        """Serve a disk, and say where; a disk that is served already gets one user more. VdiUnavailable."""
        served = Served(sr_uuid, location, backend.path, backend.format, backend.read_only)
        with self._turn(sr_uuid, location):
            process = self._find(sr_uuid, location, backend.read_only) or Process(served)
            if not self._alive(process):
                self._start(served)
            process.users += 1
            with self._lock:
                self._processes[served.name] = process
        return NbdBackend(self._socket(served.name), "", backend.read_only)

    def _start(self, served: Served) -> None:
        name = served.name
        self._clear(name)
        write_atomically(self._record(name), json.dumps(asdict(served)).encode(), 0o600)
        command = [self._python, "-m", MODULE, "--detach", "--chain", served.path, "--socket", self._socket(name)]
        command += ["--log", str(self._directory / "datapath.log")]
        command += ["--raw"] if served.format == "raw" else []
        command += ["--read-only"] if served.read_only else []
        try:
            run(command, timeout=START_SECONDS)
        except CommandFailed as error:
            self._clear(name)
            raise VdiUnavailable(served.location, f"no datapath could be started: {error}") from error

    def close(self, sr_uuid: str, location: str, read_only: bool) -> None:
        """Give up one use of a disk; with the last one its process ends, when all is durable."""
        with self._turn(sr_uuid, location):
            process = self._find(sr_uuid, location, read_only)
            if process is None:
                return
            process.users -= 1
            if process.users <= 0:
                self._stop(process)

    def _stop(self, process: Process) -> None:
        name = process.served.name
        try:
            with self._control(process) as control:
                control.call("stop")
        except ControlGone as error:
            LOG.debug("%s has ended: %s", name, error)
        except ControlFailed as error:
            raise StorageFailure(f"the datapath of disk {process.served.location} does not stop: {error}") from error
        self._clear(name)
        with self._lock:
            self._processes.pop(name, None)

    def close_unused(self) -> None:
        """Stop the processes that were found at the start and that nobody has opened again since."""
        for process in self._all():
            with self._turn(process.served.sr_uuid, process.served.location):
                if process.users == 0:
                    self._stop(process)

    def revive(self) -> tuple[str, ...]:
        """Start anew what has died while it was in use, and return the locations of these disks.

        Clients find it again under the same name.
        """
        revived = []
        for process in self._all():
            with self._turn(process.served.sr_uuid, process.served.location):
                if process.users and not self._alive(process):
                    LOG.error("the datapath of disk %s has died; it is started anew", process.served.location)
                    self._start(process.served)
                    revived.append(process.served.location)
        return tuple(revived)

    def _all(self) -> list[Process]:
        with self._lock:
            return list(self._processes.values())

    def _find(self, sr_uuid: str, location: str, read_only: bool) -> Process | None:
        with self._lock:
            return self._processes.get(Served(sr_uuid, location, "", "", read_only).name)

    def status(self, sr_uuid: str, location: str, read_only: bool = False) -> Mapping[str, object] | None:
        """Return what the process that serves a disk says of itself, None if there is none."""
        process = self._find(sr_uuid, location, read_only)
        if process is None:
            return None
        with self._control(process) as control:
            return control.call("status")

    # Pausing

    @contextmanager
    def paused(self, sr_uuid: str, location: str) -> Iterator[None]:
        """While inside, no request reaches the disk's files; on leaving, they are opened anew by their names.

        VdiUnavailable if the process does not obey, or cannot open the files again: then its guest waits.
        """
        with self._turn(sr_uuid, location), ExitStack() as stack:
            for read_only in (False, True):
                process = self._find(sr_uuid, location, read_only)
                if process is not None:
                    stack.enter_context(self._paused(process))
            yield

    @contextmanager
    def _paused(self, process: Process) -> Iterator[None]:
        location = process.served.location
        with ExitStack() as stack:
            control: Control | None = None
            try:
                control = stack.enter_context(self._control(process))
                control.call("pause")
            except ControlGone:
                control = None  # it has died, and will open the files when it is started anew
            except ControlFailed as error:
                raise VdiUnavailable(location, f"its datapath cannot be paused: {error}") from error
            yield
            if control is None:
                return
            try:
                control.call("resume")
            except ControlGone as error:
                LOG.error("the datapath of disk %s has died in a pause: %s", location, error)
            except ControlFailed as error:
                raise VdiUnavailable(location, f"its datapath cannot go on: {error}") from error
