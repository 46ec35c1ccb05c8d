"""Making records, change logs and volumes agree again, where something was cut short or failed."""

from __future__ import annotations

from collections.abc import Collection

from xapi.storage.images.change_logs import drop_log
from xapi.storage.images.interface import Images
from xapi.storage.lvm.fork import VolumeFork
from xapi.storage.lvm.merges import OLD_PREFIX, parse_merge
from xapi.storage.lvm.records import Records


def is_unsettled(names: Collection[str]) -> bool:
    """Whether a volume tells of something under way, so that a disk may be without its volume for now."""
    return any(name.startswith(OLD_PREFIX) or VolumeFork.parse(name) or parse_merge(name) for name in names)


def reconcile(images: Images, kept: Records, volumes: Collection[str]) -> None:
    """Finish removing what was being removed, and forget what belongs to no disk. Nothing may be unsettled."""
    logs = images.logs()
    for uuid in kept.uuids() - set(volumes):
        if uuid not in logs or kept.get(uuid).type != "cbt_metadata":
            kept.drop(uuid)
    for uuid in logs & set(volumes):
        node = images.tree.look(uuid)
        if node is not None and kept.get(uuid).type == "cbt_metadata" and not images.tree.children(uuid):
            images.remove(node, keep_record=True)
    for uuid in logs - set(volumes) - kept.uuids():
        drop_log(images, uuid)
        images.tree.refresh()
