"""Exports, mounts and a server that goes away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.lab.inside.filer import Filer
from tests.lab.inside.shell import eventually
from xapi.storage.contract import MIB, content, new_uuid, refuses, write
from xapi.storage.errors import InvalidConfiguration, SrReadOnly, SrUnavailable, StorageFailure
from xapi.storage.interface import AttachedSr, CreateVdi, SrHealth
from xapi.storage.mounts import mount_table
from xapi.storage.nfs.driver import NfsDriver

IMPATIENT = "timeo=5,retrans=1"
SERVER = {"server": "127.0.0.1"}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[NfsDriver]:
    yield NfsDriver(str(tmp_path / "mounts"))
    assert not [entry for entry in mount_table() if entry.kind.startswith("nfs4") or entry.kind == "nfs"]


def made(driver: NfsDriver, config: dict[str, str]) -> tuple[str, AttachedSr]:
    uuid = new_uuid()
    driver.create(uuid, config, 0, "user", {})
    return uuid, driver.attach(uuid, config, {})


def test_exports_are_told_as_clients_look_for_them(driver: NfsDriver, filer: Filer) -> None:
    path = filer.export("probed")
    failure = refuses(InvalidConfiguration, lambda: driver.probe(SERVER, {}))
    assert failure.number == 101
    exports = [
        {part.tag: (part.text or "").strip() for part in each} for each in ElementTree.fromstring(failure.params[2])
    ]
    assert {"Target": "127.0.0.1", "Path": path, "Accesslist": "127.0.0.1"} in exports
    assert path in {result.configuration["serverpath"] for result in driver.probe_ext(SERVER, {})}


@pytest.mark.parametrize("version", ["3", "4", "4.1"])
def test_each_sr_has_a_directory_of_its_own_mounted_as_asked(driver: NfsDriver, filer: Filer, version: str) -> None:
    path = filer.export("several", version=version)
    config = {**SERVER, "serverpath": path, "nfsversion": version}
    (first, sr), (second, other) = made(driver, config), made(driver, config)
    mounted = {entry.source: entry for entry in mount_table() if entry.source.startswith("127.0.0.1:")}
    assert set(mounted) == {f"127.0.0.1:{path}/{uuid}" for uuid in (first, second)}
    assert {entry.kind for entry in mounted.values()} == {"nfs" if version == "3" else "nfs4"}
    assert {first, second} <= {entry.name for entry in (filer.root / "several").iterdir()}
    text = driver.probe(config, {})
    assert first in text
    assert second in text
    for each in (sr, other):
        each.destroy_sr()


def test_an_export_that_cannot_be_written_to_is_named(driver: NfsDriver, filer: Filer) -> None:
    config = {**SERVER, "serverpath": filer.export("sealed", "ro")}
    failure = refuses(StorageFailure, lambda: driver.create(new_uuid(), config, 0, "user", {}))
    assert isinstance(failure, SrReadOnly) or failure.number == 88
    assert "Read-only" in failure.text


def test_what_is_not_exported_cannot_be_mounted(driver: NfsDriver, filer: Filer) -> None:
    config = {**SERVER, "serverpath": "/srv/nowhere"}
    assert refuses(SrUnavailable, lambda: driver.create(new_uuid(), config, 0, "user", {})).number == 73


@pytest.mark.parametrize("version", ["3", "4.1"])
def test_a_server_that_goes_is_told_and_nothing_is_lost_when_it_is_back(
    driver: NfsDriver, filer: Filer, version: str
) -> None:
    name = f"going-{version}"
    path = filer.export(name, version=version)
    uuid, sr = made(driver, {**SERVER, "serverpath": path, "nfsversion": version, "options": IMPATIENT})
    disk = sr.create(CreateVdi(new_uuid(), 8 * MIB)).location
    write(sr, disk, MIB, b"kept" * 1024)
    before = content(sr, disk)
    filer.stop()
    try:
        assert sr.stat().health is SrHealth.UNREACHABLE
        for action in (
            lambda: sr.create(CreateVdi(new_uuid(), 4 * MIB)),
            lambda: sr.snapshot(disk, new_uuid()),
            lambda: write(sr, disk, 0, b"lost" * 128),
            lambda: sr.destroy(disk),
        ):
            refuses(StorageFailure, action)
    finally:
        filer.start()
    eventually(lambda: sr.stat().health is SrHealth.HEALTHY)
    found = [vdi for vdi in sr.scan().vdis if vdi.managed]
    assert [vdi.location for vdi in found] == [disk]
    after = content(sr, disk)
    assert after[512:] == before[512:]
    assert after[:512] in (before[:512], b"lost" * 128)
    write(sr, disk, 2 * MIB, b"more" * 128)
    sr.destroy(disk)
    sr.destroy_sr()
    assert not list((filer.root / name / uuid).glob("*.vhd"))
