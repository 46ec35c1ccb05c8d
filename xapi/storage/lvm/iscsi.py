"""Talking to the open-iscsi initiator: its command lines, what it prints, and the XML by which clients choose a LUN."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xapi.storage.device_config import plain_text, server_name
from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.lvm.group import Runner
from xapi.storage.lvm.scsi import Disk, describe_disk
from xapi.storage.probe_text import Element, document
from xapi.system.command import CommandFailed

DEFAULT_PORT = 3260
TARGET_MISSING, IQN_MISSING, PORT_BAD = 95, 96, 142
DEVICE_FAILED, LOGIN_FAILED, LOGOUT_FAILED, DISCOVERY_FAILED = 67, 68, 69, 83
NO_SESSIONS = 21
"""The code with which iscsiadm ends where there is nothing to list."""
IQN = re.compile(r"(iqn|eui|naa)\.[A-Za-z0-9.:_-]{1,220}")
ANY_IQN = "*"
NODE = re.compile(r"(\S+),(-?[0-9]+) (\S+)")
SESSION = re.compile(r"\w+: \[[0-9]+\] (\S+),(-?[0-9]+) (\S+)")


@dataclass(frozen=True, slots=True)
class Target:
    """A target as a portal tells of it; the address of an IPv6 portal has no brackets."""

    address: str
    port: int
    group: int
    iqn: str

    @property
    def portal(self) -> str:
        """Address and port as iscsiadm takes them."""
        return portal_of(self.address, self.port)


def portal_of(address: str, port: int) -> str:
    """Return an address with its port, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def parse_targets(text: str, line: re.Pattern[str] = NODE) -> list[Target]:
    """Return the targets in what a discovery printed, each once; lines of another form are left out."""
    found: dict[Target, None] = {}
    for each in text.splitlines():
        match = line.match(each.strip())
        address, _, port = match[1].rpartition(":") if match else ("", "", "")
        if match and IQN.fullmatch(match[3]) and port.isascii() and port.isdigit():
            found[Target(address.strip("[]"), int(port), int(match[2]), match[3])] = None
    return list(found)


def parse_sessions(text: str) -> list[Target]:
    """Return the targets to which there are sessions, from what `iscsiadm -m session` printed."""
    return parse_targets(text, SESSION)


def targets_document(targets: Sequence[Target], address: str, port: int) -> str:
    """Return the XML of a probe that lacks the targetIQN; the last entry stands for all targets together."""
    rows = [(target.address, target.port, target.iqn) for target in targets] + [(address, port, ANY_IQN)]
    entries: list[Element] = []
    for index, (where, at, iqn) in enumerate(rows):
        parts: list[Element] = [("Index", str(index)), ("IPAddress", where)]
        parts += [("Port", str(at))] if at != DEFAULT_PORT else []
        entries.append(("TGT", [*parts, ("TargetIQN", iqn)]))
    return document("iscsi-target-iqns", entries)


def luns_document(luns: Sequence[tuple[int, Disk]]) -> str:
    """Return the XML of a probe that lacks the SCSIid."""
    entries: list[Element] = []
    for number, disk in luns:
        parts = (("vendor", disk.vendor), ("serial", disk.serial), ("LUNid", str(number)))
        entries.append(("LUN", [*parts, ("size", str(disk.size)), ("SCSIid", disk.scsi_id)]))
    return document("iscsi-target", entries)


# Command lines


def discover(portal: str) -> list[str]:
    """List the targets of a portal."""
    return ["iscsiadm", "-m", "discovery", "-t", "st", "-p", portal]


def discovery_record(portal: str, operation: str, *settings: tuple[str, str]) -> list[str]:
    """Make or change what is kept of a portal, for a discovery that needs a password."""
    pairs = [part for name, value in settings for part in ("-n", f"discovery.sendtargets.auth.{name}", "-v", value)]
    return ["iscsiadm", "-m", "discoverydb", "-t", "st", "-p", portal, "-o", operation, *pairs]


def discover_by_record(portal: str) -> list[str]:
    """List the targets of a portal, by what is kept of it."""
    return ["iscsiadm", "-m", "discoverydb", "-t", "st", "-p", portal, "--discover"]


def set_node(target: Target, name: str, value: str) -> list[str]:
    """Change a setting of a target."""
    return ["iscsiadm", "-m", "node", "-T", target.iqn, "-p", target.portal, "-o", "update", "-n", name, "-v", value]


def log_in(target: Target) -> list[str]:
    """Begin a session."""
    return ["iscsiadm", "-m", "node", "-T", target.iqn, "-p", target.portal, "--login"]


