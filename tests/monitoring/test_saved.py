from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitoring.filled import filled
from xapi.monitoring.archive import Archive
from xapi.monitoring.saved import DamagedArchive, Folder, pack, unpack

UUID = "a4f6e0e4-5bb5-4b43-a1a8-8f2b4a7d54c5"


@pytest.mark.parametrize("samples", [0, 1, 130, 1503])
@pytest.mark.parametrize("extremes", [False, True])
def test_what_is_unpacked_goes_on_as_what_was_packed(samples: int, extremes: bool) -> None:
    archive = filled(samples, extremes=extremes)
    copy = unpack(pack(archive))
    for number in range(60):
        for one in (archive, copy):
            one.update(one.last_update + 5.0, [number * 1.0, 2.0, 3.0])
    assert pack(copy) == pack(archive)
    assert copy.sources == archive.sources


def test_an_archive_without_sources_is_kept_too() -> None:
    archive = unpack(pack(Archive((), 1000.0)))
    assert archive.names == ()
    assert archive.last_update == 1000.0


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=3), st.booleans())
def test_a_damaged_file_is_refused_or_read(position: int, garbage: bytes, cut: bool) -> None:
    data = pack(filled(3, extremes=False))
    position %= len(data)
    damaged = data[:position] + garbage + (b"" if cut else data[position + len(garbage) :])
    try:
        archive = unpack(damaged)
    except DamagedArchive:
        return
    assert len(archive.bases) == len(archive.sources)


def test_a_folder_keeps_one_file_an_owner(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "rrd")
    assert folder.load(UUID) is None
    assert folder.owners() == frozenset()
    folder.save(UUID, pack(filled(2)))
    folder.save(UUID, pack(filled(5)))
    found = folder.load(UUID)
    assert found is not None
    assert found.finest.count == filled(5).finest.count
    assert folder.owners() == {UUID}
    assert [path.name for path in (tmp_path / "rrd").iterdir()] == [f"{UUID}.gz"]
    folder.drop(UUID)
    folder.drop(UUID)
    assert folder.owners() == frozenset()


@pytest.mark.parametrize(
    "content", [b"", b"hello", gzip.compress(b"hello", mtime=0), gzip.compress(pack(filled(3)), mtime=0)[:-20]]
)
def test_files_that_are_no_archives_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{UUID}.gz").write_bytes(content)
    with pytest.raises(DamagedArchive):
        Folder(tmp_path).load(UUID)


@pytest.mark.parametrize("owner", ["../../etc/passwd", "", "a/b", "x" * 65])
def test_owners_are_named_by_uuids_only(tmp_path: Path, owner: str) -> None:
    with pytest.raises(ValueError, match="no UUID"):
        Folder(tmp_path).load(owner)
