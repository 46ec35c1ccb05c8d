"""Events leave the simulator one at a time, in order, and without its lock held."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from xapi.hypervisor.interface import DomainEvent

log = logging.getLogger(__name__)
Callback = Callable[[DomainEvent], None]


class Events:
    """A queue that is filled under the machine's lock and emptied after it was released."""

    def __init__(self) -> None:
        self._waiting: deque[DomainEvent] = deque()
        self._delivering = threading.Lock()
        self._callbacks: tuple[Callback, ...] = ()
        self._changing = threading.Lock()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call back with each event from now on; the answer ends this."""
        with self._changing:
            self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            with self._changing:
                self._callbacks = tuple(each for each in self._callbacks if each is not callback)

        return unsubscribe

    def put(self, event: DomainEvent) -> None:
        """Queue one event; the caller holds the machine's lock."""
        self._waiting.append(event)

    def deliver(self) -> None:
        """Hand out what is queued, unless another thread (or a caller further up the stack) is at it already."""
        while self._waiting and self._delivering.acquire(blocking=False):
            try:
                while self._waiting:
                    event = self._waiting.popleft()
                    for callback in self._callbacks:
                        self._call(callback, event)
            finally:
                self._delivering.release()

    def _call(self, callback: Callback, event: DomainEvent) -> None:
        try:
            callback(event)
        except Exception:  # a subscriber's mistake must not become the failure of whoever moved a domain
            log.exception("a subscriber failed on %s", event)
