import base64
import io
import tarfile

import pytest

from tests.actions.refusal import refused


def bundle(*names, content=b"certificate"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return base64.b64encode(buffer.getvalue()).decode()


def test_readiness_follows_what_is_there(client, pool):
    readiness = client.pool.get_guest_secureboot_readiness
    assert readiness(pool) == "not_ready"
    client.pool.set_custom_uefi_certificates(pool, bundle("PK.auth", "certs/KEK.auth", "db.auth"))
    assert readiness(pool) == "ready_no_dbx"
    full = bundle("PK.auth", "KEK.auth", "db.auth", "dbx.auth")
    client.pool.set_custom_uefi_certificates(pool, full)
    assert readiness(pool) == "ready"
    assert client.pool.get_custom_uefi_certificates(pool) == full
    client.pool.set_custom_uefi_certificates(pool, "")
    assert readiness(pool) == "not_ready"


def link():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("db.auth")
        member.type = tarfile.SYMTYPE
        member.linkname = "/etc/passwd"
        archive.addfile(member)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    "value", ["?", "eA==", bundle("../../etc/passwd"), link()], ids=["text", "no tar", "up", "link"]
)
def test_other_content_is_refused(client, pool, value):
    assert refused(client.pool.set_custom_uefi_certificates, pool, value)[:2] == ("INVALID_VALUE", "value")
    assert client.pool.get_custom_uefi_certificates(pool) == ""
    assert client.pool.get_guest_secureboot_readiness(pool) == "not_ready"


def test_the_built_in_ones_stay(client, pool):
    assert refused(client.pool.set_uefi_certificates, pool, "x")[0] == "OPERATION_NOT_ALLOWED"


def test_what_was_lost_on_disk_is_written_again(house, client, toolstack, pool):
    client.pool.set_custom_uefi_certificates(pool, bundle("PK.auth", "KEK.auth", "db.auth"))
    for path in (toolstack.state / "varstore").iterdir():
        path.unlink()
    assert client.pool.get_guest_secureboot_readiness(pool) == "not_ready"
    house.caller(superuser=True, pool=True).host.write_uefi_certificates_to_disk(toolstack.this_host)
    assert client.pool.get_guest_secureboot_readiness(pool) == "ready_no_dbx"
