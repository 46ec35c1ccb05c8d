"""Serving one disk: clients by NBD, and the toolstack by the control channel.

A pause takes the lock of every connection, which is free as soon as the request under way is done; then it flushes and
closes the files. To resume is to open them by their names and to let the locks go.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

from xapi.storage.datapath.chain_export import ChainExport
from xapi.storage.datapath.control import parse_line, read_line
from xapi.storage.datapath.nbd.connection import Connection
from xapi.storage.datapath.nbd.export import Export
from xapi.storage.datapath.nbd.negotiation import Negotiation
from xapi.system.atomic_file import write_atomically

LOG = logging.getLogger("xapi.storage.datapath")
MOST_CLIENTS = 64
RETRY_SECONDS = 1.0


def listen_unix(path: str, backlog: int = 16) -> socket.socket:
    """Listen at a path, in place of whoever did so before; only our own user may connect."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(mask)
    sock.listen(backlog)
    return sock


def accept_all(sock: socket.socket, name: str, serve: Callable[[socket.socket], None]) -> Thread:
    """Give each client a thread, until the listening socket is shut down."""

    def run() -> None:
        while True:
            try:
                client, _ = sock.accept()
            except OSError as error:
                LOG.debug("%s: no more clients: %s", name, error)
                return
            Thread(target=serve, args=(client,), name=name, daemon=True).start()

    thread = Thread(target=run, name=f"{name} listener", daemon=True)
    thread.start()
    return thread


def stop_listening(sock: socket.socket) -> None:
    """Take no client more, also where a thread waits for one."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class DiskServer:
    """One disk with its clients."""

    def __init__(self, path: str, raw: bool, read_only: bool, names: Sequence[str] = ("",)) -> None:
        self._export = ChainExport(path, raw, read_only)
        self._path = path
        self._raw = raw
        self._names = names
        self._changed = Condition()
        self._clients: set[Connection] = set()
        self._pauses = 0
        self._closed = False
        self.stopped = Event()

    # Clients

    def serve(self, sock: socket.socket) -> None:
        """Serve one NBD client to its end."""
        connection = Connection(sock, Negotiation(self._find, self._names))
        with self._changed:
            if self._closed or len(self._clients) >= MOST_CLIENTS:
                sock.close()
                return
            if self._pauses:
                connection.lock.acquire()
            self._clients.add(connection)
        try:
            connection.run()
        finally:
            with self._changed:
                self._clients.discard(connection)

    def _find(self, name: str) -> Export | None:
        return self._export if name in self._names else None

    # Pausing

    def pause(self) -> None:
        """Return when no request is under way, none will begin, and the files are closed."""
        with self._changed:
            self._pauses += 1
            if self._pauses > 1:
                return
            for client in self._clients:
                client.lock.acquire()
            try:
                self._export.close()
            except OSError:
                # What was written cannot be made durable: the guest has to be told, at its next flush.
                LOG.exception("%s was closed with an error", self._path)

    def resume(self) -> None:
        """Open the files and go on; OSError if they cannot be opened, and then the pause goes on."""
        with self._changed:
            if self._pauses == 1 and not self._closed:
                self._export.open()
                for client in self._clients:
                    client.lock.release()
            self._pauses -= 1

    def switch(self, path: str, raw: bool, note: Path, text: str) -> None:
        """Serve another disk, which holds the same, from the end of the pause on; OSError, with nothing changed.

        That it is so is noted durably before it is so: a toolstack that is gone then can find out what its guest uses.
        """
        with self._changed:
            if not self._pauses or self._closed:
                raise OSError(errno.EBUSY, "only a paused disk can be switched")
            before = self._path, self._raw
            self._export.become(path, raw)
            try:
                write_atomically(note, text.encode(), 0o600)
            except OSError:
                self._export.become(*before)
                raise
            self._path, self._raw = path, raw

    def close(self) -> None:
        """End: requests under way are done, everything is durable, clients are hung up on."""
        with self._changed:
            if self._closed:
                return
            paused = self._pauses > 0
        if not paused:
            self.pause()
        with self._changed:
            self._closed = True
            clients = list(self._clients)
        for client in clients:
            client.close()
        self.stopped.set()

    # The control channel

    def obey(self, sock: socket.socket) -> None:
        """Follow the commands of one connection; the pauses that it leaves behind are ended."""
        pauses, rest = 0, b""
        try:
            while True:
                line, rest = read_line(sock, rest)
                if not line:
                    break
                parsed = parse_line(line)
                command = parsed.get("command")
                if command == "pause":
                    pauses += 1
                    self.pause()
                elif command == "resume" and pauses == 0:
                    command = "resume of what was not paused"
                answer = self._answer(str(command), parsed)
                pauses -= command == "resume" and answer["ok"]
                sock.sendall(json.dumps(answer).encode() + b"\n")
                if command == "stop":
                    break
        except OSError as error:
            LOG.info("the control connection was lost: %s", error)
        finally:
            sock.close()
        while pauses and not self._closed:
            try:
                self.resume()
                pauses -= 1
            except OSError as error:
                LOG.error("%s cannot be opened, and its guest waits: %s", self._path, error)
                self.stopped.wait(RETRY_SECONDS)

    def _answer(self, command: str, details: Mapping[str, Any]) -> dict[str, Any]:
        try:
            match command:
                case "pause":
                    pass
                case "resume":
                    self.resume()
                case "reopen":
                    self.pause()
                    self.resume()
                case "switch":
                    note, text = Path(str(details.get("note"))), str(details.get("text"))
                    self.switch(str(details.get("path")), details.get("raw") is True, note, text)
                case "stop":
                    self.close()
                case "status":
                    pass
                case _:
                    return {"ok": False, "error": f"there is no command {command}"}
        except OSError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, **self.status()}

    def status(self) -> dict[str, Any]:
        """Return what there is to tell."""
        return {
            "pid": os.getpid(),
            "path": self._path,
            "size": self._export.size,
            "read_only": self._export.read_only,
            "paused": self._pauses > 0,
            "clients": len(self._clients),
        }
