from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.storage.datapath.chain_export import ChainExport
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.parents import describe_parent

SIZE = 4 << 20


def new_chain(directory: Path) -> str:
    """A parent with data in its first block, and an empty child."""
    base, leaf = str(directory / "base.vhd"), str(directory / "leaf.vhd")
    with closing(RealFile.create(base)) as file:
        create_dynamic(file, SIZE).write(0, b"p" * 65536)
    with closing(RealFile.create(leaf)) as file:
        create_child(file, describe_parent(base))
    return leaf


def new_raw(directory: Path) -> str:
    path = str(directory / "disk.raw")
    with closing(RealFile.create(path)) as file:
        file.truncate(SIZE)
        file.pwrite(b"p" * 65536, 0)
    return path


@pytest.fixture(params=["vhd", "raw"])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> ChainExport:
    raw = request.param == "raw"
    return ChainExport((new_raw if raw else new_chain)(tmp_path), raw, read_only=False)


def content(export: ChainExport) -> bytes:
    data = bytearray(export.size)
    export.read_into(0, memoryview(data))
    return bytes(data)


actions = st.lists(
    st.tuples(
        st.sampled_from(["write", "zero", "keep", "trim", "flush", "reopen"]),
        st.one_of(
            st.integers(0, 140000), st.integers(0, SIZE - 1), st.integers(0, SIZE // 4096 - 1).map((4096).__mul__)
        ),
        st.one_of(st.integers(1, 3000), st.sampled_from([4096, 8192, 65536])),
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(["vhd", "raw"]), steps=actions)
def test_any_bytes_may_be_written_zeroed_and_trimmed(
    tmp_path_factory: pytest.TempPathFactory, kind: str, steps: list[tuple[str, int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("disk")
    export = ChainExport((new_raw if kind == "raw" else new_chain)(directory), kind == "raw", read_only=False)
    model = bytearray(b"p" * 65536 + bytes(SIZE - 65536))
    for number, (name, offset, length) in enumerate(steps):
        length = min(length, SIZE - offset)
        part = slice(offset, offset + length)
        match name:
            case "write":
                model[part] = bytes([number + 1]) * length
                export.write(offset, memoryview(bytes(model[part])))
            case "zero" | "keep":
                model[part] = bytes(length)
                export.write_zeros(offset, length, name == "keep")
            case "trim":
                export.trim(offset, length)
                seen = bytearray(length)
                export.read_into(offset, memoryview(seen))
                assert all(now in (0, before) for now, before in zip(seen, model[part], strict=True))
                model[part] = seen
            case "flush":
                export.flush()
            case "reopen":
                export.close()
                export.open()
        assert content(export) == model
    offset = 0
    for length, zero in export.status(0, SIZE, 10000):
        if zero:
            assert not any(model[offset : offset + length])
        offset += length
    assert offset == SIZE
    export.close()


def test_zeros_and_trim_give_room_back(export: ChainExport, tmp_path: Path) -> None:
    leaf = next(path for path in tmp_path.iterdir() if path.name.startswith(("leaf", "disk")))
    export.write(0, memoryview(os.urandom(2 << 20)))
    export.flush()
    full = leaf.stat().st_blocks
    export.write_zeros(0, 1 << 20, keep_room=True)
    export.flush()
    assert leaf.stat().st_blocks >= full
    export.write_zeros(0, 1 << 20, keep_room=False)
    export.flush()
    half = leaf.stat().st_blocks
    assert half * 512 <= full * 512 - (1 << 19)
    export.trim(1 << 20, 1 << 20)
    export.flush()
    assert leaf.stat().st_blocks * 512 <= half * 512 - (1 << 19)
    assert content(export) == bytes(SIZE)
    export.close()


def test_a_read_only_export_does_not_open_for_writing(tmp_path: Path) -> None:
    leaf = new_chain(tmp_path)
    export = ChainExport(leaf, raw=False, read_only=True)
    with pytest.raises(OSError, match="reading only"):
        export.write(0, memoryview(bytes(512)))
    export.flush()
    export.close()


def test_a_missing_parent_is_an_error_of_the_system(tmp_path: Path) -> None:
    leaf = new_chain(tmp_path)
    os.unlink(tmp_path / "base.vhd")
    with pytest.raises(OSError, match="parent not found"):
        ChainExport(leaf, raw=False, read_only=False)


def test_what_could_not_be_made_durable_at_a_pause_is_told_at_the_next_flush(
    export: ChainExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "a bad disk")

    export.write(0, memoryview(b"x" * 512))
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="bad disk"):
        export.close()
    monkeypatch.undo()
    export.open()
    with pytest.raises(OSError, match="bad disk"):
        export.flush()
    export.flush()
    export.close()
