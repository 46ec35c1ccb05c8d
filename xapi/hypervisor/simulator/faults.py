"""Faults that somebody asks for: which operation fails, how, after how many calls and how often."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from xapi.hypervisor.interface import (
    DeviceBusy,
    DeviceRefused,
    GuestLacksFeature,
    GuestTimeout,
    HypervisorError,
    ImageDamaged,
    InjectedFault,
    InvalidConfiguration,
    OutOfMemory,
    Unsupported,
)
from xapi.hypervisor.simulator.settings import check_seconds, parse

OPERATIONS = frozenset(
    {
        "create",
        "create.memory",
        "create.devices",
        "destroy",
        "pause",
        "unpause",
        "request_shutdown",
        "await_shutdown",
        "plug_disk",
        "unplug_disk",
        "insert_media",
        "eject_media",
        "held_disk",
        "plug_nic",
        "unplug_nic",
        "move_nic",
        "set_nic_locking",
        "set_nic_address",
        "plug_vusb",
        "unplug_vusb",
        "set_memory_target",
        "set_memory_dynamic_range",
        "set_vcpus",
        "set_vcpu_sharing",
        "save",
        "save.write",
        "restore",
        "restore.devices",
        "resume_in_place",
        "send",
        "send.suspended",
        "receive",
        "receive.devices",
        "send_trigger",
        "send_sysrq",
        "write_vm_data",
        "call_plugin",
        "console",
    }
)
KINDS = frozenset({"out_of_memory", "refused", "busy", "crash", "timeout", "lacks_feature", "unsupported", "damaged"})
SLOW, ERROR, CRASH = "slow", "error", "crash"


@dataclass(slots=True)
class Fault:
    """One wish: skip ``after`` calls, then act ``times`` times (None: always) on ``vm`` ('' any)."""

    text: str
    kind: str
    times: int | None = None
    after: int = 0
    seconds: float = 0.0
    vm: str = ""


class Faults:
    """The wishes in force, by operation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wishes: dict[str, Fault] = {}

    def set(self, wishes: Mapping[str, str]) -> None:
        """Make these the wishes in force; one with an unchanged text keeps its counts."""
        with self._lock:
            self._wishes = {
                operation: kept if (kept := self._wishes.get(operation)) and kept.text == text else parse_fault(text)
                for operation, text in wishes.items()
            }

    def take(self, operation: str, uuid: str) -> Fault | None:
        """The fault that strikes this call, counted."""
        if not self._wishes:
            return None
        with self._lock:
            wish = self._wishes.get(operation)
            if wish is None or wish.vm not in ("", uuid) or wish.times == 0:
                return None
            if wish.after > 0:
                wish.after -= 1
                return None
            if wish.times is not None:
                wish.times -= 1
            return wish


def parse_fault(text: str) -> Fault:
    """``kind[,times=N][,after=N][,seconds=S][,vm=UUID]`` as a Fault; raises InvalidConfiguration."""
    kind, *options = [part.strip() for part in text.split(",")]
    if kind not in KINDS | {SLOW, ERROR}:
        raise InvalidConfiguration("fault", f"{kind!r} is none of {', '.join(sorted(KINDS | {SLOW, ERROR}))}")
    fault = Fault(text, kind)
    for option in options:
        name, _, value = option.partition("=")
        if name in ("times", "after"):
            setattr(fault, name, parse(name, value, int))
        elif name == "seconds":
            fault.seconds = check_seconds(name, parse(name, value, float))
        elif name == "vm":
            fault.vm = value
        else:
            raise InvalidConfiguration("fault", f"{name!r} is none of times, after, seconds, vm")
    return fault


def error_of(kind: str, operation: str, uuid: str, device: str, needed: int, available: int) -> HypervisorError:
    """The error that a fault of this kind raises; crashes are the machine's affair."""
    match kind:
        case "out_of_memory":
            return OutOfMemory(needed, available)
        case "refused":
            return DeviceRefused(device, "an injected fault")
        case "busy":
            return DeviceBusy(device)
        case "timeout":
            return GuestTimeout(uuid, operation, 0.0)
        case "lacks_feature":
            return GuestLacksFeature(uuid, f"feature-{operation}")
        case "unsupported":
            return Unsupported(operation)
        case "damaged":
            return ImageDamaged("an injected fault")
        case _:
            return InjectedFault(operation)
