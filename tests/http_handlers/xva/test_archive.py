from __future__ import annotations

import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.http_handlers.xva.archive import END, RECORD, TarReader, TarWriter, member_head
from xapi.http_handlers.xva.errors import BadArchive, EndedEarly

NAME = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=40)
FILES = st.dictionaries(NAME.filter(lambda name: name not in (".", "..")), st.binary(max_size=1500), max_size=6)


class Bytes:
    """Bytes as a source that gives at most so many at once."""

    def __init__(self, data: bytes, at_once: int = 1 << 30) -> None:
        self._stream = io.BytesIO(data)
        self._at_once = at_once

    def readinto(self, buffer: memoryview) -> int:
        return self._stream.readinto(buffer[: self._at_once])


def read(data: bytes, at_once: int = 1 << 30) -> dict[str, bytes]:
    reader = TarReader(Bytes(data, at_once))
    found = {}
    while (member := reader.next()) is not None:
        found[member.name] = reader.read(1 << 30)
    return found


def made(files: dict[str, bytes], form: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


@given(FILES)
def test_tarfile_reads_what_we_write(files):
    data = io.BytesIO()
    tar = TarWriter(data.write)
    for name, content in files.items():
        tar.add(name, content)
    data.write(END)
    with tarfile.open(fileobj=io.BytesIO(data.getvalue())) as oracle:
        assert {info.name: oracle.extractfile(info).read() for info in oracle} == files  # type: ignore[union-attr]


@given(FILES, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(1, 2000))
def test_we_read_what_tarfile_writes(files, form, at_once):
    assert read(made(files, form), at_once) == files


@given(st.binary(max_size=3000))
def test_any_bytes_are_an_archive_or_refused(data):
    with suppress(BadArchive):
        read(data)


@given(FILES, st.integers(0, 5000), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(files, place, value):
    data = bytearray(made(files, tarfile.USTAR_FORMAT))
    data[place % len(data)] = value
    with suppress(BadArchive):
        read(bytes(data))


def test_an_archive_may_end_without_its_empty_records():
    data = made({"a": b"b" * 600}, tarfile.USTAR_FORMAT)[: RECORD * 3]
    assert read(data) == {"a": b"b" * 600}
    assert read(data + bytes(RECORD)) == {"a": b"b" * 600}
    for cut in (RECORD * 3 - 1, RECORD + 5, 100):
        with pytest.raises(EndedEarly):
            read(data[:cut])


def test_what_is_not_read_is_passed_over():
    reader = TarReader(Bytes(made({"a": b"1" * 3_000_000, "b": b"2"}, tarfile.USTAR_FORMAT), 700))
    assert reader.next() is not None
    assert reader.read_into(memoryview(bytearray(10))) is None
    assert reader.next() == ("b", 1)
    assert reader.read(1) == b"2"
    assert reader.next() is None
    assert reader.next() is None


def head(kind: bytes = b"0", name: str = "name", **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "data",
    [
        head(b"5"),
        head(b"2", linkname="/etc/passwd"),
        head(b"1", linkname="x"),
        head(b"3"),
        head(b"6"),
        head(b"S"),
        head(b"L"),
        head(name="../x"),
        head(name="a/../x"),
        head(name="/etc/passwd"),
        head(size=-5),
    ],
)
def test_what_is_no_ordinary_file_is_refused(data):
    with pytest.raises(BadArchive):
        read(data + bytes(2048))


@pytest.mark.parametrize("word", ["path", "linkpath", "size", "GNU.sparse.name"])
def test_notes_that_change_a_name_or_a_size_are_refused(word):
    data = io.BytesIO()
    info = tarfile.TarInfo("name")
    info.pax_headers = {word: "1"}
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT, pax_headers={word: "1"}) as tar:
        tar.addfile(info)
    with pytest.raises(BadArchive):
        read(data.getvalue())


def test_other_notes_are_passed_over():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "ü"}) as tar:
        tar.addfile(tarfile.TarInfo("name"))
    assert read(data.getvalue()) == {"name": b""}


def test_a_size_that_lies_ends_the_archive_early_and_takes_no_memory():
    reader = TarReader(Bytes(member_head("a", 1 << 32) + b"x" * 512))
    assert reader.next() == ("a", 1 << 32)
    with pytest.raises(BadArchive):
        reader.read(1 << 20)
    with pytest.raises(EndedEarly):
        reader.next()
