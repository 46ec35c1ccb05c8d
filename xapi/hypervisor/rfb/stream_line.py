"""A terminal line whose other end is a descriptor: the master of a pty, or the socket of a guest's serial port."""

import fcntl
import os
import struct
import termios
from collections.abc import Callable

from xapi.hypervisor.rfb.text_screen import BACKLOG

UNSENT = 64 * 1024
"""Bytes that were typed and wait for a guest that does not read; more is lost, as on a real terminal."""
_CHUNK = 16 * 1024


class StreamLine:
    """A line (see `text_screen.Line`) that a `ConsoleService` hears; it owns the descriptor and closes it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._unsent = bytearray()
        self.backlog = bytearray()
        self.listeners: list[Callable[[bytes], None]] = []

    def fileno(self) -> int:
        """The descriptor; -1 after the end."""
        return self._descriptor

    def receive(self) -> bool:
        """Take what the other end says now; False when it will say nothing more."""
        try:
            data = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False  # how a pty tells that the last program at it has gone
        self.backlog += data
        del self.backlog[:-BACKLOG]
        for listener in list(self.listeners):
            listener(data)
        return bool(data)

    def type(self, data: bytes) -> None:
        """Send what was typed, as soon as the other end takes it."""
        self._unsent += data[: UNSENT - len(self._unsent)]
        self.tick()

    def tick(self) -> None:
        """Send on what could not be sent before."""
        try:
            while self._unsent and self._descriptor >= 0:
                del self._unsent[: os.write(self._descriptor, self._unsent)]
        except BlockingIOError:
            pass  # the other end does not read now
        except OSError:
            self._unsent.clear()  # it has gone, as `receive` will learn

    def resize(self, rows: int, columns: int) -> None:
        """Tell the programs at a pty how large the terminal is; OSError where the line is none."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Hang up; doing so twice does no harm."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
