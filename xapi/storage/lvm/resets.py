"""Dropping what a disk itself holds, in its place: there may be no room for another volume.

As long as that takes, the volume has a tag, and whoever finds it begins again: only that can be done then.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from xapi.storage.errors import StorageFailure
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.volumes import RESET_TAG, Volume
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.modify import kill_data

LOG = logging.getLogger("xapi.storage")


def reset(group: VolumeGroup, volume: Volume) -> None:
    """Let a VHD be as its parent is. Cut short, it is as before, or is reset before it is next used."""
    if not volume.resetting:
        group.tag(volume.name, RESET_TAG, True)
    with group.opened(volume.name, writable=True) as file:
        kill_data(Vhd.open(file, writable=True))
    group.tag(volume.name, RESET_TAG, False)


def recover_resets(group: VolumeGroup, volumes: Mapping[str, Volume]) -> bool:
    """Do again every reset that was cut short; return whether there were any. One that fails keeps its tag.

    So does one whose disk somebody has open, who knows of its blocks and might bring some of them back.
    """
    found = [volume for volume in volumes.values() if volume.resetting and not volume.open]
    for volume in found:
        try:
            reset(group, volume)
        except (StorageFailure, OSError, VhdError) as error:
            LOG.error("SR %s: %s cannot be reset yet: %s", group.sr_uuid, volume.name, error)
    return bool(found)
