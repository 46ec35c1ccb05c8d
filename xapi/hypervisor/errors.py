"""What a hypervisor driver says when it cannot do what it was asked.

Every error carries its particulars as fields, so that the dispatch floor turns it into a XenAPI failure without
reading a text. ``str()`` is a plain sentence for the log.
"""


class HypervisorError(Exception):
    """Every refusal or failure of a hypervisor driver is one of these."""


class NoSuchDomain(HypervisorError):
    """No domain with this UUID lives on this host."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no domain {uuid} lives here")
        self.uuid = uuid


class DomainExists(HypervisorError):
    """A domain with this UUID already lives on this host."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"domain {uuid} already lives here")
        self.uuid = uuid


class WrongPower(HypervisorError):
    """The domain's power state forbids the operation; ``expected`` and ``actual`` are Power values."""

    def __init__(self, uuid: str, expected: str, actual: str) -> None:
        super().__init__(f"domain {uuid} is {actual}, not {expected}")
        self.uuid = uuid
        self.expected = expected
        self.actual = actual


class OutOfMemory(HypervisorError):
    """The host has too little free memory; both figures are in bytes."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"{needed} bytes of memory are needed and {available} are free")
        self.needed = needed
        self.available = available


class InvalidConfiguration(HypervisorError):
    """A configuration, range or request contradicts itself; ``field`` names the culprit."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class DeviceRefused(HypervisorError):
    """The hypervisor or the guest refuses this device."""

    def __init__(self, device: str, why: str) -> None:
        super().__init__(f"device {device} was refused: {why}")
        self.device = device
        self.why = why


class DeviceBusy(HypervisorError):
    """The guest does not let go of a device; only a forced unplug takes it away."""

    def __init__(self, device: str) -> None:
        super().__init__(f"device {device} is in use by the guest")
        self.device = device


class NoSuchDevice(HypervisorError):
    """The domain has no device of this name or number."""

    def __init__(self, uuid: str, device: str) -> None:
        super().__init__(f"domain {uuid} has no device {device}")
        self.uuid = uuid
        self.device = device


class DomainCrashed(HypervisorError):
    """The domain crashed while it was worked on."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"domain {uuid} crashed")
        self.uuid = uuid


class GuestTimeout(HypervisorError):
    """The guest did not answer in time; ``awaited`` says what it was asked for, ``seconds`` how long it had."""

    def __init__(self, uuid: str, awaited: str, seconds: float) -> None:
        super().__init__(f"domain {uuid} did not reach {awaited} within {seconds:g} s")
        self.uuid = uuid
        self.awaited = awaited
        self.seconds = seconds


class UnexpectedShutdown(HypervisorError):
    """The guest stopped, but for another reason than the one it was asked for."""

    def __init__(self, uuid: str, expected: str, actual: str) -> None:
        super().__init__(f"domain {uuid} stopped with {actual}, not with {expected}")
        self.uuid = uuid
        self.expected = expected
        self.actual = actual


class GuestLacksFeature(HypervisorError):
    """The guest has not announced a feature, such as ``feature-suspend``, that the operation needs."""

    def __init__(self, uuid: str, feature: str) -> None:
        super().__init__(f"the guest of domain {uuid} does not offer {feature}")
        self.uuid = uuid
        self.feature = feature


class GuestPluginFailed(HypervisorError):
    """The guest's agent ran a plugin and reports that it failed."""

    def __init__(self, uuid: str, plugin: str, function: str, why: str) -> None:
        super().__init__(f"plugin {plugin}.{function} in domain {uuid} failed: {why}")
        self.uuid = uuid
        self.plugin = plugin
        self.function = function
        self.why = why


class ImageDamaged(HypervisorError):
    """A suspend image or a migration stream cannot be read; ``why`` says where it breaks off."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the saved image is damaged: {why}")
        self.why = why


class OperationCancelled(HypervisorError):
    """The caller asked to stop, and what was done so far has been undone."""

    def __init__(self) -> None:
        super().__init__("the operation was cancelled")


class Unsupported(HypervisorError):
    """This driver cannot do this at all; ``what`` is a Feature or an operation."""

    def __init__(self, what: str) -> None:
        super().__init__(f"this hypervisor driver does not support {what}")
        self.what = what


class InjectedFault(HypervisorError):
    """A fault that somebody asked the simulator for."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"a fault was injected into {operation}")
        self.operation = operation


class StateUnusable(HypervisorError):
    """A driver's state directory is damaged or in use by another process."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why
