"""The storage drivers of this project, for the entry point by which the server finds them."""

from __future__ import annotations

from pathlib import Path

from xapi.storage.file.driver import ExtDriver, FileDriver
from xapi.storage.interface import SrDriver
from xapi.storage.iso.driver import IsoDriver
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.san import LvmOverHba, LvmOverIscsi
from xapi.storage.nfs.driver import NfsDriver
from xapi.storage.simulator.driver import DummyDriver
from xapi.storage.udev.driver import UdevDriver


def open_drivers(state_directory: Path) -> tuple[SrDriver, ...]:
    """One driver for each type of storage repository; mounts are made below the state directory."""
    mounts = str(state_directory / "mounts")
    lvm = str(state_directory / "lvm")
    return (
        FileDriver(),
        ExtDriver(mounts),
        NfsDriver(mounts),
        LvmDriver(lvm),
        LvmOverIscsi(lvm),
        LvmOverHba(lvm),
        IsoDriver(mounts),
        UdevDriver(),
        DummyDriver(str(state_directory / "dummy")),
    )
