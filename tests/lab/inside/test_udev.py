"""What the machine does for its own tests: udevd is there again when it has ended, and nobody waits for it for ever."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.lab.inside.shell import active_volumes, disk, eventually, settled, sh, wipe


def udevd() -> list[int]:
    """The processes whose program is udevd, the workers too."""
    found = []
    for place in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = place.read_text().strip()
        except OSError:  # it has gone meanwhile
            continue
        if name in ("systemd-udevd", "(udev-worker)"):
            found.append(int(place.parent.name))
    return found


def test_a_volume_gets_its_device_although_udevd_has_ended(lvm_with_udev: None, lvm_disk: str) -> None:
    sh("vgcreate", "--yes", "udev_group", lvm_disk)
    sh("lvcreate", "--yes", "--activate", "n", "--zero", "n", "--size", "8M", "--name", "volume", "udev_group")
    for pid in udevd():
        os.kill(pid, signal.SIGKILL)
    sh("lvchange", "--activate", "y", "udev_group/volume")
    eventually(lambda: Path("/dev/udev_group/volume").exists())
    settled()
    assert len(active_volumes()) == 1
    sh("lvchange", "--activate", "n", "udev_group/volume")
    assert not Path("/dev/udev_group/volume").exists()
    wipe(disk("lvm"))
