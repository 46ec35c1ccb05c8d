from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xapi.rpc.perfmon import LONGEST, read_alarms

DOCUMENT = """<config>
  <variable><!-- why not -->
     <name value="cpu_usage"/>
     <alarm_trigger_level value="0.5"/>
     <name value="second"/>
  </variable>
  <variable><name value="network_usage"/></variable>
</config>"""


def test_variables_have_their_values_and_a_text_to_show() -> None:
    first, second = read_alarms(DOCUMENT)
    assert first.values == {"name": "cpu_usage", "alarm_trigger_level": "0.5"}
    assert second.text == '<variable>\n\t<name value="network_usage"/>\n</variable>\n'


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<config>",
        '<!DOCTYPE config [<!ENTITY a "aa">]><config>&a;</config>',
        '<!DOCTYPE config SYSTEM "file:///etc/passwd"><config/>',
        "<config>" + " " * LONGEST + "</config>",
        "<config>" + "<variable/>" * 65 + "</config>",
        "<config>\0</config>",
    ],
)
def test_documents_that_are_wrong_or_wicked_are_refused(document: str) -> None:
    with pytest.raises(ValueError, match=r"document|variables"):
        read_alarms(document)


@given(st.text(alphabet="<>/&;\"'! a=config\n\0variable", max_size=80))
def test_any_text_is_read_or_refused(document: str) -> None:
    try:
        read_alarms(document)
    except ValueError:
        return
