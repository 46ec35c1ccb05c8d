"""The archives of everybody who is measured on this host, and the questions that are asked of them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import nan
from threading import Lock
from typing import NamedTuple

from xapi.monitoring import dump
from xapi.monitoring.archive import Archive, Consolidation
from xapi.monitoring.catalogue import Layout
from xapi.monitoring.export import Updates, updates
from xapi.monitoring.saved import DamagedArchive, Folder, pack
from xapi.monitoring.source import Source

LOG = logging.getLogger("xapi.monitoring")


class OwnerKind(StrEnum):
    """Who is measured, as legends have it."""

    HOST = "host"
    VM = "vm"
    SR = "sr"


class Owner(NamedTuple):
    """Somebody who is measured."""

    kind: OwnerKind
    uuid: str


class Sample(NamedTuple):
    """What was measured of one owner at one moment: a value for each source of the layout.

    When `incarnation` differs from the last time, counters have begun again (a VM's new domain). A sample with
    `settled=False` tells which sources there are, but is not recorded (a paused VM).
    """

    owner: Owner
    layout: Layout
    values: list[float]
    incarnation: int = 0
    settled: bool = True


class NoSuchSource(LookupError):
    """The owner has no data source of that name, or is not measured here."""


@dataclass(frozen=True, slots=True)
class Offered:
    """One data source of an owner: its definition, whether it is recorded, and its newest value."""

    source: Source
    recorded: bool
    value: float


@dataclass(slots=True)
class _Entry:
    archive: Archive
    layout: Layout = ()
    picks: list[int] | None = None  # which value each source of the archive takes; None for all in order
    fresh: bool = True  # nothing has been recorded since the archive was taken up
    extra: set[str] = field(default_factory=set)  # sources that are recorded because somebody asked for it


class Recorder:
    """Archives by owner. Safe for threads; files are read and written outside its lock."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._entries: dict[Owner, _Entry] = {}
        self._lock = Lock()

    # Samples

    def record(self, now: float, samples: Iterable[Sample], *, extremes: bool = False) -> None:
        """Take the samples of one moment (seconds since 1970).

        New owners continue the archive that was kept for them; a new archive has MIN and MAX for hosts always, for
        others with `extremes`.
        """
        samples = list(samples)
        new = [one for one in samples if one.owner not in self._entries]
        restored = {one.owner: self._restored(one.owner) for one in new}
        with self._lock:
            for sample in samples:
                entry = self._entries.get(sample.owner)
                if entry is None:
                    archive = restored.get(sample.owner)
                    entry = self._begin(now, sample, archive, extremes)
                if sample.layout is not entry.layout:
                    self._adopt(entry, sample.layout)
                if not sample.settled:
                    continue
                values: Sequence[float] = sample.values
                if entry.picks is not None:
                    extended = (*values, nan)
                    values = [extended[number] for number in entry.picks]
                restarted = sample.incarnation != entry.archive.incarnation
                entry.archive.incarnation = sample.incarnation
                if restarted and entry.fresh:
                    entry.archive.resume(now, values)
                else:
                    entry.archive.update(now, values, restarted=restarted)
                entry.fresh = False

    def _restored(self, owner: Owner) -> Archive | None:
        try:
            return self._folder.load(owner.uuid)
        except DamagedArchive as problem:
            LOG.warning("the archive of %s %s is damaged and begins anew: %s", owner.kind, owner.uuid, problem)
            return None

    def _begin(self, now: float, sample: Sample, archive: Archive | None, extremes: bool) -> _Entry:
        if archive is None:
            standard = [source for source in sample.layout if source.standard]
            archive = Archive(standard, now, extremes=extremes or sample.owner.kind is OwnerKind.HOST)
            archive.incarnation = sample.incarnation
        entry = _Entry(archive)
        self._entries[sample.owner] = entry
        return entry

    @staticmethod
    def _adopt(entry: _Entry, layout: Layout) -> None:
        """Fit an archive to the sources that there are now; what is gone stays, unknown from now on."""
        archive = entry.archive
        names = [source.name for source in layout]
        archive.redefine(layout)
        missing = [
            source
            for source in layout
            if (source.standard or source.name in entry.extra) and source.name not in archive.names
        ]
        if missing:
            archive.add(missing)
        position = {name: number for number, name in enumerate(names)}
        picks = [position.get(name, -1) for name in archive.names]
        entry.picks = None if picks == [*range(len(names))] else picks
        entry.layout = layout

    # Coming and going

    def measured(self) -> frozenset[Owner]:
        """Everybody who is measured at the moment."""
        with self._lock:
            return frozenset(self._entries)

    def keep(self, owners: Collection[Owner] | None = None) -> None:
        """Write archives to files: of these owners, or of all."""
        for owner in self.measured() if owners is None else owners:
            with self._lock:
                entry = self._entries.get(owner)
                data = None if entry is None else pack(entry.archive)
            if data is not None:
                self._folder.save(owner.uuid, data)

    def retire(self, owners: Collection[Owner]) -> None:
        """Stop measuring owners, and keep what is known of them in files."""
        self.keep(owners)
        with self._lock:
            for owner in owners:
                self._entries.pop(owner, None)

    def forget(self, uuid: str) -> None:
        """Forget an owner that is no more, and its file."""
        with self._lock:
            for owner in [owner for owner in self._entries if owner.uuid == uuid]:
                del self._entries[owner]
        self._folder.drop(uuid)

    def kept(self) -> frozenset[str]:
        """The UUIDs of all that have files."""
        return self._folder.owners()

    def receive(self, owner: Owner, archive: Archive, *, running: bool) -> None:
        """Take an archive from elsewhere: into memory when its owner runs here, else into a file."""
        if not running:
            self._folder.save(owner.uuid, pack(archive))
            return
        with self._lock:
            self._entries[owner] = _Entry(archive)

    # Questions

    def updates(
        self, owners: Iterable[Owner], start: int, interval: int, consolidation: Consolidation | None
    ) -> Updates:
        """What happened to these owners since a moment; those that are not measured here are left out."""
        with self._lock:
            known = [
                (f"{owner.kind}:{owner.uuid}:", self._entries[owner].archive)
                for owner in owners
                if owner in self._entries
            ]
            return updates(known, start, interval, consolidation)

    def document(self, owner: Owner, *, json: bool = False, short_names: bool = False) -> list[bytes] | None:
        """The whole archive of an owner as a document, from memory or else from its file; None when there is none.

        `short_names` counts for XML; see `dump.as_xml`.
        """

        def document_of(archive: Archive) -> list[bytes]:
            return [dump.as_json(archive)] if json else dump.as_xml(archive, short_names=short_names)

        with self._lock:
            entry = self._entries.get(owner)
            if entry is not None:
                return document_of(entry.archive)
        restored = self._restored(owner)
        return None if restored is None else document_of(restored)

    def offered(self, owner: Owner) -> list[Offered]:
        """The data sources of an owner by name: those that there are now, and those with a past only."""
        with self._lock:
            entry = self._entries.get(owner)
            if entry is None:
                return []
            archive = entry.archive
            newest = dict(zip(archive.names, archive.finest.row(0), strict=True))
            live = {source.name for source in entry.layout}
            found = [Offered(one, one.name in newest, newest.get(one.name, nan)) for one in entry.layout]
            found += [
                Offered(Source(one.name, "not measured any more", "unknown", one.kind, standard=False), False, nan)
                for one in archive.sources
                if one.name not in live
            ]
        return sorted(found, key=lambda one: one.source.name)

    def newest(self, owner: Owner, name: str) -> float:
        """The newest value of a source; NoSuchSource when it is not recorded."""
        with self._lock:
            entry = self._entries.get(owner)
            if entry is None or name not in entry.archive.names:
                raise NoSuchSource(name)
            return entry.archive.latest(name)

    def last_row(self, owner: Owner, points: int) -> dict[str, float]:
        """The newest averages over so many primary points, by source; empty for who is not measured."""
        with self._lock:
            entry = self._entries.get(owner)
            if entry is None:
                return {}
            row = entry.archive.rings(points)[Consolidation.AVERAGE].row(0)
            return dict(zip(entry.archive.names, row, strict=True))

    def begin_recording(self, owner: Owner, name: str) -> None:
        """Record a source that the owner has; NoSuchSource when it has none of that name now."""
        with self._lock:
            entry = self._entries.get(owner)
            if entry is None or name not in {source.name for source in entry.layout}:
                raise NoSuchSource(name)
            entry.extra.add(name)
            self._adopt(entry, entry.layout)

    def forget_source(self, owner: Owner, name: str) -> None:
        """Throw the past of a source away; a standard one that is still there begins anew with the next sample."""
        with self._lock:
            entry = self._entries.get(owner)
            if entry is None or name not in entry.archive.names:
                raise NoSuchSource(name)
            entry.archive.remove(name)
            entry.extra.discard(name)
            entry.layout = ()
            entry.picks = [-1] * len(entry.archive.names)
