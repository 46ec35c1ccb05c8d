import pytest

from tests.actions import standing_house
from xapi.actions.blob import content_path, open_for_read, store_atomically
from xapi.datamodel.classes import Blob
from xapi.datamodel.failure import Failure

house, clock, standing = standing_house.house, standing_house.clock, standing_house.standing


def owners(client, toolstack):
    return {
        "host": toolstack.this_host,
        "pool": client.pool.get_all()[0],
        "VM": client.VM.get_all()[0],
        "network": client.network.get_all()[0],
    }


@pytest.mark.parametrize("kind", ["host", "pool", "VM", "network"])
def test_a_blob_is_attached_to_its_object_under_its_name(client, toolstack, kind):
    owner = owners(client, toolstack)[kind]
    ref = client(f"{kind}.create_new_blob", owner, "icon", "image/png", True)
    assert client(f"{kind}.get_blobs", owner) == {"icon": ref}
    record = client.blob.get_record(ref)
    assert (record["mime_type"], record["public"], record["size"]) == ("image/png", True, "0")
    with pytest.raises(Failure) as refused:
        client(f"{kind}.create_new_blob", owner, "icon", "text/plain")
    assert (refused.value.code, refused.value.params) == ("MAP_DUPLICATE_KEY", (kind, "blobs", owner, "icon"))
    assert client.blob.get_all() == [ref]
    client.blob.destroy(ref)
    assert client(f"{kind}.get_blobs", owner) == {}


def test_data_are_stored_as_a_whole_and_go_with_the_blob(client, toolstack, clock):
    ref = client.blob.create("", False)
    assert client.blob.get_mime_type(ref) == "application/octet-stream"
    assert open_for_read(toolstack, ref) is None
    clock.advance(10)
    store_atomically(toolstack, ref, b"first")
    store_atomically(toolstack, ref, b"second one")
    assert (client.blob.get_size(ref), client.blob.get_last_updated(ref)) == ("10", clock.now())
    path = content_path(toolstack, toolstack.db.get(Blob, ref))
    with open_for_read(toolstack, ref) as data:
        client.blob.destroy(ref)
        assert data.read() == b"second one"
    assert not path.exists()
    with pytest.raises(Failure, match="HANDLE_INVALID"):
        store_atomically(toolstack, ref, b"too late")
    with pytest.raises(Failure, match="HANDLE_INVALID"):
        open_for_read(toolstack, ref)
