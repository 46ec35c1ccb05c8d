"""Several paths to one LUN as one device: Linux's device-mapper multipath, spoken to by its own programs.

A LUN's map is asked for by its WWID, which is its SCSI id. Nothing is written into the administrator's configuration:
`multipath -a` lets a WWID in, and takes no more than that. A map that has another name than its WWID (an alias, or
`user_friendly_names`) is found too, by its UUID in the device mapper.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.facts import MULTIPATH_HANDLE, MULTIPATHING
from xapi.storage.lvm.group import NOT_INSTALLED, Runner
from xapi.storage.lvm.ledger import Ledger
from xapi.storage.lvm.scsi import let_udev_settle, map_of
from xapi.system.command import CommandFailed

DAEMON_SILENT, MAP_FAILED = 430, 431
HANDLES: Final[Mapping[str, bool]] = {"dmp": True, "null": False}
"""The ways of using several paths that there are: by the device mapper, or not at all."""
PATH_FORMAT = "%w %t %T"
FAILED: Final = frozenset({"faulty", "shaky", "failed"})
"""What a path's checker says of one that does not work."""


def wants_multipath(device_config: Mapping[str, str]) -> bool:
    """Return whether all paths are to be used; InvalidConfiguration for values that say neither."""
    wanted = device_config.get(MULTIPATHING, "false").lower()
    if wanted not in ("true", "false"):
        raise InvalidConfiguration(MULTIPATHING, "is neither true nor false")
    handle = device_config.get(MULTIPATH_HANDLE, "dmp")
    if handle not in HANDLES:
        raise InvalidConfiguration(MULTIPATH_HANDLE, f"is none of {', '.join(HANDLES)}")
    return wanted == "true" and HANDLES[handle]


# Command lines


def ask_daemon() -> list[str]:
    """Let the daemon tell that it is there."""
    return ["multipathd", "show", "daemon"]


def let_in(scsi_id: str) -> list[str]:
    """Have a LUN handled by multipath from now on, however many paths there are."""
    return ["multipath", "-a", scsi_id]


def leave_out(scsi_id: str) -> list[str]:
    """Have a LUN handled by multipath no more."""
    return ["multipath", "-w", scsi_id]


def make_map(scsi_id: str) -> list[str]:
    """Make the map of a LUN of all paths that are there, or add those that it lacks."""
    return ["multipath", "-v1", scsi_id]


def remove_map(name: str) -> list[str]:
    """Remove a map, if nobody has it open."""
    return ["multipath", "-f", name]


def stop_queueing(name: str) -> list[str]:
    """Let what is written to a map without paths fail rather than wait."""
    return ["multipathd", "disablequeueing", "map", name]


def show_maps() -> list[str]:
    """List the maps that the daemon watches: WWID and name."""
    return ["multipathd", "show", "maps", "raw", "format", "%w %n"]


def show_paths() -> list[str]:
    """List the paths that the daemon watches: WWID, state in the device mapper, what its checker says."""
    return ["multipathd", "show", "paths", "raw", "format", PATH_FORMAT]


def parse_paths(text: str) -> dict[str, tuple[int, int]]:
    """Return of each WWID how many paths work and how many there are, from what `show_paths` printed."""
    counts: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for line in text.splitlines():
        words = line.split()
        if len(words) != 3 or words[1] == "undef":  # a path of no map
            continue
        active, known = counts[words[0]]
        works = words[1] == "active" and words[2] not in FAILED
        counts[words[0]] = (active + works, known + 1)
    return dict(counts)


