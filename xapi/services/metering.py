"""Measures everything on this host every five seconds, keeps the past, and raises alarms.

A round costs one question to the hypervisor. Rows change only when memory did by `WORTH_TELLING` or more, all of them
in one transaction, so that listeners hear little.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Final

from xapi.actions.message import post
from xapi.datamodel.classes import SR, VM, Host, HostMetrics, VMMetrics
from xapi.datamodel.classes.message import Cls
from xapi.datamodel.model import Entity
from xapi.dispatch.toolstack import Toolstack
from xapi.monitoring.alarms import Alarm, BadAlarm, Guard, Probe, Rule, rule
from xapi.monitoring.archive import STEP
from xapi.monitoring.recorder import Owner, OwnerKind, Recorder
from xapi.rpc.perfmon import WantedAlarm, read_alarms
from xapi.services import host_figures
from xapi.services.periodic import Periodic
from xapi.services.sampling import SHORT, Round, Sampler

LOG = logging.getLogger("xapi.metering")
PERFMON: Final = "perfmon"
EXTREMES: Final = "create_min_max_in_new_VM_RRDs"
FOR_HOSTS: Final = "sr_io_throughput_total_per_host"
WORTH_TELLING: Final = 1024 * 1024
MINUTE: Final = 60
POINTS_OF_A_MINUTE: Final = MINUTE // STEP
BACKUP_SECONDS: Final = 24 * 60 * 60.0
PROBES: Final[Mapping[str, Probe]] = {
    "get_percent_fs_usage": host_figures.root_usage,
    "get_percent_log_fs_usage": host_figures.log_usage,
    "get_percent_mem_usage": host_figures.memory_usage,
}
CLASSES: Final = {OwnerKind.VM: Cls.VM, OwnerKind.HOST: Cls.HOST, OwnerKind.SR: Cls.SR}


class Metering:
    """The service. `turn` is one round; the thread makes one at each full five seconds of the clock."""

    def __init__(
        self, toolstack: Toolstack, recorder: Recorder, *, probes: Mapping[str, Probe] = PROBES, sampler: Any = None
    ) -> None:
        self._toolstack = toolstack
        self._recorder = recorder
        self._probes = probes
        self._sampler: Sampler = sampler or Sampler(toolstack)
        self._guards: dict[Owner, Guard] = {}
        self._minute = self._now() // MINUTE
        self._backed_up = toolstack.clock.monotonic()
        self._turning = Lock()
        self._periodic = Periodic("metering", lambda: STEP - self._now() % STEP, self.turn)

    def start(self) -> None:
        """Make a first round and begin; whoever has an archive on disk goes on with it."""
        self._periodic.turn()
        self._periodic.start()

    def stop(self) -> None:
        """End after the round that is under way, and keep everything."""
        self._periodic.stop()
        self._recorder.keep()

    def _now(self) -> float:
        return self._toolstack.clock.now().timestamp()

    def turn(self) -> None:
        """Make one round."""
        with self._turning:
            now = self._now()
            found = self._sampler.round()
            pool = self._toolstack.pool
            self._recorder.record(now, found.samples, extremes=pool.other_config.get(EXTREMES) == "true")
            here = {sample.owner for sample in found.samples}
            gone = self._recorder.measured() - here
            if gone:
                self._recorder.retire(gone)
            self._tell(found)
            if now // MINUTE != self._minute:
                self._minute = now // MINUTE
                self._forget_destroyed()
                self._raise(self._look())
            monotonic = self._toolstack.clock.monotonic()
            if monotonic - self._backed_up >= BACKUP_SECONDS:
                self._backed_up = monotonic
                self._recorder.keep()

    # Rows

    def _tell(self, found: Round) -> None:
        """Write into the rows of metrics what has changed enough to be told."""
        db = self._toolstack.db
        changes: list[tuple[type[Entity], str, dict[str, Any]]] = []
        host = db.get(Host, self._toolstack.this_host)
        metrics = db.find(HostMetrics, host.metrics)
        total, free = found.host.memory_total, found.host.memory_free
        if metrics is not None and _differs((metrics.memory_total, total), (metrics.memory_free, free)):
            changes.append((HostMetrics, metrics.ref, {"memory_total": total, "memory_free": free}))
        for uuid, memory in found.memory_of.items():
            row = db.by_uuid(VM, uuid)
            figures = db.find(VMMetrics, row.metrics) if row is not None else None
            if figures is not None and _differs((figures.memory_actual, memory)):
                changes.append((VMMetrics, figures.ref, {"memory_actual": memory}))
        if not changes:
            return
        now = self._toolstack.clock.now()
        with db.transaction() as transaction:
            for entity, ref, values in changes:
                if transaction.find(entity, ref) is not None:
                    transaction.update(entity, ref, **values, last_updated=now)

    def _forget_destroyed(self) -> None:
        """Forget the archives of what has no row any more."""
        db = self._toolstack.db
        for uuid in self._recorder.kept():
            if all(db.by_uuid(entity, uuid) is None for entity in (VM, SR, Host)):
                self._recorder.forget(uuid)

    # Alarms

    def _look(self) -> list[Alarm]:
        """Look at everybody who has alarms configured, once a minute."""
        monotonic = self._toolstack.clock.monotonic()
        alarms: list[Alarm] = []
        guards: dict[Owner, Guard] = {}
        for owner, document, shared in self._configured():
            guard = self._guards.get(owner) or Guard(owner)
            guards[owner] = guard
            key = "\0".join((document, *(each for pair in shared for each in pair)))
            if guard.document != key:
                guard.configure(key, self._rules(owner, document, shared), monotonic)
            alarms += guard.look(self._recorder.last_row(owner, POINTS_OF_A_MINUTE), self._probes, monotonic)
        self._guards = guards
        return alarms

    def _configured(self) -> Iterator[tuple[Owner, str, list[tuple[str, str]]]]:
        """Whoever has alarms configured here: the document, and those of SRs (by UUID) that are meant for the host."""
        db = self._toolstack.db
        shared: list[tuple[str, str]] = []
        for sr in db.all(SR):
            document = sr.other_config.get(PERFMON, "")
            owner = Owner(OwnerKind.SR, sr.uuid)
            if document and owner in self._recorder.measured():
                yield owner, document, []
                if FOR_HOSTS in document:
                    shared.append((sr.uuid, document))
        for vm in db.all(VM):
            document = vm.other_config.get(PERFMON, "")
            if document and vm.resident_on == self._toolstack.this_host:
                yield Owner(OwnerKind.VM, vm.uuid), document, []
        host = db.get(Host, self._toolstack.this_host)
        document = host.other_config.get(PERFMON, "")
        if document or shared:
            yield Owner(OwnerKind.HOST, host.uuid), document, shared

    def _rules(self, owner: Owner, document: str, shared: Sequence[tuple[str, str]]) -> list[Rule]:
        """The rules of a document; what is wrong in it is logged and left out."""
        found: dict[str, Rule] = {}
        wanted = [*_alarms_for_hosts(shared), *(_read(owner, document) if document else ())]
        for one in wanted:
            try:
                made = rule(owner.kind, one.values, one.text)
            except BadAlarm as problem:
                LOG.warning("%s %s: an alarm is not configured well: %s", owner.kind, owner.uuid, problem)
                continue
            found[made.name] = made
        return list(found.values())

    def _raise(self, alarms: Sequence[Alarm]) -> None:
        """Post a message for each alarm."""
        if not alarms:
            return
        with self._toolstack.db.transaction() as transaction:
            for alarm in alarms:
                cls = CLASSES[alarm.owner.kind]
                post(self._toolstack, transaction, "ALARM", alarm.priority, cls, alarm.owner.uuid, alarm.body)


def _differs(*pairs: tuple[int, int]) -> bool:
    return any(abs(old - new) >= WORTH_TELLING for old, new in pairs)


def _read(owner: Owner, document: str) -> tuple[WantedAlarm, ...]:
    try:
        return read_alarms(document)
    except ValueError as problem:
        LOG.warning("%s %s: its alarms cannot be read: %s", owner.kind, owner.uuid, problem)
        return ()


def _alarms_for_hosts(shared: Sequence[tuple[str, str]]) -> Iterator[WantedAlarm]:
    """The alarms that SRs want each of their hosts to raise, in the host's terms."""
    for uuid, document in shared:
        for one in _read(Owner(OwnerKind.SR, uuid), document):
            if one.values.get("name") == FOR_HOSTS and "rrd_regex" not in one.values:
                name = f"sr_io_throughput_total_{uuid[:SHORT]}"
                text = one.text.replace(f'"{FOR_HOSTS}"', f'"{name}"', 1)
                text = text.replace("</variable>", f'\t<configured_on class="SR" uuid="{uuid}"/>\n</variable>')
                yield WantedAlarm({**one.values, "name": name}, text)
                break
