"""One module for each XenAPI class; `MODULES` names them all."""

from xapi.datamodel.classes import (
    auth,
    blob,
    bond,
    caller,
    certificate,
    cluster,
    cluster_host,
    console,
    crashdump,
    data_source,
    diagnostics,
    dr_task,
    driver_variant,
    event,
    feature,
    gpu_group,
    host,
    host_cpu,
    host_crashdump,
    host_driver,
    host_messages,
    host_metrics,
    host_patch,
    lvhd,
    message,
    network,
    network_sriov,
    observer,
    pbd,
    pci,
    pgpu,
    pif,
    pif_metrics,
    pool,
    pool_messages,
    pool_patch,
    pool_update,
    probe_result,
    pusb,
    pvs_cache_storage,
    pvs_proxy,
    pvs_server,
    pvs_site,
    rate_limit,
    repository,
    role,
    sdn_controller,
    secret,
    session,
    sm,
    sr,
    sr_stat,
    subject,
    task,
    tunnel,
    usb_group,
    user,
    vbd,
    vbd_metrics,
    vdi,
    vdi_nbd_server_info,
    vgpu,
    vgpu_type,
    vif,
    vif_metrics,
    vlan,
    vm,
    vm_appliance,
    vm_group,
    vm_guest_metrics,
    vm_messages,
    vm_metrics,
    vmpp,
    vmss,
    vtpm,
    vusb,
)
from xapi.datamodel.classes.auth import Auth as Auth
from xapi.datamodel.classes.blob import Blob as Blob
from xapi.datamodel.classes.bond import Bond as Bond
from xapi.datamodel.classes.caller import Caller as Caller
from xapi.datamodel.classes.certificate import Certificate as Certificate
from xapi.datamodel.classes.cluster import Cluster as Cluster
from xapi.datamodel.classes.cluster_host import ClusterHost as ClusterHost
from xapi.datamodel.classes.console import Console as Console
from xapi.datamodel.classes.crashdump import Crashdump as Crashdump
from xapi.datamodel.classes.data_source import DataSource as DataSource
from xapi.datamodel.classes.diagnostics import Diagnostics as Diagnostics
from xapi.datamodel.classes.dr_task import DRTask as DRTask
from xapi.datamodel.classes.driver_variant import DriverVariant as DriverVariant
from xapi.datamodel.classes.event import Event as Event
from xapi.datamodel.classes.feature import Feature as Feature
from xapi.datamodel.classes.gpu_group import GPUGroup as GPUGroup
from xapi.datamodel.classes.host import Host as Host
from xapi.datamodel.classes.host_cpu import HostCpu as HostCpu
from xapi.datamodel.classes.host_crashdump import HostCrashdump as HostCrashdump
from xapi.datamodel.classes.host_driver import HostDriver as HostDriver
from xapi.datamodel.classes.host_metrics import HostMetrics as HostMetrics
from xapi.datamodel.classes.host_patch import HostPatch as HostPatch
from xapi.datamodel.classes.lvhd import LVHD as LVHD
from xapi.datamodel.classes.message import AlertMessage as AlertMessage
from xapi.datamodel.classes.network import Network as Network
from xapi.datamodel.classes.network_sriov import NetworkSriov as NetworkSriov
from xapi.datamodel.classes.observer import Observer as Observer
from xapi.datamodel.classes.pbd import PBD as PBD
from xapi.datamodel.classes.pci import PCI as PCI
from xapi.datamodel.classes.pgpu import PGPU as PGPU
from xapi.datamodel.classes.pif import PIF as PIF
from xapi.datamodel.classes.pif_metrics import PIFMetrics as PIFMetrics
from xapi.datamodel.classes.pool import Pool as Pool
from xapi.datamodel.classes.pool_patch import PoolPatch as PoolPatch
from xapi.datamodel.classes.pool_update import PoolUpdate as PoolUpdate
from xapi.datamodel.classes.probe_result import ProbeResult as ProbeResult
from xapi.datamodel.classes.pusb import PUSB as PUSB
from xapi.datamodel.classes.pvs_cache_storage import PVSCacheStorage as PVSCacheStorage
from xapi.datamodel.classes.pvs_proxy import PVSProxy as PVSProxy
from xapi.datamodel.classes.pvs_server import PVSServer as PVSServer
from xapi.datamodel.classes.pvs_site import PVSSite as PVSSite
from xapi.datamodel.classes.rate_limit import RateLimit as RateLimit
from xapi.datamodel.classes.repository import Repository as Repository
from xapi.datamodel.classes.role import Role as Role
from xapi.datamodel.classes.sdn_controller import SDNController as SDNController
from xapi.datamodel.classes.secret import Secret as Secret
from xapi.datamodel.classes.session import Session as Session
from xapi.datamodel.classes.sm import SM as SM
from xapi.datamodel.classes.sr import SR as SR
from xapi.datamodel.classes.sr_stat import SrStat as SrStat
from xapi.datamodel.classes.subject import Subject as Subject
from xapi.datamodel.classes.task import Task as Task
from xapi.datamodel.classes.tunnel import Tunnel as Tunnel
from xapi.datamodel.classes.usb_group import USBGroup as USBGroup
from xapi.datamodel.classes.user import User as User
from xapi.datamodel.classes.vbd import VBD as VBD
from xapi.datamodel.classes.vbd_metrics import VBDMetrics as VBDMetrics
from xapi.datamodel.classes.vdi import VDI as VDI
from xapi.datamodel.classes.vdi_nbd_server_info import VDINbdServerInfo as VDINbdServerInfo
from xapi.datamodel.classes.vgpu import VGPU as VGPU
from xapi.datamodel.classes.vgpu_type import VGPUType as VGPUType
from xapi.datamodel.classes.vif import VIF as VIF
from xapi.datamodel.classes.vif_metrics import VIFMetrics as VIFMetrics
from xapi.datamodel.classes.vlan import VLAN as VLAN
from xapi.datamodel.classes.vm import VM as VM
from xapi.datamodel.classes.vm_appliance import VMAppliance as VMAppliance
from xapi.datamodel.classes.vm_group import VMGroup as VMGroup
from xapi.datamodel.classes.vm_guest_metrics import VMGuestMetrics as VMGuestMetrics
from xapi.datamodel.classes.vm_metrics import VMMetrics as VMMetrics
from xapi.datamodel.classes.vmpp import VMPP as VMPP
from xapi.datamodel.classes.vmss import VMSS as VMSS
from xapi.datamodel.classes.vtpm import VTPM as VTPM
from xapi.datamodel.classes.vusb import VUSB as VUSB

