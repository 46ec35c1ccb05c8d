"""A selector whose waiting other threads can end."""

from __future__ import annotations

import os
import selectors
from contextlib import suppress


class WakingSelector(selectors.EpollSelector):
    """Waits for files as any selector does, until one of them is ready or somebody wakes it."""

    def __init__(self) -> None:
        super().__init__()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.register(self._bell, selectors.EVENT_READ)

    def wake(self) -> None:
        """Let the present or the next `select` return; may be called from any thread until `close`."""
        os.eventfd_write(self._bell, 1)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The files that are ready, which may be none; waits at most so many seconds, or for as long as it takes."""
        ready = super().select(timeout)
        others = [found for found in ready if found[0].fd != self._bell]
        if len(others) < len(ready):
            with suppress(BlockingIOError):
                os.eventfd_read(self._bell)
        return others

    def close(self) -> None:
        """Forget every file; they stay open."""
        super().close()
        os.close(self._bell)
