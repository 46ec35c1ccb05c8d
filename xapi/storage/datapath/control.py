"""Talking to a datapath process: one JSON object a line, an answer for each, on a Unix socket of its own.

Commands: `status`, `pause`, `resume`, `reopen`, `switch` (with `path`, `raw`, `note` and `text`), `stop`. A pause
belongs to the connection that asked for it: when that is lost, as with a toolstack that was killed, the disk goes on.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Self

LONGEST_LINE = 64 << 10
SECONDS = 60.0


class ControlFailed(Exception):
    """The process has refused a command, or does not answer."""


class ControlGone(ControlFailed):
    """Nobody listens: the process does not run."""


class Control:
    """A connection to a datapath process. Use it from one thread."""

    def __init__(self, path: str, seconds: float = SECONDS) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        self._rest = b""
        try:
            self._socket.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise ControlGone(f"{path}: {error.strerror}") from error
        except OSError as error:
            self._socket.close()
            raise ControlFailed(f"{path}: {error}") from error

    def call(self, command: str, **details: object) -> dict[str, Any]:
        """Give a command and return what it answers; ControlFailed, ControlGone."""
        try:
            self._socket.sendall(json.dumps({"command": command, **details}).encode() + b"\n")
            line = self._line()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ControlGone(f"{command}: {error}") from error
        except OSError as error:
            raise ControlFailed(f"{command}: {error}") from error
        answer = parse_line(line)
        if answer.get("ok") is not True:
            raise ControlFailed(f"{command}: {answer.get('error', 'no answer')}")
        return answer

    def _line(self) -> bytes:
        line, self._rest = read_line(self._socket, self._rest)
        if not line:
            raise ConnectionResetError("the process is gone")
        return line

    def close(self) -> None:
        """Hang up; a pause ends with that."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_line(sock: socket.socket, rest: bytes) -> tuple[bytes, bytes]:
    """Return the next line without its end, and what came behind it; an empty line when there is none any more."""
    while b"\n" not in rest:
        data = sock.recv(4096)
        if not data or len(rest) > LONGEST_LINE:
            return b"", b""
        rest += data
    line, _, rest = rest.partition(b"\n")
    return line, rest


def parse_line(untrusted: bytes) -> dict[str, Any]:
    """Return the object in a line, an empty one for anything else."""
    try:
        found = json.loads(untrusted)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
