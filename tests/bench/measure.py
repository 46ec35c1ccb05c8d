"""The measurements, each answering the rows of its table."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from tests.bench.place import Load, Place, Static, post
from xapi.rpc import xmlrpc

Row = dict[str, Any]
MEBIBYTE = 1 << 20


def calls(place: Place, load: Load, seconds: float, clients: tuple[int, ...]) -> list[Row]:
    """Calls a second on keep-alive connections."""
    vms, pool = place.call("VM.get_all"), place.call("pool.get_all")
    assert len(pool) == 1
    requests = {
        "pool.get_all": [[place.request("pool.get_all")]],
        "VM.get_record": [[place.request("VM.get_record", vm)] for vm in vms[:64]],
        "VM.set_name_label": [  # two names in turn, as only a name that differs is written to the disk
            [place.request("VM.set_name_label", vm, name) for name in ("one", "other")] for vm in vms[:64]
        ],
    }
    rows: list[Row] = []
    for name, bodies in requests.items():
        for door in ("unix", "tls"):
            for count in clients:
                result = load.run(
                    what="closed_loop", door=place.door(door), clients=count, seconds=seconds, requests=bodies
                )
                rows.append({"call": name, "door": door, "clients": count, **result})
    return [*rows, *_static_calls(place, load, seconds, clients)]


def _static_calls(place: Place, load: Load, seconds: float, clients: tuple[int, ...]) -> list[Row]:
    """The answer of `VM.get_record` as a static one: what the HTTP server, the client and the machine cost alone."""
    request = place.request("VM.get_record", place.call("VM.get_all")[0])
    static = Static(place.line.ask(request.encode()).partition(b"\r\n\r\n")[2])
    rows = [
        {
            "call": "(static record)",
            "door": "unix",
            "clients": count,
            **load.run(
                what="closed_loop",
                door={"unix": str(static.path)},
                clients=count,
                seconds=seconds,
                requests=[[request]],
            ),
        }
        for count in clients
    ]
    static.close()
    return rows


def listing(load: Load, counts: tuple[int, ...], seconds: float) -> list[Row]:
    """`VM.get_all_records` beside the same bytes as a static answer, and what so many VMs cost."""
    rows: list[Row] = []
    for count in counts:
        place = Place(count)
        before = place.server.memory()
        request = xmlrpc.render_call("VM.get_all_records", (place.session,))
        first = time.perf_counter()
        body = place.line.ask(post(request)).partition(b"\r\n\r\n")[2]
        first = time.perf_counter() - first
        after = place.server.memory()
        static = Static(body)
        order = {"what": "closed_loop", "clients": 1, "seconds": seconds, "requests": [[post(request).decode()]]}
        ours = load.run(door=place.door("unix"), **order)
        plain = load.run(door={"unix": str(static.path)}, **order)
        static.close()
        place.close()
        rows.append(
            {
                "vms": count,
                "MB": len(body) / 1e6,
                "first_ms": first * 1000,
                "p50_ms": ours["p50_ms"],
                "static_p50_ms": plain["p50_ms"],
                "ratio": ours["p50_ms"] / plain["p50_ms"],
                "start_seconds": place.start_seconds,
                "memory_at_start_MiB": before / MEBIBYTE,
                "memory_after_list_MiB": after / MEBIBYTE,
            }
        )
    return rows


def memory_per_vm(rows: list[Row]) -> Row:
    """KiB a VM, from the smallest and the largest of the lists."""
    least, most = rows[0], rows[-1]
    vms = most["vms"] - least["vms"]

    def each(name: str) -> float:
        return (most[name] - least[name]) * 1024 / vms

    return {"rows_KiB": each("memory_at_start_MiB"), "rows_and_XML_KiB": each("memory_after_list_MiB")}


def events(place: Place, load: Load, listeners: tuple[int, ...], changes: int) -> list[Row]:
    """How long a change takes from the beginning of the write to its listeners: when rare, and one after the other."""
    rows: list[Row] = []
    vm = place.call("VM.get_all")[0]
    for count in listeners:
        for pause, manner in ((0.1, "rare"), (0.0, "one after the other")):
            token = place.call("event.from", ["vm"], "", 0.0)["token"]
            body = xmlrpc.render_call("event.from", (place.session, ["vm"], "TOKEN", 30.0)).decode()
            load.order(what="listen", door=place.door("unix"), clients=count, token=token, request=body.split("TOKEN"))
            assert load.line() == "listening\n"
            writes: list[float] = []
            for _ in range(changes):
                begun = time.monotonic_ns()
                place.call("VM.set_name_description", vm, str(begun))
                writes.append((time.monotonic_ns() - begun) / 1e6)
                time.sleep(pause)
            time.sleep(0.5)  # lets the slowest hear the last change before the end is told
            place.call("VM.set_name_description", vm, "0")
            write = statistics.median(writes)
            rows.append({"listeners": count, "changes_come": manner, "write_p50_ms": write, **json_of(load.line())})
    return rows


def json_of(line: str) -> Row:
    """The result in a line of the load process."""
    result: Row = json.loads(line)
    return result
