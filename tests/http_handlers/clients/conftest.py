"""A real server with a running guest, for clients that other people wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.eventually import eventually
from tests.fakes.guests import vm_record
from tests.fakes.served import ServerProcess, new_state
from tests.http_handlers.clients.guest import Guest
from tests.http_handlers.clients.pictures import read_png

NAME = "a guest for clients"


@pytest.fixture(scope="package")
def served() -> Iterator[ServerProcess]:
    state = new_state()
    opened = ServerProcess("--log-file", str(state / "xapi.log"), state=state)
    yield opened
    opened.close()


@pytest.fixture
def guest(served: ServerProcess) -> Iterator[Guest]:
    """A guest whose system is up, as its screen shows."""
    session = served.logged_in()
    api = session.xenapi
    ref = api.VM.create(vm_record(name_label=NAME))
    api.VM.start(ref, False, False)
    found = Guest(served, ref, api.VM.get_uuid(ref), session.handle, api)
    prompt = "a-guest-for-clients# "
    eventually(lambda: read_png(found.snapshot()), lambda picture: bool(picture.lines_that_say(prompt)))
    yield found
    api.VM.hard_shutdown(ref)
    api.VM.destroy(ref)
    api.session.logout()
    served.close_clients()
