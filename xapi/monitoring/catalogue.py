"""The data sources that clients know, by name: of VMs, hosts and storage repositories.

Names, kinds and units are those of the public monitoring service. A layout is a tuple of sources; equal shapes give
the very same tuple, so that a sampler can tell at a glance that nothing changed.
"""

from __future__ import annotations

from functools import cache, lru_cache

from xapi.monitoring.source import Kind, Source

FRACTION = "(fraction)"
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
def virtual_disk(device: str) -> Layout:
    """Bytes read from and written to a virtual disk, and the same in MiB."""
    return (
        _rate(f"vbd_{device}_read", f"Reads from device {device}, in B/s"),
        _rate(f"vbd_{device}_write", f"Writes to device {device}, in B/s"),
        *(
            Source(f"vbd_{device}_io_throughput_{way}", text, "MiB/s", Kind.DERIVE, standard=False)
            for way, text in (
                ("read", f"Data read from {device}, in MiB/s"),
                ("write", f"Data written to {device}, in MiB/s"),
                ("total", f"All I/O of {device}, in MiB/s"),
            )
        ),
    )


CPU_USAGE = Source("cpu_usage", "Domain CPU usage", FRACTION, Kind.DERIVE, high=1.0)
MEMORY = Source("memory", "Memory currently allocated to VM", "B")
MEMORY_TARGET = Source("memory_target", "Target of VM balloon driver", "B")
INTERNAL_FREE = Source("memory_internal_free", "Memory that the guest agent reports as free", "KiB")


@lru_cache(4096)
def vm_layout(cpus: int, reports_free: bool, disks: tuple[str, ...], interfaces: tuple[int, ...]) -> Layout:
    """The sources of a running VM.

    In this order: one a virtual CPU, their mean, memory, its target, what is free of it if the guest says so; then
    for each disk read, write and three throughputs; then for each interface rx and tx.
    """
    return (
        *(virtual_cpu(number) for number in range(cpus)),
        CPU_USAGE,
        MEMORY,
        MEMORY_TARGET,
        *((INTERNAL_FREE,) if reports_free else ()),
        *(source for device in disks for source in virtual_disk(device)),
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
def host_layout(cpus: int, interfaces: tuple[str, ...], repositories: tuple[str, ...]) -> Layout:
    """The sources of a host.

    In this order: one a physical CPU, `HOST_FIXED`, rx and tx of each physical interface, their two sums if there are
    interfaces, then read, write and total throughput of each storage repository (by the first eight of its UUID).
    """
    physical = [
        _rate(f"pif_{device}_{way}", f"Bytes per second {word} on physical interface {device}")
        for device in interfaces
        for way, word in (("rx", "received"), ("tx", "sent"))
    ]
    if interfaces:
        physical += [
            _rate("pif_aggr_rx", "Bytes per second received on all physical interfaces"),
            _rate("pif_aggr_tx", "Bytes per second sent on all physical interfaces"),
        ]
    throughputs = (
        Source(f"io_throughput_{way}_{short}", f"{text}, in MiB/s", "MiB/s", Kind.ABSOLUTE)
        for short in repositories
        for way, text in (("read", "Data read from SR"), ("write", "Data written to SR"), ("total", "All SR I/O"))
    )
    cpu = (
        Source(f"cpu{number}", f"Physical cpu usage for cpu {number}", FRACTION, Kind.DERIVE, high=1.0)
        for number in range(cpus)
    )
    return (*cpu, *HOST_FIXED, *physical, *throughputs)


SR_LAYOUT: Layout = (
    Source("size", "Size of the storage repository", "B"),
    Source("physical_utilisation", "Physical space used on the storage repository", "B"),
)


def _rate(name: str, description: str) -> Source:
    return Source(name, description, "B/s", Kind.DERIVE)
