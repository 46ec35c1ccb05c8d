"""What a server is told: what a peer may take, how a request is served, and what is called on its behalf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from xapi.rpc.http_message import Request, Response

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may take: sizes in bytes, times in seconds."""

    head_bytes: int = 64 * 1024
    header_count: int = 100
    handshake_time: float = 10.0
    head_time: float = 30.0
    body_time: float = 120.0  # without progress, while the body of a simple request is gathered
    stream_time: float = 600.0  # without progress, while a streaming handler wants body
    send_time: float = 60.0  # without progress
    idle_time: float = 600.0
    drain_time: float = 2.0  # for the peer to read an early answer before the connection is cut
    linger: float = 0.002  # that a worker stays for the next request of a connection
    connections: int = 4096


@dataclass(frozen=True, slots=True)
class Later:
    """The promise of an answer: `begin` gets the function to answer with, and returns the one that cancels.

    `answer` may be called from any thread, also before `begin` returns, and never blocks; only the first call counts.
    `cancel` is called once, on a worker, if the peer hangs up or the server closes before there is an answer.
    """

    begin: Callable[[Callable[[Response], None]], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Simple:
    """A route whose handler gets the whole body, of at most `body_limit` bytes."""

    handler: Callable[[Request], Response | Later]
    body_limit: int = 64 * 1024 * 1024


class HandlerFailed(Exception):
    """What was called on behalf of a request raised what its cause says."""


def ask(handler: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call what others wrote, whose mistakes must not end the server; whatever it raises becomes HandlerFailed."""
    try:
        return handler(*args, **kwargs)
    except Exception as error:
        raise HandlerFailed from error
