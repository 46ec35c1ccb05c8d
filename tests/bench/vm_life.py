"""How fast VMs live on the simulator: starts, whole cycles, starts beside busy readers, and a host at rest."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.guests import vm_record
from tests.fakes.served import ServerProcess, new_state

LISTERS = 8
MANY = 1000
REST_SECONDS = 20.0


@dataclass(frozen=True)
class Figure:
    """One thing that was measured."""

    name: str
    value: float
    unit: str


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cycle(api: Any, template: str, name: str) -> None:
    """Clone, start, clean shutdown, destroy."""
    vm = api.VM.clone(template, name)
    api.VM.set_is_a_template(vm, False)
    api.VM.start(vm, False, False)
    api.VM.clean_shutdown(vm)
    api.VM.destroy(vm)


def side_by_side(server: ServerProcess, count: int, work: Any) -> float:
    """How long `count` clients take, each doing `work(api, number)`."""
    apis = [server.logged_in().xenapi for _ in range(count)]
    threads = [threading.Thread(target=work, args=(api, number)) for number, api in enumerate(apis)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def cycles(server: ServerProcess, template: str, clients: int, each: int) -> Figure:
    """Whole cycles a second."""

    def work(api: Any, number: int) -> None:
        for turn in range(each):
            cycle(api, template, f"cycle {number} {turn}")

    seconds = side_by_side(server, clients, work)
    return Figure(f"clone+start+clean_shutdown+destroy, {clients} clients", clients * each / seconds, "cycles/s")


def starts(server: ServerProcess, clients: int, each: int) -> Figure:
    """Starts a second, of VMs that are there already."""
    api = server.logged_in().xenapi
    vms = [[api.VM.create(vm_record(name_label=f"start {n} {m}")) for m in range(each)] for n in range(clients)]

    def work(client: Any, number: int) -> None:
        for vm in vms[number]:
            client.VM.start(vm, False, False)

    seconds = side_by_side(server, clients, work)
    for group in vms:
        for vm in group:
            api.VM.hard_shutdown(vm)
            api.VM.destroy(vm)
    return Figure(f"VM.start to Running, {clients} clients", clients * each / seconds, "starts/s")


@contextmanager
def listing(server: ServerProcess) -> Iterator[None]:
    """Eight clients that list all VMs as fast as they can, each in a process of its own."""
    import subprocess
    import sys

    script = "import sys\nfrom tests.bench.lister import list_for_ever\nlist_for_ever(sys.argv[1])\n"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(server.socket)], stdout=subprocess.PIPE)
        for _ in range(LISTERS)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def start_times(api: Any, count: int) -> list[float]:
    """How long single starts take (seconds)."""
    times: list[float] = []
    for number in range(count):
        vm = api.VM.create(vm_record(name_label=f"timed {number}"))
        begin = time.perf_counter()
        api.VM.start(vm, False, False)
        times.append(time.perf_counter() - begin)
        api.VM.hard_shutdown(vm)
        api.VM.destroy(vm)
    return times


def measure() -> Iterator[Figure]:
    """Everything, on one server."""
    server = ServerProcess(state=new_state())
    try:
        api = server.logged_in().xenapi
        template = api.VM.get_by_name_label("Other install media")[0]
        yield starts(server, 1, 100)
        yield starts(server, 8, 25)
        yield cycles(server, template, 1, 100)
        yield cycles(server, template, 4, 50)
        costs: list[float] = []
        vms: list[str] = []
        for number in range(MANY):
            begin = time.perf_counter()
            vm = api.VM.clone(template, f"many {number}")
            api.VM.set_is_a_template(vm, False)
            api.VM.start(vm, False, False)
            costs.append(time.perf_counter() - begin)
            vms.append(vm)
        first, last = statistics.median(costs[:100]), statistics.median(costs[-100:])
        yield Figure("clone+start of one of the first hundred VMs", first * 1000, "ms")
        yield Figure("clone+start of one of the last hundred of 1,000 VMs", last * 1000, "ms")
        yield Figure("last hundred / first hundred", last / first, "ratio")
        alone = statistics.median(start_times(api, 30))
        yield Figure("VM.start alone, 1,000 VMs running", alone * 1000, "ms")
        with listing(server):
            beside = statistics.median(start_times(api, 30))
        yield Figure(f"VM.start beside {LISTERS} clients that list 1,000 VMs", beside * 1000, "ms")
        yield Figure("beside / alone", beside / alone, "ratio")
        time.sleep(2.0)
        before = cpu_seconds(server.pid)
        time.sleep(REST_SECONDS)
        yield Figure(
            "CPU at rest, 1,000 VMs running", 100 * (cpu_seconds(server.pid) - before) / REST_SECONDS, "% of a core"
        )
        yield Figure("resident memory, 1,000 VMs running", server.memory() / (1 << 20), "MiB")
        begin = time.perf_counter()
        for vm in vms[:100]:
            api.VM.clean_shutdown(vm)
            api.VM.destroy(vm)
        yield Figure("clean_shutdown+destroy of one VM of 1,000", (time.perf_counter() - begin) * 10, "ms")
    finally:
        server.close()


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name:60} {figure.value:10.2f} {figure.unit}", flush=True)
