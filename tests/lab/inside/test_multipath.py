"""Two paths to one LUN, by two portals of a target and by two adapters: lost, found again, given up."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from glob import glob
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.house import House
from tests.lab.inside.filer import daemon
from tests.lab.inside.shell import active_volumes, eventually, sh, write_text
from tests.lab.inside.target import backstore, local_adapter, target
from xapi.services.path_watcher import PathWatcher
from xapi.storage.contract import CHECKS, MIB, Subject, content, new_uuid, refuses, write
from xapi.storage.errors import StorageFailure
from xapi.storage.facts import Paths
from xapi.storage.interface import AttachedSr, CreateVdi, SrHealth
from xapi.storage.lvm.san import LvmOverHba, LvmOverIscsi

IQN = "iqn.2026-11.lab:paths"
CONF = Path("/etc/multipath.conf")
WWIDS = Path("/etc/multipath/wwids")
# Nothing is sent from these, so that an answer still arrives while one of them cannot be reached.
ADDRESSES = ("127.0.0.2", "127.0.0.3")
PORTALS = tuple(f"{address}:3260" for address in ADDRESSES)
ON = {"multipathing": "true", "multipathhandle": "dmp"}
PLACE = {"target": ADDRESSES[0], "targetIQN": IQN}
OWN = "overrides {\n\tno_path_retry fail\n}\n"
"""The administrator's own settings: without a path, what is written fails at once."""
CHOSEN = ("check_one_writer", "check_snapshot_while_attached")


@pytest.fixture(scope="module", autouse=True)
def multipathd(initiator: None) -> Iterator[None]:
    if shutil.which("multipathd") is None:
        pytest.skip("there is no multipathd: Debian's package is multipath-tools")
    CONF.write_text(OWN)
    sh("modprobe", "dm_multipath")
    begin()
    yield
    end()
    CONF.unlink()


def begin() -> None:
    daemon("multipathd")
    eventually(lambda: "pid" in sh("multipathd", "show", "daemon", check=False))


def end() -> None:
    sh("multipathd", "shutdown")
    eventually(lambda: "pid" not in sh("multipathd", "show", "daemon", check=False))


