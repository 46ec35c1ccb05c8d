from __future__ import annotations

from pathlib import Path

import pytest

from xapi.storage.contract import new_uuid
from xapi.storage.interface import InvalidConfiguration, StorageFailure
from xapi.storage.lvm.iscsi import parse_sessions, parse_targets
from xapi.storage.lvm.iscsi_records import NODE_PREFIX, node_records, set_credentials
from xapi.storage.lvm.san import LvmOverHba, LvmOverIscsi

from .san import IQN, LUNS, OTHER_IQN, FakeSan

CONFIG = {"target": "192.0.2.9", "targetIQN": IQN, "SCSIid": LUNS[1]}


def iscsi(tmp_path: Path, password: str = "") -> tuple[FakeSan, LvmOverIscsi]:
    san = FakeSan(tmp_path, password)
    return san, LvmOverIscsi(str(tmp_path / "state"), san, str(san.devices), [str(tmp_path / "none"), str(san.records)])


def plain(xml: str) -> str:
    return "".join(xml.split())


def test_targets_are_the_answer_where_none_is_named(tmp_path: Path) -> None:
    _, driver = iscsi(tmp_path)
    with pytest.raises(InvalidConfiguration) as caught:
        driver.probe({"target": "192.0.2.9"}, {})
    assert caught.value.code == "SR_BACKEND_FAILURE_96"
    assert plain(caught.value.params[2]) == (
        '<?xmlversion="1.0"?><iscsi-target-iqns>'
        f"<TGT><Index>0</Index><IPAddress>192.0.2.9</IPAddress><TargetIQN>{IQN}</TargetIQN></TGT>"
        f"<TGT><Index>1</Index><IPAddress>2001:db8::9</IPAddress><Port>3261</Port><TargetIQN>{OTHER_IQN}</TargetIQN></TGT>"
        "<TGT><Index>2</Index><IPAddress>192.0.2.9</IPAddress><TargetIQN>*</TargetIQN></TGT>"
        "</iscsi-target-iqns>"
    )


def test_luns_are_the_answer_where_none_is_named_and_the_session_ends(tmp_path: Path) -> None:
    san, driver = iscsi(tmp_path)
    with pytest.raises(InvalidConfiguration) as caught:
        driver.probe({"target": "192.0.2.9", "targetIQN": IQN}, {})
    assert caught.value.code == "SR_BACKEND_FAILURE_107"
    luns = "".join(
        f"<LUN><vendor>EXAMPLE</vendor><serial>serial-{number}</serial><LUNid>{number}</LUNid>"
        f"<size>1048576</size><SCSIid>{scsi_id}</SCSIid></LUN>"
        for number, scsi_id in LUNS.items()
    )
    assert plain(caught.value.params[2]) == f'<?xmlversion="1.0"?><iscsi-target>{luns}</iscsi-target>'
    assert san.sessions == []


def test_the_session_lasts_as_long_as_the_sr_is_attached(tmp_path: Path) -> None:
    san, driver = iscsi(tmp_path)
    uuid = new_uuid()
    driver.create(uuid, CONFIG, 0, "user", {})
    assert san.sessions == []
    sr = driver.attach(uuid, CONFIG, {})
    assert san.sessions == [IQN]
    assert uuid in driver.probe(CONFIG, {})
    assert san.sessions == [IQN]
    sr.detach_sr()
    assert san.sessions == []
    assert [result.sr.uuid for result in driver.probe_ext(CONFIG, {}) if result.sr] == [uuid]
    with pytest.raises(StorageFailure):
        driver.attach(new_uuid(), CONFIG, {})
    assert san.sessions == []


def test_udev_that_comes_to_no_end_hinders_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    san, driver = iscsi(tmp_path)
    uuid = new_uuid()
    driver.create(uuid, CONFIG, 0, "user", {})
    asked = len(san.calls)
    driver.attach(uuid, CONFIG, {}).detach_sr()
    settle = next(number for number, argv in enumerate(san.calls[asked:], 1) if argv[0] == "udevadm")
    san.fail_at = len(san.calls) + settle
    driver.attach(uuid, CONFIG, {}).detach_sr()
    assert "udev does not come to an end" in caplog.text and san.sessions == []


def test_a_password_is_shown_to_the_target_and_never_in_an_error(tmp_path: Path) -> None:
    san, driver = iscsi(tmp_path, "open sesame")
    with pytest.raises(StorageFailure) as caught:
        driver.probe(CONFIG, {})
    assert caught.value.code == "SR_BACKEND_FAILURE_68"
    with pytest.raises(StorageFailure) as caught:
        driver.probe({**CONFIG, "chapuser": "me", "chappassword": "shibboleth"}, {})
    assert "shibboleth" not in "".join(caught.value.params)
    assert driver.probe_ext({**CONFIG, "chapuser": "me", "chappassword": "open sesame"}, {})
    assert san.given["username"] == "me"


