from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from xapi.storage.contract import CHECKS, Subject, new_uuid
from xapi.storage.errors import InvalidConfiguration, SrUnavailable, StorageFailure
from xapi.storage.facts import Feature, Paths
from xapi.storage.interface import ReachesLuns
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.multipath import parse_paths, wants_multipath
from xapi.storage.lvm.san import LvmOverHba, LvmOverIscsi
from xapi.system.command import CommandFailed

from .paths import PORTALS, FakePaths
from .san import IQN, LUNS

SINGLE = {"target": "192.0.2.9", "targetIQN": IQN, "SCSIid": LUNS[0]}
ON = {"multipathing": "true", "multipathhandle": "dmp"}
CONFIG = {**SINGLE, **ON}
OTHER = {**CONFIG, "SCSIid": LUNS[1]}


@pytest.fixture
def san(tmp_path: Path) -> FakePaths:
    return FakePaths(tmp_path)


def opened(san: FakePaths) -> LvmOverIscsi:
    """The driver of a toolstack that starts."""
    return LvmOverIscsi(str(san.root / "state"), san, str(san.devices), [str(san.records)])


@pytest.fixture
def driver(san: FakePaths) -> LvmOverIscsi:
    return opened(san)


def made(driver: LvmOverIscsi, config: dict[str, str]) -> str:
    uuid = new_uuid()
    assert driver.create(uuid, config, 0, "user", {})["multipathable"] == "true"
    return uuid


def refused(action: Callable[[], object]) -> StorageFailure:
    with pytest.raises(StorageFailure) as caught:
        action()
    return caught.value


def order(san: FakePaths, *beginnings: str) -> list[str]:
    """Which of some commands were run, in their order."""
    lines = (" ".join(argv) for argv in san.calls)
    return [part for line in lines for part in beginnings if part in line]


def test_every_portal_is_used_by_one_device_and_nothing_is_left(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, CONFIG)
    assert san.left() == set()
    san.calls.clear()
    sr = driver.attach(uuid, CONFIG, {})
    assert san.begun == {portal: {"replacement_timeout": "15", "initial_login_retry_max": "1"} for portal in PORTALS}
    assert san.maps == {LUNS[0]}
    assert san.groups[f"VG_XenStorage-{uuid}"].devices == [str(san.devices / "mapper" / LUNS[0])]
    assert driver.paths([uuid, "unknown"]) == {uuid: Paths(LUNS[0], 2, 2, 2)}
    assert isinstance(driver, ReachesLuns)
    sr.detach_sr()
    assert san.left() == set()
    assert driver.paths([uuid]) == {}
    assert order(san, "multipath -a", "--login", "multipath -v1", "multipath -w", "multipath -f", "--logout") == [
        "multipath -a",
        *["--login"] * 2,
        "multipath -v1",
        "multipath -w",
        "multipath -f",
        *["--logout"] * 2,
    ]


def test_without_it_one_portal_is_used_and_multipath_is_not_asked(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, SINGLE)
    sr = driver.attach(uuid, SINGLE, {})
    assert san.begun == {PORTALS[0]: {}}
    assert driver.paths([uuid]) == {uuid: Paths(LUNS[0], sessions=1)}
    sr.detach_sr()
    assert order(san, "multipath") == []


@pytest.mark.parametrize("lost", PORTALS)
def test_a_portal_that_does_not_answer_is_one_path_less(san: FakePaths, driver: LvmOverIscsi, lost: str) -> None:
    uuid = made(driver, CONFIG)
    san.dead = {lost}
    sr = driver.attach(uuid, CONFIG, {})
    assert driver.paths([uuid]) == {uuid: Paths(LUNS[0], 1, 1, 1)}
    sr.detach_sr()
    assert san.left() == set()


def test_without_any_portal_it_is_the_failure_of_one(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, CONFIG)
    san.dead = set(PORTALS)
    assert refused(lambda: driver.attach(uuid, CONFIG, {})).number == 68
    assert san.left() == set()


