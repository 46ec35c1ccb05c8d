"""What can be wrong with a VHD or with a chain of them: one exception for each cause, each naming the file."""

from __future__ import annotations

import errno


class VhdError(Exception):
    """Something about one VHD file that stops the work; `path` names the file and `reason` says what is wrong.

    `number` is the errno that a tool reports for this kind of failure.
    """

    number = errno.EINVAL

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NotVhd(VhdError):
    """The file has no VHD footer, neither at its end nor at its front."""


class CorruptFooter(VhdError):
    """A footer is present but cannot be believed: checksum, type, size or version."""


class CorruptHeader(VhdError):
    """The dynamic disk header is missing, does not add up, or points outside the file."""


class CorruptBlockTable(VhdError):
    """The block allocation table points outside the file, at metadata, or twice at the same place."""


class UnsupportedVhd(VhdError):
    """The file is a VHD, of a version or a size that this package does not handle."""

    number = errno.ENOTSUP


class JournalPending(VhdError):
    """A journalled change was cut short; the file must be reverted from its journal before use."""


class JournalError(VhdError):
    """The journal is missing, broken, or belongs to another VHD."""


class ParentMissing(VhdError):
    """No parent locator leads to a file; `candidates` are the paths that were tried."""

    number = errno.ENOENT

    def __init__(self, path: str, candidates: tuple[str, ...]) -> None:
        super().__init__(path, f"parent not found, tried {', '.join(candidates) or 'nothing: there are no locators'}")
        self.candidates = candidates


class ParentMismatch(VhdError):
    """The file at the parent's path is another VHD than the one that the child was made from."""

    def __init__(self, path: str, parent: str, expected: str, actual: str) -> None:
        super().__init__(path, f"parent {parent} has UUID {actual}, the child names {expected}")
        self.parent = parent
        self.expected = expected
        self.actual = actual


class ChainLoop(VhdError):
    """Following parents came back to a file that is already in the chain."""

    number = errno.ELOOP


class ChainTooDeep(VhdError):
    """The chain of parents is longer than any that this package follows."""

    number = errno.ELOOP


class ParentTooSmall(VhdError):
    """The parent ends before the data that is to be coalesced into it; it must be resized first."""

    number = errno.ENOSPC


class InvalidSize(VhdError):
    """The requested virtual or physical size cannot be had."""


class OutOfRange(VhdError):
    """A read or a write lies outside the virtual disk."""

    number = errno.ERANGE


class Unaligned(VhdError):
    """A write does not begin and end on a 512-byte sector."""


class ReadOnly(VhdError):
    """A change was asked of a VHD that was opened for reading."""

    number = errno.EROFS


class NoSpace(VhdError):
    """The next block does not fit: the device is full, or its address is beyond 2 TiB."""

    number = errno.ENOSPC


class InvalidName(VhdError):
    """A parent's path cannot be written into the space that its locators have."""

    number = errno.ENAMETOOLONG
