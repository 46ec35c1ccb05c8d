"""The kernel's own iSCSI target, on 127.0.0.1, set up through configfs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab.inside.shell import write_text

CONFIG = Path("/sys/kernel/config/target")
PORTALS = ("127.0.0.1:3260",)


@contextmanager
def backstore(name: str, file: Path, size: int) -> Iterator[Path]:
    """Have a sparse file as something that targets can offer."""
    with file.open("wb") as image:
        image.truncate(size)
    place = CONFIG / "core" / "fileio_0" / name
    place.mkdir(parents=True)
    write_text(place / "control", f"fd_dev_name={file},fd_dev_size={size}\n")
    write_text(place / "wwn" / "vpd_unit_serial", f"lab-{name}\n")
    write_text(place / "enable", "1\n")
    yield place
    place.rmdir()
    file.unlink()


@contextmanager
def target(
    iqn: str, stores: Sequence[Path], chap: Mapping[str, str] | None = None, portals: Sequence[str] = PORTALS
) -> Iterator[Path]:
    """Offer some stores as LUNs 0, 1, … of a target; with `chap`, to those who know userid and password."""
    chap = chap or {}
    group = CONFIG / "iscsi" / iqn / "tpgt_1"
    group.mkdir(parents=True)
    links = []
    for number, store in enumerate(stores):
        lun = group / "lun" / f"lun_{number}"
        lun.mkdir()
        links.append(lun / "store")
        os.symlink(store, links[-1])
    for portal in portals:
        (group / "np" / portal).mkdir()
    wanted = {"generate_node_acls": "1", "demo_mode_write_protect": "0"}
    wanted["authentication"] = "1" if chap else "0"
    for name, value in wanted.items():
        write_text(group / "attrib" / name, f"{value}\n")
    for name, value in chap.items():  # a line's end would be taken for a part of the password
        write_text(group / "auth" / name, value)
    write_text(group / "enable", "1\n")
    try:
        yield group
    finally:
        write_text(group / "enable", "0\n")
        for portal in portals:
            (group / "np" / portal).rmdir()
        for link in links:
            link.unlink()
            link.parent.rmdir()
        group.rmdir()
        group.parent.rmdir()


@contextmanager
def local_adapter(store: Path, name: str = "naa.50014050aaaaaaaa") -> Iterator[None]:
    """Have a store as a SCSI disk of this machine, behind an adapter that is the kernel's own."""
    group = CONFIG / "loopback" / name / "tpgt_1"
    lun = group / "lun" / "lun_0"
    group.mkdir(parents=True)
    write_text(group / "nexus", "naa.50014050bbbbbbbb\n")
    lun.mkdir()
    os.symlink(store, lun / "store")
    yield
    (lun / "store").unlink()
    lun.rmdir()
    write_text(group / "nexus", "NULL\n")
    group.rmdir()
    group.parent.rmdir()


@contextmanager
def discovery_asks(userid: str, password: str) -> Iterator[None]:
    """Have the portals tell their targets only to those who know a password."""
    place = CONFIG / "iscsi" / "discovery_auth"
    write_text(place / "userid", userid)
    write_text(place / "password", password)
    write_text(place / "enforce_discovery_auth", "1\n")
    try:
        yield
    finally:
        write_text(place / "enforce_discovery_auth", "0\n")
