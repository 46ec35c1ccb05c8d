"""What is told of an image, and of a snapshot of which only the changed blocks are left."""

from __future__ import annotations

from xapi.storage.facts import VdiFacts
from xapi.storage.file.record import VdiRecord
from xapi.storage.images.tree import Node
from xapi.storage.tracking import ChangeLog

RECORDED = (
    "name_label",
    "name_description",
    "type",
    "read_only",
    "sharable",
    "is_a_snapshot",
    "snapshot_of",
    "snapshot_time",
    "metadata_of_pool",
)
"""The fields that facts take from the record."""
INNER_NAME = "base copy"


def facts_of(node: Node, record: VdiRecord, whole: bool, tracked: bool) -> VdiFacts:
    """Return the facts of an image; of an inner node the record does not count."""
    record = VdiRecord() if node.hidden else record
    derived = {"vdi_type": node.format, "image-format": node.format}
    if node.parent:
        derived["vhd-parent"] = node.parent
    own = {name: getattr(record, name) for name in RECORDED}
    return VdiFacts(
        uuid=node.uuid,
        location=node.uuid,
        virtual_size=node.size,
        physical_utilisation=node.utilisation,
        managed=not node.hidden,
        missing=not whole,
        cbt_enabled=tracked,
        sm_config={**record.sm_config, **derived},
        **(own | ({"read_only": True, "name_label": INNER_NAME} if node.hidden else {})),
    )


def metadata_facts(uuid: str, record: VdiRecord, log: ChangeLog) -> VdiFacts:
    """Return the facts of a snapshot of which only the changed blocks are left."""
    own = {name: getattr(record, name) for name in RECORDED} | {"type": "cbt_metadata"}
    return VdiFacts(uuid, uuid, log.size, len(log.bitmap), cbt_enabled=True, sm_config=record.sm_config, **own)
