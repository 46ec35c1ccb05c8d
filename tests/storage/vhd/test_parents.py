import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.errors import NotVhd
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.layout import EPOCH, NO_UUID, timestamp
from xapi.storage.vhd.parents import (
    CODES,
    MACX,
    W2RU,
    Parent,
    canonical_path,
    decode_locator,
    decode_name,
    describe_parent,
    encode_locator,
    mapper_path,
    parent_paths,
    relative_path,
)

from .disks import Store

names = st.text(st.characters(exclude_characters="/\0\\", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(names, min_size=1, max_size=4), st.integers(0, 3), st.sampled_from(CODES))
def test_a_path_comes_back_from_its_locator(parts, up, code):
    relative = "../" * up + "/".join(parts) if up else "./" + "/".join(parts)
    assert os.path.normpath(decode_locator(code, encode_locator(code, relative))) == os.path.normpath(relative)


@given(names, names)
def test_a_child_finds_its_parent_by_any_name(parent, child):
    store = Store()
    vhd = create_child(store.create(f"/sr/x/{child}"), Parent(f"/sr/{parent}", 512))
    assert next(iter(parent_paths(vhd))) == os.path.normpath(f"/sr/{parent}")
    assert decode_name(vhd.header) == parent


def test_spellings():
    assert encode_locator(MACX, "./a b.vhd") == b"file://./a b.vhd"
    assert encode_locator(W2RU, "../x/a.vhd") == ".\\..\\x\\a.vhd".encode("utf-16-le")
    assert decode_locator(W2RU, "C:\\disks\\a.vhd".encode("utf-16-le")) == "/disks/a.vhd"


@pytest.mark.parametrize("data", [b"", b"http://x", b"file://", b"\xff\xfe", b"f\0i\0l\0e"])
def test_what_is_no_file_url(data):
    assert decode_locator(MACX, data) is None


@pytest.mark.parametrize("data", [b"", b"x", b"\0\0", b"\0\xd8"])
def test_what_is_no_windows_path(data):
    assert decode_locator(W2RU, data) in (None, "\ud800")


def test_relative_paths():
    assert relative_path("/sr/a/child", "/sr/a/parent") == "./parent"
    assert relative_path("/sr/a/child", "/sr/b/parent") == "../b/parent"
    assert relative_path("/sr/child", "/sr/b/parent") == "./b/parent"


def test_symbolic_links_do_not_count(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert canonical_path(str(tmp_path / "link" / "x")) == str(tmp_path.resolve() / "real" / "x")


def test_volumes_have_a_name_for_device_mapper():
    assert mapper_path("/dev/VG_X-1/VHD-a-b") == "/dev/mapper/VG_X--1-VHD--a--b"


def test_a_parent_is_described_by_its_file(tmp_path):
    path = str(tmp_path / "base.vhd")
    vhd = create_dynamic(RealFile.create(path), 2 << 20)
    vhd.close()
    os.utime(path, (EPOCH + 5, EPOCH + 5))
    assert describe_parent(path) == Parent(path, 2 << 20, vhd.footer.unique_id, 5)
    assert describe_parent(path, raw=True) == Parent(path, os.stat(path).st_size, NO_UUID, 5)
    (tmp_path / "no").write_bytes(bytes(1000))
    with pytest.raises(NotVhd):
        describe_parent(str(tmp_path / "no"))
    with pytest.raises(FileNotFoundError):
        describe_parent(str(tmp_path / "nothing"))


def test_timestamps_begin_in_2000():
    assert timestamp(EPOCH + 1.5) == 1
    assert timestamp(0) == 0


def test_absolute_locators_are_tried_as_they_are():
    vhd = create_child(Store().create("/sr/x/child"), Parent("/sr/p", 512))
    vhd.file.pwrite(b"file:///abs/p\0".ljust(512, b"\0"), vhd.header.locators[0].offset)
    from dataclasses import replace

    locators = (replace(vhd.header.locators[0], length=13), *vhd.header.locators[1:])
    vhd.replace_metadata(vhd.footer, replace(vhd.header, locators=locators))
    assert list(parent_paths(vhd))[:2] == ["/abs/p", "/sr/x/abs/p"]
