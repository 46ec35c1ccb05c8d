"""One real server for the tests of what goes over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.served import Served


@pytest.fixture(scope="package")
def running() -> Iterator[Served]:
    """A server with TLS, HTTP and a Unix socket."""
    served = Served()
    yield served
    served.close()


@pytest.fixture
def session(running: Served) -> Iterator[Any]:
    """The PyPI client, logged in as the superuser over the Unix socket."""
    session = running.logged_in()
    yield session
    if session.handle is not None:
        session.xenapi.session.logout()
    running.close_clients()
