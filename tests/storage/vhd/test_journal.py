import struct

import pytest

from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.errors import CorruptFooter, JournalError, JournalPending
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.journal import Journal, revert

from .disks import Store

BLOCK = 4096


@pytest.fixture
def begun():
    """A disk of which the metadata was saved, and a block's bitmap and data overwritten."""
    store = Store()
    vhd = create_dynamic(store.create("/sr/disk"), 16 * BLOCK, block_size=BLOCK)
    vhd.write(0, b"a" * BLOCK)
    vhd.flush()
    store.before = bytes(vhd.file.data)
    place = vhd.table[0] * 512
    Journal(store.create("/sr/journal"), vhd).begin([(place, 512 + BLOCK)])
    vhd.file.pwrite(b"z" * (512 + BLOCK), place)
    return store


def undo(store):
    return revert(store.open("/sr/disk"), store.open("/sr/journal"))


def test_the_journal_is_laid_out_as_blktap_has_it(begun):
    data = begun.files["/sr/journal"]
    vhd = Vhd.open(begun.open("/sr/disk"), allow_disabled=True)
    cookie, unique_id, footer, blocks, metadata, data_offset, metadata_offset = struct.unpack_from(">8s16sQIIQQ", data)
    assert cookie == b"vjournal"
    assert unique_id == vhd.footer.unique_id.bytes
    assert footer == len(begun.before) - 512
    assert (blocks, metadata, metadata_offset) == (1, 6, 512)
    assert struct.unpack_from("<Q", data, 56) == (len(data),)
    place, kinds = 512, []
    for _ in range(7):
        mark, kind, size, offset, total = struct.unpack_from(">QIIQI", data, place)
        assert mark == 0xAAAA12344321AAAA
        entry, saved = data[place : place + 24], data[place + 32 : place + 32 + size]
        assert total == ~(sum(entry) + sum(saved)) & 0xFFFFFFFF
        assert saved == begun.before[offset : offset + size]
        kinds.append(kind)
        if len(kinds) == 7:
            assert place == data_offset
        place += 32 + size
    assert kinds == [1, 2, 3, 5, 6, 7, 8]
    assert place == len(data)


def test_revert_brings_everything_back(begun):
    with pytest.raises(JournalPending):
        Vhd.open(begun.open("/sr/disk"))
    assert undo(begun)
    assert begun.files["/sr/disk"] == begun.before
    assert not undo(begun)


def test_a_disk_that_was_used_since_is_not_reverted(begun):
    assert undo(begun)
    vhd = Vhd.open(begun.open("/sr/disk"), writable=True)
    vhd.write(8 * BLOCK, b"new" + bytes(BLOCK - 3))
    with pytest.raises(JournalError):
        undo(begun)


@pytest.mark.parametrize("at", [0, 3, 30, 520, 600, -1])
def test_a_damaged_journal_changes_nothing(begun, at):
    begun.files["/sr/journal"][at] ^= 0xFF
    disk = bytes(begun.files["/sr/disk"])
    if at == 30:  # where the footer goes: the entries say it too
        begun.files["/sr/journal"][30] ^= 0xFF
        begun.files["/sr/journal"][36] = 0xFF
    with pytest.raises(JournalError):
        undo(begun)
    assert begun.files["/sr/disk"] == disk


@pytest.mark.parametrize("keep", [0, 100, 511, 512, 600, 2000])
def test_a_journal_cut_short_changes_nothing(begun, keep):
    del begun.files["/sr/journal"][keep:]
    disk = bytes(begun.files["/sr/disk"])
    with pytest.raises(JournalError):
        undo(begun)
    assert begun.files["/sr/disk"] == disk


def test_a_strangers_journal_is_refused(begun):
    create_dynamic(begun.create("/sr/disk"), 16 * BLOCK, block_size=BLOCK)
    with pytest.raises(JournalError):
        undo(begun)


def test_an_entry_that_claims_gigabytes_is_refused(begun):
    struct.pack_into(">I", begun.files["/sr/journal"], 512 + 12, 0xFFFFFE00)
    with pytest.raises(JournalError):
        undo(begun)


def test_a_file_without_its_last_footer_is_not_journalled():
    store = Store()
    vhd = create_dynamic(store.create("/sr/disk"), 16 * BLOCK, block_size=BLOCK)
    vhd.file.pwrite(bytes(512), vhd.data_end)
    again = Vhd.open(vhd.file, writable=True)
    with pytest.raises(CorruptFooter):
        Journal(store.create("/sr/journal"), again).begin()
    Vhd.open(vhd.file)