@contextmanager
def configured(text: str) -> Iterator[None]:
    """Have the administrator's settings be others."""
    CONF.write_text(text)
    sh("multipathd", "reconfigure")
    yield
    CONF.write_text(OWN)
    sh("multipathd", "reconfigure")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> LvmOverIscsi:
    return LvmOverIscsi(str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def config(store: Path, driver: LvmOverIscsi) -> Iterator[dict[str, str]]:
    """What reaches a LUN by both portals."""
    with backstore("paths", store / "paths.img", 16 << 30) as place, target(IQN, [place], portals=PORTALS):
        (found,) = driver.probe_ext({**PLACE, **ON}, {})
        yield dict(found.configuration)
        check_nothing_is_left()


@pytest.fixture(scope="module")
def uuid(driver: LvmOverIscsi, config: dict[str, str]) -> Iterator[str]:
    """An SR on the LUN, not attached."""
    made = new_uuid()
    driver.create(made, config, 0, "user", {})
    check_nothing_is_left()
    yield made
    driver.attach(made, config, {}).destroy_sr()


@pytest.fixture(scope="class")
def sr(driver: LvmOverIscsi, config: dict[str, str], uuid: str) -> Iterator[AttachedSr]:
    attached = driver.attach(uuid, config, {})
    yield attached
    for facts in attached.scan().vdis:
        attached.destroy(facts.location)
    attached.detach_sr()
    check_nothing_is_left()


def check_nothing_is_left() -> None:
    assert sh("iscsiadm", "-m", "session", check=False) == ""
    assert maps() == []
    assert [line for line in WWIDS.read_text().splitlines() if not line.startswith("#")] == []
    assert active_volumes() == []


def maps() -> list[str]:
    rows = sh("dmsetup", "ls", "--target", "multipath").splitlines()
    return [row.split()[0] for row in rows if row != "No devices found"]


def cut(address: str) -> None:
    """Let nothing arrive at an address any more."""
    sh("ip", "route", "add", "table", "local", "blackhole", f"{address}/32")


def mend(address: str) -> None:
    sh("ip", "route", "del", "table", "local", "blackhole", f"{address}/32")


@contextmanager
def lost(*addresses: str) -> Iterator[None]:
    with ExitStack() as stack:
        for address in addresses:
            cut(address)
            stack.callback(mend, address)
        yield


class Writer:
    """Somebody who writes to a disk, each time something else, and knows what is on stable storage."""

    def __init__(self, sr: AttachedSr, disk: str) -> None:
        self._sr, self._disk = sr, disk
        self.turns = 0
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def _run(self) -> None:
        with self._sr.open_for_writing(self._disk) as disk:
            while not self._stopping.is_set():
                disk.pwrite(self.turns % 64 * 65536, self.pattern(self.turns))
                disk.flush()
                self.turns += 1

    @staticmethod
    def pattern(turn: int) -> bytes:
        return turn.to_bytes(8, "big") * 8192

    def __enter__(self) -> Writer:
        self._work = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._work.result()
        self._pool.shutdown()

    def expected(self, size: int) -> bytes:
        found = bytearray(size)
        for turn in range(max(self.turns - 64, 0), self.turns):
            found[turn % 64 * 65536 : (turn % 64 + 1) * 65536] = self.pattern(turn)
        return bytes(found)

    def goes_on(self) -> None:
        """Wait until more has been written."""
        before = self.turns
        eventually(lambda: self.turns > before + 2 or self._work.done())
        assert not self._work.done()


class TestAttached:
    def test_it_lies_on_the_map_of_both_paths(
        self, driver: LvmOverIscsi, sr: AttachedSr, config: dict[str, str]
    ) -> None:
        scsi_id = config["SCSIid"]
        assert maps() == [scsi_id]
        assert driver.paths([sr.uuid]) == {sr.uuid: Paths(scsi_id, 2, 2, 2)}
        assert sh("pvs", "--noheadings", "-o", "pv_name").split() == [f"/dev/mapper/{scsi_id}"]
        timeouts = [Path(place).read_text().strip() for place in glob("/sys/class/iscsi_session/*/recovery_tmo")]
        assert len(timeouts) == 2
        assert all(int(text) <= 15 for text in timeouts)
        (found,) = driver.probe_ext(config, {})
        assert found.sr is not None
        assert found.sr.uuid == sr.uuid
        assert maps() == [scsi_id]
        assert CONF.read_text() == OWN
        assert glob("/etc/multipath/conf.d/*") == []

    def test_while_one_path_is_lost_writing_goes_on_and_nothing_is_lost(
        self, driver: LvmOverIscsi, sr: AttachedSr
    ) -> None:
        disk = sr.create(CreateVdi(new_uuid(), 8 * MIB)).location
        with Writer(sr, disk) as writer:
            for address in ADDRESSES:
                writer.goes_on()
                with lost(address):
                    eventually(lambda: counts(driver, sr) == (1, 2))
                    writer.goes_on()
                    assert sr.stat().health is SrHealth.HEALTHY
                eventually(lambda: counts(driver, sr) == (2, 2))
            writer.goes_on()
        assert content(sr, disk) == writer.expected(8 * MIB)

    def test_without_any_path_failures_are_named_and_afterwards_all_is_there(
        self, driver: LvmOverIscsi, sr: AttachedSr
    ) -> None:
        disk = sr.create(CreateVdi(new_uuid(), 8 * MIB)).location
        write(sr, disk, MIB, b"kept" * 1024)
        before = content(sr, disk)
        with lost(*ADDRESSES):
            eventually(lambda: counts(driver, sr) == (0, 2))
            assert sr.stat().health is SrHealth.UNREACHABLE
            for action in (sr.scan, lambda: sr.snapshot(disk, new_uuid()), lambda: write(sr, disk, 0, b"lost" * 128)):
                refuses(StorageFailure, action)
        eventually(lambda: counts(driver, sr) == (2, 2))
        eventually(lambda: sr.stat().health is SrHealth.HEALTHY)
        assert content(sr, disk) == before


def counts(driver: LvmOverIscsi, sr: AttachedSr) -> tuple[int | None, int | None]:
    paths = driver.paths([sr.uuid])[sr.uuid]
    return paths.active, paths.known


def test_what_was_attached_is_given_up_after_a_restart_with_another_setting(
    config: dict[str, str], uuid: str, tmp_path: Path
) -> None:
    before, after = (LvmOverIscsi(str(tmp_path / "state")) for _ in range(2))
    single = {**config, "multipathing": "false"}
    before.attach(uuid, config, {})
    sr = after.attach(uuid, single, {})
    assert counts(after, sr) == (2, 2)
    sr.detach_sr()
    check_nothing_is_left()
    sr = after.attach(uuid, single, {})
    assert maps() == []
    assert after.paths([uuid]) == {uuid: Paths(config["SCSIid"], sessions=1)}
    assert sh("pvs", "--noheadings", "-o", "pv_name").split()[0].startswith("/dev/sd")
    sr.detach_sr()


def test_a_path_that_is_dead_already_hinders_nobody(driver: LvmOverIscsi, config: dict[str, str], uuid: str) -> None:
    with lost(ADDRESSES[0]):  # the address that the settings name
        sr = driver.attach(uuid, config, {})
        assert driver.paths([uuid]) == {uuid: Paths(config["SCSIid"], 1, 1, 1)}
        sr.detach_sr()
        check_nothing_is_left()


def test_it_can_be_given_up_while_no_path_works(driver: LvmOverIscsi, config: dict[str, str], uuid: str) -> None:
    sr = driver.attach(uuid, config, {})
    with lost(*ADDRESSES):
        eventually(lambda: counts(driver, sr) == (0, 2))
        sr.detach_sr()
        check_nothing_is_left()


@pytest.mark.parametrize(
    "text",
    ["defaults {\n\tuser_friendly_names yes\n}\n", "defaults {\n\tfind_multipaths greedy\n}\n"],
    ids=["user_friendly_names", "greedy"],
)
def test_the_administrators_settings_are_respected(
    driver: LvmOverIscsi, config: dict[str, str], uuid: str, text: str
) -> None:
    with configured(text):
        sr = driver.attach(uuid, config, {})
        assert maps() == (["mpatha"] if "friendly" in text else [config["SCSIid"]])
        assert counts(driver, sr) == (2, 2)
        sr.detach_sr()
        check_nothing_is_left()


def test_what_hinders_multipath_is_named(driver: LvmOverIscsi, config: dict[str, str], uuid: str) -> None:
    with configured('blacklist {\n\twwid ".*"\n}\n'):
        failure = refuses(StorageFailure, lambda: driver.attach(uuid, config, {}))
    assert failure.number == 431
    assert "blacklist" in failure.text
    end()
    try:
        failure = refuses(StorageFailure, lambda: driver.attach(uuid, config, {}))
    finally:
        begin()
    assert failure.number == 430
    assert "start multipathd" in failure.text
    check_nothing_is_left()


def path_devices(scsi_id: str) -> list[str]:
    """The names of the disks that are paths of a map."""
    rows = sh("multipathd", "show", "paths", "raw", "format", "%w %d").splitlines()
    return sorted(row.split()[1] for row in rows if row.split()[0] == scsi_id)


def test_two_adapters_are_two_paths(store: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        place = stack.enter_context(backstore("adapters", store / "adapters.img", 1 << 30))
        for number in "ac":
            stack.enter_context(local_adapter(place, f"naa.50014050{number * 8}"))
        eventually(lambda: bool(glob("/dev/disk/by-id/scsi-36001405*")))
        (link,) = glob("/dev/disk/by-id/scsi-36001405*")
        scsi_id = link.rpartition("/scsi-")[2]
        driver, config, uuid = LvmOverHba(str(tmp_path / "state")), {"SCSIid": scsi_id, **ON}, new_uuid()
        driver.create(uuid, config, 0, "user", {})
        assert maps() == []
        sr = driver.attach(uuid, config, {})
        assert maps() == [scsi_id]
        assert driver.paths([uuid]) == {uuid: Paths(scsi_id, 2, 2)}
        disk = sr.create(CreateVdi(new_uuid(), 8 * MIB)).location
        states = [Path(f"/sys/block/{name}/device/state") for name in path_devices(scsi_id)]
        assert len(states) == 2
        with Writer(sr, disk) as writer:
            for state in states:
                writer.goes_on()
                write_text(state, "offline\n")
                eventually(lambda: driver.paths([uuid])[uuid].active == 1)
                writer.goes_on()
                write_text(state, "running\n")
                eventually(lambda: driver.paths([uuid])[uuid].active == 2)
            writer.goes_on()
        assert content(sr, disk) == writer.expected(8 * MIB)
        sr.destroy(disk)
        sr.destroy_sr()
        check_nothing_is_left()


@pytest.mark.parametrize("name", CHOSEN)
def test_the_contract_holds(driver: LvmOverIscsi, store: Path, name: str) -> None:
    (check,) = (check for check in CHECKS if check.__name__ == name)
    other = "iqn.2026-11.lab:contract"
    with backstore("contract", store / "contract.img", 16 << 30) as place, target(other, [place], portals=PORTALS):
        (found,) = driver.probe_ext({**PLACE, **ON, "targetIQN": other}, {})
        check(Subject(driver, found.configuration))
        check_nothing_is_left()


def test_a_pool_is_told_what_its_hosts_paths_do(config: dict[str, str], uuid: str, tmp_path: Path) -> None:
    house = House(tmp_path)
    client: Any = house.client
    (host,) = client.host.get_all()
    client.host.set_multipathing(host, True)
    plain = {key: config[key] for key in ("target", "targetIQN", "SCSIid")}
    (found,) = client.SR.probe_ext(host, plain, "lvmoiscsi", {})
    assert found["configuration"] == plain
    assert found["sr"]["uuid"] == uuid
    sr = client.SR.introduce(uuid, "san", "", "lvmoiscsi", "user", True, {})
    pbd = client.PBD.create({"host": host, "SR": sr, "device_config": plain, "other_config": {}})
    client.PBD.plug(pbd)
    key = f"mpath-{config['SCSIid']}"
    told = client.PBD.get_other_config(pbd)
    assert told == {"multipathed": "true", key: "[2, 2]", "iscsi_sessions": "2"}
    assert client.SR.get_sm_config(sr)["multipathable"] == "true"
    watcher = PathWatcher(house.toolstack)
    watcher.turn()

    def comes_to(text: str) -> bool:
        watcher.turn()
        return bool(client.PBD.get_other_config(pbd)[key] == text)

    with lost(ADDRESSES[0]):
        eventually(lambda: comes_to("[1, 2]"))
    eventually(lambda: comes_to("[2, 2]"))
    alerts = [row for row in client.message.get_all_records().values() if row["name"] == "MULTIPATH_PERIODIC_ALERT"]
    assert alerts[0]["body"].startswith("Unhealthy paths:\n[")
    client.host.set_multipathing(host, False)
    client.PBD.unplug(pbd)
    assert client.PBD.get_other_config(pbd) == {}
    check_nothing_is_left()
    client.PBD.plug(pbd)
    assert client.PBD.get_other_config(pbd) == {"iscsi_sessions": "1"}
    client.PBD.unplug(pbd)
    house.close()
    assert os.listdir(tmp_path / "lvm" / "sessions") == []
