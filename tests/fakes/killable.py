"""A server in a forked process, so that it can be killed and started again many times a minute."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
from multiprocessing.connection import Connection

from tests.fakes.places import QUICK
from tests.fakes.served import OPTIONS, Doors, new_state

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.fakes.preloaded"])


def serve(state: str, ready: Connection) -> None:
    """The life of the process: a server that nobody ends politely."""
    from xapi.server import RunningServer
    from xapi.system.settings import parse

    server = RunningServer(parse(["--state", state, *OPTIONS], {}))
    ready.send((server.https_address, server.http_address))
    threading.Event().wait()


class Killable(Doors):
    """A server that is started again on the same state after each kill."""

    def __init__(self) -> None:
        self.clients = []
        self.state = new_state(QUICK)
        self.running = False
        self.start()

    def start(self) -> None:
        """Start the server and wait until it listens."""
        here, there = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=serve, args=(str(self.state), there), daemon=True)
        self.process.start()
        there.close()
        with here:
            if not here.poll(60):
                raise TimeoutError("the server does not start")
            self.https, self.http = here.recv()
        self.running = True

    def kill(self) -> None:
        """End the process as a loss of power would, but for the disk's own cache."""
        self.running = False
        self.process.kill()
        self.process.join(30)
        self.process.close()

    def close(self) -> None:
        self.close_clients()
        if self.running:
            self.kill()
        shutil.rmtree(self.state)
