"""What went wrong below, said in the words of storage: errors of the system and of the VHD format."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from xapi.storage.errors import (
    ChainTooDeep,
    DataDamaged,
    SrFull,
    SrReadOnly,
    SrUnavailable,
    StorageFailure,
    VdiMissing,
    VdiReadOnly,
    VdiSizeInvalid,
    VdiUnavailable,
)
from xapi.storage.facts import MAXIMUM_VHD_SIZE
from xapi.storage.vhd import errors as vhd

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
GONE = frozenset({errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ENOTDIR, errno.EHOSTDOWN})


def from_system(error: OSError, sr_uuid: str, location: str = "") -> StorageFailure:
    """Return what an error of the system means for an SR, or for one disk of it."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        return SrFull()
    if error.errno in REFUSED:
        return SrReadOnly(f"SR {sr_uuid} cannot be written to: {reason}")
    if error.errno in GONE:
        return SrUnavailable(f"SR {sr_uuid} has become unreachable: {reason}")
    if error.errno == errno.ENOENT and location:
        return VdiMissing(sr_uuid, location)
    if location:
        return DataDamaged(location, reason)
    return SrUnavailable(f"SR {sr_uuid}: {reason}")


def from_vhd(error: vhd.VhdError, location: str) -> StorageFailure:
    """Return what an error of the VHD format means for a disk."""
    match error:
        case vhd.NoSpace():
            return SrFull()
        case vhd.InvalidSize():
            return VdiSizeInvalid(-1, 0, MAXIMUM_VHD_SIZE)
        case vhd.ReadOnly():
            return VdiReadOnly(location)
        case vhd.ChainTooDeep():
            return ChainTooDeep(location, -1)
        case vhd.OutOfRange() | vhd.Unaligned():
            return DataDamaged(location, error.reason)
        case _:
            return VdiUnavailable(location, error.reason)


@contextmanager
def translated(sr_uuid: str, location: str = "") -> Iterator[None]:
    """Turn errors of the system and of the VHD format that come from inside into failures of storage."""
    try:
        yield
    except OSError as error:
        raise from_system(error, sr_uuid, location) from error
    except vhd.VhdError as error:
        raise from_vhd(error, location) from error
