from __future__ import annotations

from math import isnan
from pathlib import Path

import pytest

from tests.monitoring.filled import START, filled
from xapi.monitoring.archive import Consolidation
from xapi.monitoring.catalogue import SR_LAYOUT, host_layout, vm_layout
from xapi.monitoring.recorder import NoSuchSource, Owner, OwnerKind, Recorder, Sample
from xapi.monitoring.saved import Folder
from xapi.monitoring.source import Kind, Source

VM = Owner(OwnerKind.VM, "11111111-1111-4111-8111-111111111111")
HOST = Owner(OwnerKind.HOST, "22222222-2222-4222-8222-222222222222")
LAYOUT = vm_layout(1, False, ("xvda",), ())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def recorder(folder: Folder) -> Recorder:
    return Recorder(folder)


def sample(time: int, *, layout: tuple = LAYOUT, incarnation: int = 1, settled: bool = True) -> Sample:
    values = [time * 0.5 if source.kind == "DERIVE" and source.high == 1.0 else float(time) for source in layout]
    return Sample(VM, layout, values, incarnation, settled)


def run(recorder: Recorder, first: int, count: int, **how: object) -> int:
    for number in range(count):
        recorder.record(float(first + number * 5), [sample(first + number * 5, **how)])  # type: ignore[arg-type]
    return first + (count - 1) * 5


def test_standard_sources_are_recorded_by_themselves_and_others_on_demand(recorder: Recorder) -> None:
    layout = (*LAYOUT, Source("rare", "asked for seldom", "err/s", Kind.DERIVE, standard=False))
    time = run(recorder, START, 4, layout=layout)
    known = {one.source.name: one for one in recorder.offered(VM)}
    assert known["cpu0"].recorded
    assert known["cpu0"].value == pytest.approx(0.5)
    assert not known["rare"].recorded
    with pytest.raises(NoSuchSource):
        recorder.newest(VM, "rare")
    recorder.begin_recording(VM, "rare")
    run(recorder, time + 5, 3, layout=layout)
    assert recorder.newest(VM, "rare") == pytest.approx(1.0)
    assert recorder.newest(VM, "cpu0") == pytest.approx(0.5)


def test_a_forgotten_standard_source_begins_anew(recorder: Recorder) -> None:
    time = run(recorder, START, 10)
    recorder.forget_source(VM, "cpu0")
    assert "cpu0" not in recorder.last_row(VM, 1)
    assert recorder.newest(VM, "memory") == time
    time = run(recorder, time + 5, 3)
    assert recorder.newest(VM, "cpu0") == pytest.approx(0.5)
    assert recorder.newest(VM, "memory") == time
    (rows,) = [recorder.updates([VM], START, 5, None)]
    column = rows.legend.index(f"AVERAGE:vm:{VM.uuid}:cpu0")
    values = [float(row.split(b",")[column]) for _, row in rows.rows]
    assert [isnan(value) for value in values[:4]] == [False, False, True, True]


def test_what_nobody_has_cannot_be_recorded_forgotten_or_asked_for(recorder: Recorder) -> None:
    run(recorder, START, 2)
    for call in (recorder.begin_recording, recorder.forget_source, recorder.newest):
        with pytest.raises(NoSuchSource):
            call(VM, "no_such")
        with pytest.raises(NoSuchSource):
            call(HOST, "cpu0")
    assert recorder.offered(HOST) == []
    assert recorder.last_row(HOST, 1) == {}
    assert recorder.document(HOST) is None


def test_devices_come_and_go(recorder: Recorder) -> None:
    time = run(recorder, START, 4)
    time = run(recorder, time + 5, 4, layout=vm_layout(2, True, (), (0,)))
    row = recorder.last_row(VM, 1)
    assert isnan(row["vbd_xvda_read"])
    assert row["vif_0_rx"] == pytest.approx(1.0)
    assert row["cpu1"] == pytest.approx(0.5)
    gone = next(one for one in recorder.offered(VM) if one.source.name == "vbd_xvda_read")
    assert (gone.recorded, gone.source.standard) == (False, False)
    run(recorder, time + 5, 3)
    assert recorder.last_row(VM, 1)["vbd_xvda_read"] == pytest.approx(1.0)


