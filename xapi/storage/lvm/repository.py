"""An SR on LVM: its disks are VHDs on logical volumes, or logical volumes as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from xapi.storage.attachments import Attachments
from xapi.storage.device_config import IN_CHARGE
from xapi.storage.failures import translated
from xapi.storage.images.repository import ImagesSr
from xapi.storage.interface import DataPaths
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.images import VolumeImages
from xapi.system.clock import Clock


class LvmSr(ImagesSr):
    """An attached SR on a volume group. `state` is where its lock and its counts are; `release` ends what is below."""

    def __init__(
        self,
        group: VolumeGroup,
        type_name: str,
        device_config: Mapping[str, str],
        state: Path,
        data_paths: DataPaths | None = None,
        release: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        attachments = Attachments()
        in_charge = device_config.get(IN_CHARGE) != "false"
        with translated(group.sr_uuid):
            images = VolumeImages(group, state, attachments, release, in_charge)
        super().__init__(images, attachments, type_name, device_config, data_paths, clock)
