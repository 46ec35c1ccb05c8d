"""What a storage driver says when it cannot do what it was asked.

Every error has a number of the public list of SR error codes (`drivers/XE_SR_ERRORCODES.xml` of xapi-project/sm), so
that any of them can reach a client as `SR_BACKEND_FAILURE_<number> ["", text, ""]`. Those for which XenAPI has an error
of its own are classes with their particulars as fields: the dispatch floor translates these by their type, and the rest
by `code` and `params`.
"""


class StorageFailure(Exception):
    """Every refusal or failure of a storage driver is one of these.

    `detail` is what some clients look for besides the text: the XML of a probe that needs one parameter more.
    """

    number = 202

    def __init__(self, text: str, number: int | None = None, detail: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.detail = detail
        if number is not None:
            self.number = number

    @property
    def code(self) -> str:
        """The error code that tells a client of it, where XenAPI has no better one."""
        return f"SR_BACKEND_FAILURE_{self.number}"

    @property
    def params(self) -> tuple[str, str, str]:
        """The parameters that go with `code`: status, standard output and standard error, as clients know them."""
        return "", self.text, self.detail


class InvalidConfiguration(StorageFailure):
    """A device_config or sm_config value is missing or cannot be used; `key` names it."""

    number = 1

    def __init__(self, key: str, why: str, number: int | None = None, detail: str = "") -> None:
        super().__init__(f"{key}: {why}", number, detail)
        self.key = key
        self.why = why


class SrInUse(StorageFailure):
    """The SR cannot be detached or destroyed while something uses it."""

    number = 16


class SrNotEmpty(StorageFailure):
    """The SR cannot be destroyed while it holds disks."""

    number = 39


class SrExists(StorageFailure):
    """There is already an SR where a new one was to be made."""

    number = 42


class SrUnavailable(StorageFailure):
    """What the SR lies on is not there, has vanished, or does not answer."""

    number = 47


class SrReadOnly(StorageFailure):
    """What the SR lies on cannot be written to."""

    number = 47


class SrFull(StorageFailure):
    """The SR has too little room; both figures are in bytes, -1 for one that is not known."""

    number = 44

    def __init__(self, requested: int = -1, available: int = -1) -> None:
        amounts = f": {requested} bytes wanted, {available} free" if requested >= 0 <= available else ""
        super().__init__(f"there is not enough space on the SR{amounts}")
        self.requested = requested
        self.available = available


class VdiMissing(StorageFailure):
    """The SR has no disk at this location."""

    number = 46

    def __init__(self, sr_uuid: str, location: str) -> None:
        super().__init__(f"SR {sr_uuid} has no disk {location}")
        self.sr_uuid = sr_uuid
        self.location = location


class VdiUnavailable(StorageFailure):
    """The disk is there and cannot be used: its data is damaged, or a parent of it is missing."""

    number = 46

    def __init__(self, location: str, why: str) -> None:
        super().__init__(f"disk {location} cannot be used: {why}")
        self.location = location
        self.why = why


class VdiExists(StorageFailure):
    """The SR already has a disk at this location."""

    number = 43

    def __init__(self, location: str) -> None:
        super().__init__(f"there is already a disk {location}")
        self.location = location


class VdiInUse(StorageFailure):
    """The disk is attached, which rules the operation out."""

    number = 24

    def __init__(self, location: str, operation: str) -> None:
        super().__init__(f"disk {location} is in use, so {operation} is not possible")
        self.location = location
        self.operation = operation


class VdiReadOnly(StorageFailure):
    """The disk cannot be written to."""

    number = 202

    def __init__(self, location: str) -> None:
        super().__init__(f"disk {location} is read-only")
        self.location = location


class VdiSizeInvalid(StorageFailure):
    """The driver cannot make a disk of this size; figures in bytes."""

    number = 79

    def __init__(self, size: int, smallest: int, largest: int) -> None:
        super().__init__(f"a disk of {size} bytes cannot be had here: at least {smallest} and at most {largest}")
        self.size = size
        self.smallest = smallest
        self.largest = largest


class ChainTooDeep(StorageFailure):
    """One snapshot or clone more would make the chain of differencing disks longer than is allowed."""

    number = 109

    def __init__(self, location: str, depth: int) -> None:
        super().__init__(f"the snapshot chain of disk {location} already has {depth} links")
        self.location = location
        self.depth = depth


class NoChangeTracking(StorageFailure):
    """No record of changed blocks exists from one disk to the other."""

    number = 460

    def __init__(self, location: str) -> None:
        super().__init__(f"the changes to disk {location} are not known")
        self.location = location


class DataDamaged(StorageFailure):
    """Reading or writing the data of a disk failed."""

    number = 200

    def __init__(self, location: str, why: str) -> None:
        super().__init__(f"disk {location}: {why}")
        self.location = location
        self.why = why


class Unsupported(StorageFailure):
    """The driver does not do this at all; `operation` is a feature's or a method's name."""

    number = 38

    def __init__(self, operation: str) -> None:
        super().__init__(f"this storage driver does not support {operation}")
        self.operation = operation
