"""A volume group, worked with by LVM's programs; its volumes are opened as devices of a size that does not change."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Protocol

from xapi.storage.errors import SrFull, SrReadOnly, SrUnavailable, StorageFailure
from xapi.storage.lvm import commands
from xapi.storage.lvm.volumes import (
    LVM_GROUP_MISSING,
    METADATA_VOLUME,
    NEW_PREFIX,
    VOLUME_NAME,
    Group,
    Volume,
    device_name,
    group_name,
    idle_volumes,
    parse_group,
    parse_volumes,
    short_name,
    suspended_volumes,
    volume_names,
    whole_extents,
)
from xapi.storage.vhd.file import RealFile
from xapi.system.command import CommandFailed, CommandTimeout, Completed, run

LOG = logging.getLogger("xapi.storage")
SECONDS = 120.0
OUTPUT = 64 << 20
NOT_INSTALLED = (126, 127)
CREATE, DELETE, ACTIVATE, DEACTIVATE, RESIZE, GROUP_CREATE = 50, 51, 52, 53, 59, 77
"""Error numbers of the public drivers, by what failed."""
UNFINISHED_METADATA = NEW_PREFIX + METADATA_VOLUME
READ_ONLY_WORDS = ("read-only file system",)
GONE_WORDS = ("cannot process volume group", "input/output error", "no such device")
WRITING_FAILED = re.compile(r"Error writing device (\S+) at ")


class Runner(Protocol):
    """Whatever runs LVM's programs; CommandFailed where one does not come to its good end."""

    def __call__(self, argv: Sequence[str]) -> Completed:
        """Run a program to its end."""


def run_lvm(argv: Sequence[str]) -> Completed:
    """Run one of the system's programs."""
    return run(argv, timeout=SECONDS, output_limit=OUTPUT)


class VolumeFile(RealFile):
    """An open logical volume: whatever it is made of, nobody makes it longer by writing."""

    @property
    def fixed_size(self) -> bool:
        """True."""
        return True

    @classmethod
    def open_volume(cls, path: str, writable: bool) -> VolumeFile:
        """Open the device of an active volume."""
        return cls(os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC), path)


def ask(runner: Runner, argv: Sequence[str], number: int) -> Completed:
    """Run a program; its failure is one of storage, with this number."""
    try:
        return runner(argv)
    except CommandFailed as error:
        raise _meaning(runner, error, number) from error


def _meaning(runner: Runner, error: CommandFailed, number: int) -> StorageFailure:
    """Return what the failure of a program says of the SR: by its words, for its exit code is 5 whatever happened."""
    words = error.stderr.lower()
    unwritten = WRITING_FAILED.search(error.stderr)
    if error.code in NOT_INSTALLED:
        return SrUnavailable(f"LVM cannot be used on this host: {error}")
    if "insufficient" in words:
        return SrFull()
    if any(each in words for each in READ_ONLY_WORDS) or (unwritten and _is_read_only(runner, unwritten[1])):
        return SrReadOnly(f"the devices of the SR cannot be written to: {error}")
    if unwritten or isinstance(error, CommandTimeout) or any(each in words for each in GONE_WORDS):
        return SrUnavailable(f"the devices of the SR do not answer as they should: {error}")
    return StorageFailure(f"LVM: {error}", number)


def _is_read_only(runner: Runner, device: str) -> bool:
    """Whether the system says so of a device to which LVM could not write: it does not say why it could not."""
    try:
        return runner(commands.tell_read_only(device)).text.strip() == "1"
    except CommandFailed:
        return False


