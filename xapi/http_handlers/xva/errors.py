"""What can be wrong with an archive."""


class BadArchive(Exception):
    """The archive breaks the format, or a limit that keeps strangers' archives harmless."""


class EndedEarly(BadArchive):
    """The archive breaks off."""


class UnexpectedMember(BadArchive):
    """Another member was expected than the one that came."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"{expected} was expected, and {actual} came")
        self.expected = expected
        self.actual = actual


class ChecksumMismatch(BadArchive):
    """A block is not what it was when its checksum was made."""
