"""A device whose fortune changes: the device mapper stands between it and the disk below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.lab.inside.shell import settled, sh
from xapi.storage.lvm.group import run_lvm
from xapi.system.command import Completed

START = 32768
"""The sector of the disk at which the device begins: LVM is not to find the same volume group on both."""
SECTORS = 4 << 20
HEALTHY, VANISHED, UNWRITABLE, READ_ONLY = "healthy", "vanished", "unwritable", "read-only"


class Switched:
    """A device over a disk. It is healthy, or every access fails, or every write does, or it says that it is read-only.

    Of a read-only device the kernel itself lets file systems and LVM's volumes above it write; LVM's programs do not.
    """

    def __init__(self, name: str, disk: str) -> None:
        self.name = name
        self.path = f"/dev/mapper/{name}"
        through = f"linear {disk} {START}"
        self._tables = {
            HEALTHY: through,
            VANISHED: "error",
            UNWRITABLE: f"flakey {disk} {START} 0 60 1 error_writes",
            READ_ONLY: through,
        }

    def make(self) -> None:
        sh("dmsetup", "create", self.name, "--table", f"0 {SECTORS} {self._tables[HEALTHY]}")
        settled()

    def become(self, fortune: str) -> None:
        """Change it; whoever has it open sees the change at once."""
        if fortune == VANISHED:  # what LVM's programs and others have read of it is forgotten
            sh("blockdev", "--flushbufs", self.path)
        mode = ["--readonly"] if fortune == READ_ONLY else []
        sh("dmsetup", "suspend", "--noflush", "--nolockfs", self.name)
        sh("dmsetup", "load", *mode, self.name, "--table", f"0 {SECTORS} {self._tables[fortune]}")
        sh("dmsetup", "resume", self.name)
        settled()

    def remove(self) -> None:
        """Take it away with the volume group on it."""
        self.become(HEALTHY)
        for name in sh("vgs", "--noheadings", "-o", "vg_name").split():
            sh("vgremove", "--force", "--force", "--yes", name)
        sh("wipefs", "--all", "--force", self.path)
        sh("dmsetup", "remove", "--retry", self.name)


@contextmanager
def switched(name: str, disk: str) -> Iterator[Switched]:
    """Have such a device inside."""
    for module in ("dm-flakey", "dm-error"):
        sh("modprobe", module, check=False)  # which may be part of the kernel
    device = Switched(name, disk)
    device.make()
    try:
        yield device
    finally:
        device.remove()


class Moment:
    """A runner of LVM's programs that does something before the one of a certain number is run."""

    def __init__(self) -> None:
        self._left = 0
        self._do: Callable[[], object] | None = None

    def at(self, number: int, do: Callable[[], object]) -> None:
        """Let something happen before the program of that number from now, once."""
        self._left, self._do = number, do

    @property
    def came(self) -> bool:
        """Whether it has happened."""
        return self._do is None

    def __call__(self, argv: Sequence[str]) -> Completed:
        self._left -= 1
        if self._left < 0 and self._do is not None:
            do, self._do = self._do, None
            do()
        return run_lvm(argv)