def log_out(target: Target) -> list[str]:
    """End a session."""
    return ["iscsiadm", "-m", "node", "-T", target.iqn, "-p", target.portal, "--logout"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a device_config says of a target. `iqn` and `scsi_id` are empty where nothing was chosen yet."""

    address: str
    port: int
    iqn: str
    scsi_id: str
    credentials: Mapping[str, str]
    multihomed: bool

    @classmethod
    def of(cls, device_config: Mapping[str, str]) -> Settings:
        """Return the settings of a device_config; InvalidConfiguration with the number that belongs to each key."""
        address = server_name(plain_text(device_config, "target", TARGET_MISSING).split(",")[0], "target")
        port = device_config.get("port") or str(DEFAULT_PORT)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
            raise InvalidConfiguration("port", "is no TCP port", PORT_BAD)
        iqn = device_config.get("targetIQN", "")
        if iqn not in ("", ANY_IQN) and not IQN.fullmatch(iqn):
            raise InvalidConfiguration("targetIQN", "is no name of a target", IQN_MISSING)
        credentials: dict[str, str] = {}
        for prefix, suffix in (("", ""), ("incoming_", "_in")):
            user, password = (device_config.get(f"{prefix}chap{name}", "") for name in ("user", "password"))
            if user and password:
                credentials |= {f"username{suffix}": user, f"password{suffix}": password}
        scsi_id = device_config.get("SCSIid", "")
        return cls(address, int(port), iqn, scsi_id, credentials, device_config.get("multihomed") == "true")


class Initiator:
    """This host as an iSCSI initiator. `devices` is the directory of device files."""

    def __init__(self, runner: Runner, devices: str = "/dev") -> None:
        self._runner = runner
        self._devices = devices

    def _run(self, argv: Sequence[str], number: int) -> str:
        try:
            return self._runner(argv).text
        except CommandFailed as error:
            raise StorageFailure(f"iSCSI: {error}", number) from error

    def discover(self, settings: Settings) -> list[Target]:
        """Return the targets of a portal."""
        portal = portal_of(settings.address, settings.port)
        own = {name: text for name, text in settings.credentials.items() if not name.endswith("_in")}
        if not own:
            return parse_targets(self._run(discover(portal), DISCOVERY_FAILED))
        self._run(discovery_record(portal, "new"), DISCOVERY_FAILED)
        self._run(discovery_record(portal, "update", ("authmethod", "CHAP"), *own.items()), DISCOVERY_FAILED)
        return parse_targets(self._run(discover_by_record(portal), LOGIN_FAILED))

    def sessions(self) -> list[Target]:
        """Return the targets to which there are sessions."""
        try:
            return parse_sessions(self._runner(["iscsiadm", "-m", "session"]).text)
        except CommandFailed as error:
            if error.code == NO_SESSIONS:
                return []
            raise StorageFailure(f"iSCSI: {error}", 86) from error

    def connect(self, settings: Settings) -> Callable[[], None]:
        """Have sessions to the target of some settings; return what ends those that were begun for it."""
        wanted = [target for target in self.discover(settings) if settings.iqn in (ANY_IQN, target.iqn)]
        if not settings.multihomed and settings.iqn != ANY_IQN:
            wanted = [target for target in wanted if target.address == settings.address] or wanted[:1]
        if not wanted:
            raise InvalidConfiguration("targetIQN", f"is not offered at {settings.address}", IQN_MISSING)
        there = {(target.portal, target.iqn) for target in self.sessions()}
        begun: list[Target] = []

        def disconnect() -> None:
            while begun:
                self._run(log_out(begun[-1]), LOGOUT_FAILED)
                begun.pop()

        for target in wanted:
            if (target.portal, target.iqn) in there:
                continue
            try:
                self._log_in(target, settings)
            except StorageFailure:
                disconnect()
                raise
            begun.append(target)
        self._run(["udevadm", "settle", "--timeout=30"], DEVICE_FAILED)
        return disconnect

    def _log_in(self, target: Target, settings: Settings) -> None:
        method = "CHAP" if settings.credentials else "None"
        self._run(set_node(target, "node.session.auth.authmethod", method), LOGIN_FAILED)
        for name, text in settings.credentials.items():
            self._run(set_node(target, f"node.session.auth.{name}", text), LOGIN_FAILED)
        self._run(log_in(target), LOGIN_FAILED)

    def luns(self, settings: Settings) -> list[tuple[int, Disk]]:
        """Return the LUNs of the sessions to a target, each once, by their numbers."""
        directory = os.path.join(self._devices, "disk", "by-path")
        iqn = ".+" if settings.iqn == ANY_IQN else re.escape(settings.iqn)
        name = re.compile(rf"(?:.*-)?ip-.+-iscsi-{iqn}-lun-([0-9]+)")
        try:
            found = [
                (match, os.path.join(directory, match[0]))
                for match in map(name.fullmatch, os.listdir(directory))
                if match
            ]
        except FileNotFoundError:
            return []
        luns: dict[str, tuple[int, Disk]] = {}
        for match, path in found:
            disk = describe_disk(self._runner, path)
            if disk is not None:
                luns.setdefault(disk.scsi_id, (int(match[1]), disk))
        return sorted(luns.values(), key=lambda lun: lun[0])
