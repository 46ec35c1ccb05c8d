"""XenAPI's class VM_metrics."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.classes.vm import DomainType
from xapi.datamodel.model import RW, DynamicRO, Entity, Map, SetOf, StaticRO, field, identity
from xapi.datamodel.roles import VM_ADMIN


class VMMetrics(Entity, name="VM_metrics", role=VM_ADMIN):
    """What a host measures about a VM: memory, virtual CPUs, start time and boot mode."""

    uuid: DynamicRO[str] = identity()
    memory_actual: DynamicRO[int] = field("memory the running domain holds, in bytes", group="memory", persistent=False)
    VCPUs_number: DynamicRO[int] = field("number of virtual CPUs online", group="VCPUs")
    VCPUs_utilisation: DynamicRO[Map[int, float]] = field(
        "load of each virtual CPU as a fraction of 1; removed, read the RRDs instead",
        default={},
        group="VCPUs",
        since="published rio, deprecated tampa, removed tampa",
        persistent=False,
    )
    VCPUs_CPU: DynamicRO[Map[int, int]] = field(
        "physical CPU that each virtual CPU was last seen on", group="VCPUs", persistent=False
    )
    VCPUs_params: DynamicRO[Map[str, str]] = field(
        "scheduler settings in force, as in VM.VCPUs_params", group="VCPUs", persistent=False
    )
    VCPUs_flags: DynamicRO[Map[int, SetOf[str]]] = field(
        "state flags of each virtual CPU, such as blocked, online or running", group="VCPUs", persistent=False
    )
    state: DynamicRO[SetOf[str]] = field("state words of the domain as the hypervisor gives them", persistent=False)
    start_time: DynamicRO[datetime] = field("when the VM was last booted, in UTC")
    install_time: DynamicRO[datetime] = field("when the VM was made, in UTC")
    last_updated: DynamicRO[datetime] = field("when these figures were last written, in UTC", persistent=False)
    other_config: RW[Map[str, str]] = field(
        "keys and values that clients attach to the record", default={}, since="orlando", persistent=False
    )
    hvm: DynamicRO[bool] = field(
        "true if the running domain is a hardware virtual machine", default=False, since="ely", persistent=False
    )
    nested_virt: DynamicRO[bool] = field(
        "true if the guest can itself act as a hypervisor; such a VM cannot migrate",
        default=False,
        since="ely",
        persistent=False,
    )
    nomigrate: DynamicRO[bool] = field(
        "true if a feature in use keeps the running VM from suspending and migrating",
        default=False,
        since="ely",
        persistent=False,
    )
    current_domain_type: DynamicRO[DomainType] = field(
        "kind of virtualisation the running domain was built with; unspecified when halted",
        default=DomainType.UNSPECIFIED,
        since="prototyped jura, published kolkata",
    )
    numa_optimised: StaticRO[bool] = field(
        "true if the guest's memory was placed on as few NUMA nodes as the policy asked for",
        default=False,
        since="prototyped 26.2.0",
    )
    numa_nodes: StaticRO[int] = field(
        "number of NUMA nodes of the host that the guest's memory is spread over", default=0, since="prototyped 26.2.0"
    )
    numa_node_memory: DynamicRO[Map[int, int]] = field(
        "bytes of guest memory on each NUMA node of the host, by node number", default={}, since="prototyped 26.2.0"
    )
