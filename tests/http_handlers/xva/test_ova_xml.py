from __future__ import annotations

import xmlrpc.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.http_handlers.xva import ova_xml
from xapi.http_handlers.xva.errors import BadArchive

TEXT = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff\x7f"), max_size=20
)


def record(**members: str) -> bytes:
    inner = "".join(f"<member><name>{n}</name><value>{v}</value></member>" for n, v in members.items())
    return f"<value><struct>{inner}</struct></value>".encode()


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), TEXT, max_size=4), TEXT)
def test_there_and_back(version, label):
    data = ova_xml.render(version, [(label, "Ref:0", record(a="1"))])
    found = ova_xml.parse(data)
    assert found.version == version
    assert found.objects == (ova_xml.ExportedObject(label, "Ref:0", {"a": "1"}),)
    assert ova_xml.parse(b'<?xml version="1.0"?>\n' + data) == found


def test_the_standard_library_reads_it():
    data = ova_xml.render({"xapi_major": 1}, [("VM", "Ref:0", record(name_label="x"))])
    document = b"<methodResponse><params><param>%b</param></params></methodResponse>" % data
    ((root,), _) = xmlrpc.client.loads(document)
    assert root == {
        "version": {"xapi_major": "1"},
        "objects": [{"class": "VM", "id": "Ref:0", "snapshot": {"name_label": "x"}}],
    }


def test_old_descriptions_have_typed_integers():
    data = b"<value><struct><member><name>version</name><value><struct><member><name>export_vsn</name><value><int>2</int></value></member></struct></value></member><member><name>objects</name><value><array><data/></array></value></member></struct></value>"  # noqa: E501
    found = ova_xml.parse(data)
    assert found.number("export_vsn") == 2 and found.number("absent", 7) == 7 and not found.newer


@pytest.mark.parametrize("version", [{"xapi_major": 27, "xapi_minor": 0}, {"xapi_major": 1, "export_vsn": 3}])
def test_a_newer_release(version):
    assert ova_xml.parse(ova_xml.render(version, [])).newer


@pytest.mark.parametrize("release", [(1, 3), (1, 9), (1, 20), (1, 249), (23, 31), (24, 39), (26, 99)])
def test_releases_whose_archives_are_about(release):
    major, minor = release
    version = {"xapi_major": major, "xapi_minor": minor, "export_vsn": 2}
    assert not ova_xml.parse(ova_xml.render(version, [])).newer


@given(st.binary(max_size=300))
def test_any_bytes_are_a_description_or_refused(data):
    with pytest.raises(BadArchive):
        ova_xml.parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b"<value>x</value>",
        b"<value><struct></struct></value>",
        b"<value><struct>" * 5000,
        b'<!DOCTYPE a [<!ENTITY a "b">]><value>&a;</value>',
        b"<value>" + b"x" * (ova_xml.LONGEST + 2000) + b"</value>",
        ova_xml.render({}, [("VM", "a/b", record())]),
        ova_xml.render({}, [("VM", "..", record())]),
        ova_xml.render({}, [("VM", "", record())]),
        ova_xml.render({}, [("VM", "a", b"<value>x</value>")]),
        ova_xml.render({}, [("VM", "a", record()), ("VBD", "a", record())]),
    ],
)
def test_what_is_no_description(data):
    with pytest.raises(BadArchive):
        ova_xml.parse(data)
