"""The CD images in a directory: every file whose name ends in .iso or .img."""

from __future__ import annotations

import json
import os
import re
import stat
import uuid as uuids
from datetime import UTC, datetime
from pathlib import Path

from xapi.storage.errors import InvalidConfiguration, Unsupported, VdiExists, VdiSizeInvalid
from xapi.storage.facts import CreateVdi, VdiFacts
from xapi.storage.file.directory import UUID, Directory, is_uuid
from xapi.storage.vhd.file import RealFile
from xapi.system.atomic_file import write_atomically

IMAGE = re.compile(r"[^/\0]+\.(iso|img)", re.IGNORECASE)
OWN_NAME = re.compile(rf"({UUID.pattern})\.(iso|img)", re.IGNORECASE)
NEW_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]*\.(iso|img)", re.IGNORECASE)
TOOLS = re.compile(r"(xs|guest)-tools-?(?P<version>[^-]*)-?(?P<build>.*)\.iso")
CREATED_NAME = ".xapi-created.json"
LARGEST = 1 << 44
LONGEST_NAME = 255


class IsoCatalogue:
    """The images of a directory. Links are followed only with `trusted`: on a share, they would lead into this host.

    Images that were made through the toolstack can be written to; a small file remembers which these are.
    """

    def __init__(self, directory: Directory, trusted: bool) -> None:
        self._directory = directory
        self._trusted = trusted

    def vdis(self) -> list[VdiFacts]:
        """Return all images, by name."""
        self._directory.check()
        created = self._created()
        found = (self._facts(name, created) for name in sorted(self._directory.names()))
        return [facts for facts in found if facts is not None]

    def find(self, location: str) -> VdiFacts | None:
        """Return one image."""
        self._directory.check()
        return self._facts(location, self._created())

    def _created(self) -> dict[str, str]:
        path = os.path.join(self._directory.path, CREATED_NAME)
        try:
            untrusted = json.loads(self._directory.read_small(path))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        if not isinstance(untrusted, dict):
            return {}
        return {name: moment for name, moment in untrusted.items() if isinstance(moment, str)}

    def _stat(self, name: str) -> os.stat_result | None:
        """Return an image's size and times; None for whatever is not an image, or has a name that is no text."""
        if not IMAGE.fullmatch(name) or len(os.fsencode(name)) > LONGEST_NAME or not _is_text(name):
            return None
        try:
            found = os.stat(os.path.join(self._directory.path, name), follow_symlinks=self._trusted)
        except FileNotFoundError:
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    def _facts(self, name: str, created: dict[str, str]) -> VdiFacts | None:
        found = self._stat(name)
        if found is None:
            return None
        own = OWN_NAME.fullmatch(name)
        uuid = own[1].lower() if own else str(uuids.uuid5(uuids.UUID(self._directory.sr_uuid), name))
        label, sm_config = name, {}
        tools = TOOLS.fullmatch(name) if self._trusted else None
        if tools:
            label = f"{tools[1]}-tools.iso"
            sm_config = {
                "xs-tools": "true",
                "xs-tools-version": tools["version"] or "unknown",
                "xs-tools-build": tools["build"] or "0",
            }
        if name in created:
            sm_config["created"] = created[name]
        return VdiFacts(
            uuid=uuid,
            location=name,
            virtual_size=found.st_size,
            physical_utilisation=found.st_size,
            name_label=label,
            type="user",
            read_only=name not in created,
            sm_config=sm_config,
        )

    def path(self, location: str) -> str:
        """Return the path of an image, a link's target in place of a link."""
        return os.path.realpath(os.path.join(self._directory.path, location))

    def open(self, location: str, writable: bool) -> RealFile:
        """Open an image."""
        path = self.path(location) if self._trusted else os.path.join(self._directory.path, location)
        mode = os.O_RDWR if writable else os.O_RDONLY
        descriptor = os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(path)
        return RealFile(descriptor, path)

    def space(self) -> tuple[int, int]:
        """Return the size and the free space of the file system."""
        self._directory.check()
        return self._directory.space()

    def create(self, wanted: CreateVdi) -> VdiFacts:
        """Make an image, all of it a hole; sm_config's `path` is its name, else the UUID is."""
        if not is_uuid(wanted.uuid):
            raise InvalidConfiguration("uuid", f"{wanted.uuid!r} is not a UUID")
        if not 0 < wanted.virtual_size <= LARGEST:
            raise VdiSizeInvalid(wanted.virtual_size, 1, LARGEST)
        name = wanted.sm_config.get("path") or f"{wanted.uuid}.img"
        if not NEW_NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            raise InvalidConfiguration("path", f"{name!r} cannot be the name of an image", 78)
        self._directory.check()
        path = os.path.join(self._directory.path, name)
        created = self._created() | {name: datetime.now(UTC).strftime("%Y%m%dT%H:%M:%SZ")}
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            raise VdiExists(name) from None
        try:
            os.ftruncate(descriptor, wanted.virtual_size)
            os.fsync(descriptor)
            self._save_created(created)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        facts = self._facts(name, created)
        assert facts is not None
        return facts

    def destroy(self, location: str) -> None:
        """Remove an image that was made through the toolstack; others are somebody's files."""
        created = self._created()
        if location not in created:
            raise Unsupported("removing an image that was not made here")
        os.unlink(os.path.join(self._directory.path, location))
        del created[location]
        self._save_created(created)

    def _save_created(self, created: dict[str, str]) -> None:
        kept = {name: moment for name, moment in created.items() if self._stat(name) is not None}
        write_atomically(Path(self._directory.path) / CREATED_NAME, json.dumps(kept).encode())


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name.isprintable()
