"""A toolstack in one process without sockets, and a caller that goes the whole way of a call but for HTTP."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

from tests.fakes.certificate import lend_certificate
from xapi.datamodel.errors import ERRORS
from xapi.datamodel.failure import Failure
from xapi.dispatch.perform import Performer
from xapi.rpc import xmlrpc
from xapi.rpc.call import Call, Done, Outcome, Waiting
from xapi.rpc.forms import XML
from xapi.rpc.http_message import Peer
from xapi.server import RunningServer
from xapi.system.clock import SystemClock
from xapi.system.settings import parse

NOT_ASYNCHRONOUS = "Fault"  # the one answer that is no error of the contract, as the original gives it


class House:
    """One host with everything but its doors."""

    def __init__(self, state: Path, clock: Any = None, options: tuple[str, ...] = ()) -> None:
        settings = parse(["--state", str(state), "--hypervisor", "simulator", *options], {})
        lend_certificate(settings, (clock or SystemClock()).now())
        self.server = RunningServer(settings, clock, doors=False, background=False)
        self.toolstack = self.server.toolstack
        self.performer = Performer(self.toolstack)
        self.client = self.caller(superuser=True)

    def caller(self, *roles: Any, superuser: bool = False, pool: bool = False) -> Caller:
        """Somebody with these roles."""
        session = self.toolstack.sessions.open(
            user="root" if superuser else "somebody",
            originator="tests",
            this_host=self.toolstack.this_host,
            roles=frozenset(roles),
            superuser=superuser,
            pool=pool,
        )
        return Caller(self.performer, session.ref)

    def close(self) -> None:
        self.server.close()


class Caller:
    """Calls messages: `caller.VM.start(vm, False, False)`, `caller("Async.VM.start", …)`."""

    def __init__(self, performer: Performer, session: str) -> None:
        self.performer = performer
        self.session = session

    def __getattr__(self, name: str) -> _Class:
        return _Class(self, name)

    def __call__(self, name: str, *params: object) -> Any:
        return self.bare(name, self.session, *params)

    def bare(self, name: str, *params: object) -> Any:
        """A call with exactly these parameters."""
        document = xmlrpc.render_call(name, params)
        method, wire = xmlrpc.parse_call(document)
        outcome = self.performer(Call(method, wire, XML, Peer(local=True)))
        if isinstance(outcome, Waiting):
            outcome = _wait(outcome)
        if isinstance(outcome, Done):
            return xmlrpc.parse_response(b"".join(xmlrpc.success(outcome.fragment)))
        code, *rest = outcome.description
        assert code in ERRORS or code == NOT_ASYNCHRONOUS, f"{name} answers {code}, which is not declared"
        raise Failure(code, *rest)


class _Class:
    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self._name = name

    def __getattr__(self, message: str) -> Any:
        # `event.from` is called as `event.from_`, as Python keeps the word for itself.
        return lambda *params: self._caller(f"{self._name}.{message.rstrip('_')}", *params)


def _wait(waiting: Waiting) -> Outcome:
    arrived: list[Outcome] = []
    ready = Event()

    def deliver(outcome: Outcome) -> None:
        arrived.append(outcome)
        ready.set()

    waiting.begin(deliver)
    if not ready.wait(60):
        raise TimeoutError("nothing came")
    return arrived[0]
