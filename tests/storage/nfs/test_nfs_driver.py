import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from xapi.storage.interface import InvalidConfiguration, SrUnavailable, StorageFailure
from xapi.storage.mounts import mount_command, parse_mount_table
from xapi.storage.nfs.driver import NfsDriver
from xapi.storage.nfs.server import Export, NfsMount, exports_document, parse_exports
from xapi.system.command import CommandFailed, Completed

SR = "5a000000-0000-4000-8000-000000000004"
EXPORTS = "/export/vms   10.0.0.0/24,host.example.org\n/export/with space *\n\nnonsense\n"


class Mounts:
    """Remembers what was mounted; a mount is a directory of its own."""

    def __init__(self, fail: bool = False) -> None:
        self.mounted: dict[str, tuple[str, str, tuple[str, ...]]] = {}
        self.all: list[tuple[str, str, tuple[str, ...]]] = []
        self.fail = fail

    def mount(
        self, kind: str, source: str, target: str, options: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        if self.fail:
            raise CommandFailed(["mount"], 32, b"", "access denied by server")
        os.makedirs(target)
        self.mounted[target] = (kind, source, tuple(options))
        self.all.append(self.mounted[target])

    def unmount(self, target: str) -> None:
        self.mounted.pop(target, None)

    def is_mounted(self, target: str) -> bool:
        return target in self.mounted


def answer(argv: Sequence[str]) -> Completed:
    assert argv[0] == "showmount"
    assert argv[-2:] == ["--", "filer"]
    return Completed(0, EXPORTS.encode(), "")


def silence(argv: Sequence[str]) -> Completed:
    raise CommandFailed(argv, 1, b"", "clnt_create: RPC: Program not registered")


def test_sr_has_a_directory_of_its_own_on_the_server(tmp_path: Path) -> None:
    mounts = Mounts()
    driver = NfsDriver(str(tmp_path), mounts)
    sr = driver.attach(SR, {"server": "filer", "serverpath": "/export//vms/", "options": "-o noac,timeo=50"}, {})
    ((kind, source, options),) = mounts.all
    assert (kind, source) == ("nfs", f"filer:/export/vms/{SR}")
    assert {"soft", "vers=3", "proto=tcp", "noac"} <= set(options)
    assert options.index("timeo=100") < options.index("timeo=50"), "the last one counts"
    sr.detach_sr()
    assert mounts.mounted == {}


def test_nosubdir_uses_the_path_itself(tmp_path: Path) -> None:
    mounts = Mounts()
    driver = NfsDriver(str(tmp_path), mounts)
    driver.attach(SR, {"server": "::1", "serverpath": "/vms", "nfsversion": "4.1"}, {"nosubdir": "true"})
    ((kind, source, options),) = mounts.all
    assert (kind, source) == ("nfs4", "[::1]:/vms")
    assert {"vers=4.1", "proto=tcp6"} <= set(options)


def test_failed_mount_is_error_73(tmp_path: Path) -> None:
    driver = NfsDriver(str(tmp_path), Mounts(fail=True))
    for action in (driver.attach, lambda *args: driver.create(args[0], args[1], 0, "user", args[2])):
        with pytest.raises(SrUnavailable, match="access denied") as caught:
            action(SR, {"server": "filer", "serverpath": "/vms"}, {})
        assert caught.value.code == "SR_BACKEND_FAILURE_73"


def test_mount_is_taken_back_when_the_sr_cannot_be_used(tmp_path: Path) -> None:
    class Wrong(Mounts):
        def mount(self, kind: str, source: str, target: str, options: Sequence[str], environment=None) -> None:
            super().mount(kind, source, target, options)
            os.rmdir(target)
            Path(target).write_text("no directory")

    mounts = Wrong()
    with pytest.raises(SrUnavailable):
        NfsDriver(str(tmp_path), mounts).attach(SR, {"server": "filer", "serverpath": "/vms"}, {})
    assert mounts.all
    assert mounts.mounted == {}


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({}, 102),
        ({"server": "-oops", "serverpath": "/a"}, 140),
        ({"server": "a b", "serverpath": "/a"}, 140),
        ({"server": "a;b", "serverpath": "/a"}, 140),
        ({"server": "filer"}, 101),
        ({"server": "filer", "serverpath": "a"}, 103),
        ({"server": "filer", "serverpath": "/a/../b"}, 103),
        ({"server": "filer", "serverpath": "/a\n"}, 2),
        ({"server": "filer", "serverpath": "/a", "nfsversion": "3,suid"}, 72),
        ({"server": "filer", "serverpath": "/a", "options": "suid"}, 1),
        ({"server": "filer", "serverpath": "/a", "options": "-o noac,exec"}, 1),
        ({"server": "filer", "serverpath": "/a", "options": "timeo=1;reboot"}, 1),
    ],
)
def test_configuration_that_is_wrong_never_reaches_mount(tmp_path: Path, config: dict[str, str], number: int) -> None:
    mounts = Mounts()
    driver = NfsDriver(str(tmp_path), mounts, answer)
    with pytest.raises(InvalidConfiguration) as caught:
        driver.attach(SR, config, {})
    assert caught.value.number == number
    with pytest.raises(InvalidConfiguration):
        driver.create(SR, config, 0, "user", {})
    assert mounts.all == []


