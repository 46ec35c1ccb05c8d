from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pytest

from tests.lab.initrd import archive, build, dependencies, load_order, module_files

LIST = """\
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio-ring.ko
kernel/fs/netfs/netfs.ko:
kernel/drivers/virtio/virtio-ring.ko.xz:
"""


def entries(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Take a cpio archive apart, as the kernel does."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * each : at + 14 + 8 * each], 16) for each in range(13)]
        length, name_length = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_length - 1].decode()
        start = at + -(-(110 + name_length) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], data[start : start + length])
        at = start + -(-length // 4) * 4


@pytest.mark.parametrize("length", range(6))
def test_archive_is_what_the_kernel_reads(length: int) -> None:
    names = ["a", "ab", "abc/d", "abcd"]
    made = archive((name, stat.S_IFREG | 0o644, name.encode() * length) for name in names)
    assert entries(made) == {name: (stat.S_IFREG | 0o644, name.encode() * length) for name in names}


def test_modules_come_after_what_they_need_and_once() -> None:
    order = load_order(dependencies(LIST), ["9p", "9pnet-virtio", "builtin_one"])
    assert len(order) == len(set(order)) == 5
    for module, (path, needed) in dependencies(LIST).items():
        assert path in order, module
        for each in needed:
            alike = [other for other in order if other.startswith(each)]
            assert order.index(alike[0]) < order.index(path)


def test_files_of_modules_are_those_of_the_kernels_version(tmp_path: Path) -> None:
    directory = tmp_path / "lib" / "modules" / "6.1"
    directory.mkdir(parents=True)
    (directory / "modules.dep").write_text(LIST)
    assert module_files(tmp_path, "6.1", ["netfs"]) == [directory / "kernel/fs/netfs/netfs.ko"]


def test_modules_keep_their_order_by_their_names() -> None:
    made = entries(gzip.decompress(build(b"busybox", [("b.ko", b"1"), ("a.ko", b"2")], "script")))
    assert sorted(name for name in made if name.startswith("modules/")) == ["modules/00-b.ko", "modules/01-a.ko"]
    assert made["init"] == (stat.S_IFREG | 0o755, b"script")
