"""The storage drivers of this project, for the entry point by which the server finds them."""

from __future__ import annotations

from pathlib import Path

from xapi.storage.file.driver import ExtDriver, FileDriver
from xapi.storage.interface import SrDriver


def open_drivers(state_directory: Path) -> tuple[SrDriver, ...]:
    """One driver for each type of storage repository; mounts are made below the state directory."""
    mounts = str(state_directory / "mounts")
    return (FileDriver(), ExtDriver(mounts))
