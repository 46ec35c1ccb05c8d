from __future__ import annotations

from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.monitoring.alarms import BadAlarm, Guard, Rule, compile_pattern, rule
from xapi.monitoring.recorder import Owner, OwnerKind

VM = Owner(OwnerKind.VM, "b8a8ed1c-29f6-4c2a-8d5a-8f0f6b6a1f7d")
TEXT = '<variable>\n\t<name value="cpu_usage"/>\n</variable>\n'


def guard(*rules: Rule, now: float = 0.0) -> Guard:
    made = Guard(VM)
    made.configure("x", rules, now)
    return made


def vm_rule(**values: str) -> Rule:
    return rule(OwnerKind.VM, {"name": "cpu_usage", "alarm_trigger_level": "0.5", **values}, TEXT)


def test_a_minute_of_too_much_raises_an_alarm_as_the_monitor_words_it() -> None:
    (alarm,) = guard(vm_rule()).look({"cpu0": 0.5, "cpu1": 0.8, "cpu_usage": 0.1, "memory": 9.0}, {}, 0.0)
    assert (alarm.owner, alarm.priority) == (VM, 3)
    assert alarm.body == f"value: 0.650000\nconfig:\n{TEXT}"


def test_the_level_itself_is_not_too_much() -> None:
    assert guard(vm_rule()).look({"cpu0": 0.5}, {}, 0.0) == []


def test_an_alarm_waits_for_its_period_and_a_good_minute_begins_it_anew() -> None:
    watched = guard(vm_rule(alarm_trigger_period="180"))
    said = [bool(watched.look({"cpu0": value}, {}, 0.0)) for value in (0.9, 0.9, 0.1, 0.9, 0.9, 0.9)]
    assert said == [False, False, False, False, False, True]


def test_after_an_alarm_there_is_silence_for_a_while() -> None:
    watched = guard(vm_rule(alarm_auto_inhibit_period="150"))
    said = [bool(watched.look({"cpu0": 0.9}, {}, minute * 60.0)) for minute in range(7)]
    assert said == [True, False, False, True, False, False, True]


def test_what_is_not_known_is_not_bad() -> None:
    watched = guard(vm_rule(alarm_trigger_sense="low"))
    assert watched.look({"cpu0": nan}, {}, 0.0) == []
    assert watched.look({}, {}, 0.0) == []
    assert watched.look({"cpu0": 0.2}, {}, 0.0) != []


@pytest.mark.parametrize(
    ("kind", "values", "row", "bad"),
    [
        (OwnerKind.VM, {"name": "network_usage", "alarm_trigger_level": "3"}, {"vif_0_rx": 2.0, "vif_0_tx": 2.0}, True),
        (OwnerKind.VM, {"name": "disk_usage", "alarm_trigger_level": "3"}, {"vbd_xvda_read": 4.0}, True),
        (OwnerKind.VM, {"name": "disk_usage", "alarm_trigger_level": "3"}, {"vbd_xvda_read_latency": 4.0}, False),
        (OwnerKind.VM, {"name": "memory_internal_free", "alarm_trigger_level": "9"}, {"memory_internal_free": 8}, True),
        (OwnerKind.VM, {"name": "fs_usage"}, {}, True),
        (OwnerKind.VM, {"name": "mem_usage"}, {}, False),
        (OwnerKind.HOST, {"name": "memory_free_kib", "alarm_trigger_level": "9"}, {"memory_free_kib": 10.0}, False),
        (
            OwnerKind.HOST,
            {"name": "sr_io_throughput_total_0123abcd", "alarm_trigger_level": "1"},
            {"io_throughput_total_0123abcd": 2.0},
            True,
        ),
        (OwnerKind.SR, {"name": "physical_utilisation"}, {"size": 100.0, "physical_utilisation": 81.0}, True),
        (OwnerKind.SR, {"name": "physical_utilisation"}, {"size": 100.0, "physical_utilisation": 79.0}, False),
        (OwnerKind.SR, {"name": "physical_utilisation"}, {"size": 0.0, "physical_utilisation": 0.0}, False),
        (
            OwnerKind.VM,
            {"name": "x", "rrd_regex": "v.*", "consolidation_fn": "max", "alarm_trigger_level": "3"},
            {"v1": 1.0, "v2": 4.0},
            True,
        ),
    ],
)
def test_each_known_variable_has_its_defaults(
    kind: OwnerKind, values: dict[str, str], row: dict[str, float], bad: bool
) -> None:
    probes = {"get_percent_fs_usage": lambda: 0.95, "get_percent_mem_usage": lambda: 0.5}
    watched = Guard(Owner(kind, "u"))
    watched.configure("x", [rule(kind, values, "")], 0.0)
    assert bool(watched.look(row, probes, 0.0)) is bad


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"alarm_trigger_level": "high"},
        {"alarm_trigger_level": ""},
        {"alarm_trigger_period": "1.5"},
        {"alarm_auto_inhibit_period": "x"},
        {"alarm_priority": "urgent"},
        {"consolidation_fn": "eval"},
        {"name": "something"},
        {"rrd_regex": "("},
        {"rrd_regex": "(a+)+$"},
        {"rrd_regex": "x" * 300},
    ],
)
def test_rules_that_make_no_sense_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(BadAlarm):
        vm_rule(**values)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|a)*",
        r"(a+\[)*]",
        "((a+)){9}",
        r"(a*)\1",
        "(?=a)",
        "a*a*a*a*b",
        "[(]a(b+)*",
        "(?P<x>a)",
        "[]a](b+)+",
    ],
)
def test_expressions_that_could_take_long_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="intricate"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["cpu[0-9]+", "vbd_(xvd|hd)[a-z]+_(read|write)", "vif_(0|1)?_rx", "[*+{(]+", r"\(a\)+", "(?:a|b)c"]
)
def test_ordinary_expressions_pass(pattern: str) -> None:
    assert compile_pattern(pattern).pattern == pattern


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=r"ab()[]*+?{}|\.^$12,:", max_size=24))
def test_what_passes_is_quick(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except ValueError:
        return
    # One that explodes would not come back from this in a lifetime.
    compiled.fullmatch("a" * 40 + "c")
    compiled.fullmatch("ab" * 20 + "c")


def test_rules_that_stay_the_same_keep_what_they_know() -> None:
    watched = guard(vm_rule(alarm_trigger_period="120"))
    watched.look({"cpu0": 0.9}, {}, 0.0)
    watched.configure("y", [vm_rule(alarm_trigger_period="120"), vm_rule(name="cpu_other", rrd_regex="x")], 0.0)
    assert len(watched.look({"cpu0": 0.9}, {}, 60.0)) == 1
    watched.configure("z", [vm_rule(alarm_trigger_period="120", alarm_priority="1")], 60.0)
    assert watched.look({"cpu0": 0.9}, {}, 120.0) == []