MODULES = (
    auth,
    blob,
    bond,
    caller,
    certificate,
    cluster,
    cluster_host,
    console,
    crashdump,
    data_source,
    diagnostics,
    dr_task,
    driver_variant,
    event,
    feature,
    gpu_group,
    host,
    host_cpu,
    host_crashdump,
    host_driver,
    host_messages,
    host_metrics,
    host_patch,
    lvhd,
    message,
    network,
    network_sriov,
    observer,
    pbd,
    pci,
    pgpu,
    pif,
    pif_metrics,
    pool,
    pool_messages,
    pool_patch,
    pool_update,
    probe_result,
    pusb,
    pvs_cache_storage,
    pvs_proxy,
    pvs_server,
    pvs_site,
    rate_limit,
    repository,
    role,
    sdn_controller,
    secret,
    session,
    sm,
    sr,
    sr_stat,
    subject,
    task,
    tunnel,
    usb_group,
    user,
    vbd,
    vbd_metrics,
    vdi,
    vdi_nbd_server_info,
    vgpu,
    vgpu_type,
    vif,
    vif_metrics,
    vlan,
    vm,
    vm_appliance,
    vm_group,
    vm_guest_metrics,
    vm_messages,
    vm_metrics,
    vmpp,
    vmss,
    vtpm,
    vusb,
)
