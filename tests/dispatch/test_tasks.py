"""Tasks: what a client learns of a call that takes time, and how it is stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes.house import Caller
from xapi.datamodel.classes.task import TaskStatusType
from xapi.datamodel.errors import TASK_CANCELLED, VM_BAD_POWER_STATE
from xapi.datamodel.failure import Failure
from xapi.datamodel.roles import READ_ONLY, VM_OPERATOR
from xapi.dispatch.tasks import TaskInHand


@pytest.fixture
def in_hand(house) -> TaskInHand:
    return TaskInHand(house.toolstack.tasks, "Async.VM.start", house.client.session, kept=True)


def status(client: Caller, ref: str) -> str:
    return client.task.get_status(ref)


def test_a_call_that_succeeds(client, in_hand):
    record = client.task.get_record(in_hand.ref)
    assert (record["status"], record["progress"], record["name_label"]) == ("pending", 0.0, "Async.VM.start")
    in_hand.progress(0.5)
    assert client.task.get_progress(in_hand.ref) == 0.5
    in_hand.succeed("<value>x</value>")
    record = client.task.get_record(in_hand.ref)
    assert (record["status"], record["progress"], record["result"]) == ("success", 1.0, "<value>x</value>")
    assert record["allowed_operations"] == [] and record["current_operations"] == {}


def test_a_call_that_fails(client, in_hand):
    ref = in_hand.ref
    in_hand.fail(VM_BAD_POWER_STATE("OpaqueRef:vm", "halted", "running"))
    assert status(client, ref) == "failure"
    assert client.task.get_error_info(ref) == ["VM_BAD_POWER_STATE", "OpaqueRef:vm", "halted", "running"]


def test_a_call_that_is_cancelled_stops_at_its_next_step(client, in_hand):
    ref = in_hand.ref
    in_hand.check()
    client.task.cancel(ref)
    assert "cancel" in client.task.get_current_operations(ref).values()
    with pytest.raises(Failure) as stopped:
        in_hand.check()
    assert stopped.value.description == TASK_CANCELLED(ref).description
    in_hand.fail(stopped.value)
    assert status(client, ref) == "cancelled"
    client.task.cancel(ref)


def test_a_step_tells_of_itself_below_the_call(client, in_hand):
    step = in_hand.step("VDI.create")
    assert client.task.get_subtasks(in_hand.ref) == []  # nobody asked for its reference yet
    assert client.task.get_subtask_of(step.ref) == in_hand.ref
    assert client.task.get_name_label(step.ref) == "VDI.create"
    step.succeed()
    assert client.task.get_subtasks(in_hand.ref) == []
    assert status(client, in_hand.ref) == "pending"


def test_who_stops_the_call_stops_its_step(client, in_hand):
    step = in_hand.step("VDI.create")
    step.check()
    assert not step.cancelled
    client.task.cancel(in_hand.ref)
    assert step.cancelled
    step.pause(60.0)
    with pytest.raises(Failure) as stopped:
        step.check()
    assert stopped.value.description == TASK_CANCELLED(in_hand.ref).description


def test_a_step_can_be_stopped_alone(client, in_hand):
    step = in_hand.step("VDI.create")
    client.task.cancel(step.ref)
    assert step.cancelled
    with pytest.raises(Failure) as stopped:
        step.check()
    assert stopped.value.description == TASK_CANCELLED(step.ref).description
    in_hand.check()


def test_a_task_that_is_destroyed_meanwhile_stays_gone(client, in_hand):
    ref = in_hand.ref
    client.task.destroy(ref)
    in_hand.progress(0.9)
    in_hand.succeed()
    with pytest.raises(Failure, match="HANDLE_INVALID"):
        status(client, ref)


def test_a_plain_call_leaves_no_task(client, house):
    before = client.task.get_all()
    client.VM.set_name_label(client.VM.get_all()[0], "x")
    plain = TaskInHand(house.toolstack.tasks, "VM.start", client.session)
    assert plain.ref in client.task.get_all()
    plain.succeed()
    assert client.task.get_all() == before


def test_a_clients_own_task(client):
    task = client.task.create("mine", "about it")
    client.task.set_progress(task, 0.25)
    client.task.set_result(task, "so far")
    client.task.add_to_other_config(task, "k", "v")
    client.task.set_error_info(task, ["A", "b"])
    record = client.task.get_record(task)
    assert (record["progress"], record["result"], record["error_info"]) == (0.25, "so far", ["A", "b"])
    assert record["name_description"] == "about it" and record["other_config"] == {"k": "v"}
    client.task.set_status(task, "success")
    assert status(client, task) == "success"
    client.task.destroy(task)


def test_somebody_elses_task_is_theirs(client, house):
    task = client.task.create("root's", "")
    with pytest.raises(Failure, match="PERMISSION_DENIED"):
        house.caller(VM_OPERATOR).task.cancel(task)
    with pytest.raises(Failure, match="PERMISSION_DENIED"):
        house.caller(READ_ONLY).task.destroy(task)
    assert status(client, task) == "pending"


def test_finished_tasks_are_taken_away_after_a_day_and_pending_ones_are_not(client, house, clock, in_hand):
    pending, done = client.task.create("pending", ""), in_hand.ref
    in_hand.succeed()
    clock.advance(timedelta(hours=25).total_seconds())
    house.toolstack.tasks.reap()
    assert pending in client.task.get_all() and done not in client.task.get_all()


def test_a_message_that_cannot_be_asynchronous_says_so(client):
    with pytest.raises(Failure) as refused:
        client("Async.VM.get_all")
    assert refused.value.code == "Fault"
    with pytest.raises(Failure, match="MESSAGE_METHOD_UNKNOWN"):
        client("Async.VM.nosuch")


def test_the_result_of_an_asynchronous_call_is_xml(client):
    task = client("Async.VM.clone", client.VM.get_all()[-1], "a copy")
    token = ""
    while status(client, task) == TaskStatusType.PENDING:
        token = client.event.from_([f"task/{task}"], token, 30.0)["token"]
    result = client.task.get_result(task)
    assert result.startswith("<value>OpaqueRef:") and result.endswith("</value>")
    assert client.VM.get_name_label(result[7:-8]) == "a copy"
