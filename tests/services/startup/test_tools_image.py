from __future__ import annotations

import struct

from xapi.services.startup.tools_image import SECTOR, empty_image, provide_tools_image


def test_an_image_that_is_there_stays(tmp_path):
    (tmp_path / "guest-tools.iso").write_bytes(b"the true one")
    provide_tools_image(tmp_path)
    assert (tmp_path / "guest-tools.iso").read_bytes() == b"the true one"


def test_a_missing_image_is_put_there_with_its_directory(tmp_path):
    provide_tools_image(tmp_path / "tools")
    assert (tmp_path / "tools" / "guest-tools.iso").read_bytes() == empty_image("SIMULATED_TOOLS")


def test_the_image_is_a_volume_with_an_empty_directory():
    image = empty_image("LABEL")
    descriptor = image[16 * SECTOR : 17 * SECTOR]
    assert descriptor[:7] == b"\x01CD001\x01" and descriptor[881] == 1
    assert descriptor[40:72] == b"LABEL".ljust(32)
    sectors, size = struct.unpack_from("<I", descriptor, 80)[0], struct.unpack_from("<H", descriptor, 128)[0]
    assert sectors * size == len(image)
    root = descriptor[156:190]
    assert root[0] == len(root) and root[25] & 2
    place, length = struct.unpack_from("<I", root, 2)[0], struct.unpack_from("<I", root, 10)[0]
    entries = image[place * size : place * size + length]
    assert entries[:34] == root
    assert entries[34:68] == root[:33] + b"\x01"
    assert not any(entries[68:])
    assert image[17 * SECTOR : 17 * SECTOR + 6] == b"\xffCD001"
    little, big = struct.unpack_from("<I", descriptor, 140)[0], struct.unpack_from(">I", descriptor, 148)[0]
    assert struct.unpack_from("<BBIH", image, little * size) == (1, 0, place, 1)
    assert struct.unpack_from(">BBIH", image, big * size) == (1, 0, place, 1)
