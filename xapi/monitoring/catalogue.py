"""The data sources that clients know, by name: of VMs, hosts and storage repositories.

Names, kinds and units are those of the public monitoring service. A layout is a tuple of sources; equal shapes give
the very same tuple, so that a sampler can tell at a glance that nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache

from xapi.monitoring.source import Kind, Source

FRACTION = "(fraction)"
MICROSECONDS = "μs"
Layout = tuple[Source, ...]


@cache
def virtual_cpu(number: int) -> Source:
    """The load of one virtual CPU."""
    return Source(f"cpu{number}", f"CPU{number} usage", FRACTION, Kind.DERIVE, high=1.0)


@lru_cache(4096)
def virtual_interface(device: int) -> Layout:
    """Received and transmitted bytes of a virtual network interface, as the guest sees them."""
    return (
        _rate(f"vif_{device}_rx", f"Bytes per second received on virtual interface number '{device}'"),
        _rate(f"vif_{device}_tx", f"Bytes per second transmitted on virtual interface number '{device}'"),
    )


@lru_cache(4096)
def virtual_disk(device: str, counts_requests: bool) -> Layout:
    """The sources of a virtual disk: see `disk_sources`."""
    return tuple(disk_sources(lambda name: f"vbd_{device}_{name}", f"device {device}", Kind.DERIVE, counts_requests))


def disk_sources(named: Callable[[str], str], what: str, growing: Kind, counts_requests: bool) -> Iterator[Source]:
    """What is measured of a disk, or of all disks of a storage repository; `growing` is the kind of what only grows.

    In this order: bytes read and written, throughputs (read, write, total). If requests are counted, then the mean
    latencies of reads and of writes, requests a second (read, write, total), seconds waited a second, requests in
    flight, the mean latency of all, and the mean length of the queue.
    """
    yield Source(named("read"), f"Reads from {what}, in B/s", "B/s", growing)
    yield Source(named("write"), f"Writes to {what}, in B/s", "B/s", growing)
    for way, text in (
        ("read", f"Data read from {what}"),
        ("write", f"Data written to {what}"),
        ("total", f"I/O of {what}"),
    ):
        yield Source(named(f"io_throughput_{way}"), f"{text}, in MiB/s", "MiB/s", growing)
    if not counts_requests:
        return
    yield Source(named("read_latency"), f"Time that a read of {what} took, on average", MICROSECONDS)
    yield Source(named("write_latency"), f"Time that a write to {what} took, on average", MICROSECONDS)
    for way, text in (("read", "Reads"), ("write", "Writes"), ("total", "Requests")):
        yield Source(named(f"iops_{way}"), f"{text} of {what} that ended in a second", "requests/s", growing)
    yield Source(named("iowait"), f"Time that all requests of {what} waited in a second", "s/s", growing)
    yield Source(named("inflight"), f"Requests of {what} that wait at the moment", "requests")
    yield Source(named("latency"), f"Time that a request of {what} took, on average", MICROSECONDS)
    yield Source(named("avgqu_sz"), f"Requests of {what} that waited at a time, on average", "requests", growing)


CPU_USAGE = Source("cpu_usage", "Domain CPU usage", FRACTION, Kind.DERIVE, high=1.0)
MEMORY = Source("memory", "Memory currently allocated to VM", "B")
MEMORY_TARGET = Source("memory_target", "Target of VM balloon driver", "B")
INTERNAL_FREE = Source("memory_internal_free", "Memory that the guest agent reports as free", "KiB")


@lru_cache(4096)
def vm_layout(
    cpus: int, reports_free: bool, disks: tuple[str, ...], interfaces: tuple[int, ...], *, counts_requests: bool = False
) -> Layout:
    """The sources of a running VM.

    In this order: one a virtual CPU, their mean, memory, its target, what is free of it if the guest says so; then
    for each disk those of `disk_sources`; then for each interface rx and tx.
    """
    return (
        *(virtual_cpu(number) for number in range(cpus)),
        CPU_USAGE,
        MEMORY,
        MEMORY_TARGET,
        *((INTERNAL_FREE,) if reports_free else ()),
        *(source for device in disks for source in virtual_disk(device, counts_requests)),
        *(source for device in interfaces for source in virtual_interface(device)),
    )


HOST_FIXED: Layout = (
    Source("cpu_avg", "Average physical cpu usage", FRACTION, Kind.DERIVE, high=1.0),
    Source("memory_total_kib", "Total amount of memory in the host", "KiB"),
    Source("memory_free_kib", "Total amount of free memory", "KiB"),
    Source("memory_reclaimed", "Memory that guests gave back below their dynamic maximum", "B"),
    Source("memory_reclaimed_max", "Memory that guests could still give back", "B"),
    Source("loadavg", "Load average of the control domain", FRACTION),
    Source("running_domains", "The total number of running domains on the host", "count"),
    Source("pool_session_count", "Number of sessions", "sessions"),
    Source("pool_task_count", "Number of tasks", "tasks"),
    Source("xapi_memory_usage_kib", "Resident memory of the toolstack", "KiB"),
    Source("xapi_open_fds", "Number of open file descriptors held by xapi", "file descriptors"),
)


@lru_cache(64)
def host_layout(
    cpus: int, interfaces: tuple[str, ...], repositories: tuple[str, ...], *, counts_requests: bool = False
) -> Layout:
    """The sources of a host.

    In this order: one a physical CPU, `HOST_FIXED`, for each physical interface rx and tx and the errors of both, the
    sums of rx and of tx if there are interfaces, then for each storage repository those of `disk_sources` (with the
    first eight digits of its UUID behind their names).
    """
    cpu = (
        Source(f"cpu{number}", f"Physical cpu usage for cpu {number}", FRACTION, Kind.DERIVE, high=1.0)
        for number in range(cpus)
    )
    physical = [source for device in interfaces for source in _physical_interface(device)]
    if interfaces:
        physical += [
            _rate("pif_aggr_rx", "Bytes per second received on all physical interfaces"),
            _rate("pif_aggr_tx", "Bytes per second sent on all physical interfaces"),
        ]
    storage = (source for short in repositories for source in repository_disks(short, counts_requests))
    return (*cpu, *HOST_FIXED, *physical, *storage)


def _physical_interface(device: str) -> Iterator[Source]:
    for way, word in (("rx", "received"), ("tx", "sent")):
        yield _rate(f"pif_{device}_{way}", f"Bytes per second {word} on physical interface {device}")
    for way, word in (("rx", "Receive"), ("tx", "Transmit")):
        text = f"{word} errors per second on physical interface {device}"
        yield Source(f"pif_{device}_{way}_errors", text, "err/s", Kind.DERIVE, standard=False)


@lru_cache(256)
def repository_disks(short: str, counts_requests: bool) -> Layout:
    """The sources of all disks of a storage repository that VMs here use: see `disk_sources`."""
    return tuple(disk_sources(lambda name: f"{name}_{short}", f"SR {short}", Kind.ABSOLUTE, counts_requests))


SR_LAYOUT: Layout = (
    Source("size", "Size of the storage repository", "B"),
    Source("physical_utilisation", "Physical space used on the storage repository", "B"),
)


def _rate(name: str, description: str) -> Source:
    return Source(name, description, "B/s", Kind.DERIVE)
