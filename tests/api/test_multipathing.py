from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def host(session: Any) -> Iterator[str]:
    """The host, whose notes are afterwards as they were."""
    (found,) = session.xenapi.host.get_all()
    notes, setting = session.xenapi.host.get_other_config(found), session.xenapi.host.get_multipathing(found)
    yield found
    session.xenapi.host.set_multipathing(found, setting)
    session.xenapi.host.set_other_config(found, notes)


def test_the_field_and_the_note_say_the_same(session: Any, host: str) -> None:
    for value in (True, False):
        session.xenapi.host.set_multipathing(host, value)
        record = session.xenapi.host.get_record(host)
        assert record["multipathing"] is value
        assert record["other_config"]["multipathing"] == str(value).lower()


def test_clients_that_write_the_note_set_the_field(session: Any, host: str) -> None:
    call = session.xenapi.host
    token = session.xenapi.event_from(["host"], "", 0.0)["token"]
    for key, value in (("multipathing", "true"), ("multipathhandle", "dmp")):
        call.remove_from_other_config(host, key)
        call.add_to_other_config(host, key, value)
    assert call.get_multipathing(host) is True
    (event,) = session.xenapi.event_from(["host"], token, 5.0)["events"]
    assert event["snapshot"]["multipathing"] is True
    call.remove_from_other_config(host, "multipathing")
    assert call.get_multipathing(host) is True
    call.set_other_config(host, {**call.get_other_config(host), "multipathing": "perhaps"})
    assert call.get_multipathing(host) is True
    call.set_other_config(host, {"multipathing": "false", "iscsi_iqn": "iqn.2026-11.org.example:host"})
    assert call.get_multipathing(host) is False
    assert call.get_iscsi_iqn(host) == "iqn.2026-11.org.example:host"


def test_the_types_that_can_have_several_paths_say_so(session: Any) -> None:
    drivers = session.xenapi.SM.get_all_records().values()
    capable = {driver["type"] for driver in drivers if "SR_MULTIPATH" in driver["capabilities"]}
    assert capable == {"lvmoiscsi", "lvmohba"}
    told = {driver["type"] for driver in drivers if "multipathing" in driver["configuration"]}
    assert told == capable
