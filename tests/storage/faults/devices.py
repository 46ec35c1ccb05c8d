"""Faults of the device below a volume group, as LVM's programs and open volumes show them, beginning at any step."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from tests.storage.lvm.fake import FakeLvm
from xapi.storage.interface import (
    DataDamaged,
    SrFull,
    SrReadOnly,
    SrUnavailable,
    StorageFailure,
    VdiUnavailable,
)
from xapi.system.command import CommandFailed, CommandTimeout

REPORT, ACTIVATE, DEACTIVATE, CHANGE, GROW = "report", "activate", "deactivate", "change", "grow"
ENQUIRY = "enquiry"
PROGRAMS = (REPORT, ACTIVATE, DEACTIVATE, CHANGE, GROW)
OPEN, OPEN_TO_WRITE, READ, WRITE, FLUSH = "open", "open to write", "read", "write", "flush"
CALLS = {"pread": READ, "preadv": READ, "pwrite": WRITE, "pwritev": WRITE, "fsync": FLUSH}

NO_GROUP = '  Volume group "VG_XenStorage-x" not found\n  Cannot process volume group VG_XenStorage-x\n'
NOT_WRITTEN = """  Error writing device /dev/sdb at 13312 length 1536.
  WARNING: bcache_invalidate: block (0, 0) still dirty.
  Failed to write metadata to /dev/sdb.
  Failed to write VG VG_XenStorage-x.
"""
NO_ROOM = '  Volume group "VG_XenStorage-x" has insufficient free space (0 extents): 1 required.\n'
NOT_LOADED = "  device-mapper: reload ioctl on  (253:2) failed: Input/output error\n"


def kind_of(argv: Sequence[str]) -> str:
    """Return what a program is about."""
    program = argv[0]
    if program in ("lvs", "vgs", "pvs"):
        return REPORT
    if program == "blockdev":
        return ENQUIRY
    if "--activate" in argv and program == "lvchange":
        return ACTIVATE if argv[argv.index("--activate") + 1] == "y" else DEACTIVATE
    return GROW if program in ("lvcreate", "lvresize") else CHANGE


@dataclass(frozen=True)
class DeviceFault:
    """Something that goes wrong below a volume group.

    `programs` says with which words a kind of program fails, `calls` by which errno a kind of access to an open volume
    does. `expected` are the failures by which a client is to learn of it, `words` what their text has to say. A fault
    that comes `late` lets the program do its work before. LVM does not tell that a device is `read_only`; the system
    does.
    """

    name: str
    expected: tuple[type[StorageFailure], ...]
    words: tuple[str, ...]
    programs: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    late: bool = False
    read_only: bool = False


UNREADABLE = (DataDamaged, VdiUnavailable, SrUnavailable)
DEVICE_FAULTS = (
    DeviceFault(
        "vanished",
        UNREADABLE,
        ("not found", "No such device", "Input/output error"),
        dict.fromkeys(PROGRAMS, NO_GROUP),
        {OPEN: errno.ENXIO, OPEN_TO_WRITE: errno.ENXIO, READ: errno.EIO, WRITE: errno.EIO, FLUSH: errno.EIO},
    ),
    DeviceFault(
        "broken",
        UNREADABLE,
        ("Input/output error",),
        {ACTIVATE: NOT_LOADED},
        {READ: errno.EIO, WRITE: errno.EIO, FLUSH: errno.EIO},
    ),
    DeviceFault(
        "unwritable",
        UNREADABLE,
        ("Input/output error", "Error writing device"),
        dict.fromkeys((CHANGE, GROW), NOT_WRITTEN),
        {WRITE: errno.EIO, FLUSH: errno.EIO},
    ),
    DeviceFault(
        "read-only",
        (SrReadOnly,),
        ("written", "Read-only"),
        dict.fromkeys((CHANGE, GROW), NOT_WRITTEN),
        {OPEN_TO_WRITE: errno.EACCES, WRITE: errno.EPERM},
        read_only=True,
    ),
    DeviceFault("full", (SrFull,), ("space",), {GROW: NO_ROOM}),
    DeviceFault("late", (SrUnavailable,), ("no end within",), dict.fromkeys(PROGRAMS, ""), late=True),
)


class DeviceInjection:
    """A fault that begins at a step; with `once`, that step alone fails, else all that follow do too."""

    def __init__(self, fault: DeviceFault, lvm: FakeLvm, step: int, once: bool) -> None:
        self.real = {name: getattr(os, name) for name in (*CALLS, "open", "close")}
        self.fault = fault
        self.lvm = lvm
        self.step = step
        self.once = once
        self.seen = 0
        self.active = False
        self.began_at = ""
        self._descriptors: set[int] = set()

    def _happens(self, what: str) -> bool:
        if self.active:
            return not self.once
        self.seen += 1
        if self.seen > self.step:
            self.active = True
            self.began_at = what
        return self.active

    @contextmanager
    def program(self, argv: Sequence[str]) -> Iterator[None]:
        """Run a program inside, unless it fails."""
        words = self.fault.programs.get(kind_of(argv))
        fails = words is not None and self._happens(f"{argv[0]} {argv[-1]}")
        if fails and not self.fault.late:
            raise CommandFailed(argv, 5, b"", words or "")
        yield
        if fails:
            raise CommandTimeout(argv, 120)

    def _check(self, call: str, name: str) -> None:
        number = self.fault.calls.get(call)
        if number is not None and self._happens(name):
            raise OSError(number, os.strerror(number))

    def open(self, path: str, flags: int, mode: int = 0o777, **options: int) -> int:
        mine = os.fspath(path).startswith(f"{self.lvm.devices}/")
        if mine:
            self._check(OPEN_TO_WRITE if flags & (os.O_RDWR | os.O_WRONLY) else OPEN, f"open {path}")
        descriptor: int = self.real["open"](path, flags, mode, **options)
        if mine:
            self._descriptors.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._descriptors.discard(descriptor)
        self.real["close"](descriptor)

    def call(self, function: str, descriptor: int, *args: object) -> object:
        if descriptor in self._descriptors:
            self._check(CALLS[function], function)
        return None if function == "fsync" else self.real[function](descriptor, *args)  # it lasts as long as this test


@contextmanager
def device_fault(fault: DeviceFault, lvm: FakeLvm, step: int, once: bool) -> Iterator[DeviceInjection]:
    """Let a fault begin inside after so many steps that it could begin at; at the end all is well again."""
    injection = DeviceInjection(fault, lvm, step, once)

    def replacement(function: str) -> Callable[..., object]:
        return lambda descriptor, *args: injection.call(function, descriptor, *args)

    for name in CALLS:
        setattr(os, name, replacement(name))
    setattr(os, "open", injection.open)  # noqa: B010
    setattr(os, "close", injection.close)  # noqa: B010
    lvm.beside = injection.program
    lvm.read_only = fault.read_only
    try:
        yield injection
    finally:
        for name, function in injection.real.items():
            setattr(os, name, function)
        lvm.beside = nullcontext
        lvm.read_only = False
