"""Text consoles: one terminal line that any number of viewers share, as text or as a picture.

The other end of a line is whatever makes text: a guest's serial port, the host's own terminal, a simulation.
"""

from collections.abc import Callable
from typing import Protocol

from xapi.hypervisor.rfb.session import RfbSession
from xapi.hypervisor.rfb.text_display import TextDisplay

BACKLOG = 16 * 1024
"""Bytes of what was said before that a newcomer gets, and that wait for a viewer who does not read."""


class Line(Protocol):
    """A terminal line; without I/O as far as viewers go."""

    backlog: bytearray
    listeners: list[Callable[[bytes], None]]

    def tick(self) -> None:
        """Notice that time has passed."""

    def type(self, data: bytes) -> None:
        """Something is typed."""


class TextScreen:
    """A line as text (see `service.Screen`): a newcomer sees what was said before."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def tick(self) -> None:
        """Let the other end say what it has to say."""
        self._line.tick()

    def converse(self) -> "TextConversation":
        """Begin with a new viewer."""
        self._line.tick()
        return TextConversation(self._line)


class TextConversation:
    """One viewer of a text console. What it does not read in time is lost, the oldest first."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._news = bytearray()
        line.listeners.append(self._hear)

    def greet(self) -> bytes:
        """What was said before."""
        return bytes(self._line.backlog)

    def feed(self, data: bytes) -> bytes:
        """Type."""
        self._line.type(data)
        return b""

    def update(self) -> bytes:
        """What was said since."""
        data = bytes(self._news)
        self._news.clear()
        return data

    def close(self) -> None:
        """Listen no more."""
        self._line.listeners.remove(self._hear)

    def _hear(self, data: bytes) -> None:
        self._news += data
        del self._news[:-BACKLOG]


class TerminalScreen:
    """A line as a picture (see `service.Screen`), for guests without a screen and for the host's own terminal.

    Made before the line says anything, it shows all; made later, it begins with the line's backlog.
    """

    def __init__(self, line: Line, name: str, rows: int = 25, columns: int = 80) -> None:
        self._line = line
        self._name = name
        self.display = TextDisplay(rows, columns, line.type)
        self.display.receive(bytes(line.backlog))
        line.listeners.append(self.display.receive)

    def tick(self) -> None:
        """Let the other end say what it has to say."""
        self._line.tick()

    def converse(self) -> RfbSession:
        """Begin with a new viewer."""
        self._line.tick()
        return RfbSession(self.display, self._name)