def test_several_addresses_may_be_named(san: FakePaths, driver: LvmOverIscsi) -> None:
    several = {"target": "192.0.2.77, 192.0.2.10"}
    san.dead = {"192.0.2.77:3260"}
    failure = refused(lambda: driver.probe({**ON, **several}, {}))
    assert failure.number == 96
    assert failure.detail.count("192.0.2.77,192.0.2.10") == 1
    assert failure.detail.count(IQN) == 2
    assert len(driver.probe_ext({**CONFIG, **several}, {})) == 1
    assert refused(lambda: driver.probe({"target": "192.0.2.77"}, {})).number == 83
    uuid = made(driver, {**SINGLE, **several})
    sr = driver.attach(uuid, {**SINGLE, **several}, {})
    assert set(san.begun) == {PORTALS[1]}
    sr.detach_sr()


def test_a_portal_that_never_answers_gets_little_time_where_there_are_others(
    san: FakePaths, driver: LvmOverIscsi
) -> None:
    san.slow = {PORTALS[0]}
    known = {"chapuser": "me", "chappassword": "open sesame"}
    for more in ({}, known):
        failure = refused(lambda config={**CONFIG, "targetIQN": "", **more}: driver.probe(config, {}))  # type: ignore[misc]
        assert failure.number == 83
        assert "192.0.2.9:3260 has told no targets within 20 s" in failure.text
    assert len(driver.probe_ext({**CONFIG, "target": "192.0.2.9,192.0.2.10"}, {})) == 1


def test_a_password_that_is_refused_is_no_lost_path(san: FakePaths, driver: LvmOverIscsi) -> None:
    san.password = "open sesame"
    assert refused(lambda: driver.create(new_uuid(), CONFIG, 0, "user", {})).number == 68
    assert order(san, "--login") == ["--login"]
    assert san.left() == set()


def test_sessions_to_each_portal_can_be_declined(san: FakePaths, driver: LvmOverIscsi) -> None:
    config = {**CONFIG, "multihomed": "false"}
    sr = driver.attach(made(driver, config), config, {})
    assert set(san.begun) == {PORTALS[0]}
    assert san.maps == {LUNS[0]}
    sr.detach_sr()
    assert san.left() == set()


def test_a_silent_daemon_is_named_before_anything_begins(san: FakePaths, driver: LvmOverIscsi) -> None:
    san.daemon = False
    failure = refused(lambda: driver.create(new_uuid(), CONFIG, 0, "user", {}))
    assert failure.code == "SR_BACKEND_FAILURE_430"
    assert "start multipathd" in failure.text
    assert order(san, "--login") == []


def test_that_multipath_is_not_installed_is_said(san: FakePaths) -> None:
    def bare(argv: list[str]) -> object:
        if argv[0].startswith("multipath"):
            raise CommandFailed(argv, 127, b"", "no such program")
        return san(argv)

    driver = LvmOverIscsi(str(san.root / "state"), bare, str(san.devices), [str(san.records)])  # type: ignore[arg-type]
    failure = refused(lambda: driver.create(new_uuid(), CONFIG, 0, "user", {}))
    assert failure.number == 430
    assert "multipath-tools" in failure.text


def test_a_lun_that_the_administrator_has_excluded_is_named(san: FakePaths, driver: LvmOverIscsi) -> None:
    san.excluded = {LUNS[0]}
    failure = refused(lambda: driver.create(new_uuid(), CONFIG, 0, "user", {}))
    assert failure.code == "SR_BACKEND_FAILURE_431"
    assert "blacklist_exceptions" in failure.text
    assert order(san, "--login") == []
    assert san.left() == set()


def test_a_map_that_does_not_appear_is_named_and_all_is_undone(san: FakePaths, driver: LvmOverIscsi) -> None:
    san.shy = {LUNS[0]}
    failure = refused(lambda: driver.create(new_uuid(), CONFIG, 0, "user", {}))
    assert failure.code == "SR_BACKEND_FAILURE_431"
    assert LUNS[0] in failure.text
    assert san.left() == set()


def test_a_lun_that_is_not_there_is_named(san: FakePaths, driver: LvmOverIscsi) -> None:
    failure = refused(lambda: driver.create(new_uuid(), {**CONFIG, "SCSIid": "36001405none"}, 0, "user", {}))
    assert failure.number == 19
    assert san.left() == set()


