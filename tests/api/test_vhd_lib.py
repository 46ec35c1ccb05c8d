"""Xen Orchestra's own VHD library reads what we export, deltas among it, and what it writes is imported.

XAPI_CLIENTS names a directory with the npm package `vhd-lib` in its node_modules.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.served import Served

MEBIBYTE = 1 << 20
SIZE = 64 * MEBIBYTE
CLIENTS = os.environ.get("XAPI_CLIENTS", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (Path(CLIENTS) / "node_modules/vhd-lib").is_dir() or not CLIENTS,
        reason="XAPI_CLIENTS names no directory with the npm package vhd-lib",
    ),
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node"),
]


class Disks:
    """The doors for whole disks."""

    def __init__(self, running: Served, session: Any) -> None:
        self._root = f"http://{running.http[0]}:{running.http[1]}"
        self._session = session.handle
        self._api = session.xenapi

    def create(self) -> str:
        sr = self._api.pool.get_default_SR(self._api.pool.get_all()[0])
        return self._api.VDI.create({"SR": sr, "name_label": "disk", "virtual_size": str(SIZE), "type": "user"})

    def put(self, vdi: str, data: bytes, kind: str) -> None:
        address = f"{self._root}/import_raw_vdi?session_id={self._session}&vdi={vdi}&format={kind}"
        with urllib.request.urlopen(urllib.request.Request(address, data=data, method="PUT")) as answer:
            answer.read()

    def get(self, vdi: str, kind: str, base: str = "") -> bytes:
        address = f"{self._root}/export_raw_vdi?session_id={self._session}&vdi={vdi}&format={kind}"
        with urllib.request.urlopen(address + (f"&base={base}" if base else "")) as answer:
            return answer.read()


def test_vhd_lib_chains_an_export_and_a_delta_and_writes_what_we_import(
    running: Served, session: Any, tmp_path: Path
) -> None:
    disks, api = Disks(running, session), session.xenapi
    source = random.Random(1)
    before = bytearray(SIZE)
    before[5 * MEBIBYTE : 9 * MEBIBYTE] = source.randbytes(4 * MEBIBYTE)
    before[40 * MEBIBYTE : 40 * MEBIBYTE + 5000] = source.randbytes(5000)
    after = bytearray(before)
    after[6 * MEBIBYTE : 6 * MEBIBYTE + 777] = source.randbytes(777)
    after[30 * MEBIBYTE : 33 * MEBIBYTE] = source.randbytes(3 * MEBIBYTE)

    vdi = disks.create()
    disks.put(vdi, bytes(before), "raw")
    first = api.VDI.snapshot(vdi)
    disks.put(vdi, bytes(after), "raw")
    second = api.VDI.snapshot(vdi)
    (tmp_path / "full.vhd").write_bytes(disks.get(first, "vhd"))
    (tmp_path / "delta.vhd").write_bytes(disks.get(second, "vhd", base=first))
    assert (tmp_path / "delta.vhd").stat().st_size < 7 * MEBIBYTE, "a delta holds what has changed"

    script = Path(CLIENTS) / f".{tmp_path.name}-vhd_lib.cjs"  # where node looks for the package
    shutil.copy(Path(__file__).with_name("vhd_lib.cjs"), script)
    try:
        done = subprocess.run(
            ["node", str(script), str(tmp_path), "full.vhd", "delta.vhd", "merged.vhd"],
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "full.vhd": hashlib.sha256(before).hexdigest(),
        "delta.vhd": hashlib.sha256(after).hexdigest(),
    }

    other = disks.create()
    disks.put(other, (tmp_path / "merged.vhd").read_bytes(), "vhd")
    assert disks.get(other, "raw") == bytes(after)
