"""Alarms: which measurements of an object are bad, for how long they have been, and when to say so.

A variable joins some data sources into one number a minute. When the number has been beyond its level for the trigger
period, there is an alarm, and then silence for the inhibit period. Names, defaults and the text of an alarm are those
of the public monitor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite, nan

from xapi.monitoring.recorder import Owner, OwnerKind

MINUTE = 60  # seconds between two looks at a variable
LONGEST_PATTERN = 256
MOST_REPEATS = 3
NOTHING = "_$_DUMMY__"

Joining = Callable[[Sequence[float]], float]
Probe = Callable[[], float]


def _average(values: Sequence[float]) -> float:
    return fsum(values) / len(values) if values else nan


def _sum(values: Sequence[float]) -> float:
    return fsum(values) if values else nan


def _highest(values: Sequence[float]) -> float:
    return max(values) if values else nan


def _share(values: Sequence[float]) -> float:
    """Used space over size: the two values in the order of their names reversed (see `Variable.measure`)."""
    return values[0] / values[1] if len(values) == 2 and values[1] else nan


JOININGS: Mapping[str, Joining] = {
    "average": _average,
    "sum": _sum,
    "max": _highest,
    "get_percent_sr_usage": _share,
}
PROBES = ("get_percent_fs_usage", "get_percent_log_fs_usage", "get_percent_mem_usage")
FUNCTIONS: Mapping[str, str] = {
    "cpu_usage": "average",
    "fs_usage": "get_percent_fs_usage",
    "log_fs_usage": "get_percent_log_fs_usage",
    "mem_usage": "get_percent_mem_usage",
    "physical_utilisation": "get_percent_sr_usage",
}
PATTERNS: Mapping[OwnerKind, Mapping[str, str]] = {
    OwnerKind.VM: {
        "cpu_usage": "cpu[0-9]+",
        "network_usage": "vif_[0-9]+_[rt]x",
        "disk_usage": "vbd_(xvd|hd)[a-z]+_(read|write)",
        "fs_usage": NOTHING,
        "log_fs_usage": NOTHING,
        "mem_usage": NOTHING,
        "memory_internal_free": "memory_internal_free",
    },
    OwnerKind.HOST: {
        "cpu_usage": "cpu[0-9]+",
        "network_usage": "pif_eth[0-9]+_[rt]x",
        "memory_free_kib": "memory_free_kib",
    },
    OwnerKind.SR: {
        "physical_utilisation": "physical_utilisation|size",
        "sr_io_throughput_total_per_host": NOTHING,
    },
}
LEVELS: Mapping[OwnerKind, Mapping[str, str]] = {
    OwnerKind.VM: {"fs_usage": "0.9", "log_fs_usage": "0.9", "mem_usage": "0.95"},
    OwnerKind.HOST: {},
    OwnerKind.SR: {"physical_utilisation": "0.8"},
}
SHORTAGES = frozenset({"memory_internal_free", "memory_free_kib"})
_THROUGHPUT = re.compile(r"sr_(io_throughput_total_[0-9a-f]{8})")


class BadAlarm(ValueError):
    """A configured alarm that makes no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One configured alarm; `text` is how it was configured, for the body."""

    name: str
    pattern: re.Pattern[str]
    function: str
    level: float
    low: bool
    trigger: int
    inhibit: int
    priority: int
    text: str


def rule(kind: OwnerKind, values: Mapping[str, str], text: str) -> Rule:
    """Make a rule of what was configured, with the defaults of its kind of object; raises BadAlarm."""
    name = values.get("name", "")
    if not name:
        raise BadAlarm("a variable has no name")
    function = values.get("consolidation_fn") or FUNCTIONS.get(name, "sum")
    if function not in JOININGS and function not in PROBES:
        raise BadAlarm(f"variable {name}: there is no function {function}")
    pattern = values.get("rrd_regex") or PATTERNS[kind].get(name) or _throughput(kind, name)
    if not pattern:
        raise BadAlarm(f"variable {name}: an rrd_regex is needed")
    level = values.get("alarm_trigger_level") or LEVELS[kind].get(name)
    if not level:
        raise BadAlarm(f"variable {name}: an alarm_trigger_level is needed")
    sense = values.get("alarm_trigger_sense") or ("low" if name in SHORTAGES else "high")
    try:
        return Rule(
            name=name,
            pattern=compile_pattern(pattern),
            function=function,
            level=float(level),
            low=sense != "high",
            trigger=int(values.get("alarm_trigger_period") or "60"),
            inhibit=int(values.get("alarm_auto_inhibit_period") or "3600"),
            priority=int(values.get("alarm_priority") or "3"),
            text=text,
        )
    except ValueError as problem:
        raise BadAlarm(f"variable {name}: {problem}") from None


def _throughput(kind: OwnerKind, name: str) -> str:
    match = _THROUGHPUT.fullmatch(name) if kind is OwnerKind.HOST else None
    return match[1] if match is not None else ""


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a stranger's expression; ValueError for one that is wrong or could take long.

    Time explodes when something repeated is repeated, so a group may not be, nor more than a few things in all.
    """
    if len(text) > LONGEST_PATTERN:
        raise ValueError("the rrd_regex is too long")
    # Escapes and character classes are looked through in one go, from the left, as the compiler does it.
    plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "_", text, flags=re.DOTALL)
    if re.search(r"\[\^?\[|--|&&|~~|\|\|", text):
        raise ValueError(f"the rrd_regex {text!r} may mean something else some day")  # the compiler warns of these
    repeats = len(re.findall(r"[*+{]", plain))
    if repeats > MOST_REPEATS or re.search(r"\)[*+{]|\(\?(?!:)", plain) or re.search(r"\\[1-9]", text):
        raise ValueError(f"the rrd_regex {text!r} is too intricate")
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as problem:
        raise ValueError(f"the rrd_regex {text!r} is wrong: {problem}") from None


