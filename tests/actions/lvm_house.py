"""A house whose SRs of type `lvm` lie on a device mapper made of files, which outlives the house and its processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xapi.server
from tests.actions.storage_house import StorageHouse
from tests.storage.lvm.fake import KeptLvm
from xapi.storage.datapath.processes import DataPathProcesses
from xapi.storage.interface import SrDriver
from xapi.storage.lvm.driver import LvmDriver
from xapi.system.settings import Settings

CHECKOUT = Path(__file__).parents[2]
# A volume keeps its size, whoever writes to it; these are files, of which a process must know that all the same.
INTERPRETER = f"""#!{sys.executable}
import runpy, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from xapi.storage.vhd.file import RealFile
RealFile.fixed_size = property(lambda self: "/VG_XenStorage-" in self.path)
module = sys.argv.pop(2)
del sys.argv[1]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@contextmanager
def lvm_of_files(root: Path) -> Iterator[KeptLvm]:
    """Inside, a toolstack that starts has LVM below `root`, with what an earlier one has left there."""
    lvm = KeptLvm(root / "lvm")
    interpreter = root / "lvm" / "interpreter"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    real, defaults = xapi.server.open_storage_drivers, DataPathProcesses.__init__.__defaults__

    def opened(settings: Settings) -> tuple[SrDriver, ...]:
        own = LvmDriver(str(settings.state / "lvm"), lvm, str(lvm.devices))
        return tuple(own if driver.type.name == "lvm" else driver for driver in real(settings))

    xapi.server.open_storage_drivers = opened
    DataPathProcesses.__init__.__defaults__ = (str(interpreter),)
    try:
        yield lvm
    finally:
        xapi.server.open_storage_drivers = real
        DataPathProcesses.__init__.__defaults__ = defaults


class LvmHouse(StorageHouse):
    lvm: KeptLvm

    def sr(self, kind: str = "file", content: str = "user", *, shared: bool = False, **device_config: str) -> str:
        """Makes one of these types; `thin` stands for `lvm` where disks take what they hold."""
        if kind == "thin":
            kind, device_config = "lvm", {**device_config, "allocation": "thin"}
        if kind == "lvm" and "device" not in device_config:
            self._places += 1
            device_config["device"] = self.lvm.device(f"sd{self._places}")
        return super().sr(kind, content, shared=shared, **device_config)

    def is_on_lvm(self, sr: str) -> bool:
        return bool(self.client.SR.get_type(sr) == "lvm")

    def volumes(self, sr: str) -> set[str]:
        return set(self.lvm.groups[f"VG_XenStorage-{self.client.SR.get_uuid(sr)}"].volumes)

    def active(self, sr: str) -> set[str]:
        """The volumes of an SR that have a device."""
        return set(os.listdir(self.lvm.devices / f"VG_XenStorage-{self.client.SR.get_uuid(sr)}"))


@contextmanager
def lvm_house(**simulator: str) -> Iterator[LvmHouse]:
    """Opens a house for the time of the block; `simulator` are settings of the hypervisor."""
    with tempfile.TemporaryDirectory(prefix="xapi-") as directory, lvm_of_files(Path(directory)) as lvm:
        house = LvmHouse(Path(directory), None, **simulator)
        house.lvm = lvm
        yield house
        house.close()
