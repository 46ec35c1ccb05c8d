"""A client that keeps a copy of some classes by following events, and says so when an event does not fit."""

from __future__ import annotations

from typing import Any

from tests.fakes.house import Caller


class Replica:
    """What a client knows of some classes from `event.from` alone."""

    def __init__(self, caller: Caller, classes: tuple[str, ...]) -> None:
        self.caller = caller
        self.classes = classes
        self.token = ""
        self.state: dict[str, dict[str, dict[str, Any]]] = {name.lower(): {} for name in classes}
        self.seen = 0

    def follow(self, timeout: float = 0.0) -> int:
        """Take the next batch in, and answer how many events it held."""
        batch = self.caller.event.from_(list(self.classes), self.token, timeout)
        events = batch["events"]
        keys = [(event["class"], event["ref"]) for event in events]
        assert len(keys) == len(set(keys)), "an object is told of twice in one batch"
        assert batch["token"] >= self.token
        for event in events:
            self._take(event)
        self.token = batch["token"]
        self.seen += len(events)
        for name, known in self.state.items():
            assert int(batch["valid_ref_counts"][name]) == len(known), name
        return len(events)

    def _take(self, event: dict[str, Any]) -> None:
        known = self.state[event["class"]]
        ref = event["ref"]
        match event["operation"]:
            case "add":
                assert ref not in known
                known[ref] = event["snapshot"]
            case "mod":
                assert ref in known
                known[ref] = event["snapshot"]
            case "del":
                assert "snapshot" not in event
                del known[ref]
            case other:
                raise AssertionError(other)

    def check(self) -> None:
        """Compare the copy with what the server answers now; nobody may write meanwhile."""
        for name in self.classes:
            assert self.state[name.lower()] == self.caller(f"{name}.get_all_records"), name