@pytest.mark.parametrize("scsi_id", ["..", "-f", "-w"])
def test_what_would_be_an_option_or_a_directory_is_no_scsi_id(
    san: FakePaths, driver: LvmOverIscsi, scsi_id: str
) -> None:
    failure = refused(lambda: driver.attach(new_uuid(), {**CONFIG, "SCSIid": scsi_id}, {}))
    assert failure.number == 107
    assert order(san, "multipath") == []


def test_a_map_with_a_name_of_its_own_is_found(san: FakePaths, driver: LvmOverIscsi) -> None:
    san.alias = {LUNS[0]: "mpatha"}
    uuid = made(driver, CONFIG)
    sr = driver.attach(uuid, CONFIG, {})
    assert san.groups[f"VG_XenStorage-{uuid}"].devices == [str(san.devices / "mapper" / "mpatha")]
    sr.detach_sr()
    assert san.left() == set()


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, False),
        ({"multipathing": "TRUE"}, True),
        ({"multipathing": "true", "multipathhandle": "null"}, False),
        ({"multipathing": "false", "multipathhandle": "dmp"}, False),
    ],
)
def test_both_keys_have_to_want_it(config: dict[str, str], wanted: bool) -> None:
    assert wants_multipath(config) is wanted


@pytest.mark.parametrize("wrong", [{"multipathing": "yes"}, {"multipathhandle": "mpp"}, {"multipathhandle": ""}])
def test_values_that_say_neither_are_refused(san: FakePaths, wrong: dict[str, str]) -> None:
    hba = LvmOverHba(str(san.root / "state"), san, str(san.devices))
    for driver, config in ((opened(san), CONFIG), (hba, {"SCSIid": LUNS[0]})):
        failure = refused(lambda d=driver, c=config: d.attach(new_uuid(), {**c, **wrong}, {}))  # type: ignore[misc]
        assert isinstance(failure, InvalidConfiguration)
        assert failure.key == next(iter(wrong))
    assert san.calls == []


def test_what_was_attached_is_remembered_over_a_restart_with_another_setting(san: FakePaths) -> None:
    before = opened(san)
    uuid = made(before, CONFIG)
    before.attach(uuid, CONFIG, {})
    after = opened(san)
    sr = after.attach(uuid, SINGLE, {})
    assert after.paths([uuid]) == {uuid: Paths(LUNS[0], 2, 2, 2)}
    assert san.left() == {*PORTALS, LUNS[0]}
    sr.detach_sr()
    assert san.left() == set()
    sr = after.attach(uuid, SINGLE, {})
    assert san.left() == {PORTALS[0]}
    sr.detach_sr()
    assert san.left() == set()


@pytest.mark.parametrize("config", [CONFIG, SINGLE])
def test_what_guests_may_stand_on_since_before_a_restart_survives_a_probe_and_a_failure(
    san: FakePaths, config: dict[str, str]
) -> None:
    before = opened(san)
    uuid = made(before, config)
    before.attach(uuid, config, {})
    there = san.left()
    after = opened(san)
    after.probe(config, {})
    assert san.left() == there
    with pytest.raises(SrUnavailable):
        after.attach(new_uuid(), config, {})
    assert san.left() == there
    after.attach(uuid, config, {}).detach_sr()
    assert san.left() == set()


def test_one_that_was_attached_by_one_path_stays_so_until_it_is_detached(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, SINGLE)
    sr = driver.attach(uuid, SINGLE, {})
    assert len(driver.probe_ext(CONFIG, {})) == 1  # the host's setting is another by now
    assert san.left() == {PORTALS[0]}
    sr.detach_sr()
    assert san.left() == set()


def test_a_map_and_a_session_that_were_there_stay(san: FakePaths, driver: LvmOverIscsi) -> None:
    san(["iscsiadm", "-m", "node", "-T", IQN, "-p", PORTALS[1], "--login"])
    san(["multipath", "-a", LUNS[0]])
    san(["multipath", "-v1", LUNS[0]])
    sr = driver.attach(made(driver, CONFIG), CONFIG, {})
    assert len(san.begun) == 2
    sr.detach_sr()
    assert san.left() == {PORTALS[1], LUNS[0]}