def test_sr_uuid_is_not_a_way_out(tmp_path: Path) -> None:
    driver = NfsDriver(str(tmp_path), Mounts())
    with pytest.raises(StorageFailure):
        driver.attach("../../etc", {"server": "filer", "serverpath": "/a"}, {})


def test_probe_without_path_tells_the_exports(tmp_path: Path) -> None:
    driver = NfsDriver(str(tmp_path), Mounts(), answer)
    with pytest.raises(InvalidConfiguration) as caught:
        driver.probe({"server": "filer"}, {})
    assert caught.value.code == "SR_BACKEND_FAILURE_101"
    document = ElementTree.fromstring(caught.value.params[2])
    assert document.tag == "nfs-exports"
    found = [{part.tag: (part.text or "").strip() for part in export} for export in document]
    assert found[0] == {"Target": "filer", "Path": "/export/vms", "Accesslist": "10.0.0.0/24,host.example.org"}
    assert [export["Path"] for export in found] == ["/export/vms", "/export/with space"]
    results = driver.probe_ext({"server": "filer"}, {})
    assert [result.configuration["serverpath"] for result in results] == ["/export/vms", "/export/with space"]


def test_server_that_does_not_answer_is_error_108(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="not registered") as caught:
        NfsDriver(str(tmp_path), Mounts(), silence).probe({"server": "filer"}, {})
    assert caught.value.number == 108


def test_exports_are_escaped() -> None:
    text = exports_document("a<b", [Export("/x&y\x01", "*")])
    (export,) = ElementTree.fromstring(text)
    assert [(part.text or "").strip() for part in export] == ["a<b", "/x&y?", "*"]
    assert parse_exports("") == []


def test_probe_with_path_lists_srs(tmp_path: Path) -> None:
    class Full(Mounts):
        def mount(self, kind: str, source: str, target: str, options: Sequence[str], environment=None) -> None:
            super().mount(kind, source, target, options)
            for name in (SR, "other", "not-a-uuid"):
                (Path(target) / name).mkdir()

    mounts = Full()
    driver = NfsDriver(str(tmp_path), mounts)
    text = driver.probe({"server": "filer", "serverpath": "/vms"}, {})
    assert [(part.text or "").strip() for part in ElementTree.fromstring(text).iter("UUID")] == [SR]
    assert mounts.mounted == {}


def test_mount_never_takes_a_path_for_an_option() -> None:
    argv = mount_command("nfs", "-x:/a", "-t", NfsMount("s", "/a").mount_options)
    assert argv[-3:] == ["--", "-x:/a", "-t"]
    assert argv[4].startswith("nosuid,nodev,noexec,")


def test_mount_table_is_read_with_its_escapes() -> None:
    text = "36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - ext4 /dev/sd\\134x rw\ngarbage\n"
    (entry,) = parse_mount_table(text)
    assert (entry.target, entry.kind, entry.source, entry.device) == ("/mnt/a b", "ext4", "/dev/sd\\x", "98:0")
