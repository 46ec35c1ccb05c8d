"""The datapath processes of this host: started, paused, stopped, and found again after a restart of the toolstack.

A process gets a name, made from the SR and the location of the disk that it serves first. In the directory, `NAME` is
its socket for clients, `NAME.control` that for commands, and `NAME.json` says what it serves now: a process can be
switched to another disk under its clients. It lives as long as somebody has its disk open, whatever becomes of the
toolstack.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, RLock

from xapi.storage.datapath.control import Control, ControlFailed, ControlGone
from xapi.storage.errors import StorageFailure, VdiUnavailable
from xapi.storage.facts import FileBackend, NbdBackend
from xapi.system.atomic_file import write_atomically
from xapi.system.command import CommandFailed, run
from xapi.system.undo import on_failure

LOG = logging.getLogger("xapi.storage.datapath")
CONTROL_SUFFIX = ".control"
RECORD_SUFFIX = ".json"
START_SECONDS = 60.0
MODULE = "xapi.storage.datapath"
NAME = re.compile("[0-9a-f]{24}")
Switch = Callable[[str, str, FileBackend], None]
"""Lets a paused process serve another disk: the UUID of its SR, its location, and where its data are."""


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
        """The name of a process that serves this first: short, for sockets may not have long ones."""
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
    """One process, the name of its sockets, and how many have its disk open since the toolstack started.

    While somebody holds its clients, it is not revived.
    """

    name: str
    served: Served
    users: int = 0
    holders: int = 0


class DataPathProcesses:
    """Serves chains to guests, one process a disk; a DataPaths for the drivers. Safe to use from several threads."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._python = python
        self._lock = Lock()
        self._processes: dict[str, Process] = {}
        self._turns: dict[tuple[str, str], AbstractContextManager[bool]] = {}
        self.found_paths = self._adopt()
        """Where the data are that processes served when the toolstack started, those included that had died."""

    def _adopt(self) -> frozenset[str]:
        """Find the processes that an earlier toolstack has left, at work or dead, and return where their data are."""
        found = set()
        for path in sorted(self._directory.glob(f"*{RECORD_SUFFIX}")):
            served = Served.parse(path.read_bytes())
            if served is None or not NAME.fullmatch(path.stem):
                path.unlink()
                continue
            found.add(served.path)
            # One that has died keeps its name, by which its guest looks for it, until it is known whether that lives.
            process = self._processes[served.name] = Process(path.stem, served)
            alive = self._alive(process)
            LOG.info("disk %s is %s", served.location, "still being served" if alive else "served no more")
        return frozenset(found)

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
        return Control(self._socket(process.name) + CONTROL_SUFFIX)

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

    def serves(self, sr_uuid: str, location: str, read_only: bool) -> bool:
        """Whether a process serves the disk now, or did so when it died."""
        return self._find(sr_uuid, location, read_only) is not None

    def place(self, sr_uuid: str, location: str, read_only: bool) -> NbdBackend:
        """Say where a disk is served, or will be."""
        process = self._find(sr_uuid, location, read_only)
        name = process.name if process is not None else Served(sr_uuid, location, "", "", read_only).name
        return NbdBackend(self._socket(name), "", read_only)

    def open(self, sr_uuid: str, location: str, backend: FileBackend) -> NbdBackend:
        """Serve a disk, and say where; a disk that is served already gets one user more. VdiUnavailable."""
        served = Served(sr_uuid, location, backend.path, backend.format, backend.read_only)
        with self._turn(sr_uuid, location):
            process = self._find(sr_uuid, location, backend.read_only) or Process(served.name, served)
            if not self._alive(process):
                process.served = served
                self._start(process)
            process.users += 1
            with self._lock:
                self._processes[served.name] = process
            return NbdBackend(self._socket(process.name), "", backend.read_only)

    def _start(self, process: Process) -> None:
        name, served = process.name, process.served
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
        name = process.name
        try:
            with self._control(process) as control:
                control.call("stop")
        except ControlGone as error:
            LOG.debug("%s has ended: %s", name, error)
        except ControlFailed as error:
            raise StorageFailure(f"the datapath of disk {process.served.location} does not stop: {error}") from error
        self._clear(name)
        with self._lock:
            self._processes.pop(process.served.name, None)

    def close_unused(self) -> None:
        """Stop the processes that were found at the start and that nobody has opened again since.

        One that does not obey is told to the log.
        """
        for process in self._all():
            with self._turn(process.served.sr_uuid, process.served.location):
                if process.users:
                    continue
                try:
                    self._stop(process)
                except StorageFailure as error:
                    LOG.error("%s", error)

    def revive(self) -> tuple[str, ...]:
        """Start anew what has died while it was in use, and return the locations of these disks.

        Clients find it again under the same name. One that cannot be started is told to the log, and tried again at the
        next call.
        """
        revived = []
        for process in self._all():
            with self._turn(process.served.sr_uuid, process.served.location):
                if process.users and not process.holders and not self._alive(process):
                    LOG.error("the datapath of disk %s has died; it is started anew", process.served.location)
                    try:
                        self._start(process)
                    except VdiUnavailable as error:
                        LOG.error("%s", error)
                        continue
                    revived.append(process.served.location)
        return tuple(revived)

    def _all(self) -> list[Process]:
        with self._lock:
            return list(self._processes.values())

    def _find(self, sr_uuid: str, location: str, read_only: bool) -> Process | None:
        with self._lock:
            return self._processes.get(Served(sr_uuid, location, "", "", read_only).name)

    def status(self, sr_uuid: str, location: str, read_only: bool = False) -> Mapping[str, object] | None:
        """Return what the process that serves a disk says of itself, None if there is none, or one that has died."""
        process = self._find(sr_uuid, location, read_only)
        if process is None:
            return None
        try:
            with self._control(process) as control:
                return control.call("status")
        except ControlGone:
            return None

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
    def held(self, sr_uuid: str, location: str, read_only: bool) -> Iterator[Switch]:
        """While inside, no request reaches the disk; with the function, clients go on with another disk on leaving.

        That disk has to hold the same and to be no smaller. If the block is left by an exception, clients go on with
        the old one. A process that has died is switched as well: its next one serves the other disk. VdiUnavailable.

        The caller sees to it that nobody opens or closes the disk meanwhile; drivers may work on it.
        """
        with ExitStack() as stack:
            with self._turn(sr_uuid, location):
                process = self._find(sr_uuid, location, read_only)
                if process is None:
                    raise VdiUnavailable(location, "nobody serves it")
                process.holders += 1
                stack.callback(self._hold_less, process)
                control = stack.enter_context(self._paused(process))
            old = process.served

            def switch(to_sr: str, to_location: str, backend: FileBackend) -> None:
                wanted = Served(to_sr, to_location, backend.path, backend.format, backend.read_only)
                self._switch(process, control, wanted)

            def switch_back() -> None:
                if process.served is not old:
                    self._switch(process, control, old)

            with on_failure(switch_back):
                yield switch

    def _hold_less(self, process: Process) -> None:
        with self._lock:
            process.holders -= 1

    def _switch(self, process: Process, control: Control | None, served: Served) -> None:
        record, text = self._record(process.name), json.dumps(asdict(served))
        try:
            if control is not None:
                control.call("switch", path=served.path, raw=served.format == "raw", note=str(record), text=text)
        except ControlGone as error:
            LOG.error("the datapath of disk %s has died in a pause: %s", process.served.location, error)
            control = None
        except ControlFailed as error:
            raise VdiUnavailable(served.location, f"its guest cannot go over to it: {error}") from error
        if control is None:
            write_atomically(record, text.encode(), 0o600)
        with self._lock:
            del self._processes[process.served.name]
            process.served = served
            self._processes[served.name] = process

    @contextmanager
    def _paused(self, process: Process) -> Iterator[Control | None]:
        """Pause a process, which is reached through what this gives; None stands for one that has died."""
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
            yield control
            if control is None:
                return
            try:
                control.call("resume")
            except ControlGone as error:
                LOG.error("the datapath of disk %s has died in a pause: %s", location, error)
            except ControlFailed as error:
                raise VdiUnavailable(location, f"its datapath cannot go on: {error}") from error