@pytest.mark.parametrize("silent", [False, True])
def test_a_password_is_in_no_command_line_and_in_records_only_while_it_is_needed(tmp_path: Path, silent: bool) -> None:
    san, driver = iscsi(tmp_path, "open sesame")
    san.silent = silent
    config = {**CONFIG, "chapuser": "me", "chappassword": "open sesame"}
    config |= {"incoming_chapuser": "store", "incoming_chappassword": "who goes there"}
    uuid = new_uuid()
    driver.create(uuid, config, 0, "user", {})
    sr = driver.attach(uuid, config, {})
    kept = san.node.read_text().splitlines()
    assert kept[0].startswith("# BEGIN RECORD")
    assert kept[-1] == "# END RECORD"
    assert set(kept[1:-1]) == {
        "node.startup = manual",
        "node.session.auth.authmethod = CHAP",
        "node.session.auth.username = me",
        "node.session.auth.password = open sesame",
        "node.session.auth.username_in = store",
        "node.session.auth.password_in = who goes there",
    }
    assert san.node.stat().st_mode & 0o777 == 0o600
    sr.detach_sr()
    assert san.node.read_text().count("node.session.auth.") == 1
    (portal,) = san.records.glob("send_targets/*/st_config")
    assert portal.read_text().splitlines()[1:-1] == ["discovery.sendtargets.auth.authmethod = None"]
    assert portal.stat().st_mode & 0o777 == 0o600
    spoken = " ".join(word for argv in san.calls for word in argv)
    assert "iscsiadm" in spoken
    assert not any(secret in spoken for secret in ("sesame", "who goes there", "stale"))


@pytest.mark.parametrize("password", ["two\nlines", " before", "after ", "x" * 256])
def test_a_password_that_a_record_cannot_hold_is_refused(tmp_path: Path, password: str) -> None:
    san, driver = iscsi(tmp_path, password)
    with pytest.raises(InvalidConfiguration) as caught:
        driver.probe({**CONFIG, "chapuser": "me", "chappassword": password}, {})
    assert caught.value.number == 2
    assert password not in "".join(caught.value.params)
    assert san.calls == []


def test_a_password_that_cannot_be_written_down_ends_the_attempt(tmp_path: Path) -> None:
    san = FakeSan(tmp_path, "open sesame")
    driver = LvmOverIscsi(str(tmp_path / "state"), san, str(san.devices), [str(tmp_path / "none")])
    with pytest.raises(StorageFailure) as caught:
        driver.probe({**CONFIG, "chapuser": "me", "chappassword": "open sesame"}, {})
    assert caught.value.number == 68
    assert san.sessions == []


def test_records_of_older_initiators_are_files_themselves(tmp_path: Path) -> None:
    old = tmp_path / "nodes" / IQN / "192.0.2.9,3260"
    old.parent.mkdir(parents=True)
    old.write_text("node.name = x")
    assert node_records([str(tmp_path)], IQN, "192.0.2.9", 3260, 1) == [old]
    set_credentials(old, NODE_PREFIX, {"username": "me", "password": "p = q"})
    assert old.read_text().splitlines()[-1] == "node.session.auth.password = p = q"
    old.unlink()
    old.symlink_to("/etc/shadow")
    assert node_records([str(tmp_path)], IQN, "192.0.2.9", 3260, 1) == []


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"target": ""}, 95),
        ({"target": "-rf"}, 140),
        ({"port": "0"}, 142),
        ({"port": "x"}, 142),
        ({"targetIQN": "--logout"}, 96),
        ({"targetIQN": "iqn.2026-11.org.example:none"}, 96),
        ({"SCSIid": "../../sda"}, 107),
        ({"SCSIid": "36001405none"}, 19),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, change: dict[str, str], number: int) -> None:
    san, driver = iscsi(tmp_path)
    with pytest.raises(StorageFailure) as caught:
        driver.probe({**CONFIG, **change}, {})
    assert caught.value.number == number
    assert san.sessions == []


def test_hba_disks_are_the_answer_where_none_is_named(tmp_path: Path) -> None:
    san = FakeSan(tmp_path)
    san.appear()
    driver = LvmOverHba(str(tmp_path / "state"), san, str(san.devices))
    with pytest.raises(InvalidConfiguration) as caught:
        driver.probe({}, {})
    assert caught.value.code == "SR_BACKEND_FAILURE_107"
    answer = plain(caught.value.params[2])
    assert answer.count("<BlockDevice>") == 2
    assert (
        f"<numpaths>2</numpaths><SCSIid>{LUNS[0]}</SCSIid><vendor>EXAMPLE</vendor><serial>serial-0</serial>" in answer
    )
    assert "<adapter>3</adapter><channel>0</channel><id>1</id><lun>0</lun><hba>fc</hba>" in answer
    assert {result.configuration["SCSIid"] for result in driver.probe_ext({}, {})} == set(LUNS.values())


def test_lines_that_are_no_targets_are_left_out() -> None:
    assert parse_targets("iscsiadm: nothing\n1.2.3.4:x,1 iqn.a:b\n1.2.3.4:3260,1 -rf\n") == []
    assert parse_targets("../../etc:3260,1 iqn.a:b\n/etc:3260,1 iqn.a:b\n") == []
    (found,) = parse_sessions("tcp: [3] [::1]:3260,1 iqn.a:b (non-flash)\njunk\n")
    assert (found.address, found.portal, found.iqn) == ("::1", "[::1]:3260", "iqn.a:b")
