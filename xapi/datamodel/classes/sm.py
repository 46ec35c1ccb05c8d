"""XenAPI's class SM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, SetOf, field, identity
from xapi.datamodel.roles import POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.host import Host


class ImageFormatType(WireEnum):
    """File formats in which a storage driver can keep disk contents."""

    RAW = "raw"
    VHD = "vhd"
    QCOW2 = "qcow2"


class SM(Entity, role=POOL_OPERATOR):
    """A storage driver installed in the pool, with what it can do."""

    uuid: DynamicRO[str] = identity()
    name_label: DynamicRO[str] = field("driver's name for people", default="", group="name")
    name_description: DynamicRO[str] = field(
        "what kind of storage the driver handles, in words", default="", group="name"
    )
    type: DynamicRO[str] = field("driver key that SR.type refers to, for instance 'nfs'")
    vendor: DynamicRO[str] = field("who supplies the driver")
    copyright: DynamicRO[str] = field("copyright notice of the driver's author")
    version: DynamicRO[str] = field("version of the driver itself")
    required_api_version: DynamicRO[str] = field("version of the storage interface the driver was written for")
    configuration: DynamicRO[Map[str, str]] = field(
        "device_config keys the driver understands, each with an explanation"
    )
    capabilities: DynamicRO[SetOf[str]] = field(
        "feature names without versions; superseded by features",
        default=(),
        since="published miami, deprecated clearwater",
    )
    features: DynamicRO[Map[str, int]] = field(
        "abilities such as VDI_SNAPSHOT, each with the version of its implementation",
        default={},
        since="published clearwater, changed 24.37.0",
    )
    host_pending_features: DynamicRO[Map[Ref[Host], SetOf[str]]] = field(
        "per host, features it has but that other hosts lack, so that the pool does not use them yet",
        default={},
        since="prototyped 24.37.0",
        internal=True,
    )
    other_config: RW[Map[str, str]] = field("free settings of clients and toolstack", default={}, since="miami")
    driver_filename: DynamicRO[str] = field(
        "name of the driver's executable in the storage plug-in directory", default="", since="orlando"
    )
    required_cluster_stack: DynamicRO[SetOf[str]] = field(
        "cluster stacks of which one must be running before an SR of this type can be attached",
        default=(),
        since="dundee",
    )
    supported_image_formats: DynamicRO[SetOf[ImageFormatType]] = field(
        "disk image formats the driver can work with", default=(), since="prototyped 26.15.0"
    )