def test_a_new_domain_counts_from_zero(recorder: Recorder) -> None:
    time = run(recorder, START, 4)
    values = [0.5 if source.high == 1.0 else 10.0 for source in LAYOUT]
    recorder.record(float(time + 5), [Sample(VM, LAYOUT, values, 2)])
    assert recorder.newest(VM, "vbd_xvda_read") == 2.0


def test_a_restart_of_the_toolstack_leaves_no_gap(recorder: Recorder, folder: Folder) -> None:
    time = run(recorder, START, 30)
    recorder.keep()
    other = Recorder(folder)
    run(other, time + 30, 2)
    rows = [row for _, row in other.updates([VM], time - 20, 0, None).rows]
    assert b"".join(rows).count(b"NaN") == 0


def test_a_paused_vm_leaves_a_gap(recorder: Recorder) -> None:
    time = run(recorder, START, 4)
    paused = run(recorder, time + 5, 4, settled=False)
    assert recorder.newest(VM, "memory") == time
    rows = recorder.updates([VM, HOST], START, 0, Consolidation.AVERAGE)
    assert rows.end == time
    assert paused > time


def test_who_leaves_is_kept_and_goes_on_later(recorder: Recorder, folder: Folder) -> None:
    time = run(recorder, START, 30)
    recorder.retire([VM])
    assert recorder.measured() == frozenset()
    assert recorder.kept() == {VM.uuid}
    assert recorder.document(VM) is not None
    other = Recorder(folder)
    run(other, time + 60, 3, incarnation=2)
    rows = dict(other.updates([VM], time - 20, 0, None).rows)
    assert rows[time - 10].count(b"NaN") == 0
    assert rows[time + 30].count(b"NaN") == len(other.last_row(VM, 1))
    assert other.newest(VM, "cpu0") == pytest.approx(0.5)
    recorder.forget(VM.uuid)
    assert recorder.kept() == frozenset()
    assert recorder.document(VM) is None


def test_a_damaged_file_is_left_for_a_new_beginning(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / f"{VM.uuid}.gz").write_bytes(b"nonsense")
    time = run(recorder, START, 3)
    assert recorder.newest(VM, "memory") == time


def test_hosts_have_extremes_always_and_others_when_wanted(recorder: Recorder) -> None:
    layout = host_layout(1, ("eth0",), ("0123abcd",))
    sr = Owner(OwnerKind.SR, "33333333-3333-4333-8333-333333333333")
    for number in range(40):
        time = START + number * 5.0
        samples = [Sample(HOST, layout, [time * 0.1] * len(layout)), Sample(sr, SR_LAYOUT, [10.0, 5.0])]
        recorder.record(time, samples)
    legend = recorder.updates([HOST, sr], START, 60, None).legend
    assert {entry.split(":")[0] for entry in legend if ":host:" in entry} == {"AVERAGE", "MIN", "MAX"}
    assert {entry.split(":")[0] for entry in legend if ":sr:" in entry} == {"AVERAGE"}
    recorder.record(time + 5, [sample(int(time) + 5)], extremes=True)
    assert f"MAX:vm:{VM.uuid}:memory" in recorder.updates([VM], START, 60, None).legend


def test_an_archive_from_elsewhere_is_taken_over(recorder: Recorder, folder: Folder) -> None:
    recorder.receive(VM, filled(200), running=False)
    assert recorder.measured() == frozenset()
    assert folder.load(VM.uuid) is not None
    archive = filled(200)
    recorder.receive(VM, archive, running=True)
    past = recorder.newest(VM, "memory_internal_free")
    time = int(archive.last_update) + 5
    run(recorder, time, 3)
    assert recorder.newest(VM, "memory") == pytest.approx(time, abs=20)
    assert recorder.newest(VM, "cpu0") == pytest.approx(0.5)
    values = [row for _, row in recorder.updates([VM], -60, 5, None).rows]
    assert any(f"{past:.5g}".encode() in row for row in values)


def test_layouts_of_one_shape_are_one() -> None:
    assert vm_layout(2, True, ("xvda",), (0,)) is vm_layout(2, True, ("xvda",), (0,))
