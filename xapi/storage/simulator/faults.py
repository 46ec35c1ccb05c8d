"""Faults that somebody asked for: `fault-OPERATION` = `NUMBER` or `NUMBER:TIMES` in a device_config or an sm_config.

NUMBER is one of the public SR error numbers (44 is a full SR, 24 a disk in use …); without TIMES the fault is for ever.
Operations are the names of the methods of an SR and its disks: create, attach, snapshot, scan, detach_sr …
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from xapi.storage.errors import (
    ChainTooDeep,
    InvalidConfiguration,
    SrFull,
    SrInUse,
    SrUnavailable,
    StorageFailure,
    VdiInUse,
    VdiUnavailable,
)

PREFIX = "fault-"
FORM = re.compile(r"([0-9]{1,9})(?::([0-9]{1,9}))?")


def fault(number: int, operation: str, location: str) -> StorageFailure:
    """Return the error of a number, as the real drivers raise it."""
    text = f"a fault was injected into {operation}"
    match number:
        case 16:
            return SrInUse(text)
        case 24:
            return VdiInUse(location, operation)
        case 44:
            return SrFull()
        case 46:
            return VdiUnavailable(location, text)
        case 47:
            return SrUnavailable(text)
        case 109:
            return ChainTooDeep(location, 0)
        case _:
            return StorageFailure(text, number)


class Faults:
    """The faults of one SR, counted while it is attached."""

    def __init__(self, device_config: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._config = {key: value for key, value in device_config.items() if key.startswith(PREFIX)}
        self._happened: dict[tuple[str, str], int] = {}
        for key, value in self._config.items():
            _parse(key, value)

    def check(self, operation: str, location: str = "", sm_config: Mapping[str, str] | None = None) -> None:
        """Raise the fault that is asked for, by the SR or by the disk, if its times are not over."""
        key = PREFIX + operation
        for owner, config in (("", self._config), (location, sm_config or {})):
            if key not in config:
                continue
            number, times = _parse(key, config[key])
            with self._lock:
                happened = self._happened.get((owner, key), 0)
                if times is not None and happened >= times:
                    continue
                self._happened[owner, key] = happened + 1
            raise fault(number, operation, location)


def _parse(key: str, value: str) -> tuple[int, int | None]:
    match = FORM.fullmatch(value)
    if match is None:
        raise InvalidConfiguration(key, "has the form NUMBER or NUMBER:TIMES")
    return int(match[1]), int(match[2]) if match[2] else None
