"""Talking to the open-iscsi initiator: its command lines, what it prints, and the XML by which clients choose a LUN."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xapi.storage.device_config import BAD_CHARACTER, plain_text, server_name
from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.lvm.group import Runner
from xapi.storage.lvm.iscsi_records import (
    DISCOVERY_PREFIX,
    NODE_PREFIX,
    PLACES,
    discovery_records,
    node_records,
    set_credentials,
)
from xapi.storage.lvm.scsi import Disk, describe_disk
from xapi.storage.probe_text import Element, document
from xapi.system.command import CommandFailed

DEFAULT_PORT = 3260
TARGET_MISSING, IQN_MISSING, PORT_BAD = 95, 96, 142
DEVICE_FAILED, LOGIN_FAILED, LOGOUT_FAILED, DISCOVERY_FAILED = 67, 68, 69, 83
LONGEST_SECRET = 255
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
        bare = address.strip("[]")
        if match and IQN.fullmatch(match[3]) and port.isascii() and port.isdigit() and _is_server(bare):
            found[Target(bare, int(port), int(match[2]), match[3])] = None
    return list(found)


def _is_server(address: str) -> bool:
    """Whether what a portal calls an address is one: it becomes part of a path."""
    try:
        server_name(address.partition("%")[0], "target")
    except InvalidConfiguration:
        return False
    return "/" not in address


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


def new_discovery_record(portal: str) -> list[str]:
    """Have something kept of a portal, for a discovery that needs a password."""
    return ["iscsiadm", "-m", "discoverydb", "-t", "st", "-p", portal, "-o", "new"]


def discover_by_record(portal: str) -> list[str]:
    """List the targets of a portal, by what is kept of it."""
    return ["iscsiadm", "-m", "discoverydb", "-t", "st", "-p", portal, "--discover"]


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
            names = (f"{prefix}chapuser", f"{prefix}chappassword")
            if all(device_config.get(name) for name in names):
                user, password = (_secret(device_config, name) for name in names)
                credentials |= {f"username{suffix}": user, f"password{suffix}": password}
        scsi_id = device_config.get("SCSIid", "")
        return cls(address, int(port), iqn, scsi_id, credentials, device_config.get("multihomed") == "true")


def _secret(device_config: Mapping[str, str], name: str) -> str:
    """Return a value that is to be one line of a record, and read from there as it is."""
    text = plain_text(device_config, name, BAD_CHARACTER)
    if text != text.strip() or len(text) > LONGEST_SECRET:
        raise InvalidConfiguration(
            name, f"has spaces around it or more than {LONGEST_SECRET} characters", BAD_CHARACTER
        )
    return text


class Initiator:
    """This host as an iSCSI initiator. `devices` is the directory of device files, `records` where it keeps its own."""

    def __init__(self, runner: Runner, devices: str = "/dev", records: Sequence[str] = PLACES) -> None:
        self._runner = runner
        self._devices = devices
        self._records = records

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
        try:
            return self._discover_with_password(settings, own)
        except StorageFailure as failure:
            # Many targets want the password at the log-in only, and end a discovery that insists on showing it.
            try:
                return parse_targets(self._run(discover(portal), DISCOVERY_FAILED))
            except StorageFailure:
                raise failure from None

    def _discover_with_password(self, settings: Settings, credentials: Mapping[str, str]) -> list[Target]:
        portal = portal_of(settings.address, settings.port)
        self._run(new_discovery_record(portal), DISCOVERY_FAILED)
        files = discovery_records(self._records, settings.address, settings.port)
        self._keep(files, DISCOVERY_PREFIX, credentials, portal)
        try:
            return parse_targets(self._run(discover_by_record(portal), LOGIN_FAILED))
        finally:
            # To remove the record would take those of the targets with it.
            self._keep(files, DISCOVERY_PREFIX, {}, portal)

    def _keep(self, files: Sequence[Path], prefix: str, credentials: Mapping[str, str], what: str) -> None:
        """Write credentials where the initiator reads them, or take them away there."""
        if credentials and not files:
            raise StorageFailure(f"iSCSI: nothing is kept of {what} in {' or '.join(self._records)}", LOGIN_FAILED)
        try:
            for file in files:
                set_credentials(file, prefix, credentials)
        except OSError as error:
            raise StorageFailure(f"iSCSI: what is kept of {what}: {error.strerror}", LOGIN_FAILED) from error

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
                self._log_out(begun[-1])
                self._set_credentials(begun.pop(), {})

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
        self._set_credentials(target, settings.credentials)
        try:
            self._run(log_in(target), LOGIN_FAILED)
        except StorageFailure:
            self._set_credentials(target, {})
            raise

    def _log_out(self, target: Target) -> None:
        try:
            self._runner(log_out(target))
        except CommandFailed as error:
            if error.code != NO_SESSIONS:  # somebody else has ended it
                raise StorageFailure(f"iSCSI: {error}", LOGOUT_FAILED) from error

    def _set_credentials(self, target: Target, credentials: Mapping[str, str]) -> None:
        files = node_records(self._records, target.iqn, target.address, target.port, target.group)
        self._keep(files, NODE_PREFIX, credentials, target.iqn)

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
