"""XenAPI's class network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import NETWORK_INCOMPATIBLE_PURPOSES
from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import POOL_ADMIN, POOL_OPERATOR, VM_ADMIN, VM_OPERATOR, VM_POWER_ADMIN
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.blob import Blob
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.pif import PIF
    from xapi.datamodel.classes.vif import VIF
    from xapi.datamodel.classes.vm import VM


class NetworkDefaultLockingMode(WireEnum):
    """Whether VIFs that follow their network may send freely or not at all."""

    UNLOCKED = "unlocked"
    DISABLED = "disabled"


class NetworkOperations(WireEnum):
    """What can be under way on a network, namely the attaching of a VIF or host."""

    ATTACHING = "attaching"


class NetworkPurpose(WireEnum):
    """Services a network is open to: disk access over NBD with TLS or, insecurely, without."""

    NBD = "nbd"
    INSECURE_NBD = "insecure_nbd"


class Network(Entity, name="network", role=VM_ADMIN, constructor=True):
    """A virtual Ethernet switch spanning the pool, to which VIFs and PIFs connect."""

    uuid: DynamicRO[str] = identity()
    name_label: RW[str] = field(
        "name shown to people; not required to be unique", default="", group="name", writes=POOL_OPERATOR
    )
    name_description: RW[str] = field(
        "free-text remark shown to people", default="", group="name", writes=POOL_OPERATOR
    )
    allowed_operations: DynamicRO[SetOf[NetworkOperations]] = field(
        "operations that may be started now; advisory, since the state can change at any moment",
        default=(),
        persistent=False,
        writes=POOL_OPERATOR,
    )
    current_operations: DynamicRO[Map[str, NetworkOperations]] = field(
        "operations under way, keyed by the task that runs each of them",
        default={},
        persistent=False,
        writes=POOL_OPERATOR,
    )
    VIFs: DynamicRO[SetOf[Ref[VIF]]] = many("VIF.network", "virtual interfaces of VMs that connect here")
    PIFs: DynamicRO[SetOf[Ref[PIF]]] = many(
        "PIF.network", "host interfaces that carry this network, normally one for each host"
    )
    MTU: RW[int] = field(
        "largest packet in bytes, usually 1500; applied when the network is next brought up",
        default=1500,
        since="midnight-ride",
    )
    other_config: RW[Map[str, str]] = field(
        "free settings of clients and toolstack, such as 'automatic'",
        writes=POOL_OPERATOR,
        map_keys={
            "folder": VM_OPERATOR,
            "XenCenter.CustomFields.*": VM_OPERATOR,
            "XenCenterCreateInProgress": VM_OPERATOR,
        },
    )
    bridge: StaticRO[str] = field(
        "name of the bridge that carries the network on each host, for instance 'xenbr0'",
        default="",
        since="published rio, changed falcon",
    )
    managed: StaticRO[bool] = field(
        "true if the toolstack creates and removes the bridge itself", default=True, since="falcon"
    )
    blobs: DynamicRO[Map[str, Ref[Blob]]] = field(
        "binary attachments stored with the network, keyed by name", default={}, since="orlando"
    )
    tags: RW[SetOf[str]] = field(
        "labels that users attach for grouping and searching", default=(), since="orlando", writes=VM_OPERATOR
    )
    default_locking_mode: DynamicRO[NetworkDefaultLockingMode] = field(
        "how VIFs that leave their locking to the network are treated",
        default=NetworkDefaultLockingMode.UNLOCKED,
        since="tampa",
    )
    assigned_ips: DynamicRO[Map[Ref[VIF], str]] = field(
        "addresses given to VIFs on the internal management network", default={}, since="creedence"
    )
    purpose: DynamicRO[SetOf[NetworkPurpose]] = field(
        "special services allowed here, such as reading disks over NBD", default=(), since="inverness"
    )


@message(Network, role=POOL_OPERATOR, since="miami", hidden=True)
def attach(network: Ref[Network], host: Ref[Host]) -> None:
    """Bring the network up on a host, creating its bridge."""


@message(
    Network,
    role=POOL_OPERATOR,
    hidden=True,
    param_since={
        "name_label": "miami",
        "name_description": "miami",
        "MTU": "miami",
        "other_config": "miami",
        "bridge": "miami",
        "managed": "falcon",
        "purpose": "inverness",
    },
)
def pool_introduce(
    name_label: str,
    name_description: str,
    MTU: int,
    other_config: Map[str, str],
    bridge: str,
    managed: bool,
    purpose: SetOf[NetworkPurpose],
) -> Ref[Network]:
    """Add a network's record with the given bridge name; used while a host joins a pool."""


@message(Network, role=POOL_OPERATOR, since="orlando", param_since={"public": "tampa"})
def create_new_blob(network: Ref[Network], name: str, mime_type: str, public: bool = False) -> Ref[Blob]:
    """Create an empty named binary attachment for the network.

    A public blob can be downloaded without a login.
    """


@message(Network, role=POOL_OPERATOR, since="tampa")
def set_default_locking_mode(network: Ref[Network], value: NetworkDefaultLockingMode) -> None:
    """Choose how VIFs that leave their locking to the network are treated.

    Refused while such a VIF is attached to a running VM.
    """


@message(Network, role=VM_POWER_ADMIN, since="tampa", hidden=True)
def attach_for_vm(host: Ref[Host], vm: Ref[VM]) -> None:
    """Bring up on a host every network the VM connects to; used before the VM starts there."""


@message(Network, role=VM_POWER_ADMIN, since="tampa", hidden=True)
def detach_for_vm(host: Ref[Host], vm: Ref[VM]) -> None:
    """Release on a host the networks the VM connected to; used after the VM has gone."""


@message(Network, role=POOL_ADMIN, errors=(NETWORK_INCOMPATIBLE_PURPOSES,), since="inverness")
def add_purpose(self: Ref[Network], value: NetworkPurpose) -> None:
    """Allow a further service on the network; does nothing if it is allowed already.

    Plain and TLS-protected NBD exclude each other throughout the pool.
    """


@message(Network, role=POOL_ADMIN, since="inverness")
def remove_purpose(self: Ref[Network], value: NetworkPurpose) -> None:
    """Withdraw a service from the network; does nothing if it was not allowed."""