@dataclass(slots=True)
class Variable:
    """A rule at work: how long it has been bad, and when it last spoke (monotonic seconds)."""

    rule: Rule
    left: int
    spoke: float

    def measure(self, row: Mapping[str, float], probes: Mapping[str, Probe]) -> float:
        """The number that the rule is about, NaN when it is not known."""
        if self.rule.function in PROBES:
            return probes[self.rule.function]()
        # Sorted by name, "physical_utilisation" comes before "size", as the share of one in the other needs it.
        values = [row[name] for name in sorted(row) if self.rule.pattern.fullmatch(name)]
        if not all(isfinite(value) for value in values):
            return nan
        return JOININGS[self.rule.function](values)

    def look(self, value: float, now: float) -> bool:
        """Take the number of one more minute; true when there is an alarm to be raised."""
        if not (value < self.rule.level if self.rule.low else value > self.rule.level):
            self.left = self.rule.trigger
            return False
        self.left -= MINUTE
        if self.left > 0:
            return False
        self.left = self.rule.trigger
        if now - self.spoke < self.rule.inhibit:
            return False
        self.spoke = now
        return True


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm to be raised."""

    owner: Owner
    priority: int
    body: str


@dataclass(slots=True)
class Guard:
    """The rules of one object, and the configuration they came from."""

    owner: Owner
    document: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)

    def configure(self, document: str, rules: Sequence[Rule], now: float) -> None:
        """Take new rules; those that are the same as before keep what they know."""
        self.document = document
        variables: dict[str, Variable] = {}
        for one in rules:
            old = self.variables.get(one.name)
            if old is not None and old.rule == one:
                variables[one.name] = old
            else:
                variables[one.name] = Variable(one, one.trigger, now - one.inhibit)
        self.variables = variables

    def look(self, row: Mapping[str, float], probes: Mapping[str, Probe], now: float) -> list[Alarm]:
        """Look at the averages of the last minute (by source) and return the alarms to be raised."""
        alarms = []
        for variable in self.variables.values():
            value = variable.measure(row, probes)
            if variable.look(value, now):
                body = f"value: {value:f}\nconfig:\n{variable.rule.text}"
                alarms.append(Alarm(self.owner, variable.rule.priority, body))
        return alarms
