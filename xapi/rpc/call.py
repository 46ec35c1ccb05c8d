"""One call on its way from a document to the dispatcher, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xapi.rpc.forms import Form
from xapi.rpc.http_message import Peer


@dataclass(slots=True)  # not frozen: that would cost each call a microsecond
class Call:
    """A decoded request: the name and the parameters as the wire had them, and where it came from."""

    name: str
    params: list[object]
    form: Form
    peer: Peer
    user_agent: str = ""
    originator: str = ""
    task: str = ""
    named: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """The call was done: the rendered result. `bare` leaves the usual envelope of XML-RPC out."""

    fragment: Sequence[bytes]
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The call was not done: the error's code and parameters."""

    description: Sequence[str]


Outcome = Done | Refused


@dataclass(frozen=True, slots=True)
class Waiting:
    """The outcome comes later: `begin` is given the function to call with it, and answers how to give up waiting."""

    begin: Callable[[Callable[[Outcome], None]], Callable[[], None]]


Perform = Callable[[Call], Outcome | Waiting]
