from threading import Event

import pytest

from xapi.actions.apart import Apart
from xapi.datamodel.failure import Failure
from xapi.dispatch.context import Context
from xapi.dispatch.implement import IMPLEMENTATIONS, Implementation
from xapi.dispatch.perform import run_message
from xapi.dispatch.tasks import TaskInHand


@pytest.fixture
def ctx(client, toolstack):
    session = toolstack.sessions.get(client.session)
    return Context(toolstack, session, TaskInHand(toolstack.tasks, "test", session.ref))


def test_a_message_called_from_another_has_its_checks(ctx, client, toolstack):
    run_message(ctx, "host.disable", toolstack.this_host, True)
    assert client.host.get_enabled(toolstack.this_host) is False
    with pytest.raises(Failure, match="HANDLE_INVALID"):
        run_message(ctx, "host.disable", "OpaqueRef:dead", True)


def test_what_is_done_apart_tells_how_it_ended(ctx, client, toolstack):
    assert Apart(ctx, "host.disable", toolstack.this_host, True).failure() is None
    failure = Apart(ctx, "host.reboot", "OpaqueRef:dead").failure()
    assert failure.description == ["HANDLE_INVALID", "host", "OpaqueRef:dead"]
    assert client.task.get_all() == []


def test_a_cancellation_is_handed_on(ctx, monkeypatch):
    began = Event()

    def patient(inner):
        began.set()
        while True:
            inner.task.pause(60)
            inner.task.check()

    monkeypatch.setitem(IMPLEMENTATIONS, "host.list_methods", Implementation(patient))
    one = Apart(ctx, "host.list_methods")
    assert began.wait(60)
    ctx.task.cancel()
    assert one.failure().code == "TASK_CANCELLED"


def test_a_mistake_of_ours_is_told_as_one(ctx, monkeypatch, caplog):
    monkeypatch.setitem(IMPLEMENTATIONS, "host.list_methods", Implementation(lambda inner: 1 // 0))
    assert Apart(ctx, "host.list_methods").failure().code == "INTERNAL_ERROR"
    assert "ZeroDivisionError" in caplog.text
