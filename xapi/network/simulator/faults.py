"""What somebody wishes to go wrong: run-time keys `network-simulator:…` of the host's other_config."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from xapi.network.interface import ConfigurationFailed, InvalidNetworkConfiguration

PREFIX = "network-simulator:"
OPERATIONS = frozenset({"nics", "bring_up", "take_down", "attach", "detach", "set_filtering", "set_controller"})


@dataclass(slots=True)
class Fault:
    """One wish: skip `after` calls, then fail `times` times (None: always) for `device` ('' any)."""

    text: str
    times: int | None = None
    after: int = 0
    device: str = ""


class Wishes:
    """The wishes in force, and how often each operation was called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self.carriers: Mapping[str, bool] = {}
        self.absent: frozenset[str] = frozenset()
        self.added: frozenset[str] = frozenset()
        self.counts: Counter[str] = Counter()

    def set(self, keys: Mapping[str, str]) -> None:
        """Make these the wishes in force; a fault with an unchanged text keeps its counts."""
        faults: dict[str, Fault] = {}
        carriers: dict[str, bool] = {}
        cards: dict[str, bool] = {}
        for key, text in keys.items():
            if not key.startswith(PREFIX):
                continue
            kind, _, name = key.removeprefix(PREFIX).partition(":")
            if kind == "fault" and name in OPERATIONS:
                faults[name] = _parse(key, text)
            elif kind == "carrier" and text in ("up", "down"):
                carriers[name] = text == "up"
            elif kind == "nic" and text in ("present", "absent"):
                cards[name] = text == "present"
            else:
                raise InvalidNetworkConfiguration(
                    key, "is neither fault:OPERATION=error[,…] nor carrier:NIC=up|down nor nic:NIC=present|absent"
                )
        with self._lock:
            old = self._faults
            self._faults = {
                name: old[name] if name in old and old[name].text == fault.text else fault
                for name, fault in faults.items()
            }
            self.carriers = carriers
            self.added = frozenset(name for name, there in cards.items() if there)
            self.absent = frozenset(name for name, there in cards.items() if not there)

    def strike(self, operation: str, device: str = "") -> None:
        """Count a call, and let it fail if that is wished for."""
        with self._lock:
            self.counts[operation] += 1
            fault = self._faults.get(operation)
            if fault is None or fault.device not in ("", device) or fault.times == 0:
                return
            if fault.after > 0:
                fault.after -= 1
                return
            if fault.times is not None:
                fault.times -= 1
        raise ConfigurationFailed(device or operation, "an injected fault")


def _parse(key: str, text: str) -> Fault:
    kind, *options = [part.strip() for part in text.split(",")]
    if kind != "error":
        raise InvalidNetworkConfiguration(key, f"{kind!r} is not error")
    fault = Fault(text)
    for option in options:
        name, _, value = option.partition("=")
        if name in ("times", "after") and value.isascii() and value.isdecimal():
            setattr(fault, name, int(value))
        elif name == "device":
            fault.device = value
        else:
            raise InvalidNetworkConfiguration(key, f"{option!r} is none of times=N, after=N, device=NAME")
    return fault
