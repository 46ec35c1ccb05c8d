"""curl, wget and rrdtool as administrators use them; the first runs every example of the manual."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fakes.eventually import eventually
from tests.fakes.guests import vm_record
from tests.fakes.served import ServerProcess
from tests.http_handlers.clients.guest import Guest
from tests.http_handlers.clients.pictures import read_png

MANUAL = Path(__file__).resolve().parents[3] / "docs" / "http-doors.md"
MEBIBYTE = 1 << 20
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs the Debian package curl")
needs_wget = pytest.mark.skipif(shutil.which("wget") is None, reason="needs the Debian package wget")
needs_rrdtool = pytest.mark.skipif(shutil.which("rrdtool") is None, reason="needs the Debian package rrdtool")


def run(*command: str, directory: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr)
    return done.stdout


def examples(section: str) -> str:
    """The lines of commands below a heading of the manual."""
    part = MANUAL.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in part.splitlines() if line.startswith("    ")]
    assert lines, section
    return "\n".join(lines)


def play(guest: Guest, directory: Path, section: str, **names: str) -> str:
    script = f'set -eu\ncurl() {{ command curl --silent --show-error --fail "$@"; }}\n{examples(section)}\n'
    return run("bash", "-c", script, directory=directory, H=guest.url, **names)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def disk(guest: Guest) -> Iterator[str]:
    """The UUID of a disk of 4 MiB on the default SR."""
    api = guest.api
    sr = api.pool.get_default_SR(api.pool.get_all()[0])
    made = api.VDI.create({"SR": sr, "name_label": "a disk", "virtual_size": str(4 * MEBIBYTE), "type": "user"})
    yield api.VDI.get_uuid(made)
    api.VDI.destroy(made)


# The manual


@needs_curl
def test_the_manuals_commands_for_vms_and_disks(guest: Guest, disk: str, tmp_path: Path) -> None:
    api = guest.api
    vm = api.VM.create(vm_record(name_label="exported"))
    sr = api.SR.get_uuid(api.VDI.get_SR(api.VDI.get_by_uuid(disk)))
    (tmp_path / "raw").write_bytes(os.urandom(4 * MEBIBYTE))
    run("curl", "-sSf", "-T", "raw", f"{guest.url}/import_raw_vdi?vdi={disk}&format=raw", directory=tmp_path)
    before = set(api.VM.get_all())
    play(guest, tmp_path, "VMs and disks", VM=api.VM.get_uuid(vm), SR=sr, VDI=disk)
    (imported,) = set(api.VM.get_all()) - before
    assert api.VM.get_name_label(imported) == "exported"
    assert (tmp_path / "first-sector").read_bytes() == (tmp_path / "raw").read_bytes()[:512]
    run("curl", "-sSf", f"{guest.url}/export_raw_vdi?vdi={disk}&format=raw", "-o", "back", directory=tmp_path)
    assert sha256(tmp_path / "back") == sha256(tmp_path / "raw")
    api.VM.destroy(imported)
    api.VM.destroy(vm)


@needs_curl
def test_the_manuals_commands_for_consoles(guest: Guest, tmp_path: Path) -> None:
    play(guest, tmp_path, "Consoles", VM=guest.uuid)
    picture = read_png((tmp_path / "screen").read_bytes())
    assert (picture.width, picture.height) == (800, 592)
    assert picture.lines_that_say("a-guest-for-clients# ")


@needs_curl
@needs_rrdtool
def test_the_manuals_commands_for_performance_data(guest: Guest, tmp_path: Path) -> None:
    play(guest, tmp_path, "Performance data")
    assert run("rrdtool", "info", "host.rrd", directory=tmp_path).count(".type = ") > 10


@needs_curl
def test_the_manuals_commands_for_the_host_and_the_pool(guest: Guest, tmp_path: Path) -> None:
    blob = guest.api.VM.create_new_blob(guest.ref, "note", "text/x-note", False)
    (tmp_path / "note.txt").write_text("remember the milk")
    told = play(guest, tmp_path, "The host and the pool", BLOB=guest.api.blob.get_uuid(blob))
    assert told.endswith("remember the milk")
    head = run("curl", "-sSf", "-D", "-", "-o", "back", f"{guest.url}/blob?ref={blob}", directory=tmp_path)
    assert "content-type: text/x-note\n" in head.lower() and guest.api.blob.get_size(blob) == "17"
    assert guest.uuid in (tmp_path / "database.xml").read_text()
    for name in ("backup.tar", "status.tar.gz", "logs.tar.gz"):
        with tarfile.open(tmp_path / name) as archive:
            assert archive.getnames(), name


# wget


@needs_wget
def test_wget_answers_a_challenge_and_saves_a_disk(guest: Guest, disk: str, tmp_path: Path) -> None:
    """wget asks without a name first, and gives it when a realm asks for it."""
    host, port = guest.served.http
    who = ("--quiet", "--tries=1", "--user=root", f"--password={guest.served.password}")
    url = f"http://{host}:{port}/export_raw_vdi?vdi={disk}&format=raw"
    run("wget", *who, url, "-O", "disk", directory=tmp_path)
    assert (tmp_path / "disk").stat().st_size == 4 * MEBIBYTE
    text = run("wget", *who, f"http://{host}:{port}/audit_log", "-O", "-", directory=tmp_path)
    assert "http/get_export_raw_vdi by root" in text


@needs_wget
def test_wget_over_tls_with_a_cookie_goes_on_where_it_stopped(guest: Guest, disk: str, tmp_path: Path) -> None:
    host, port = guest.served.https
    (tmp_path / "raw").write_bytes(os.urandom(4 * MEBIBYTE))
    run("curl", "-sSf", "-T", "raw", f"{guest.url}/import_raw_vdi?vdi={disk}&format=raw", directory=tmp_path)
    (tmp_path / "half").write_bytes((tmp_path / "raw").read_bytes()[: 2 * MEBIBYTE])
    cookie = f"--header=Cookie: session_id={guest.session}"
    url = f"https://{host}:{port}/export_raw_vdi?vdi={disk}&format=raw"
    run("wget", "-q", "--tries=1", "-c", "--no-check-certificate", cookie, url, "-O", "half", directory=tmp_path)
    assert sha256(tmp_path / "half") == sha256(tmp_path / "raw")


@needs_wget
def test_wget_says_why_it_was_turned_away(guest: Guest, tmp_path: Path) -> None:
    host, port = guest.served.http
    for credentials, path, status in (
        ((), "/host_rrd", 6),  # authentication failed
        (("--user=root", "--password=wrong"), "/host_rrd", 6),
        (("--user=root", f"--password={guest.served.password}"), "/vm_rrd?uuid=nobody", 8),  # the server's error
    ):
        command = ["wget", "-q", "--tries=1", *credentials, f"http://{host}:{port}{path}", "-O", "-"]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60).returncode == status


# rrdtool


@pytest.mark.slow
@needs_curl
@needs_rrdtool
def test_rrdtool_restores_fetches_and_draws_what_was_measured_of_a_vm(guest: Guest, tmp_path: Path) -> None:
    def legend() -> str:
        return run("curl", "-sSf", f"{guest.url}/rrd_updates?start=-60", directory=tmp_path)

    def document() -> ElementTree.Element:
        run("curl", "-sSf", f"{guest.url}/vm_rrd?uuid={guest.uuid}&names=short", "-o", "vm.xml", directory=tmp_path)
        return ElementTree.parse(tmp_path / "vm.xml").getroot()

    def newest(root: ElementTree.Element) -> str:
        names = [one.findtext("name") for one in root.findall("ds")]
        rows = [row.findall("v") for row in root.find("rra").iter("row")]  # type: ignore[union-attr]
        return (rows[-1][names.index("memory")].text or "") if rows else "NaN"

    eventually(legend, lambda text: guest.uuid in text)
    root = eventually(document, lambda found: newest(found) != "NaN")
    run("rrdtool", "restore", "vm.xml", "vm.rrd", directory=tmp_path)
    last = int(run("rrdtool", "last", "vm.rrd", directory=tmp_path))
    assert last == int(float(root.findtext("lastupdate") or 0))
    fetched = run(
        "rrdtool", "fetch", "vm.rrd", "AVERAGE", "-r", "5", "-s", str(last - 60), "-e", str(last), directory=tmp_path
    )
    names = fetched.splitlines()[0].split()
    rows = [line.split(":")[1].split() for line in fetched.splitlines()[2:]]
    known = {float(row[names.index("memory")]) for row in rows if "nan" not in row[names.index("memory")]}
    assert known == {128.0 * MEBIBYTE}
    draw = f"--start {last - 60} --end {last} DEF:m=vm.rrd:memory:AVERAGE LINE1:m#0000ff".split()
    run("rrdtool", "graph", "vm.png", *draw, directory=tmp_path)
    assert (tmp_path / "vm.png").read_bytes().startswith(b"\x89PNG")


# curl


@needs_curl
def test_curl_sees_progress_and_the_error_of_its_task(guest: Guest, tmp_path: Path) -> None:
    api = guest.api
    task = api.task.create("a transfer", "")
    (tmp_path / "nonsense").write_bytes(zlib.compress(b"x" * 1000))
    command = ["curl", "-sS", "-o", "why", "-w", "%{http_code}", "-T", "nonsense"]
    assert run(*command, f"{guest.url}/import?task_id={task}", directory=tmp_path) != "200"
    assert api.task.get_status(task) == "failure"
    code = api.task.get_error_info(task)[0]
    assert code in (tmp_path / "why").read_text()


@pytest.mark.slow
@needs_curl
def test_curl_reads_updates_in_json_and_xml(guest: Guest, tmp_path: Path) -> None:
    def legend() -> list[str]:
        text = run("curl", "-sSf", f"{guest.url}/rrd_updates?start=-60&host=true&json=true", directory=tmp_path)
        return list(json.loads(text)["meta"]["legend"])

    found = eventually(legend, lambda names: f"AVERAGE:vm:{guest.uuid}:memory" in names)
    assert f"AVERAGE:vm:{guest.uuid}:cpu0" in found
    text = run("curl", "-sSf", "--compressed", f"{guest.url}/rrd_updates?start=-60", directory=tmp_path)
    assert ElementTree.fromstring(text).tag == "xport"


@needs_curl
def test_the_first_page_says_what_this_is(served: ServerProcess, guest: Guest, tmp_path: Path) -> None:
    host, port = served.https
    page = run("curl", "-sSfk", f"https://{host}:{port}/", directory=tmp_path)
    handed = run("sh", "-c", f"openssl s_client -connect {host}:{port} </dev/null 2>/dev/null", directory=tmp_path)
    (tmp_path / "pem").write_text(
        handed[handed.index("-----BEGIN") : handed.index("-----END")] + "-----END CERTIFICATE-----\n"
    )
    told = run("openssl", "x509", "-in", "pem", "-noout", "-fingerprint", "-sha256", directory=tmp_path)
    assert told.partition("=")[2].strip() in page
    assert re.search(r"xapi \d+\.\d+", page)
    assert 'href="' in page
