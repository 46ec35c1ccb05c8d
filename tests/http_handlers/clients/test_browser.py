"""Chromium with noVNC on a page of another server, as Xen Orchestra and XO Lite have it."""

from __future__ import annotations

import pytest

from tests.fakes.eventually import eventually
from tests.http_handlers.clients.browser import CHROMIUM, NOVNC, Browser, chromium, page
from tests.http_handlers.clients.guest import Guest
from tests.http_handlers.clients.pictures import Picture, differing, read_png

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: the Debian package chromium"),
    pytest.mark.skipif(not (NOVNC / "core" / "rfb.js").exists(), reason="needs noVNC: the Debian package novnc"),
]


def on_the_canvas(browser: Browser) -> Picture:
    return read_png(browser.picture("#screen canvas"))


@pytest.mark.parametrize(("scheme", "protocols"), [("ws", ["binary"]), ("wss", ["binary"]), ("ws", [])])
def test_a_person_sees_the_guest_in_a_browser_and_types(guest: Guest, scheme: str, protocols: list[str]) -> None:
    address = guest.served.http if scheme == "ws" else guest.served.https
    url = f"{scheme}://{address[0]}:{address[1]}/console?uuid={guest.uuid}&session_id={guest.session}"
    with page() as start, chromium() as browser:
        browser.open(start)
        browser.run(f"window.connect({url!r}, {protocols!r})")
        browser.wait("window.events.some((event) => event[0] === 'connect')")
        assert browser.run("window.events.find((event) => event[0] === 'desktopname')[1].name") == "a guest for clients"
        browser.wait("document.querySelector('#screen canvas').width === 800")

        before = eventually(lambda: on_the_canvas(browser), lambda shown: bool(shown.lines_that_say("a-guest-for")))
        picture = read_png(guest.snapshot())
        assert (before.width, before.height) == (picture.width, picture.height) == (800, 592)
        assert differing(before.below_the_clock(), picture.below_the_clock()) == 0
        assert before.lines_that_say("seen in a browser") == []

        browser.run("window.rfb.focus()")
        browser.type("echo seen in a browser\n")
        after = eventually(
            lambda: on_the_canvas(browser), lambda shown: bool(shown.lines_that_say("seen in a browser"))
        )
        picture = read_png(guest.snapshot())
        assert after.lines_that_say("seen in a browser") == picture.lines_that_say("seen in a browser") != []
        assert differing(after.below_the_clock(), picture.below_the_clock()) == 0
        assert differing(before.below_the_clock(), after.below_the_clock()) > 1000
        browser.run("window.rfb.disconnect()")
        browser.wait("window.events.some((event) => event[0] === 'disconnect' && event[1].clean)")


def test_a_browser_without_a_session_is_turned_away(guest: Guest) -> None:
    url = f"ws://{guest.served.http[0]}:{guest.served.http[1]}/console?uuid={guest.uuid}"
    with page() as start, chromium() as browser:
        browser.open(start)
        for query in ("", "&session_id=OpaqueRef:dead"):
            browser.run(f"window.connect({url + query!r}, ['binary'])")
            browser.wait("window.events.some((event) => event[0] === 'disconnect')")
            assert "connect" not in browser.run("window.events.map((event) => event[0])")
