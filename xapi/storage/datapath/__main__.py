"""One disk, served by a process of its own: `python -m xapi.storage.datapath --chain PATH --socket PATH`.

The control channel is at the socket's path with `.control` behind it. The process ends with the command `stop` or with
SIGTERM, after the last write is durable.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence

from xapi.storage.datapath.server import DiskServer, accept_all, listen_unix, stop_listening

CONTROL_SUFFIX = ".control"
LINE = "%(asctime)s %(levelname)s %(message)s"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; SystemExit with a text for wrong ones."""
    parser = argparse.ArgumentParser(prog="xapi.storage.datapath", description="Serve one disk by NBD.")
    parser.add_argument("--chain", required=True, metavar="PATH", help="the VHD file, or raw file, to serve")
    parser.add_argument("--socket", required=True, metavar="PATH", help="where to listen for NBD clients")
    parser.add_argument("--raw", action="store_true", help="the file is a raw disk")
    parser.add_argument("--read-only", action="store_true", help="refuse writes")
    parser.add_argument("--detach", action="store_true", help="return when clients may connect, and go on alone")
    parser.add_argument("--log", metavar="PATH", help="append messages to this file")
    return parser.parse_args(arguments)


def detach() -> None:
    """Become a process without parent, terminal, directory or open streams; the caller's process ends with success."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop; returns the exit code."""
    options = parse(arguments)
    for name in ("chain", "socket", "log"):
        if getattr(options, name):
            setattr(options, name, os.path.abspath(getattr(options, name)))
    try:
        server = DiskServer(options.chain, options.raw, options.read_only)
        clients = listen_unix(options.socket)
        control = listen_unix(options.socket + CONTROL_SUFFIX)
    except OSError as error:
        sys.stderr.write(f"{options.chain} cannot be served: {error}\n")
        return 1
    if options.detach:
        detach()
    logging.basicConfig(format=LINE, level=logging.INFO, filename=options.log)
    sys.setswitchinterval(0.0005)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stopped.set())
    accept_all(clients, "client", server.serve)
    accept_all(control, "control", server.obey)
    server.stopped.wait()
    server.close()
    for sock, path in ((clients, options.socket), (control, options.socket + CONTROL_SUFFIX)):
        stop_listening(sock)
        os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
