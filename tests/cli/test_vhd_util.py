import os
import struct
from pathlib import Path

import pytest

from xapi.cli.vhd_util import listing, main
from xapi.cli.vhd_util.program import build_parser
from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.file import MemoryFile, RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.journal import Journal
from xapi.storage.vhd.parents import Parent, mapper_path
from xapi.storage.vhd.scan import Volume

MIB = 1 << 20
COMMANDS = ["create", "snapshot", "query", "read", "set", "repair", "resize"]
COMMANDS += ["fill", "coalesce", "modify", "scan", "check", "revert", "copy"]


@pytest.fixture
def run(tmp_path, monkeypatch, capfdbinary):
    """Runs a command line in an empty directory; returns its exit code and the lines it printed."""
    monkeypatch.chdir(tmp_path)

    def call(line, binary=False):
        try:
            code = main(line.split())
        except SystemExit as stop:
            code = stop.code
        out = capfdbinary.readouterr().out
        return code, out if binary else out.decode().splitlines()

    return call


@pytest.fixture
def tree(run):
    """base (hidden) <- middle <- leaf, and base <- other."""
    for line in (
        "create --debug -n base.vhd -s 10",
        "set -n base.vhd -f hidden -v 1",
    ):
        assert run(line) == (0, [])
    write("base.vhd", 0, b"b" * MIB)
    assert run("snapshot -n middle.vhd -p base.vhd") == (0, [])
    write("middle.vhd", MIB // 2, b"m" * MIB)
    assert run("snapshot -n leaf.vhd -p middle.vhd") == (0, [])
    write("leaf.vhd", 6 * MIB, b"l" * MIB)
    assert run("snapshot -n other.vhd -p base.vhd") == (0, [])
    return run


def write(name, offset, data):
    with Chain.open(name, writable=True) as chain:
        chain.write(offset, data)
        chain.flush()


def contents(name):
    with Chain.open(name) as chain:
        return chain.read(0, min(chain.size, 10 * MIB))


def test_without_a_command_it_helps(run):
    code, lines = run("")
    assert code == 0
    for command in COMMANDS:
        assert any(line.split()[:1] == [command] for line in lines)


def test_every_command_helps(run):
    for command in COMMANDS:
        code, lines = run(f"{command} --help")
        assert code == 0
        assert lines[0].startswith(f"usage: vhd-util {command}")


@pytest.mark.parametrize("line", ["bogus", "create", "create -n x", "create -n x -s y", "query", "create -n x -s -1"])
def test_a_wrong_command_line_leaves_with_einval(run, line):
    assert run(line)[0] == 22
    assert os.listdir() == []


def test_sizes_are_rounded_up_to_blocks(run):
    run("create -n odd.vhd -s 3")
    assert run("query -n odd.vhd -v -s -p -f -d -m -S") == (
        0,
        ["4", "3584", "odd.vhd has no parent", "hidden: 0", "marker: 0", "chain depth: 1", "4"],
    )


def test_reserve_makes_a_fixed_disk_with_its_space(run):
    run("create -n fixed.vhd -s 4 -r")
    assert os.stat("fixed.vhd").st_size == 4 * MIB + 512
    assert os.stat("fixed.vhd").st_blocks * 512 >= 4 * MIB
    assert run("check -n fixed.vhd") == (0, ["fixed.vhd is valid"])


def test_too_large_a_disk_leaves_no_file(run):
    code, lines = run("create -n big.vhd -s 2088961")
    assert (code, lines) == (22, ["error creating big.vhd: -22"])
    assert os.listdir() == []


def test_query_as_storage_manager_asks(tree):
    here = os.path.realpath(".")
    assert tree("query --debug -vsfp -n leaf.vhd") == (
        0,
        ["10", str(os.stat("leaf.vhd").st_size), f"{here}/middle.vhd", "hidden: 0"],
    )
    assert tree("query -f -n base.vhd") == (0, ["hidden: 1"])
    assert tree("query -d -n leaf.vhd") == (0, ["chain depth: 3"])


def test_query_without_the_parent(tree):
    os.unlink("middle.vhd")
    assert tree("query -v -p -f -n leaf.vhd") == (2, ["10", "query failed", "hidden: 0"])
    assert tree("query -d -n leaf.vhd") == (2, ["error checking chain depth: -2"])
    assert tree("query -v -n nothing") == (2, ["error opening nothing: -2"])


def test_a_snapshot_of_an_empty_child_goes_to_what_has_data(tree):
    here = os.path.realpath(".")
    tree("snapshot -n again.vhd -p other.vhd")
    assert tree("query -p -n again.vhd") == (0, [f"{here}/base.vhd"])
    tree("snapshot -n again.vhd -p other.vhd -e")
    assert tree("query -p -n again.vhd") == (0, [f"{here}/other.vhd"])


def test_the_depth_of_a_snapshot_can_be_limited(tree):
    assert tree("snapshot -n deep.vhd -p leaf.vhd -l 3") == (
        28,
        ["snapshot depth exceeded: current depth: 3, limit: 3"],
    )
    assert not os.path.exists("deep.vhd")
    assert tree("snapshot -n deep.vhd -p leaf.vhd -l 4") == (0, [])


def test_a_snapshot_of_a_raw_file(run):
    with open("disk.raw", "wb") as file:
        file.write(b"r" * 2 * MIB)
    assert run("snapshot -n child.vhd -p disk.raw -m") == (0, [])
    assert contents("child.vhd") == b"r" * 2 * MIB
    write("child.vhd", 0, b"w" * 512)
    assert run("coalesce -n child.vhd") == (0, ["Coalesced 1 sectors"])
    assert Path("disk.raw").read_bytes()[:1024] == b"w" * 512 + b"r" * 512
    run("create -n real.vhd -s 2")
    assert run("modify -n child.vhd -p real.vhd") == (0, [])
    assert contents("child.vhd")[:1024] == b"w" * 512 + bytes(512)
    assert run("modify -n child.vhd -p disk.raw -m") == (0, [])
    assert contents("child.vhd")[512:1024] == b"r" * 512


def test_scan_prints_one_line_for_each(tree):
    sizes = {name: os.stat(name).st_size for name in os.listdir()}
    expected = [
        f"vhd=base.vhd capacity=10485760 size={sizes['base.vhd']} hidden=1 parent=none",
        f"vhd=leaf.vhd capacity=10485760 size={sizes['leaf.vhd']} hidden=0 parent=middle.vhd",
        f"vhd=middle.vhd capacity=10485760 size={sizes['middle.vhd']} hidden=0 parent=base.vhd",
        f"vhd=other.vhd capacity=10485760 size={sizes['other.vhd']} hidden=0 parent=base.vhd",
    ]
    assert tree("scan -f -c -m *.vhd") == (0, expected)
    assert tree("scan -f leaf.vhd -a") == (0, [expected[1], expected[2], expected[0]])
    assert tree("scan -f -m {leaf,other}.vhd") == (0, [expected[1], expected[3]])
    here = os.path.realpath(".")
    assert tree("scan -v leaf.vhd") == (0, [expected[1].replace("=middle", f"={here}/middle")])
    marked = expected[1].replace("parent", "marker=9 keyhash= parent")
    tree("set -n leaf.vhd -f marker -v 9")
    assert tree("scan -f -M leaf.vhd") == (0, [marked])


def test_scan_prints_trees_with_what_is_hidden_first(tree):
    tree("set -n middle.vhd -f hidden -v 1")
    tree("create -n alone.vhd -s 2")
    code, lines = tree("scan -c -p -m *.vhd")
    assert code == 0
    assert [line.split(" capacity")[0] for line in lines] == [
        "vhd=base.vhd",
        "   vhd=other.vhd",
        "   vhd=middle.vhd",
        "      vhd=leaf.vhd",
        "vhd=alone.vhd",
    ]
    lines = tree("scan -p leaf.vhd")[1]
    assert lines[0].endswith("parent=middle.vhd (not found in scan)")


def test_scan_says_what_it_cannot_read_and_goes_on_if_told(tree):
    with open("bad.vhd", "wb") as file:
        file.write(b"not a disk")
    wrong = "vhd=bad.vhd scan-error=-22 error-message='opening file"
    code, lines = tree("scan -f bad.vhd nothing leaf.vhd")
    assert code == 22 and len(lines) == 1 and lines[0].startswith(wrong)
    code, lines = tree("scan -f -c bad.vhd nothing leaf.vhd")
    assert code == 0 and len(lines) == 3
    assert lines[1] == "vhd=nothing scan-error=-2 error-message='failure scanning target'"
    assert lines[2].startswith("vhd=leaf.vhd")
    os.unlink("middle.vhd")
    code, lines = tree("scan -f -c -a leaf.vhd")
    assert lines[1].startswith("vhd=middle.vhd scan-error=-2")
    assert tree("scan")[0] == 22
    assert tree("scan -m nothing*") == (0, [])


def test_scan_goes_over_logical_volumes(run, tmp_path):
    from xapi.storage.vhd.create import create_child, create_dynamic

    group = "VG_XenStorage-1234-5678"
    base, leaf = "VHD-aa-bb", "VHD-cc-dd"
    paths = {}

    def volume(name, make):
        memory = MemoryFile(bytes(4 * MIB), mapper_path(f"/dev/{group}/{name}"), fixed_size=True)
        make(memory)
        paths[name] = str(tmp_path / name)
        with open(paths[name], "wb") as file:
            file.write(memory.data)
        return Volume(name, paths[name], 4 * MIB)

    made = {}
    volumes = [
        volume(base, lambda file: made.update(base=create_dynamic(file, 2 * MIB, hidden=True))),
        volume(
            leaf,
            lambda file: create_child(
                file, Parent(mapper_path(f"/dev/{group}/{base}"), 2 * MIB, made["base"].footer.unique_id)
            ),
        ),
        Volume("MGT", str(tmp_path / "nothing"), 4 * MIB),
    ]

    def scan(line, capture=run):
        options = build_parser().parse_args(line.split())
        listing.show(options, lambda name: volumes if name == group else [])
        return capture("query -n nothing")[1][:-1]

    expected_base = "vhd=VHD-aa-bb capacity=2097152 size=4194304 hidden=1 parent=none"
    expected_leaf = "vhd=VHD-cc-dd capacity=2097152 size=4194304 hidden=0 parent=VHD-aa-bb"
    assert scan(f"scan -m VHD-* -f -c -l {group} -p -a -v") == [expected_base, f"   {expected_leaf}"]
    assert scan(f"scan -m VHD-cc-dd -f -c -l {group} -a") == [expected_leaf, expected_base]
    assert scan(f"scan -m {leaf} -l {group}") == [expected_leaf]
    assert run("scan -m VHD-* -l no-such-group")[0] == 2


def test_resize_by_journal_and_fast(tree):
    before = contents("leaf.vhd")
    assert tree("resize -n leaf.vhd -s 3000 -j journal") == (0, [])
    assert not os.path.exists("journal")
    assert tree("query -v -n leaf.vhd") == (0, ["3000"])
    assert contents("leaf.vhd")[: len(before)] == before
    assert tree("check -n leaf.vhd -p") == (
        0,
        [f"{path} is valid" for path in ("leaf.vhd", os.path.realpath("middle.vhd"), os.path.realpath("base.vhd"))],
    )
    code, lines = tree("resize -n leaf.vhd -s 4000 -f")
    assert code == 22 and lines[0].startswith("not enough metadata space reserved for fast resize")
    assert tree("resize -n leaf.vhd -s 2000 -j journal")[0] == 22
    assert tree("resize -n leaf.vhd -s 4000")[0] == 22
    tree("create -n roomy.vhd -s 10 -S 100")
    assert tree("query -S -n roomy.vhd") == (0, ["100"])
    assert tree("resize -n roomy.vhd -s 100 -f") == (0, [])
    assert tree("query -v -n roomy.vhd") == (0, ["100"])


def test_revert_undoes_what_was_cut_short(tree):
    before = contents("leaf.vhd")
    vhd = Vhd.open(RealFile.open("leaf.vhd", writable=True), writable=True)
    Journal(RealFile.create("journal"), vhd).begin([(1536, 512)])
    vhd.file.pwrite(bytes(512), 1536)
    vhd.file.close()
    assert tree("query -v -n leaf.vhd") == (0, ["10"])
    assert tree("set -n leaf.vhd -f hidden -v 1") == (22, ["error opening leaf.vhd: -22"])
    assert tree("revert -n leaf.vhd -j journal") == (0, [])
    assert contents("leaf.vhd") == before
    assert not os.path.exists("journal")
    assert tree("revert -n leaf.vhd -j journal") == (2, ["opening journal failed: -2"])


def test_coalesce_in_its_three_ways(tree):
    before = contents("leaf.vhd")
    assert tree("coalesce -n leaf.vhd -o flat.vhd") == (0, [])
    assert contents("flat.vhd") == before
    assert tree("coalesce -n leaf.vhd -o flat.vhd")[1] == ["flat.vhd already exists", "error coalescing: -17"]
    assert tree("coalesce -n leaf.vhd -a base.vhd") == (0, ["Coalesced 2048 sectors"])
    assert contents("base.vhd")[6 * MIB : 7 * MIB] == b"l" * MIB
    assert contents("leaf.vhd") == before
    assert tree("coalesce -n leaf.vhd -a other.vhd")[0] == 2
    code, lines = tree("coalesce -n leaf.vhd -p")
    assert code == 0 and lines[-1] == "Coalesced 2048 sectors"
    assert contents("middle.vhd") == before
    assert tree("coalesce -n base.vhd") == (
        22,
        ["coalescing of non-differencing disks is not supported", "error coalescing: -22"],
    )


def test_coalescing_into_a_smaller_parent_says_so(tree):
    tree("resize -n leaf.vhd -s 20 -j journal")
    write("leaf.vhd", 18 * MIB, b"x" * 512)
    before = contents("middle.vhd")
    code, lines = tree("coalesce -n leaf.vhd")
    assert code == 28 and lines[-1] == "error coalescing: -28"
    assert contents("middle.vhd") == before


def test_copy_to_a_file_and_to_standard_output(tree):
    before = contents("leaf.vhd")
    assert tree("copy -n leaf.vhd -o disk.raw") == (0, [])
    assert Path("disk.raw").read_bytes() == before
    assert os.stat("disk.raw").st_blocks * 512 < 5 * MIB
    assert tree("copy -n leaf.vhd -s", binary=True) == (0, before)
    assert tree("copy -n leaf.vhd")[0] == 22


def test_modify_sets_another_parent_or_drops_the_data(tree):
    here = os.path.realpath(".")
    os.mkdir("sub")
    os.rename("other.vhd", "sub/other.vhd")
    assert tree("query -p -n sub/other.vhd")[0] == 2
    assert tree("modify -n sub/other.vhd -p base.vhd") == (0, [])
    assert tree("query -p -n sub/other.vhd") == (0, [f"{here}/base.vhd"])
    assert tree("check -n sub/other.vhd") == (0, ["sub/other.vhd is valid"])
    assert tree("modify -n leaf.vhd -z") == (0, [])
    assert contents("leaf.vhd") == contents("middle.vhd")
    code, lines = tree("modify -n leaf.vhd -p nothing")
    assert (code, lines) == (2, [f"failed to set parent to '{here}/nothing': -2"])
    assert tree("modify -n leaf.vhd -s 100")[0] == 22


def test_check_says_what_is_wrong(tree):
    with open("leaf.vhd", "r+b") as file:
        file.truncate(os.stat("leaf.vhd").st_size - 100)
    code, lines = tree("check -n leaf.vhd")
    assert code == 22 and lines[0].startswith("primary footer invalid: ")
    assert tree("repair -n leaf.vhd") == (0, [])
    assert tree("check -n leaf.vhd -s")[1][1] == "blocks: 5, allocated: 1, sectors with data: 2048"
    os.unlink("base.vhd")
    assert tree("check -n leaf.vhd") == (0, ["leaf.vhd is valid"])
    assert tree("check -n leaf.vhd -p")[0] == 2
    os.unlink("middle.vhd")
    assert tree("check -n leaf.vhd")[1][0].startswith("invalid parent: parent not found")
    assert tree("check -n leaf.vhd -I") == (0, ["leaf.vhd is valid"])


def test_read_prints_headers_and_places(tree):
    text = "\n".join(tree("read -p -n leaf.vhd")[1])
    for line in (
        "VHD Footer Summary:",
        "Cookie              : conectix",
        "Creator Application : 'tap'",
        "Current disk size   : 10 MB (10485760 Bytes)",
        "Disk type           : Differencing hard disk",
        "Hidden              : 0",
        "VHD Header Summary:",
        "Table offset        : 1536",
        "Block size          : 2097152 (2 MB)",
        "Parent name         : middle.vhd",
        "       code         : PLAT_CODE_MACX",
        "       decoded name : ./middle.vhd",
        "VHD Batmap Summary:",
        "Batmap version      : 0x00010002",
    ):
        assert line in text
    assert tree("read -n leaf.vhd -t 12287 -c 2")[1] == [
        "logical sector 12287: block number: 2, sector offset: 4095, file offset: not allocated",
        "logical sector 12288: block number: 3, sector offset: 0, file offset: 8192",
    ]
    assert tree("read -n leaf.vhd -b 2 -c 2 -x")[1] == [
        "block: 0x2: offset: not allocated",
        "block: 0x3: offset: 0x1e00",
    ]
    assert tree("read -n leaf.vhd -i 14335 -c 2")[1] == ["block 3: sec: 2047: 1", "block 3: sec: 2048: 0"]
    assert tree("read -n leaf.vhd -j 3")[1] == ["batmap for block 3: 0"]
    assert tree("read -n leaf.vhd -b 5")[0] == 34


def test_read_writes_bytes(tree):
    assert tree("read -n leaf.vhd -m 3", binary=True)[1] == b"\xff" * 256 + bytes(256)
    assert tree("read -n leaf.vhd -B", binary=True)[1] == bytes([0b00010000])
    assert tree("read -n leaf.vhd -a", binary=True)[1] == bytes(512)
    assert tree("read -n leaf.vhd -d 3", binary=True)[1] == b"l" * MIB + bytes(MIB)
    assert tree("read -n leaf.vhd -r 1023 -c 2", binary=True)[1] == b"b" * 512 + b"m" * 512


def test_fill_gives_every_block_its_place(tree):
    before = contents("middle.vhd")
    assert tree("fill -n middle.vhd") == (0, [])
    assert contents("middle.vhd") == before
    assert tree("check -n middle.vhd -s")[1][1] == "blocks: 5, allocated: 5, sectors with data: 20480"
    assert tree("fill -n base.vhd -b -f 4096 -t 8192") == (0, [])
    assert tree("check -n base.vhd -s")[1][1] == "blocks: 5, allocated: 3, sectors with data: 10240"
    assert tree("fill -n base.vhd -f 0")[0] == 22


def test_fields_that_are_none(tree):
    assert tree("set -n leaf.vhd -f size -v 1") == (22, ["invalid field size"])
    assert tree("set -n leaf.vhd -f hidden -v 256") == (22, ["invalid value 256"])


def test_the_footer_of_a_hidden_disk(tree):
    data = Path("base.vhd").read_bytes()
    assert data[85] == data[-512 + 85] == 1
    assert struct.unpack(">I", data[-512 + 60 : -512 + 64]) == (3,)
