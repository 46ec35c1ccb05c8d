from __future__ import annotations

import os

from xapi.storage.file.disk import ChainDisk
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.file import RealFile
from xapi.storage.writeback import EVERY, begin_writeback

MIB = 1 << 20


def test_the_data_stays_as_it_is(tmp_path):
    path = tmp_path / "disk.vhd"
    create_dynamic(RealFile.create(str(path)), 64 * MIB).close()
    disk = ChainDisk(Chain.open(str(path), True), "sr", "disk", lambda: None, True)
    pieces = [bytes([number + 1]) * MIB for number in range(2 * EVERY // MIB + 3)]
    for number, piece in enumerate(pieces):
        disk.pwrite(number * MIB, piece)
    disk.close()
    with Chain.open(str(path)) as chain:
        assert all(chain.read(number * MIB, MIB) == piece for number, piece in enumerate(pieces))


def test_what_it_is_not_for_is_left_alone():
    reading, writing = os.pipe()
    begin_writeback(writing)
    os.write(writing, b"x")
    assert os.read(reading, 2) == b"x"
    os.close(reading)
    os.close(writing)
    begin_writeback(writing)
