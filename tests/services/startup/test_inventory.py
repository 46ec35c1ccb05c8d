import subprocess

import pytest

from tests.services.startup.installations import Home
from xapi.services.startup.inventory import DamagedInventory, Installation, identify, keep_inventory, read_inventory


def test_an_installation_keeps_its_uuids(tmp_path):
    first = identify(tmp_path)
    assert first.uuid != first.control_domain
    assert identify(tmp_path) == first


def test_two_installations_differ(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert identify(tmp_path / "a") != identify(tmp_path / "b")


def test_uuids_that_somebody_wrote_down_are_taken(tmp_path):
    host, domain = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"
    (tmp_path / "inventory").write_text(f"# mine\nINSTALLATION_UUID='{host}'\nCONTROL_DOMAIN_UUID={domain}\n\n")
    assert identify(tmp_path) == Installation(host, domain)


@pytest.mark.parametrize(
    "content", ["INSTALLATION_UUID='not one'\n", "nonsense\n", "KEY='open\n", b"KEY='\xff'\n", "CONTROL_DOMAIN_UUID=\n"]
)
def test_a_damaged_inventory_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "inventory"
    untouched = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(untouched)
    with pytest.raises(DamagedInventory):
        identify(tmp_path)
    assert path.read_bytes() == untouched


def test_what_is_kept_is_read_again(tmp_path):
    values = {"A": "it's", "B": "", "C_1": "two words"}
    keep_inventory(tmp_path / "file", values)
    assert read_inventory(tmp_path / "file") == values


def test_an_inventory_that_says_so_already_is_left_alone(tmp_path):
    path = tmp_path / "file"
    keep_inventory(path, {"A": "b"})
    before = path.stat().st_ino
    keep_inventory(path, {"A": "b"})
    assert path.stat().st_ino == before
    keep_inventory(path, {"A": "c"})
    assert path.stat().st_ino != before


def test_a_start_writes_the_inventory_and_a_copy_that_a_shell_can_read(home: Home, tmp_path):
    home.change(inventory=tmp_path / "copy")
    started = home.start()
    values = read_inventory(tmp_path / "copy")
    assert values == read_inventory(home.state / "inventory")
    assert values["INSTALLATION_UUID"] == started.installation.uuid
    assert values["CONTROL_DOMAIN_UUID"] == started.installation.control_domain
    assert values["MANAGEMENT_INTERFACE"] == "xenbr0"
    assert {"PRODUCT_BRAND", "PRODUCT_NAME", "PRODUCT_VERSION", "PLATFORM_VERSION", "BUILD_NUMBER"} <= set(values)
    script = '. "$1"; printf %s "$PRODUCT_VERSION"'
    printed = subprocess.run(["sh", "-c", script, "sh", tmp_path / "copy"], capture_output=True, check=True, text=True)
    assert printed.stdout == values["PRODUCT_VERSION"]
