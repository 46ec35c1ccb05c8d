"""Talking to the open-iscsi initiator: its command lines, what it prints, and the XML by which clients choose a LUN."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xapi.storage.device_config import BAD_CHARACTER, plain_text, server_name
from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.lvm.group import Runner
from xapi.storage.lvm.iscsi_records import (
    DISCOVERY_PREFIX,
    NODE_PREFIX,
    discovery_records,
    node_records,
    set_credentials,
)
from xapi.storage.lvm.ledger import Ledger
from xapi.storage.lvm.multipath import wants_multipath
from xapi.storage.lvm.scsi import Disk, describe_disk, let_udev_settle
from xapi.storage.probe_text import Element, document
from xapi.system.command import CommandFailed

LOG = logging.getLogger("xapi.storage")
DEFAULT_PORT = 3260
TARGET_MISSING, IQN_MISSING, PORT_BAD = 95, 96, 142
LOGIN_FAILED, LOGOUT_FAILED, DISCOVERY_FAILED = 68, 69, 83
LONGEST_SECRET = 255
NO_SESSIONS = 21
"""The code with which iscsiadm ends where there is nothing to list."""
NOT_ADMITTED = 24
"""The code with which iscsiadm ends where a target does not accept a password."""
WHERE_THERE_ARE_OTHERS = {
    "node.session.timeo.replacement_timeout": "15",
    "node.session.initial_login_retry_max": "1",
}
"""For one path of several: seconds without a session after which it fails (alone it waits for two minutes), log-ins."""
DISCOVERY_SECONDS = 20
"""How long one portal of several may take to tell its targets (alone it has a minute and a half)."""
NO_TIME_LEFT = 124
"""The code with which `timeout` ends where the program did not."""
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

    @property
    def name(self) -> str:
        """What tells sessions to it from others."""
        return f"{self.portal} {self.iqn}"


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


def known_targets() -> list[str]:
    """List the targets and portals that the initiator has kept from earlier discoveries."""
    return ["iscsiadm", "-m", "node"]


def hurry(argv: Sequence[str]) -> list[str]:
    """Let a program run for a short while only."""
    return ["timeout", "--kill-after=5", str(DISCOVERY_SECONDS), *argv]


def set_up(target: Target, name: str, value: str) -> list[str]:
    """Set something of the sessions to come that everybody may know."""
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

    addresses: tuple[str, ...]
    port: int
    iqn: str
    scsi_id: str
    credentials: Mapping[str, str]
    multihomed: bool
    multipath: bool

    @property
    def everywhere(self) -> bool:
        """Whether there are to be sessions to more than one portal."""
        return self.multihomed or self.iqn == ANY_IQN

    def names(self, target: Target) -> bool:
        """Whether a target is one of those that are meant."""
        return self.iqn in (ANY_IQN, target.iqn)

    @classmethod
    def of(cls, device_config: Mapping[str, str]) -> Settings:
        """Return the settings of a device_config; InvalidConfiguration with the number that belongs to each key."""
        portals = plain_text(device_config, "target", TARGET_MISSING).split(",")
        addresses = tuple(dict.fromkeys(server_name(name.strip(), "target") for name in portals))
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
        multipath = wants_multipath(device_config)
        multihomed = device_config.get("multihomed", str(multipath).lower()) == "true"
        return cls(addresses, int(port), iqn, scsi_id, credentials, multihomed, multipath)


def _secret(device_config: Mapping[str, str], name: str) -> str:
    """Return a value that is to be one line of a record, and read from there as it is."""
    text = plain_text(device_config, name, BAD_CHARACTER)
    if text != text.strip() or len(text) > LONGEST_SECRET:
        raise InvalidConfiguration(
            name, f"has spaces around it or more than {LONGEST_SECRET} characters", BAD_CHARACTER
        )
    return text


class PortalSilent(StorageFailure):
    """A portal has not answered in the time that it had."""


def _is_not_admitted(failure: StorageFailure) -> bool:
    """Whether a log-in failed for its password: that is a wrong setting, and no path that is lost."""
    cause = failure.__cause__
    return isinstance(cause, CommandFailed) and cause.code == NOT_ADMITTED


class Connection:
    """The sessions that somebody uses, if any are needed; several users may share one."""

    def __init__(self) -> None:
        self._held: list[tuple[Ledger, str, Callable[[], object]]] = []

    def add(self, ledger: Ledger, name: str, end: Callable[[], object]) -> None:
        """Use one more, which the ledger has held for this."""
        self._held.append((ledger, name, end))

    def adopt(self) -> None:
        """Have those end too that an earlier toolstack has begun."""
        for ledger, name, _ in self._held:
            ledger.adopt(name)

    def end(self) -> None:
        """Use them no more: those that were begun here and nobody else uses end."""
        with ExitStack() as stack:
            while self._held:
                ledger, name, end = self._held.pop(0)
                stack.callback(ledger.let_go, name, end)

    def leave(self) -> None:
        """Use them no more, and let them go on."""
        while self._held:
            ledger, name, _ = self._held.pop()
            ledger.leave(name)


class Initiator:
    """This host as an iSCSI initiator. `devices` is the directory of device files, `records` where it keeps its own.

    `state` is where is kept which sessions are ours.
    """

    def __init__(self, runner: Runner, devices: str, records: Sequence[str], state: Path) -> None:
        self._runner = runner
        self._devices = devices
        self._records = records
        self._ledger = Ledger(state / "sessions")

    def _run(self, argv: Sequence[str], number: int) -> str:
        try:
            return self._runner(argv).text
        except CommandFailed as error:
            raise StorageFailure(f"iSCSI: {error}", number) from error

    # Finding targets

    def discover(self, settings: Settings) -> list[Target]:
        """Return the targets of the portals; of several portals, it is enough that one answers."""
        found: dict[Target, None] = {}
        failures: list[StorageFailure] = []
        for address in settings.addresses:
            try:
                found |= dict.fromkeys(self._discover_at(address, settings))
            except StorageFailure as failure:
                failures.append(failure)
                LOG.warning("%s does not tell its targets: %s", address, failure)
            else:
                if not settings.everywhere:
                    break
        if len(failures) == len(settings.addresses):
            raise failures[0]
        return list(found)

    def _discover_at(self, address: str, settings: Settings) -> list[Target]:
        portal = portal_of(address, settings.port)
        own = {name: text for name, text in settings.credentials.items() if not name.endswith("_in")}
        if not own:
            return self._ask(portal, discover(portal), DISCOVERY_FAILED, settings)
        try:
            return self._discover_with_password(address, settings, own)
        except PortalSilent:
            raise
        except StorageFailure as failure:
            # Many targets want the password at the log-in only, and end a discovery that insists on showing it.
            try:
                return self._ask(portal, discover(portal), DISCOVERY_FAILED, settings)
            except StorageFailure:
                raise failure from None

    def _discover_with_password(self, address: str, settings: Settings, credentials: Mapping[str, str]) -> list[Target]:
        portal = portal_of(address, settings.port)
        self._run(new_discovery_record(portal), DISCOVERY_FAILED)
        files = discovery_records(self._records, address, settings.port)
        self._keep(files, DISCOVERY_PREFIX, credentials, portal)
        try:
            return self._ask(portal, discover_by_record(portal), LOGIN_FAILED, settings)
        finally:
            # To remove the record would take those of the targets with it.
            self._keep(files, DISCOVERY_PREFIX, {}, portal)

    def _ask(self, portal: str, argv: Sequence[str], number: int, settings: Settings) -> list[Target]:
        """Return what a portal tells; where it may not be the only one, it gets less time for it."""
        if not settings.multipath and len(settings.addresses) == 1:
            return parse_targets(self._run(argv, number))
        try:
            return parse_targets(self._runner(hurry(argv)).text)
        except CommandFailed as error:
            if error.code == NO_TIME_LEFT:
                text = f"iSCSI: {portal} has told no targets within {DISCOVERY_SECONDS} s"
                raise PortalSilent(text, DISCOVERY_FAILED) from error
            raise StorageFailure(f"iSCSI: {error}", number) from error

    def _keep(self, files: Sequence[Path], prefix: str, credentials: Mapping[str, str], what: str) -> None:
        """Write credentials where the initiator reads them, or take them away there."""
        if credentials and not files:
            raise StorageFailure(f"iSCSI: nothing is kept of {what} in {' or '.join(self._records)}", LOGIN_FAILED)
        try:
            for file in files:
                set_credentials(file, prefix, credentials)
        except OSError as error:
            raise StorageFailure(f"iSCSI: what is kept of {what}: {error.strerror}", LOGIN_FAILED) from error

    def _found(self, settings: Settings) -> list[Target]:
        """Return the targets that are meant at all their portals, from what was kept of them if no portal answers."""
        try:
            found = self.discover(settings)
        except StorageFailure:
            # The address that is known may be that of the one path that is lost.
            known = self._listed(known_targets()) if settings.multipath else []
            found = [target for target in known if settings.names(target)]
            if not found:
                raise
        wanted = [target for target in found if settings.names(target)]
        if not wanted:
            where = " and ".join(settings.addresses)
            raise InvalidConfiguration("targetIQN", f"is not offered at {where}", IQN_MISSING)
        return wanted

    # Sessions

    def _listed(self, argv: Sequence[str], line: re.Pattern[str] = NODE) -> list[Target]:
        try:
            return parse_targets(self._runner(argv).text, line)
        except CommandFailed as error:
            if error.code == NO_SESSIONS:
                return []
            raise StorageFailure(f"iSCSI: {error}", 86) from error

    def sessions(self) -> list[Target]:
        """Return the targets to which there are sessions."""
        return self._listed(["iscsiadm", "-m", "session"], SESSION)

    def connect(self, settings: Settings) -> Connection:
        """Have sessions to the target of some settings. Of several paths it is enough that one can be had."""
        wanted = self._found(settings)
        if not settings.everywhere:
            at = [target for address in settings.addresses for target in wanted if target.address == address]
            wanted = [target for target in at if target.address == at[0].address] or wanted[:1]
        # Before a restart of the toolstack, there may have been more of them.
        ours = (each for each in self.sessions() if settings.names(each) and self._ledger.is_ours(each.name))
        targets = {target.name: target for target in (*wanted, *ours)}
        connection = Connection()
        failures: list[StorageFailure] = []
        with ExitStack() as undo:
            undo.callback(connection.end)
            for name, target in targets.items():
                try:
                    self._ledger.hold(name, partial(self._is_there, name), partial(self._log_in, target, settings))
                except StorageFailure as failure:
                    failures.append(failure)
                    if not settings.multipath or _is_not_admitted(failure) or len(failures) == len(targets):
                        raise
                    LOG.warning("there is no path through %s: %s", target.portal, failure)
                else:
                    connection.add(self._ledger, name, partial(self._end, target))
            let_udev_settle(self._runner)
            undo.pop_all()
        return connection

    def _is_there(self, name: str) -> bool:
        return any(target.name == name for target in self.sessions())

    def _log_in(self, target: Target, settings: Settings) -> None:
        self._set_credentials(target, settings.credentials)
        try:
            for name, value in WHERE_THERE_ARE_OTHERS.items() if settings.multipath else ():
                self._run(set_up(target, name, value), LOGIN_FAILED)
            self._run(log_in(target), LOGIN_FAILED)
        except StorageFailure:
            self._set_credentials(target, {})
            raise

    def _end(self, target: Target) -> None:
        try:
            self._runner(log_out(target))
        except CommandFailed as error:
            if error.code != NO_SESSIONS:  # somebody else has ended it
                raise StorageFailure(f"iSCSI: {error}", LOGOUT_FAILED) from error
        self._set_credentials(target, {})

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
