import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xapi.storage.contract import MIB, content, new_uuid, write
from xapi.storage.file.directory import Directory
from xapi.storage.file.driver import FileDriver
from xapi.storage.file.fork import make_child
from xapi.storage.file.repository import FileSr
from xapi.storage.interface import (
    MAXIMUM_CHAIN,
    ChainTooDeep,
    CreateVdi,
    FileBackend,
    InvalidConfiguration,
    SrExists,
    SrFull,
    SrHealth,
    SrReadOnly,
    SrUnavailable,
    StorageFailure,
    Unsupported,
    VdiInUse,
    VdiMissing,
    VdiUnavailable,
)
from xapi.storage.vhd.create import create_child, create_dynamic
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.parents import Parent
from xapi.system.command import CommandFailed, run

SR = "5a000000-0000-4000-8000-000000000002"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FileDriver().create(SR, {"location": str(tmp_path / "sr")}, 0, "user", {})
    return tmp_path / "sr"


def attach(path: Path) -> FileSr:
    return FileDriver().attach(SR, {"location": str(path)}, {})


def new_disk(sr: FileSr, size: int = 2 * MIB) -> str:
    return sr.create(CreateVdi(new_uuid(), size)).location


def managed(sr: FileSr) -> set[str]:
    return {vdi.location for vdi in sr.scan().vdis if vdi.managed}


def inner(sr: FileSr) -> set[str]:
    return {vdi.location for vdi in sr.scan().vdis if not vdi.managed}


# How chains look


def test_clone_of_written_disk_makes_a_hidden_parent_with_two_children(path: Path) -> None:
    sr = attach(path)
    original = new_disk(sr)
    write(sr, original, 0, b"x" * 512)
    clone = sr.clone(original, new_uuid())
    (base,) = inner(sr)
    assert clone.parent == base == sr.find(original).parent
    assert sr.find(base).sm_config["vdi_type"] == "vhd"
    assert sr.scan().virtual == 4 * MIB


def test_clones_of_an_unwritten_child_share_its_parent(path: Path) -> None:
    sr = attach(path)
    original = new_disk(sr)
    write(sr, original, 0, b"x" * 512)
    clones = [sr.clone(original, new_uuid()) for _ in range(5)]
    assert len(inner(sr)) == 1
    assert len({clone.parent for clone in clones}) == 1
    for clone in clones:
        sr.destroy(clone.location)
    assert len(os.listdir(path)) == len({"settings", "record", "leaf", "base"})


