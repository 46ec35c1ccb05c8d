"""What is kept of a disk beside its data: a small JSON file for each, replaced as a whole.

The format is ours; an SR that another toolstack wrote has none of these files, and its disks get default values. A file
that is damaged counts as none, and a value of the wrong type as the default: the directory may be anybody's.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime

from xapi.storage.facts import EPOCH, CreateVdi
from xapi.storage.file.directory import Directory

DERIVED_KEYS = frozenset({"vhd-parent", "vdi_type", "image-format"})
"""The sm_config keys that are computed, never kept."""


@dataclass(frozen=True, slots=True)
class VdiRecord:
    """The facts of a disk that its data does not tell. `hidden` is for a raw file: a VHD says itself that it is."""

    name_label: str = ""
    name_description: str = ""
    type: str = "user"
    read_only: bool = False
    sharable: bool = False
    is_a_snapshot: bool = False
    snapshot_of: str = ""
    snapshot_time: datetime = EPOCH
    metadata_of_pool: str = ""
    sm_config: Mapping[str, str] = field(default_factory=dict)
    hidden: bool = False

    @classmethod
    def of(cls, wanted: CreateVdi) -> VdiRecord:
        """Return what is to be kept of a new disk."""
        kept = {key: value for key, value in wanted.sm_config.items() if key not in DERIVED_KEYS}
        own = {item.name: getattr(wanted, item.name) for item in fields(cls) if item.name != "hidden"}
        return cls(**{**own, "sm_config": kept})

    def snapshot(self, original: str, moment: datetime) -> VdiRecord:
        """Return the record of a snapshot of this disk."""
        return replace(self, is_a_snapshot=True, snapshot_of=original, snapshot_time=moment)

    def clone(self) -> VdiRecord:
        """Return the record of a writable copy of this disk."""
        return replace(
            self, is_a_snapshot=False, snapshot_of="", snapshot_time=EPOCH, read_only=False, metadata_of_pool=""
        )

    def encode(self) -> bytes:
        """Return the record as it is written."""
        content = asdict(self) | {"snapshot_time": self.snapshot_time.astimezone(UTC).isoformat()}
        if not self.hidden:
            del content["hidden"]
        return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, untrusted_data: bytes) -> VdiRecord:
        """Return the record in a file's content, defaults for what cannot be believed."""
        try:
            untrusted = json.loads(untrusted_data)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(untrusted, dict):
            return cls()
        default = cls()
        found: dict[str, object] = {}
        for item in fields(cls):
            value = untrusted.get(item.name)
            if item.name == "snapshot_time":
                found[item.name] = _moment(value)
            elif item.name == "sm_config":
                pairs = value.items() if isinstance(value, dict) else ()
                found[item.name] = {key: text for key, text in pairs if isinstance(text, str)}
            elif type(value) is type(getattr(default, item.name)):
                found[item.name] = value
        return replace(default, **found)  # type: ignore[arg-type]  # the types were compared above


def _moment(untrusted: object) -> datetime:
    try:
        moment = datetime.fromisoformat(untrusted) if isinstance(untrusted, str) else EPOCH
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return EPOCH


def load_record(directory: Directory, uuid: str) -> VdiRecord:
    """Return what is kept of a disk, defaults if nothing is."""
    try:
        return VdiRecord.decode(directory.read_small(directory.record(uuid)))
    except FileNotFoundError:
        return VdiRecord()


def save_record(directory: Directory, uuid: str, record: VdiRecord) -> None:
    """Keep a record: the file is durable on return, its name with the directory's next `sync`."""
    handle, temporary = tempfile.mkstemp(prefix=f".{uuid}.json.", dir=directory.path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(record.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, directory.record(uuid))
    except BaseException:
        directory.remove(temporary)
        raise
