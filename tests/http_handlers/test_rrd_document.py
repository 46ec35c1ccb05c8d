from __future__ import annotations

import random
import re

import pytest

from tests.monitoring.filled import filled
from xapi.http_handlers.rrd_document import read_rrd
from xapi.monitoring import dump

GOOD = b"".join(dump.as_xml(filled(20, extremes=False)))


def changed(old: str, new: str, count: int = 1) -> bytes:
    assert old in GOOD.decode()
    return GOOD.decode().replace(old, new, count).encode()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"nothing",
        b"<rrd/>",
        changed("<rrd>", '<!DOCTYPE rrd [<!ENTITY x "y">]><rrd>'),
        changed("0003", "0001"),
        changed("<step>5<", "<step>300<"),
        changed("GAUGE", "COMPUTE"),
        changed("<name>odd<", "<name>o d<"),
        changed("<name>odd<", "<name>" + "x" * 129 + "<"),
        changed("<name>odd</name>", ""),
        changed("<v>NaN</v>", ""),
        changed("<v>NaN</v>", "<v>much</v>"),
        changed("<v>NaN</v>", f"<v>{'1' * 65}</v>"),
        changed("<unknown_datapoints>0<", "<unknown_datapoints>none<"),
        re.sub(rb"<lastupdate>\d+", b"<lastupdate>1e99", GOOD),
        re.sub(rb"<lastupdate>\d+", b"<lastupdate>nan", GOOD),
        re.sub(rb"<cdp_prep>.*?</cdp_prep>", b"<cdp_prep/>", GOOD),
        GOOD[: len(GOOD) // 2],
    ],
)
def test_what_is_no_archive_is_refused(document: bytes) -> None:
    with pytest.raises((ValueError, OverflowError)):
        read_rrd(document)


def test_a_source_that_comes_twice_counts_once() -> None:
    archive = read_rrd(changed("<name>odd<", "<name>cpu0<"))
    assert archive.names == ("cpu0", "memory_internal_free")
    assert list(archive.finest.row(0)) == pytest.approx(list(filled(20).finest.row(0))[:2])


def test_tables_that_are_not_kept_here_are_passed_over() -> None:
    document = changed("<pdp_per_row>1<", "<pdp_per_row>3<").decode().replace("<cf>AVERAGE", "<cf>LAST", 2).encode()
    archive = read_rrd(document)
    assert archive.finest.count == 0
    archive.update(archive.last_update + 5, [1.0, 2.0, 3.0])


def test_the_originals_own_dialect_is_read() -> None:
    document = (
        GOOD.decode()
        .replace("<min>NaN<", "<min>-Infinity<")
        .replace("<max>NaN<", "<max>Infinity<")
        .replace("<minimal_heartbeat>300<", "<minimal_heartbeat>300.0000<")
        .replace("<primary_value>NaN<", "<primary_value>0.0<")
    )
    assert read_rrd(document.encode()).names == filled(1).names


def test_damage_never_breaks_the_reader() -> None:
    chance = random.Random(7)
    for _ in range(150):
        damaged = bytearray(GOOD)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(3000)] = chance.choice(b"<>/0-9ae\0")
        try:
            archive = read_rrd(bytes(damaged))
        except (ValueError, OverflowError):
            continue
        archive.update(archive.last_update + 7.0, [1.0] * len(archive.sources))