def test_last_child_takes_its_hidden_parents_along(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    for number in range(4):
        write(sr, disk, 0, bytes([number + 1]) * 512)
        sr.destroy(sr.snapshot(disk, new_uuid()).location)
    assert len(inner(sr)) == 4
    sr.destroy(disk)
    assert sr.scan().vdis == ()


def test_chain_of_thirty_links_refuses_more(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    for number in range(MAXIMUM_CHAIN - 1):
        write(sr, disk, 0, bytes([number + 1]) * 512)
        sr.snapshot(disk, new_uuid())
    with pytest.raises(ChainTooDeep) as caught:
        sr.snapshot(disk, new_uuid())
    assert caught.value.code == "SR_BACKEND_FAILURE_109"
    assert content(sr, disk)[:512] == bytes([MAXIMUM_CHAIN - 1]) * 512


def test_running_disk_is_paused_around_the_split(path: Path) -> None:
    seen: list[tuple[str, bool]] = []

    class Recorder:
        @contextmanager
        def paused(self, sr_uuid: str, location: str) -> Iterator[None]:
            before = os.stat(path / f"{location}.vhd").st_ino
            yield
            seen.append((location, os.stat(path / f"{location}.vhd").st_ino != before))

    sr = FileDriver().attach(SR, {"location": str(path)}, {}, Recorder())
    disk = new_disk(sr)
    sr.snapshot(disk, new_uuid())
    assert seen == []
    sr.attach(disk, False)
    sr.snapshot(disk, new_uuid())
    assert seen == [(disk, False)], "an unwritten child is not split again"
    sr.detach(disk)
    write(sr, disk, 0, b"x" * 512)
    sr.attach(disk, False)
    sr.snapshot(disk, new_uuid())
    assert seen == [(disk, False), (disk, True)]


def test_a_raw_disk_is_raw_until_it_is_split(path: Path) -> None:
    sr = attach(path)
    facts = sr.create(CreateVdi(new_uuid(), 2 * MIB, sm_config={"type": "raw"}))
    assert facts.sm_config["vdi_type"] == "raw"
    write(sr, facts.location, 0, b"x" * 512)
    backend = sr.attach(facts.location, True)
    assert isinstance(backend, FileBackend)
    assert backend.format == "raw"
    with pytest.raises(VdiInUse):
        sr.snapshot(facts.location, new_uuid())
    with pytest.raises(Unsupported):
        sr.clone(facts.location, new_uuid())
    sr.detach(facts.location)
    assert sr.resize(facts.location, 6 * MIB).virtual_size == 6 * MIB
    parent = sr.snapshot(facts.location, new_uuid()).parent
    assert sorted(each.suffix for each in path.glob(f"{facts.location}*")) == [".json", ".vhd"]
    assert (path / f"{parent}.raw").stat().st_size == 6 * MIB


def test_what_was_a_raw_disk_stays_hidden_when_nothing_depends_on_it(path: Path) -> None:
    sr = attach(path)
    raw = sr.create(CreateVdi(new_uuid(), 2 * MIB, sm_config={"type": "raw"})).location
    clone = sr.clone(raw, new_uuid())
    sr.detach_sr()
    for name in (raw, clone.location):
        (path / f"{name}.vhd").unlink()
        (path / f"{name}.json").unlink()
    again = attach(path)
    assert again.scan().vdis == ()
    assert not list(path.glob("*.raw"))


def test_open_disk_cannot_be_destroyed(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    with sr.open_for_reading(disk), pytest.raises(VdiInUse):
        sr.destroy(disk)
    sr.destroy(disk)


def test_disk_that_is_being_imported_cannot_be_split_or_grown(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    with sr.open_for_writing(disk) as writer:
        for action in (lambda: sr.snapshot(disk, new_uuid()), lambda: sr.clone(disk, new_uuid())):
            with pytest.raises(VdiInUse):
                action()
        with pytest.raises(VdiInUse):
            sr.resize_online(disk, 8 * MIB)
        writer.pwrite(0, b"x" * 512)
    with sr.open_for_reading(disk) as reader:
        sr.snapshot(disk, new_uuid())
        assert reader.pread(0, 512) == b"x" * 512
    assert not sr.is_held(disk)


# A model


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["create", "write", "snapshot", "clone", "destroy", "resize", "restart"]),
        st.integers(0, 1 << 30),
        st.integers(1, 255),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_any_tree_of_disks_is_like_a_dictionary(tmp_path: Path, operations: list[tuple[str, int, int]]) -> None:
    path = tmp_path / str(uuid.uuid4())
    FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
    sr = attach(path)
    model: dict[str, bytearray] = {}
    for operation, choice, value in operations:
        if operation == "create" or not model:
            model[new_disk(sr)] = bytearray(2 * MIB)
            continue
        disk = sorted(model)[choice % len(model)]
        if operation == "write":
            offset = choice % (len(model[disk]) // 512) * 512
            data = bytes([value]) * min(512 * (value % 9 + 1), len(model[disk]) - offset)
            write(sr, disk, offset, data)
            model[disk][offset : offset + len(data)] = data
        elif operation == "snapshot":
            model[sr.snapshot(disk, new_uuid()).location] = bytearray(model[disk])
        elif operation == "clone":
            model[sr.clone(disk, new_uuid()).location] = bytearray(model[disk])
        elif operation == "destroy":
            sr.destroy(disk)
            del model[disk]
        elif operation == "resize" and len(model[disk]) < 8 * MIB:
            sr.resize(disk, len(model[disk]) + 2 * MIB)
            model[disk].extend(bytes(2 * MIB))
        elif operation == "restart":
            sr.detach_sr()
            sr = attach(path)
    assert managed(sr) == model.keys()
    for disk, expected in model.items():
        assert content(sr, disk) == expected
    for disk in model:
        sr.destroy(disk)
    assert sr.scan().vdis == ()
    sr.destroy_sr()
    assert os.listdir(path) == []


# A directory that nobody should trust


def test_strange_files_are_not_disks(path: Path) -> None:
    names = [f"{new_uuid()}.vhd" for _ in range(4)]
    os.mkfifo(path / names[0])
    (path / names[1]).symlink_to("/etc/passwd")
    (path / names[2]).mkdir()
    (path / names[3].upper()).write_bytes(b"")
    (path / "notes.txt").write_text("mine")
    (path / "..vhd").write_bytes(b"")
    sr = attach(path)
    assert sr.scan().vdis == ()
    for name in names:
        with pytest.raises(VdiMissing):
            sr.attach(name[:36], True)
    assert (path / "notes.txt").exists()


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000, bytes(4096)])
def test_damaged_disk_is_marked_and_does_not_spoil_the_scan(path: Path, damage: bytes) -> None:
    sr = attach(path)
    good, bad = new_disk(sr), new_uuid()
    (path / f"{bad}.vhd").write_bytes(damage)
    facts = {vdi.location: vdi for vdi in sr.scan().vdis}
    assert facts[bad].missing
    assert not facts[good].missing
    for action in (lambda: sr.attach(bad, True), lambda: sr.open_for_reading(bad), lambda: sr.clone(bad, new_uuid())):
        with pytest.raises(VdiUnavailable) as caught:
            action()
        assert caught.value.code == "SR_BACKEND_FAILURE_46"
    sr.destroy(bad)
    assert managed(sr) == {good}


def test_hidden_images_stay_while_a_damaged_one_might_need_them(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    write(sr, disk, 0, b"x" * 512)
    snapshot = sr.snapshot(disk, new_uuid()).location
    (base,) = inner(sr)
    whole = (path / f"{disk}.vhd").read_bytes()
    (path / f"{disk}.vhd").write_bytes(b"?" * len(whole))
    sr.destroy(snapshot)
    sr.detach_sr()
    sr = attach(path)
    assert (path / f"{base}.vhd").exists()
    (path / f"{disk}.vhd").write_bytes(whole)
    assert content(sr, disk)[:512] == b"x" * 512


def test_parent_outside_the_directory_is_never_opened(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / f"{new_uuid()}.vhd"
    file = RealFile.create(str(secret))
    made = create_dynamic(file, 2 * MIB)
    made.write(0, b"secret" * 512)
    parent = Parent(str(secret), 2 * MIB, made.footer.unique_id)
    child = new_uuid()
    outside = RealFile.create(str(path / f"{child}.vhd"))
    create_child(outside, parent).close()
    raw_child = new_uuid()
    create_child(RealFile.create(str(path / f"{raw_child}.vhd")), Parent("/etc/passwd", 2 * MIB)).close()
    made.close()
    sr = attach(path)
    for disk in (child, raw_child):
        assert sr.find(disk).missing
        with pytest.raises(VdiUnavailable):
            sr.open_for_reading(disk)


def test_missing_parent_is_named(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    write(sr, disk, 0, b"x" * 512)
    clone = sr.clone(disk, new_uuid()).location
    (base,) = inner(sr)
    os.rename(path / f"{base}.vhd", path / "elsewhere")
    with pytest.raises(VdiUnavailable, match=base):
        sr.attach(clone, False)
    os.rename(path / "elsewhere", path / f"{base}.vhd")
    sr.attach(clone, False)


def test_loop_of_parents_is_refused(path: Path) -> None:
    sr = attach(path)
    first, second = new_uuid(), new_uuid()
    directory = Directory(str(path), SR)
    disk = new_disk(sr)
    shutil.copyfile(path / f"{disk}.vhd", path / f"{first}.vhd")
    make_child(directory, first, second, final=True)
    os.unlink(path / f"{first}.vhd")
    make_child(directory, second, first, final=True)
    for each in (first, second):
        with pytest.raises(VdiUnavailable):
            sr.open_for_reading(each)
        with pytest.raises(VdiUnavailable):
            sr.snapshot(each, new_uuid())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"name_label": 5, "sharable": "yes", "sm_config": {"a": 1}}'])
def test_damaged_record_counts_as_none(path: Path, text: bytes) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    (path / f"{disk}.json").write_bytes(text)
    facts = sr.find(disk)
    assert (facts.name_label, facts.sharable) == ("", False)


def test_journal_of_nonsense_is_dropped(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    sr.detach_sr()
    (path / f".fork-{disk}.json").write_text('{"leaf": "../../x", "child": 1, "base": null}')
    (path / f".fork-{new_uuid()}.json").write_bytes(b"\xff")
    sr = attach(path)
    assert managed(sr) == {disk}
    assert not [name for name in os.listdir(path) if name.startswith(".fork")]


# A file system that fails


def test_directory_that_vanished_makes_the_sr_unavailable(path: Path) -> None:
    sr = attach(path)
    disk = new_disk(sr)
    path.rename(path.parent / "gone")
    for action in (sr.scan, lambda: sr.find(disk), lambda: sr.create(CreateVdi(new_uuid(), MIB))):
        with pytest.raises(SrUnavailable):
            action()
    assert sr.stat().health is SrHealth.UNREACHABLE
    path.mkdir()  # an unmounted mount point looks like this
    with pytest.raises(SrUnavailable):
        sr.create(CreateVdi(new_uuid(), MIB))
    assert os.listdir(path) == []
    path.rmdir()
    (path.parent / "gone").rename(path)
    assert managed(sr) == {disk}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    try:
        run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)])
    except CommandFailed as error:
        pytest.skip(f"needs to mount: {error}")
    yield place
    run(["umount", "--lazy", str(place)])


def test_full_disk_is_said_and_harms_nothing(small: Path) -> None:
    path = small / "sr"
    FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
    sr = attach(path)
    disk = new_disk(sr, 4 * MIB)
    write(sr, disk, 0, b"x" * 512)
    expected = content(sr, disk)
    (small / "ballast").write_bytes(bytes(os.statvfs(small).f_bavail * os.statvfs(small).f_frsize))
    for action in (
        lambda: sr.create(CreateVdi(new_uuid(), MIB)),
        lambda: sr.clone(disk, new_uuid()),
        lambda: sr.snapshot(disk, new_uuid()),
        lambda: sr.resize(disk, 1 << 30),
        lambda: write(sr, disk, 2 * MIB, b"y" * 512),
    ):
        with pytest.raises(SrFull) as caught:
            action()
        assert caught.value.code == "SR_BACKEND_FAILURE_44"
        assert content(sr, disk) == expected
    sr.detach_sr()
    sr = attach(path)
    assert managed(sr) == {disk}
    assert content(sr, disk) == expected
    sr.destroy(disk)
    assert sr.scan().vdis == ()


def test_read_only_file_system_can_be_looked_at(small: Path) -> None:
    path = small / "sr"
    FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
    sr = attach(path)
    disk = new_disk(sr)
    run(["mount", "-o", "remount,ro", str(small)])
    for action in (
        lambda: sr.create(CreateVdi(new_uuid(), MIB)),
        lambda: sr.snapshot(disk, new_uuid()),
        lambda: sr.destroy(disk),
        lambda: sr.update(disk, "a", "b"),
    ):
        with pytest.raises(SrReadOnly):
            action()
    sr.detach_sr()
    sr = attach(path)
    assert managed(sr) == {disk}
    assert not any(content(sr, disk))


# Making SRs


def test_sr_is_made_only_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SrExists):
        FileDriver().create(SR, {"location": str(tmp_path)}, 0, "user", {})
    with pytest.raises(StorageFailure):
        FileDriver().create(SR, {"location": str(tmp_path / "file")}, 0, "user", {})
    with pytest.raises(InvalidConfiguration):
        FileDriver().create(SR, {"location": str(tmp_path / "no" / "such")}, 0, "user", {})
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("location", "number"),
    [("", 94), ("relative", 1), ("/a/../../etc", 1), ("/a\nb", 2), ("/a\0b", 2), ("/" + "x" * 5000, 2)],
)
def test_location_that_is_no_path_is_refused(location: str, number: int) -> None:
    for action in (FileDriver().probe, FileDriver().probe_ext):
        with pytest.raises(InvalidConfiguration) as caught:
            action({"location": location}, {})
        assert caught.value.number == number


def test_probe_finds_the_sr(path: Path) -> None:
    attach(path).update_sr("my disks", "where they are")
    (result,) = FileDriver().probe_ext({"location": str(path)}, {})
    assert result.sr is not None
    assert (result.sr.uuid, result.sr.name_label) == (SR, "my disks")
    assert SR in FileDriver().probe({"location": str(path)}, {})
