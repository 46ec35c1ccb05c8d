import errno
import os

import pytest

from xapi.storage.vhd.file import MemoryFile, RealFile


@pytest.fixture(params=["real", "memory"])
def file(request, tmp_path):
    made = RealFile.create(str(tmp_path / "f")) if request.param == "real" else MemoryFile()
    yield made
    made.close()
    made.close()


def test_reads_and_writes(file):
    file.pwrite(b"hello", 10)
    assert file.size() == 15
    assert file.pread(100, 0) == bytes(10) + b"hello"
    assert file.pread(5, 100) == b""
    file.pwritev([b"ab", bytearray(b"cd"), memoryview(b"ef")], 1)
    assert file.pread(6, 1) == b"abcdef"
    buffer = memoryview(bytearray(8))
    assert file.pread_into(buffer, 10) == 5
    assert bytes(buffer) == b"hello\0\0\0"
    file.truncate(3)
    file.truncate(5)
    assert file.pread(9, 0) == b"\0ab\0\0"
    file.flush()
    assert file.fixed_size is False


def test_many_buffers(file):
    buffers = [bytes([at % 251]) * 3 for at in range(3000)]
    file.pwritev(buffers, 7)
    assert file.pread(10_000, 7) == b"".join(buffers)


def test_data_runs_cover_the_range(file):
    file.truncate(1 << 20)
    file.pwrite(b"x" * 4096, 512 << 10)
    runs = list(file.data_runs(1000, 1_000_000))
    assert runs[0][0] == 1000
    assert sum(length for _, length, _ in runs) == 1_000_000
    assert any(start <= 512 << 10 < start + length and data for start, length, data in runs)
    assert list(file.data_runs(0, 0)) == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.EIO])
def test_where_nobody_knows_of_holes_everything_is_data(tmp_path, monkeypatch, number):
    def seek(descriptor, offset, whence):
        raise OSError(number, os.strerror(number))

    made = RealFile.create(str(tmp_path / "f"))
    made.truncate(1 << 20)
    monkeypatch.setattr(os, "lseek", seek)
    assert list(made.data_runs(4096, 8192)) == [(4096, 8192, True)]
    made.close()


def test_a_new_hole_is_seen_when_runs_are_forgotten(tmp_path):
    file = RealFile.create(str(tmp_path / "f"))
    file.pwrite(b"x" * (1 << 20), 0)
    assert list(file.data_runs(4096, 8192)) == [(4096, 8192, True)]
    file.truncate(4096)
    file.truncate(1 << 20)
    assert list(file.data_runs(0, 4096)) == [(0, 4096, True)]
    file.forget_data_runs()
    assert list(file.data_runs(0, 1 << 20)) == [(0, 4096, True), (4096, (1 << 20) - 4096, False)]
    file.close()


def test_data_that_was_a_hole_is_seen_at_once(tmp_path):
    file = RealFile.create(str(tmp_path / "f"))
    file.truncate(1 << 20)
    assert list(file.data_runs(0, 1 << 20)) == [(0, 1 << 20, False)]
    file.pwrite(b"x" * 4096, 65536)
    assert list(file.data_runs(0, 1 << 20)) == [
        (0, 65536, False),
        (65536, 4096, True),
        (69632, (1 << 20) - 69632, False),
    ]
    file.close()


def test_what_is_in_memory_is_read_at_once(tmp_path):
    file = RealFile.create(str(tmp_path / "f"))
    file.pwrite(b"x" * 65536, 0)
    buffer = bytearray(4096)
    assert file.pread_cached(memoryview(buffer), 4096)
    assert buffer == b"x" * 4096
    assert not file.pread_cached(memoryview(buffer), 65536 - 100)
    file.prefetch(0, 65536)
    file.close()
    with pytest.raises(OSError, match="Bad file"):
        file.pread_cached(memoryview(buffer), 0)


def test_creating_over_a_file(tmp_path):
    path = str(tmp_path / "f")
    RealFile.create(path).pwrite(b"x", 0)
    with pytest.raises(FileExistsError):
        RealFile.create(path)
    assert RealFile.create(path, exclusive=False).size() == 0
    with pytest.raises(FileNotFoundError):
        RealFile.open(path + "x")
    with pytest.raises(OSError) as caught:
        RealFile.open(path).pwrite(b"x", 0)
    assert caught.value.errno == errno.EBADF


def test_reserved_space_is_real(tmp_path):
    file = RealFile.create(str(tmp_path / "f"))
    file.reserve(1 << 20)
    assert os.stat(tmp_path / "f").st_blocks * 512 >= 1 << 20
    file.close()


def test_devices_do_not_grow():
    device = MemoryFile(bytes(1024), fixed_size=True)
    device.pwrite(b"x" * 512, 512)
    for change in (lambda: device.pwrite(b"x", 1024), lambda: device.truncate(512)):
        with pytest.raises(OSError):
            change()
