"""Events: whoever follows them knows what get_all_records would answer, whatever is written meanwhile."""

from __future__ import annotations

import random
import threading
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.dispatch.replica import Replica
from tests.fakes.clock import FakeClock
from tests.fakes.house import Caller, House
from xapi.datamodel.failure import Failure
from xapi.db import changes

FOLLOWED = ("VM", "VM_group", "task", "network", "pool")
GROUP = {"name_label": "g", "name_description": "", "placement": "normal"}


class Writing:
    """Changes of several kinds to what there is."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.vms = caller.VM.get_all()[:4]
        self.groups: list[str] = []
        self.secrets: list[str] = []
        self.tasks: list[str] = []

    def act(self, choice: random.Random) -> None:
        """Change one thing."""
        acts = (self.make, self.make, self.change, self.change, self.relate, self.destroy)
        choice.choice(acts)(choice)

    def make(self, choice: random.Random) -> None:
        caller = self.caller
        match choice.randrange(3):
            case 0:
                self.groups.append(caller.VM_group.create(GROUP))
            case 1:
                self.secrets.append(caller.secret.create({"value": "v", "other_config": {}}))
            case _:
                self.tasks.append(caller.task.create("t", ""))

    def change(self, choice: random.Random) -> None:
        caller, text = self.caller, str(choice.getrandbits(30))
        match choice.randrange(5):
            case 0:
                caller.VM.set_name_label(choice.choice(self.vms), text)
            case 1:
                caller.pool.set_name_label(caller.pool.get_all()[0], "the same")
            case 2 if self.groups:
                caller.VM_group.set_name_label(choice.choice(self.groups), text)
            case 3 if self.secrets:
                caller.secret.set_value(choice.choice(self.secrets), text)
            case 4 if self.tasks:
                caller.task.set_progress(choice.choice(self.tasks), choice.random())
            case _:
                caller.VM.add_to_other_config(choice.choice(self.vms), str(uuid.uuid4()), "")

    def relate(self, choice: random.Random) -> None:
        if self.groups:
            self.caller.VM.set_groups(choice.choice(self.vms), [choice.choice(self.groups)])

    def destroy(self, choice: random.Random) -> None:
        kind, refs = choice.choice([("VM_group", self.groups), ("secret", self.secrets), ("task", self.tasks)])
        if refs:
            self.caller(f"{kind}.destroy", refs.pop(choice.randrange(len(refs))))

    def clean(self) -> None:
        for kind, refs in (("VM_group", self.groups), ("secret", self.secrets), ("task", self.tasks)):
            while refs:
                self.caller(f"{kind}.destroy", refs.pop())


class Following(RuleBasedStateMachine):
    """Writers and listeners take turns in any order."""

    house: House

    @initialize()
    def begin(self) -> None:
        self.writing = Writing(self.house.client)
        self.replicas: list[Replica] = []

    @rule(classes=st.sets(st.sampled_from(FOLLOWED), min_size=1))
    def listen(self, classes: set[str]) -> None:
        self.replicas.append(Replica(self.house.client, tuple(sorted(classes))))

    @rule(seed=st.integers(0, 2**32), count=st.integers(1, 5))
    def write(self, seed: int, count: int) -> None:
        choice = random.Random(seed)
        for _ in range(count):
            self.writing.act(choice)

    @precondition(lambda self: self.replicas)
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        replica = data.draw(st.sampled_from(self.replicas))
        replica.follow()
        replica.check()
        assert replica.follow() == 0, "what was told once is told again"

    @invariant()
    def the_newest_token_is_the_generation(self) -> None:
        assert int(self.house.client.event.get_current_id()) == self.house.toolstack.db.generation

    def teardown(self) -> None:
        if hasattr(self, "writing"):
            self.writing.clean()


def test_following_equals_reading_at_every_step(house):
    Following.house = house
    machine = Following.TestCase
    machine.settings = settings(
        max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine("runTest").runTest()


@pytest.fixture(scope="module")
def house(lasting_house: House) -> House:
    """One house for all of these tests; each looks only at what happens after it has begun."""
    return lasting_house


@pytest.mark.parametrize("seed", range(3))
def test_writers_and_listeners_together(house, seed):
    client = house.client
    replicas = [Replica(house.caller(superuser=True), FOLLOWED[: 1 + n]) for n in range(len(FOLLOWED))]
    for replica in replicas:
        replica.follow()
    finished = threading.Event()
    problems: list[BaseException] = []

    def listen(replica: Replica) -> None:
        try:
            while not finished.is_set():
                replica.follow(60.0)
        except (AssertionError, KeyError, Failure) as problem:
            problems.append(problem)

    def write(number: int) -> None:
        choice = random.Random(seed * 10 + number)
        writing = Writing(house.caller(superuser=True))
        for _ in range(60):
            writing.act(choice)

    listeners = [threading.Thread(target=listen, args=(replica,)) for replica in replicas]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (*listeners, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    finished.set()
    client.VM.set_name_label(client.VM.get_all()[0], "the end")  # lets those go who wait
    for thread in listeners:
        thread.join()
    assert not problems, problems[0]
    for replica in replicas:
        replica.follow()
        replica.check()
        assert replica.seen > 10


@pytest.fixture
def vms(client: Caller) -> list[str]:
    return client.VM.get_all()


def events(batch: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(event["class"], event["operation"], event["ref"]) for event in batch["events"]]


def test_an_object_is_subscribed_to_alone(client, vms):
    first = client.event.from_([f"VM/{vms[0]}", f"vm/{vms[1]}"], "", 0.0)
    assert sorted(events(first)) == sorted([("vm", "add", vms[0]), ("vm", "add", vms[1])])
    client.VM.set_name_label(vms[2], "not asked for")
    client.VM.set_name_label(vms[1], "asked for")
    assert events(client.event.from_([f"VM/{vms[1]}"], first["token"], 0.0)) == [("vm", "mod", vms[1])]
    assert events(client.event.from_([f"VM/{vms[0]}"], first["token"], 0.0)) == []


def test_a_class_that_is_also_named_by_one_of_its_objects_tells_of_all(client, vms):
    found = client.event.from_(["vm", f"VM/{vms[0]}"], "", 0.0)
    assert len(events(found)) == len(vms)


def test_everything_is_every_class_with_events(client):
    told = {name for name, _, _ in events(client.event.from_(["*"], "", 0.0))}
    assert {"vm", "pool", "host", "network", "vm_guest_metrics"} - told <= {"vm_guest_metrics"}
    assert "session" not in told


def test_only_the_last_of_many_changes_is_told(client, vms):
    token = client.event.from_(["vm"], "", 0.0)["token"]
    for name in "abc":
        client.VM.set_name_label(vms[0], name)
    batch = client.event.from_(["vm"], token, 0.0)
    assert events(batch) == [("vm", "mod", vms[0])]
    assert batch["events"][0]["snapshot"]["name_label"] == "c"


def test_what_came_and_went_between_two_looks_is_not_told(client):
    token = client.event.from_(["VM_group"], "", 0.0)["token"]
    client.VM_group.destroy(client.VM_group.create(GROUP))
    assert events(client.event.from_(["VM_group"], token, 0.0)) == []


def test_a_class_without_events_is_silent(client):
    token = client.event.from_(["secret", "session"], "", 0.0)["token"]
    client.secret.create({"value": "v", "other_config": {}})
    assert events(client.event.from_(["secret", "session"], token, 0.0)) == []


def test_a_write_that_changes_nothing_is_told(client, vms):
    name = client.VM.get_name_label(vms[0])
    token = client.event.from_(["vm"], "", 0.0)["token"]
    client.VM.set_name_label(vms[0], name)
    assert events(client.event.from_(["vm"], token, 0.0)) == [("vm", "mod", vms[0])]


def test_a_refused_write_is_not_told(client, vms):
    token = client.event.from_(["vm"], "", 0.0)["token"]
    client.VM.add_to_other_config(vms[0], "k", "v")
    after = client.event.from_(["vm"], token, 0.0)["token"]
    with pytest.raises(Failure, match="MAP_DUPLICATE_KEY"):
        client.VM.add_to_other_config(vms[0], "k", "v")
    assert events(client.event.from_(["vm"], after, 0.0)) == []


@pytest.mark.parametrize("token", ["x", "1", "1,2,3", "1,b", ","])
def test_a_token_of_ones_own_is_refused(client, token):
    with pytest.raises(Failure) as refused:
        client.event.from_(["vm"], token, 0.0)
    assert refused.value.description == ["EVENT_FROM_TOKEN_PARSE_FAILURE", token]


def test_a_subscription_that_cannot_be_read_is_refused(client):
    with pytest.raises(Failure, match="EVENT_SUBSCRIPTION_PARSE_FAILURE"):
        client.event.from_(["vm/a/b"], "", 0.0)


def test_a_token_from_the_future_is_taken_for_now(client, vms):
    huge = f"{10**19:020d},{10**19:020d}"
    batch = client.event.from_(["vm"], huge, 0.0)
    assert batch["events"] == []
    client.VM.set_name_label(vms[0], "x")
    assert events(client.event.from_(["vm"], batch["token"], 0.0)) == [("vm", "mod", vms[0])]


def test_a_listener_who_is_too_slow_is_told_so(short_path, monkeypatch):
    monkeypatch.setattr(changes, "DESTROYED_LENGTH", 5)
    house = House(short_path, FakeClock())
    client = house.client
    token = client.event.from_(["VM_group"], "", 0.0)["token"]
    for _ in range(8):
        client.VM_group.destroy(client.VM_group.create(GROUP))
    with pytest.raises(Failure) as lost:
        client.event.from_(["VM_group"], token, 0.0)
    assert lost.value.description == ["EVENTS_LOST"]
    replica = Replica(client, ("VM_group",))
    replica.follow()
    replica.check()
    house.close()


def test_forgotten_changes_are_made_good_from_the_rows(short_path, monkeypatch):
    monkeypatch.setattr(changes, "LOG_LENGTH", 5)
    house = House(short_path, FakeClock())
    replica = Replica(house.client, ("VM",))
    replica.follow()
    for number, vm in enumerate(house.client.VM.get_all()):
        house.client.VM.set_name_label(vm, str(number))
    assert replica.follow() == len(house.client.VM.get_all())
    replica.check()
    house.close()


def test_next_tells_a_registered_session_what_happens_from_then_on(house, vms):
    listener = house.caller(superuser=True)
    with pytest.raises(Failure) as early:
        listener.event.next()
    assert early.value.description == ["SESSION_NOT_REGISTERED", listener.session]
    listener.event.register(["VM", "vm_group"])
    house.client.VM.set_name_label(vms[0], "n")
    house.client.pool.set_name_label(house.client.pool.get_all()[0], "not asked for")
    assert [(event["class"], event["operation"]) for event in listener.event.next()] == [("vm", "mod")]
    house.client.VM_group.create(GROUP)
    assert [(event["class"], event["operation"]) for event in listener.event.next()] == [("vm_group", "add")]
    listener.event.unregister(["vm", "VM_GROUP"])
    with pytest.raises(Failure, match="SESSION_NOT_REGISTERED"):
        listener.event.next()


def test_an_injected_event_is_a_barrier(client, vms):
    before = client.event.from_(["vm"], "", 0.0)["token"]
    client.VM.set_name_label(vms[0], "written before")
    token = client.event.inject("VM", vms[0])
    assert token > before
    batch = client.event.from_([f"VM/{vms[0]}"], before, 0.0)
    assert batch["token"] > token
    assert batch["events"][0]["snapshot"]["name_label"] == "written before"
    assert events(client.event.from_(["vm"], token, 0.0)) == [("vm", "mod", vms[0])]


def test_a_task_tells_of_its_way_from_pending_to_its_end(client):
    token = client.event.from_(["task"], "", 0.0)["token"]
    task = client("Async.secret.create", {"value": "v", "other_config": {}})
    seen: list[tuple[str, str]] = []
    while not seen or seen[-1][1] == "pending":
        batch = client.event.from_(["task"], token, 60.0)
        token = batch["token"]
        for event in batch["events"]:
            assert event["ref"] == task
            seen.append((event["operation"], event["snapshot"]["status"]))
    assert seen[0][0] == "add" and seen[-1][1] == "success"
    client.task.destroy(task)
    assert events(client.event.from_(["task"], token, 0.0)) == [("task", "del", task)]


def test_a_call_that_waits_ends_with_its_session(house):
    listener = house.caller(superuser=True)
    token = listener.event.from_(["vm"], "", 0.0)["token"]
    outcome: list[str] = []

    def wait() -> None:
        try:
            listener.event.from_(["vm"], token, 60.0)
        except Failure as ended:
            outcome.append(ended.code)

    thread = threading.Thread(target=wait)
    thread.start()
    house.toolstack.sessions.close(listener.session)
    house.client.VM.set_name_label(house.client.VM.get_all()[0], "x")
    thread.join()
    assert outcome == ["SESSION_INVALID"]


def test_counts_stand_for_every_class_in_lower_case(client):
    counts = client.event.from_(["pool"], "", 0.0)["valid_ref_counts"]
    assert all(name == name.lower() for name in counts)
    assert counts["vm"] == len(client.VM.get_all()) and counts["pool"] == 1 and counts["vbd_metrics"] == 0
