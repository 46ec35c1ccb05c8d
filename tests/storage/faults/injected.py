"""Faults of what an SR lies on, beginning at any step of an operation and lasting until they are mended."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from xapi.storage.interface import (
    DataDamaged,
    SrFull,
    SrReadOnly,
    SrUnavailable,
    StorageFailure,
    VdiUnavailable,
)

GROWING = ("pwrite", "pwritev", "write", "ftruncate", "posix_fallocate", "copy_file_range", "link", "mkdir", "fsync")
NAMING = ("rename", "replace", "unlink", "rmdir", "fchmod")
READING = ("pread", "preadv", "listdir", "scandir", "read")
OPENING = ("open",)
ALL = (*GROWING, *NAMING, *READING, *OPENING)
REAL = {name: getattr(os, name) for name in ALL}


class Fault:
    """Something that goes wrong below an SR at `path`.

    `expected` are the failures by which a client is to learn of it, `words` what their text has to say.
    """

    name = ""
    expected: tuple[type[StorageFailure], ...] = ()
    words: tuple[str, ...] = ()

    def counts(self, function: str, args: tuple[object, ...]) -> bool:
        """Whether a call of the system is a step at which this can begin."""
        raise NotImplementedError

    def error(self, function: str, args: tuple[object, ...]) -> int:
        """The errno by which a call fails from now on, 0 for one that does not."""
        raise NotImplementedError

    def begin(self, path: Path) -> None:
        """The moment has come."""

    def mend(self, path: Path) -> None:
        """All is well again."""


def _flags(function: str, args: tuple[object, ...]) -> int:
    return int(args[1]) if function == "open" and len(args) > 1 else 0  # type: ignore[call-overload]


class Full(Fault):
    """Nothing more can be stored; removing and renaming still works."""

    name = "full"
    expected = (SrFull,)
    words = ("space",)

    def counts(self, function: str, args: tuple[object, ...]) -> bool:
        return function in GROWING or bool(_flags(function, args) & os.O_CREAT)

    def error(self, function: str, args: tuple[object, ...]) -> int:
        return errno.ENOSPC if self.counts(function, args) else 0


class ReadOnly(Fault):
    """What was opened for writing and what is opened can only be read."""

    name = "read-only"
    expected = (SrReadOnly,)
    words = ("written", "Read-only")

    def counts(self, function: str, args: tuple[object, ...]) -> bool:
        if function == "fsync":
            return False
        changing = function in GROWING or function in NAMING
        return changing or bool(_flags(function, args) & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))

    def error(self, function: str, args: tuple[object, ...]) -> int:
        return errno.EROFS if self.counts(function, args) else 0


class Broken(Fault):
    """The device does not answer any more: every access fails."""

    name = "broken"
    expected: tuple[type[StorageFailure], ...] = (DataDamaged, VdiUnavailable, SrUnavailable)
    words = ("Input/output error",)

    def counts(self, function: str, args: tuple[object, ...]) -> bool:
        return True

    def error(self, function: str, args: tuple[object, ...]) -> int:
        return errno.EIO


class Stale(Broken):
    """The server of a network file system has forgotten the directory."""

    name = "stale"
    expected = (SrUnavailable,)
    words = ("unreachable",)

    def error(self, function: str, args: tuple[object, ...]) -> int:
        return errno.ESTALE


class Unmounted(Fault):
    """The mount is gone: names lead into the empty directory that was below, open files are still there."""

    name = "unmounted"
    expected = (SrUnavailable,)
    words = ("mounted", "vanished")
    leaves_directory = True

    def counts(self, function: str, args: tuple[object, ...]) -> bool:
        return function not in ("read", "write", "fchmod")

    def error(self, function: str, args: tuple[object, ...]) -> int:
        return 0

    def begin(self, path: Path) -> None:
        REAL["rename"](path, path.with_name(path.name + ".away"))
        if self.leaves_directory:
            REAL["mkdir"](path, 0o700)

    def mend(self, path: Path) -> None:
        if path.exists():
            shutil.rmtree(path)
        REAL["rename"](path.with_name(path.name + ".away"), path)


class Vanished(Unmounted):
    """The directory itself is gone."""

    name = "vanished"
    leaves_directory = False


class Death(BaseException):
    """The process is no more."""


class Killed(Fault):
    """The process ends, the write under way being torn; `expected` is empty, for nobody is told."""

    name = "killed"

    def counts(self, function: str, args: tuple[object, ...]) -> bool:
        return function in GROWING or function in NAMING or bool(_flags(function, args) & os.O_CREAT)

    def error(self, function: str, args: tuple[object, ...]) -> int:
        if self.counts(function, args):
            raise Death
        return 0

    def tear(self, function: str, args: tuple[object, ...]) -> None:
        """Do half of a write."""
        if function == "pwrite":
            descriptor, data, offset = args
            REAL[function](descriptor, memoryview(data)[: len(data) // 2 // 512 * 512], offset)  # type: ignore


FAULTS: tuple[type[Fault], ...] = (Full, ReadOnly, Broken, Stale, Unmounted, Vanished, Killed)


@dataclass
class Injection:
    """A fault that begins at a step; tells whether it has, and how many steps there were."""

    fault: Fault
    path: Path
    step: int
    seen: int = 0
    active: bool = field(default=False)

    def call(self, function: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if not self.active and self.fault.counts(function, args):
            self.seen += 1
            if self.seen > self.step:
                self.active = True
                self.fault.begin(self.path)
                if isinstance(self.fault, Killed):
                    self.fault.tear(function, args)
        if self.active:
            number = self.fault.error(function, args)
            if number:
                raise OSError(number, os.strerror(number))
        return REAL[function](*args, **kwargs)


@contextmanager
def injected(fault: Fault, path: Path, step: int) -> Iterator[Injection]:
    """Let a fault begin inside after so many steps; at the end it is mended."""
    injection = Injection(fault, path, step)

    def replacement(name: str) -> Callable[..., object]:
        return lambda *args, **kwargs: injection.call(name, args, kwargs)

    for name in ALL:
        setattr(os, name, replacement(name))
    try:
        yield injection
    finally:
        for name, function in REAL.items():
            setattr(os, name, function)
        if injection.active:
            fault.mend(path)


__all__ = ["FAULTS", "Death", "Fault", "Injection", "Killed", "injected"]