class Maps:
    """The maps of this host. `devices` is the directory of device files; `state` is where is kept which are ours."""

    def __init__(self, runner: Runner, devices: str, state: Path) -> None:
        self._runner = runner
        self._devices = devices
        self._ledger = Ledger(state / "maps")

    def _run(self, argv: Sequence[str], what: str, advice: str) -> str:
        try:
            return self._runner(argv).text
        except CommandFailed as error:
            if error.code in NOT_INSTALLED:
                advice = "install it on this host (Debian's package is multipath-tools), or turn multipathing off"
            raise StorageFailure(f"multipath: {what}: {error}; {advice}", MAP_FAILED) from error

    def _check_daemon(self) -> None:
        advice = "start multipathd on this host and let it start at boot, or turn multipathing off"
        try:
            answer = self._run(ask_daemon(), "the daemon does not answer", advice)
        except StorageFailure as failure:
            raise StorageFailure(failure.text, DAEMON_SILENT) from failure
        if "pid" not in answer:
            raise StorageFailure(f"multipath: the daemon does not answer: {answer.strip()}; {advice}", DAEMON_SILENT)

    def is_ours(self, scsi_id: str) -> bool:
        """Whether a LUN has a map that was made here and is there still, whatever the settings say now."""
        return self._ledger.is_ours(scsi_id) and map_of(self._devices, scsi_id) is not None

    def claim(self, scsi_id: str) -> None:
        """Have a LUN handled by multipath, before its paths appear: who claims lets go of it once."""
        self._check_daemon()
        advice = "its configuration excludes this LUN: see blacklist and blacklist_exceptions in multipath.conf(5)"
        self._ledger.hold(
            scsi_id,
            lambda: map_of(self._devices, scsi_id) is not None,
            lambda: self._run(let_in(scsi_id), f"{scsi_id} is not let in", advice),
        )

    def assemble(self, scsi_id: str) -> str:
        """Return the device of a LUN that was claimed, made of all its paths that are there."""
        advice = "see what `multipath -v3` and the system's log say of it"
        self._run(make_map(scsi_id), f"no map of {scsi_id} can be made", advice)
        let_udev_settle(self._runner)
        path = map_of(self._devices, scsi_id)
        if path is None:
            raise StorageFailure(f"multipath: no map of {scsi_id} has appeared; {advice}", MAP_FAILED)
        return path

    def adopt(self, scsi_id: str) -> None:
        """Have the map of a LUN that was claimed removed at last, if an earlier toolstack has made it."""
        self._ledger.adopt(scsi_id)

    def let_go(self, scsi_id: str) -> None:
        """Give up a LUN that was claimed: a map of ours that nobody else uses is removed."""
        self._ledger.let_go(scsi_id, lambda: self._remove(scsi_id))

    def _remove(self, scsi_id: str) -> None:
        # While it is let in, the daemon makes the map anew as soon as it hears of one of its paths.
        self._run(leave_out(scsi_id), f"{scsi_id} cannot be left out again", "see the system's log")
        if map_of(self._devices, scsi_id) is None:
            return
        try:
            name = self._name(scsi_id)
            with suppress(CommandFailed):  # removing it tells what is wrong, if anything is
                self._runner(stop_queueing(name))
            self._run(remove_map(name), f"the map of {scsi_id} cannot be removed", "something on this host uses it")
        except StorageFailure:
            self._run(let_in(scsi_id), f"{scsi_id} cannot be kept", "see the system's log")
            raise

    def _name(self, scsi_id: str) -> str:
        """Return the name of a map: its WWID, unless the administrator wants another."""
        if os.path.exists(os.path.join(self._devices, "mapper", scsi_id)):
            return scsi_id
        text = self._run(show_maps(), "the maps cannot be listed", "see whether multipathd runs")
        names = dict(line.split(maxsplit=1) for line in text.splitlines() if len(line.split()) == 2)
        return names.get(scsi_id, scsi_id)

    def counts(self, scsi_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return of each LUN how many of its paths work, and how many there are."""
        text = self._run(show_paths(), "the paths cannot be listed", "see whether multipathd runs")
        found = parse_paths(text)
        return {scsi_id: found.get(scsi_id, (0, 0)) for scsi_id in scsi_ids}
