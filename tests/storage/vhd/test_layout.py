import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.vhd.create import create_child, create_dynamic, create_fixed
from xapi.storage.vhd.errors import CorruptFooter, CorruptHeader, InvalidSize, UnsupportedVhd
from xapi.storage.vhd.file import MemoryFile
from xapi.storage.vhd.layout import Footer, Header, checksum, geometry, padded, rounded_size, timestamp
from xapi.storage.vhd.parents import Parent

ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
MIB = 1 << 20


def test_a_dynamic_disk_is_laid_out_as_the_specification_and_blktap_have_it():
    file = MemoryFile()
    create_dynamic(file, 10 << 30, unique_id=ID)
    data = bytes(file.data)
    footer = data[:512]
    assert footer == data[-512:]
    assert footer[0:8] == b"conectix"
    assert footer[8:12] == b"\0\0\0\2"
    assert footer[12:16] == b"\0\1\0\0"
    assert footer[16:24] == struct.pack(">Q", 512)
    assert abs(int.from_bytes(footer[24:28], "big") - timestamp()) < 3600
    assert footer[28:32] == b"tap\0"
    assert footer[32:36] == b"\0\1\0\3"
    assert footer[36:40] == bytes(4)
    assert footer[40:48] == footer[48:56] == struct.pack(">Q", 10 << 30)
    assert footer[56:60] == struct.pack(">HBB", 20805, 16, 63)
    assert footer[60:64] == struct.pack(">I", 3)
    assert int.from_bytes(footer[64:68], "big") == ~(sum(footer[:64]) + sum(footer[68:])) & 0xFFFFFFFF
    assert footer[68:84] == ID.bytes
    assert footer[84:] == bytes(428)
    header = data[512:1536]
    assert header[0:8] == b"cxsparse"
    assert header[8:16] == b"\xff" * 8
    assert header[16:24] == struct.pack(">Q", 1536)
    assert header[24:28] == b"\0\1\0\0"
    assert header[28:32] == struct.pack(">I", 5120)
    assert header[32:36] == struct.pack(">I", 2 * MIB)
    assert int.from_bytes(header[36:40], "big") == ~(sum(header[:36]) + sum(header[40:])) & 0xFFFFFFFF
    assert header[40:] == bytes(984)
    assert data[1536 : 1536 + 20480] == b"\xff" * 20480
    batmap = data[22016:22528]
    assert batmap[:8] == b"tdbatmap"
    assert struct.unpack_from(">QIII", batmap, 8) == (22528, 2, 0x00010002, 0xFFFFFFFF)
    assert batmap[28:] == bytes(484)
    assert data[22528:23552] == bytes(1024)
    assert len(data) == 23552 + 512


def test_a_child_names_its_parent_three_times():
    file = MemoryFile(path="/sr/child.vhd")
    create_child(file, Parent("/sr/base/parent.vhd", 4 * MIB, ID, 7))
    data = bytes(file.data)
    header = data[512:1536]
    assert data[60:64] == struct.pack(">I", 4)
    assert header[40:56] == ID.bytes
    assert header[56:60] == struct.pack(">I", 7)
    assert header[64:576] == "parent.vhd".encode("utf-16-be").ljust(512, b"\0")
    locators = list(struct.iter_unpack(">4sIIIQ", header[576:768]))
    wanted = [
        (b"MacX", b"file://./base/parent.vhd"),
        (b"W2ku", ".\\base\\parent.vhd".encode("utf-16-le")),
        (b"W2ru", ".\\base\\parent.vhd".encode("utf-16-le")),
    ]
    offset = 1536 + 512 + 512 + 512
    for (code, space, length, reserved, place), (expected, text) in zip(locators, wanted, strict=False):
        assert (code, space, length, reserved, place) == (expected, 512, len(text), 0, offset)
        assert data[place : place + space] == text.ljust(512, b"\0")
        offset += 512
    assert locators[3:] == [(bytes(4), 0, 0, 0, 0)] * 5
    assert len(data) == offset + 512


def test_a_fixed_disk_is_data_and_a_footer():
    file = MemoryFile()
    create_fixed(file, 3 * MIB, unique_id=ID, hidden=True)
    assert len(file.data) == 3 * MIB + 512
    assert not any(file.data[: 3 * MIB])
    assert file.data[-512 + 16 : -512 + 24] == b"\xff" * 8
    assert file.data[-512 + 60 : -512 + 64] == b"\0\0\0\2"
    assert file.data[-512 + 85] == 1


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        # worked by hand from the pseudo-code in the specification's appendix
        (3 << 20, (90, 4, 17)),
        (512 << 20, (1040, 16, 63)),
        (127 << 30, (65278, 16, 255)),
        (2040 << 30, (65535, 16, 255)),
    ],
)
def test_geometry_follows_the_specification(size, shape):
    cylinders, heads, sectors = shape
    assert geometry(size) == cylinders << 16 | heads << 8 | sectors


footers = st.builds(
    lambda size, kind, unique_id, hidden, reserved: Footer.new(size, kind, unique_id, hidden),
    st.integers(0, 2040 << 30),
    st.sampled_from([2, 3, 4]),
    st.uuids(),
    st.booleans(),
    st.binary(min_size=426, max_size=426),
)


@given(footers)
def test_a_footer_comes_back_as_it_went(footer):
    assert Footer.parse(footer.pack(), "x") == footer


@given(footers, st.integers(0, 511), st.integers(1, 255))
def test_a_footer_with_one_byte_changed_is_refused(footer, at, change):
    data = bytearray(footer.pack())
    data[at] ^= change
    with pytest.raises((CorruptFooter, UnsupportedVhd)):
        Footer.parse(bytes(data), "x")


def test_the_first_tools_set_hidden_without_the_checksum():
    old = Footer.new(MIB, 3, ID)
    data = bytearray(old.pack())
    struct.pack_into(">I", data, 32, 0x00010001)
    data[64:68] = bytes(4)
    struct.pack_into(">I", data, 64, checksum(data))
    data[85] = 1
    assert Footer.parse(bytes(data), "x").hidden == 1
    struct.pack_into(">I", data, 32, 0x00010003)
    with pytest.raises(CorruptFooter):
        Footer.parse(bytes(data), "x")


@given(st.binary(min_size=1024, max_size=1024))
def test_noise_is_no_header(data):
    with pytest.raises(CorruptHeader):
        Header.parse(data, "x")


@pytest.mark.parametrize("size", [0, -512, 511, 513, (2040 << 30) + 512])
def test_sizes_that_no_disk_can_have(size):
    for create in (create_fixed, create_dynamic):
        with pytest.raises(InvalidSize):
            create(MemoryFile(), size)


def test_rounding():
    assert [padded(value) for value in (0, 1, 512, 513)] == [0, 512, 512, 1024]
    assert [rounded_size(value) for value in (1, 2 * MIB, 2 * MIB + 1)] == [2 * MIB, 2 * MIB, 4 * MIB]
