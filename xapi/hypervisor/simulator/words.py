"""Words with simulated guests: triggers, magic keys, vm-data, plugins."""

from collections.abc import Mapping
from dataclasses import replace

from xapi.hypervisor.checks import check_vm_data
from xapi.hypervisor.interface import (
    ChangeKind,
    GuestPluginFailed,
    InvalidConfiguration,
    Power,
    ShutdownReason,
    Unsupported,
)
from xapi.hypervisor.simulator.guests import HANG, Guests, check_knobs
from xapi.hypervisor.simulator.machine import Machine

_TRIGGERS: Mapping[str, ShutdownReason | None] = {
    "nmi": None,
    "init": ShutdownReason.REBOOT,
    "reset": ShutdownReason.REBOOT,
    "poweroff": ShutdownReason.POWEROFF,
    "power": ShutdownReason.POWEROFF,
    "sleep": None,
    "s3resume": None,
}
_SYSRQ: Mapping[str, ShutdownReason] = {
    "b": ShutdownReason.REBOOT,
    "c": ShutdownReason.CRASH,
    "o": ShutdownReason.HALT,
}


class SimulatedGuest:
    """The Guest protocol."""

    def __init__(self, machine: Machine, guests: Guests) -> None:
        self._machine = machine
        self._guests = guests

    def send_trigger(self, uuid: str, trigger: str) -> None:
        """Send ``nmi``, ``reset``, ``init``, ``poweroff``, ``sleep`` or ``s3resume``; raises Unsupported for others."""
        self._machine.strike("send_trigger", uuid)
        if trigger not in _TRIGGERS:
            raise Unsupported(f"the trigger {trigger}")
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, Power.RUNNING)
            reason = _TRIGGERS[trigger]
            heard = trigger in ("reset", "init") or not self._guests.behaves(domain, HANG)
            if reason is not None and heard:
                self._machine.stop(domain, reason)

    def send_sysrq(self, uuid: str, key: str) -> None:
        """Send one magic key to a Linux guest."""
        self._machine.strike("send_sysrq", uuid)
        if len(key) != 1:
            raise InvalidConfiguration("key", f"{key!r} is not one key")
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, Power.RUNNING)
            if key in _SYSRQ and domain.booted:
                self._machine.stop(domain, _SYSRQ[key])

    def write_vm_data(self, uuid: str, entries: Mapping[str, str]) -> None:
        """Make the guest's ``vm-data/`` tree exactly these entries; raises InvalidConfiguration for other keys."""
        self._machine.strike("write_vm_data", uuid)
        check_vm_data(entries)
        with self._machine.changing():
            domain = self._machine.domain_in(uuid, Power.RUNNING, Power.PAUSED)
            check_knobs(replace(domain, vm_data=dict(entries)))
            self._machine.commit(domain, ChangeKind.VM_DATA, vm_data=dict(entries))

    def call_plugin(self, uuid: str, plugin: str, function: str, arguments: Mapping[str, str]) -> str:
        """Let the guest's agent run a plugin; the simulated one knows ``guest-agent-operation`` ping and echo."""
        self._machine.strike("call_plugin", uuid)
        domain = self._machine.domain_in(uuid, Power.RUNNING)
        self._guests.require(domain, "feature-guest-agent-plugin")
        if plugin == "guest-agent-operation" and function == "ping":
            return "pong"
        if plugin == "guest-agent-operation" and function == "echo":
            return arguments.get("text", "")
        raise GuestPluginFailed(uuid, plugin, function, "the guest has no such plugin or function")