def test_sessions_end_with_the_last_of_the_srs_on_a_target(san: FakePaths, driver: LvmOverIscsi) -> None:
    first, second = made(driver, CONFIG), made(driver, OTHER)
    one, two = driver.attach(first, CONFIG, {}), driver.attach(second, OTHER, {})
    assert san.maps == set(LUNS.values())
    one.detach_sr()
    assert san.left() == {*PORTALS, LUNS[1]}
    assert driver.paths([first, second]) == {second: Paths(LUNS[1], 2, 2, 2)}
    two.detach_sr()
    assert san.left() == set()


def test_a_probe_takes_nothing_away_from_an_attached_sr(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, CONFIG)
    sr = driver.attach(uuid, CONFIG, {})
    for config in (CONFIG, SINGLE):
        (found,) = driver.probe_ext(config, {})
        assert found.sr is not None
        assert found.sr.uuid == uuid
    assert san.left() == {*PORTALS, LUNS[0]}
    sr.detach_sr()
    assert san.left() == set()


def test_a_map_that_somebody_uses_keeps_its_paths_until_it_can_be_removed(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, CONFIG)
    sr = driver.attach(uuid, CONFIG, {})
    san.in_use = {LUNS[0]}
    assert refused(sr.detach_sr).number == 431
    assert san.left() == {*PORTALS, LUNS[0]}
    assert san.wwids == {LUNS[0]}
    san.in_use = set()
    driver.attach(uuid, CONFIG, {}).detach_sr()
    assert san.left() == set()


def test_lvm_on_a_single_path_is_refused(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, CONFIG)
    san.filtered = True
    failure = refused(lambda: driver.attach(uuid, CONFIG, {}))
    assert failure.number == 431
    assert "multipath_component_detection" in failure.text
    assert san.left() == set()
    with pytest.raises(SrUnavailable):
        driver.attach(new_uuid(), CONFIG, {})
    assert san.left() == set()


def test_whichever_step_fails_nothing_is_left(san: FakePaths, driver: LvmOverIscsi) -> None:
    uuid = made(driver, CONFIG)
    san.calls.clear()
    sr = driver.attach(uuid, CONFIG, {})
    steps = len(san.calls)
    sr.detach_sr()
    assert steps > 8
    failed = 0
    for step in range(1, steps + 1):
        san.calls.clear()
        san.fail_at = step
        with suppress(StorageFailure):
            driver.attach(uuid, CONFIG, {}).detach_sr()
            failed -= 1
        failed += 1
        san.fail_at = -1
        assert san.left() == set(), f"step {step}"
        driver.attach(uuid, CONFIG, {}).detach_sr()
        assert san.left() == set(), f"after step {step}"
    assert failed > 4


def test_a_lun_behind_an_adapter_has_a_map_while_it_is_attached(san: FakePaths) -> None:
    driver = LvmOverHba(str(san.root / "state"), san, str(san.devices))
    san.appear()
    config, uuid = {"SCSIid": LUNS[0], **ON}, new_uuid()
    assert driver.create(uuid, config, 0, "user", {})["multipathable"] == "true"
    assert san.left() == set()
    sr = driver.attach(uuid, config, {})
    assert san.maps == {LUNS[0]}
    assert driver.paths([uuid]) == {uuid: Paths(LUNS[0], 0, 0)}  # the fake daemon knows paths of sessions only
    assert isinstance(driver, ReachesLuns)
    assert uuid in driver.probe(config, {})
    sr.detach_sr()
    assert san.left() == set()


def test_types_that_can_say_so() -> None:
    assert "SR_MULTIPATH" in LvmOverIscsi.type.capabilities
    assert "SR_MULTIPATH" in LvmOverHba.type.capabilities
    assert Feature.SR_MULTIPATH not in LvmDriver.type.features


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_holds(san: FakePaths, driver: LvmOverIscsi, check: Callable[[Subject], None]) -> None:
    check(Subject(driver, CONFIG))
    assert san.left() == set()


def test_paths_are_counted_by_their_maps() -> None:
    text = "a active ready\na active ghost\na failed faulty\na active faulty\nb failed ready\nc undef ready\n\njunk\n"
    assert parse_paths(text) == {"a": (2, 4), "b": (0, 1)}