class VolumeGroup:
    """The volumes of one SR. Not safe for several threads: the SR's lock is held.

    `disturbed` is set when something fails, so that whoever works on the group next can look whether all is in order.
    """

    def __init__(self, sr_uuid: str, runner: Runner = run_lvm, devices: str = "/dev") -> None:
        self.sr_uuid = sr_uuid
        self.name = group_name(sr_uuid)
        self._runner = runner
        self._devices = devices
        self._left: set[str] = set()  # volumes whose devices nobody needs, and could not be taken away
        self.disturbed = False

    def _run(self, argv: Sequence[str], number: int) -> Completed:
        try:
            return ask(self._runner, argv, number)
        except StorageFailure:
            self.disturbed = True
            raise

    def path(self, name: str) -> str:
        """Return where the device of a volume is while it is active."""
        return os.path.join(self._devices, self.name, short_name(self.name, name))

    def is_active(self, name: str) -> bool:
        """Whether a volume has a device now, other than one that is only left."""
        return name not in self._left and self._has_device(name)

    def _has_device(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def stat(self) -> Group:
        """Return the group's figures; SrUnavailable if there is no such group."""
        try:
            return parse_group(self._run(commands.show_group(self.name), LVM_GROUP_MISSING).text)
        except SrUnavailable:
            raise
        except StorageFailure as error:
            raise SrUnavailable(f"volume group {self.name} cannot be found: {error.text}") from error

    def look(self) -> tuple[dict[str, Volume], list[str]]:
        """Return the disks by their UUIDs, and the names of all volumes; a VHD takes precedence over a raw disk."""
        report = self._run(commands.list_volumes(self.name), LVM_GROUP_MISSING).text
        disks = sorted(parse_volumes(report), key=lambda volume: volume.format)
        return {volume.uuid: volume for volume in disks}, volume_names(report)

    def check_room(self, more: int) -> None:
        """Raise SrFull unless there are so many bytes free."""
        free = self.stat().free
        if more > free:
            raise SrFull(more, free)

    def create(self, name: str, size: int, tag: str = "") -> None:
        """Make a volume, not active and holding whatever was there before."""
        size = whole_extents(size)
        self.check_room(size)
        self._run(commands.create_volume(self.name, name, size, tag, active=False), CREATE)

    def remove(self, name: str) -> None:
        """Remove a volume that nobody has open."""
        if self._has_device(name):
            self.deactivate(name)
        self._run(commands.remove_volume(self.name, name), DELETE)
        self._left.discard(name)

    def rename(self, name: str, new_name: str) -> None:
        """Give a volume another name; who has it open does not notice."""
        if name in self._left:
            self._left.add(new_name)  # whether or not this comes to a good end
        self._run(commands.rename_volume(self.name, name, new_name), CREATE)

    def resize(self, name: str, size: int) -> None:
        """Make a volume another size."""
        self._run(commands.resize_volume(self.name, name, whole_extents(size)), RESIZE)

    def tag(self, name: str, tag: str, present: bool) -> None:
        """Give a volume a tag that it does not have, or take away one that it has. This needs no room."""
        self._run(commands.tag_volume(self.name, name, tag, present), CREATE)

    def permit_writing(self, name: str) -> None:
        """Let a volume be written to that was made read-only, as other toolstacks do with inner nodes."""
        self._run(commands.permit_writing(self.name, name), ACTIVATE)

    def activate(self, name: str) -> None:
        """Give a volume a device."""
        self._run(commands.activate_volume(self.name, name), ACTIVATE)
        self._left.discard(name)

    def deactivate(self, name: str) -> None:
        """Take a volume's device away."""
        self._run(commands.deactivate_volume(self.name, name), DEACTIVATE)

    @contextmanager
    def active(self, name: str) -> Iterator[None]:
        """Have a volume active inside; one that was not is not afterwards, or as soon as that can be had."""
        if self.is_active(name):
            yield
            return
        try:
            self.activate(name)
            yield
        finally:
            self._leave(name)

    def _leave(self, name: str) -> None:
        """Take away a device that nobody needs; that this fails is nothing to whoever needed it."""
        try:
            if self._has_device(name):
                self.deactivate(name)
        except StorageFailure as failure:
            LOG.warning("SR %s: %s stays active for now: %s", self.sr_uuid, name, failure)
            self._left.add(name)
        else:
            self._left.discard(name)

    def leave_none(self) -> None:
        """Take away the devices that should have been taken away before."""
        for name in sorted(self._left):
            self._leave(name)

    def resume(self) -> None:
        """Let go on what waits at volumes: a program that is killed while it changes one leaves it suspended."""
        for name in suspended_volumes(self._run(commands.list_volumes(self.name), LVM_GROUP_MISSING).text):
            self._run(commands.resume_volume(self.name, name), ACTIVATE)

    def deactivate_idle(self) -> None:
        """Take away the devices of all volumes that nobody has open, whoever made them active."""
        for name in idle_volumes(self._run(commands.list_volumes(self.name), LVM_GROUP_MISSING).text):
            self._leave(name)

    @contextmanager
    def opened(self, name: str, writable: bool = False) -> Iterator[VolumeFile]:
        """Open a volume inside, active or not."""
        with self.active(name), closing(VolumeFile.open_volume(self.path(name), writable)) as file:
            yield file

    def opener(self, known: Callable[[str], bool]) -> Callable[[str, bool], VolumeFile]:
        """Return what opens active disks of this group by their paths, and nothing else (an Opener of VHDs)."""

        def open_path(path: str, writable: bool) -> VolumeFile:
            name = self.name_in(path)
            if name is None or not known(name):
                raise FileNotFoundError(path)
            return VolumeFile.open_volume(self.path(name), writable)

        return open_path

    def name_in(self, path: str) -> str | None:
        """Return the disk of this group that a path names, as /dev/GROUP/VOLUME or as the device mapper spells it."""
        name = path.rsplit("/", 1)[-1]
        mapped = device_name(self.name, "")
        if name.startswith(mapped):
            name = name.removeprefix(mapped).replace("--", "-")
        elif os.path.dirname(path) != os.path.dirname(self.path(name)):
            return None
        return name if VOLUME_NAME.fullmatch(name) else None

    def destroy(self) -> None:
        """Remove the metadata volume and the group itself."""
        for name in {METADATA_VOLUME, UNFINISHED_METADATA}.intersection(self.look()[1]):
            self.remove(name)
        self._run(commands.remove_group(self.name), DELETE)

    def clear_remains(self) -> bool:
        """Remove a group that was not made to the end, or not removed to the end; return whether this was one."""
        if set(self.look()[1]) - {UNFINISHED_METADATA}:
            return False
        self.destroy()
        return True
