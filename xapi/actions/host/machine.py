"""The machine below as a host's messages need it: switched off and on, restarted, configured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from xapi.datamodel.classes import Host, HostMetrics
from xapi.datamodel.errors import NOT_IMPLEMENTED
from xapi.datamodel.model import Ref
from xapi.db.database import Database
from xapi.dispatch.context import Context
from xapi.system.clock import Clock

AUTO_ENABLE: Final = "host_auto_enable"  # in host.other_config; "false" keeps a host disabled when it starts again


class Setting(StrEnum):
    """A setting of the operating system below, and how its value is written."""

    HOSTNAME = "hostname"
    TIMEZONE = "timezone"  # a tz database name
    SSH = "ssh"  # "on" or "off"
    SSH_AUTO_MODE = "ssh auto mode"  # "on" or "off"
    CONSOLE_IDLE_TIMEOUT = "console idle timeout"  # seconds, 0 for none
    NTP_SERVERS = "NTP servers"  # "DHCP", "Factory", "Disabled", or the names separated by spaces
    CPU_SLEEP = "deepest C-state"  # "3", "3,1", or empty for no limit


class Machine(Protocol):
    """What can be done to a machine as a whole. The server registers one as a part when the hypervisor has one."""

    def shutdown(self) -> None:
        """Switch the machine off, soon; the call that asked for it is answered first."""

    def reboot(self) -> None:
        """Restart the machine, soon; the call that asked for it is answered first."""

    def power_on(self, host: Ref[Host]) -> None:
        """Switch on a machine of the pool that is off."""

    def configure(self, setting: Setting, value: str) -> None:
        """Change a setting of the operating system, now and after the machine's next start."""


class Agent(Protocol):
    """The toolstack's own process. The server registers one as a part."""

    def restart(self) -> None:
        """Start the toolstack anew, soon; the call that asked for it is answered first. VMs run on."""

    def stop(self) -> None:
        """End the toolstack, soon; the call that asked for it is answered first. VMs run on."""


class SimulatedMachine:
    """The machine of the simulator: it is off when its metrics say so, and never the one that the toolstack runs on.

    `restarted` is told the moment of each start, for the simulator's own boot time.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        this_host: Ref[Host],
        restarted: Callable[[datetime], None] = lambda moment: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._this_host = this_host
        self._restarted = restarted

    def shutdown(self) -> None:
        """Let the host count as off."""
        self._set(self._this_host, live=False)

    def reboot(self) -> None:
        """Let the host count as just started."""
        self._set(self._this_host, live=False)
        self._set(self._this_host, live=True)

    def power_on(self, host: Ref[Host]) -> None:
        """Let the host count as just started."""
        self._set(host, live=True)

    def configure(self, setting: Setting, value: str) -> None:
        """Nothing: a simulated machine's settings are the fields of its host, which the caller sets."""

    def _set(self, host: Ref[Host], *, live: bool) -> None:
        now = self._clock.now()
        with self._database.transaction() as transaction:
            row = transaction.get(Host, host)
            transaction.update(HostMetrics, row.metrics, live=live, last_updated=now)
            if live:
                other_config = {**row.other_config, "boot_time": f"{now.timestamp():.0f}."}
                enabled = other_config.get(AUTO_ENABLE) != "false"
                transaction.update(Host, host, enabled=enabled, other_config=other_config)
        if live:
            self._restarted(now)


def machine_of(ctx: Context, message: str) -> Machine:
    """The machine; NOT_IMPLEMENTED when this hypervisor's machine cannot be controlled."""
    machine: Machine | None = ctx.toolstack.parts.get(Machine)
    if machine is None:
        raise NOT_IMPLEMENTED(message)
    return machine


def agent_of(ctx: Context, message: str) -> Agent:
    """The toolstack's process; NOT_IMPLEMENTED when it is part of another program."""
    agent: Agent | None = ctx.toolstack.parts.get(Agent)
    if agent is None:
        raise NOT_IMPLEMENTED(message)
    return agent
