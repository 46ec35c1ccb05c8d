"""The command lines that LVM is run with. Names come from `volumes`, so that none of them can look like an option."""

from __future__ import annotations

from collections.abc import Sequence

from xapi.storage.lvm.volumes import DEVICE_FIELDS, GROUP_FIELDS, NAME_TAG, VOLUME_FIELDS, device_name, short_name

REPORT = ("--reportformat", "json", "--units", "b", "-o")


def list_volumes(group: str) -> list[str]:
    """Report the logical volumes of a group."""
    return ["lvs", *REPORT, VOLUME_FIELDS, "--", group]


def show_group(group: str) -> list[str]:
    """Report a volume group."""
    return ["vgs", *REPORT, GROUP_FIELDS, "--", group]


def resume_volume(group: str, name: str) -> list[str]:
    """Let a volume's device be read and written again."""
    return ["dmsetup", "resume", "--", device_name(group, short_name(group, name))]


def tell_read_only(device: str) -> list[str]:
    """Print 1 for a block device that cannot be written to, else 0."""
    return ["blockdev", "--getro", device]


def create_group(group: str, devices: Sequence[str]) -> list[str]:
    """Make a volume group on devices over whatever is there, with room before the data that keeps it aligned.

    A host that boots leaves its volumes alone: each is active while somebody has its disk, on one of the hosts.
    """
    sizes = ["--metadatasize", "10M", "--physicalextentsize", "4M"]
    return ["vgcreate", "--yes", "--setautoactivation", "n", *sizes, "--", group, *devices]


def list_devices() -> list[str]:
    """Report the physical volumes of this host with their groups."""
    return ["pvs", *REPORT, DEVICE_FIELDS]


def remove_group(group: str) -> list[str]:
    """Remove an empty volume group."""
    return ["vgremove", "--yes", "--", group]


def create_volume(group: str, name: str, size: int, tag: str = "", active: bool = True) -> list[str]:
    """Make a logical volume of `size` bytes, whose beginning is made to forget what was there.

    A name that is too long for LVM is kept in a tag.
    """
    short = short_name(group, name)
    activation = ["--wipesignatures", "n"] if active else ["--activate", "n", "--zero", "n"]
    tags = [*(["--addtag", tag] if tag else []), *(["--addtag", NAME_TAG + name] if short != name else [])]
    return ["lvcreate", "--yes", "--name", short, "--size", f"{size}B", *activation, *tags, "--", group]


def remove_volume(group: str, name: str) -> list[str]:
    """Remove a logical volume."""
    return ["lvremove", "--yes", "--", f"{group}/{short_name(group, name)}"]


def rename_volume(group: str, name: str, new_name: str) -> list[str]:
    """Rename a logical volume."""
    return ["lvrename", "--", group, name, new_name]


def resize_volume(group: str, name: str, size: int) -> list[str]:
    """Make a logical volume `size` bytes large, smaller too."""
    return ["lvresize", "--force", "--size", f"{size}B", "--", f"{group}/{name}"]


def activate_volume(group: str, name: str) -> list[str]:
    """Make a logical volume appear as a device."""
    return ["lvchange", "--activate", "y", "--", f"{group}/{name}"]


def deactivate_volume(group: str, name: str) -> list[str]:
    """Make a logical volume's device go."""
    return ["lvchange", "--activate", "n", "--", f"{group}/{name}"]


def permit_writing(group: str, name: str) -> list[str]:
    """Make a read-only logical volume one that can be written to."""
    return ["lvchange", "--permission", "rw", "--", f"{group}/{name}"]


def tag_volume(group: str, name: str, tag: str, present: bool) -> list[str]:
    """Give a logical volume a tag, or take it away."""
    return ["lvchange", "--addtag" if present else "--deltag", tag, "--", f"{group}/{name}"]
