"""One disk, served in this process at a Unix socket."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from xapi.storage.datapath.server import DiskServer, accept_all, listen_unix, stop_listening
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.file import RealFile

SIZE = 8 << 20


class ServedDisk:
    """A dynamic VHD that may grow fourfold, its server, and the sockets for clients and commands."""

    def __init__(self, directory: Path) -> None:
        self.disk = str(directory / "disk.vhd")
        self.nbd = str(directory / "nbd")
        self.control = str(directory / "control")
        with closing(RealFile.create(self.disk)) as file:
            create_dynamic(file, SIZE, largest_size=4 * SIZE)
        self.server = DiskServer(self.disk, raw=False, read_only=False)
        self.sockets = [listen_unix(self.nbd), listen_unix(self.control)]
        self.threads = [
            accept_all(self.sockets[0], "client", self.server.serve),
            accept_all(self.sockets[1], "control", self.server.obey),
        ]

    def content(self) -> bytes:
        with Chain.open(self.disk) as chain:
            return chain.read(0, chain.size)

    def close(self) -> None:
        self.server.close()
        for sock in self.sockets:
            stop_listening(sock)
        for thread in self.threads:
            thread.join(10)
