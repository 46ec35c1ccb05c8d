"""Errors of the contract: networks."""

from xapi.datamodel.failure import ErrorCode

ADDRESS_VIOLATES_LOCKING_CONSTRAINT = ErrorCode(
    "ADDRESS_VIOLATES_LOCKING_CONSTRAINT",
    "address",
    about="The IP address is not one that the locking settings of the VIF permit.",
)
BRIDGE_NAME_EXISTS = ErrorCode("BRIDGE_NAME_EXISTS", "bridge", about="Another network already uses this bridge name.")
BRIDGE_NOT_AVAILABLE = ErrorCode(
    "BRIDGE_NOT_AVAILABLE", "bridge", about="The network bridge that the operation needs does not exist on the host."
)
CANNOT_ADD_TUNNEL_TO_BOND_SLAVE = ErrorCode(
    "CANNOT_ADD_TUNNEL_TO_BOND_SLAVE", "PIF", about="A tunnel cannot run over a bond member; use the bond's own PIF."
)
CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL = ErrorCode(
    "CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL",
    "PIF",
    about="A tunnel cannot be built on the logical PIF of an SR-IOV network.",
)
CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL = ErrorCode(
    "CANNOT_ADD_TUNNEL_TO_VLAN_ON_SRIOV_LOGICAL",
    "PIF",
    about="A tunnel cannot be built on a VLAN that itself lies on an SR-IOV logical PIF.",
)
CANNOT_ADD_VLAN_TO_BOND_SLAVE = ErrorCode(
    "CANNOT_ADD_VLAN_TO_BOND_SLAVE",
    "PIF",
    about="A VLAN cannot be made on an interface that is a member of a bond; use the bond itself.",
)
CANNOT_CHANGE_PIF_PROPERTIES = ErrorCode(
    "CANNOT_CHANGE_PIF_PROPERTIES",
    "PIF",
    about="Properties can only be set on physical PIFs outside bonds and on the PIF of a bond.",
)
CANNOT_DESTROY_SYSTEM_NETWORK = ErrorCode(
    "CANNOT_DESTROY_SYSTEM_NETWORK",
    "network",
    about="The network is needed by the system itself and cannot be removed.",
)
CANNOT_PLUG_BOND_SLAVE = ErrorCode(
    "CANNOT_PLUG_BOND_SLAVE", "PIF", about="This PIF is a member of a bond and cannot be plugged on its own."
)
CANNOT_PLUG_VIF = ErrorCode("CANNOT_PLUG_VIF", "VIF", about="The VIF could not be plugged into the running VM.")
DUPLICATE_MAC_SEED = ErrorCode(
    "DUPLICATE_MAC_SEED",
    "seed",
    about="Another VM has the same MAC seed, so both would end up with the same MAC addresses.",
)
HOSTS_NOT_COMPATIBLE = ErrorCode(
    "HOSTS_NOT_COMPATIBLE", about="The hosts of the pool differ too much in software for this operation."
)
INCOMPATIBLE_PIF_PROPERTIES = ErrorCode(
    "INCOMPATIBLE_PIF_PROPERTIES", about="These PIFs cannot form a bond, since their properties differ."
)
INTERFACE_HAS_NO_IP = ErrorCode(
    "INTERFACE_HAS_NO_IP", "interface", about="The interface has no IP address, which the operation needs."
)
INVALID_CIDR_ADDRESS_SPECIFIED = ErrorCode(
    "INVALID_CIDR_ADDRESS_SPECIFIED", "parameter", about="The address is not in CIDR form, such as 192.0.2.1/24."
)
INVALID_IP_ADDRESS_SPECIFIED = ErrorCode(
    "INVALID_IP_ADDRESS_SPECIFIED", "parameter", about="The parameter holds no valid IP address."
)
MAC_DOES_NOT_EXIST = ErrorCode("MAC_DOES_NOT_EXIST", "MAC", about="No network card on the host has this MAC address.")
MAC_INVALID = ErrorCode("MAC_INVALID", "MAC", about="The MAC address is not six hexadecimal pairs or is not permitted.")
MAC_STILL_EXISTS = ErrorCode(
    "MAC_STILL_EXISTS", "MAC", about="A NIC with this MAC address is still present in the host."
)
NETWORK_ALREADY_CONNECTED = ErrorCode(
    "NETWORK_ALREADY_CONNECTED",
    "network",
    "connected PIF",
    about="The host already reaches this network through another PIF.",
)
NETWORK_CONTAINS_PIF = ErrorCode(
    "NETWORK_CONTAINS_PIF", "pifs", about="The network cannot be removed, because PIFs are still connected to it."
)
NETWORK_CONTAINS_VIF = ErrorCode(
    "NETWORK_CONTAINS_VIF", "vifs", about="The network cannot be removed while virtual interfaces of VMs belong to it."
)
NETWORK_HAS_INCOMPATIBLE_SRIOV_PIFS = ErrorCode(
    "NETWORK_HAS_INCOMPATIBLE_SRIOV_PIFS",
    "PIF",
    "network",
    about="The PIF's card differs from the SR-IOV cards already on this network.",
)
NETWORK_HAS_INCOMPATIBLE_VLAN_ON_SRIOV_PIFS = ErrorCode(
    "NETWORK_HAS_INCOMPATIBLE_VLAN_ON_SRIOV_PIFS",
    "PIF",
    "network",
    about="A VLAN on an SR-IOV network does not go with the PIF that is to join the network.",
)
NETWORK_INCOMPATIBLE_PURPOSES = ErrorCode(
    "NETWORK_INCOMPATIBLE_PURPOSES",
    "new_purpose",
    "conflicting_purpose",
    about="The new purpose cannot be combined with one that the network or another one already has.",
)
NETWORK_INCOMPATIBLE_WITH_BOND = ErrorCode(
    "NETWORK_INCOMPATIBLE_WITH_BOND", "network", about="A bond cannot be put on this network."
)
NETWORK_INCOMPATIBLE_WITH_SRIOV = ErrorCode(
    "NETWORK_INCOMPATIBLE_WITH_SRIOV",
    "network",
    about="This network carries other kinds of PIF and cannot be used for SR-IOV.",
)
NETWORK_INCOMPATIBLE_WITH_TRUNKS = ErrorCode(
    "NETWORK_INCOMPATIBLE_WITH_TRUNKS", "network", about="The network's bridge cannot carry VLAN trunks to a VIF."
)
NETWORK_INCOMPATIBLE_WITH_TUNNEL = ErrorCode(
    "NETWORK_INCOMPATIBLE_WITH_TUNNEL",
    "network",
    about="The network cannot be used for a tunnel, because of the kind of PIFs it has.",
)
NETWORK_INCOMPATIBLE_WITH_VLAN_ON_BRIDGE = ErrorCode(
    "NETWORK_INCOMPATIBLE_WITH_VLAN_ON_BRIDGE",
    "network",
    about="A VLAN cannot be put on this network while the Linux bridge backend is in use.",
)
NETWORK_INCOMPATIBLE_WITH_VLAN_ON_SRIOV = ErrorCode(
    "NETWORK_INCOMPATIBLE_WITH_VLAN_ON_SRIOV",
    "network",
    about="This network cannot carry a VLAN that lies on an SR-IOV network.",
)
NETWORK_SRIOV_ALREADY_ENABLED = ErrorCode(
    "NETWORK_SRIOV_ALREADY_ENABLED", "PIF", about="SR-IOV is already switched on for this PIF."
)
NETWORK_SRIOV_DISABLE_FAILED = ErrorCode(
    "NETWORK_SRIOV_DISABLE_FAILED",
    "PIF",
    "msg",
    about="SR-IOV could not be turned off on the PIF, for the reason given.",
)
NETWORK_SRIOV_ENABLE_FAILED = ErrorCode(
    "NETWORK_SRIOV_ENABLE_FAILED", "PIF", "msg", about="SR-IOV could not be turned on for the network card."
)
NETWORK_SRIOV_INSUFFICIENT_CAPACITY = ErrorCode(
    "NETWORK_SRIOV_INSUFFICIENT_CAPACITY",
    "network",
    about="The SR-IOV network has too few free virtual functions for this VM.",
)
NETWORK_UNMANAGED = ErrorCode(
    "NETWORK_UNMANAGED", "network", about="The network is set up outside the toolstack, which may not change it."
)
NO_LOCAL_STORAGE = ErrorCode("NO_LOCAL_STORAGE", about="The host has no local SR of the kind this operation needs.")
OPENVSWITCH_NOT_ACTIVE = ErrorCode(
    "OPENVSWITCH_NOT_ACTIVE", about="The hosts use plain bridges, but the operation needs Open vSwitch."
)
PIF_ALLOWS_UNPLUG = ErrorCode(
    "PIF_ALLOWS_UNPLUG",
    "PIF",
    about="The interface may be unplugged at any time, but the operation needs one that may not.",
)
PIF_ALREADY_BONDED = ErrorCode("PIF_ALREADY_BONDED", "PIF", about="The PIF is a member of a bond already.")
PIF_BOND_MORE_THAN_ONE_IP = ErrorCode(
    "PIF_BOND_MORE_THAN_ONE_IP", about="At most one of the PIFs to be bonded may have an IP configuration."
)
PIF_BOND_NEEDS_MORE_MEMBERS = ErrorCode("PIF_BOND_NEEDS_MORE_MEMBERS", about="A bond needs at least two PIFs.")
PIF_CANNOT_BOND_CROSS_HOST = ErrorCode(
    "PIF_CANNOT_BOND_CROSS_HOST", about="All interfaces of a bond must belong to the same host."
)
PIF_CONFIGURATION_ERROR = ErrorCode(
    "PIF_CONFIGURATION_ERROR", "PIF", "msg", about="The host could not apply the interface's settings."
)
PIF_DEVICE_NOT_FOUND = ErrorCode("PIF_DEVICE_NOT_FOUND", about="The host has no NIC under that device name.")
PIF_DOES_NOT_ALLOW_UNPLUG = ErrorCode(
    "PIF_DOES_NOT_ALLOW_UNPLUG", "PIF", about="The PIF cannot be unplugged, because it is marked as always needed."
)
PIF_HAS_FCOE_SR_IN_USE = ErrorCode(
    "PIF_HAS_FCOE_SR_IN_USE", "PIF", "SR", about="The interface carries an FCoE SR that is in use."
)
PIF_HAS_NO_NETWORK_CONFIGURATION = ErrorCode(
    "PIF_HAS_NO_NETWORK_CONFIGURATION",
    "PIF",
    about="The PIF's IPv4 mode is None, but the operation needs an address on it.",
)
PIF_HAS_NO_V6_NETWORK_CONFIGURATION = ErrorCode(
    "PIF_HAS_NO_V6_NETWORK_CONFIGURATION",
    "PIF",
    about="The PIF has no IPv6 configuration, and the operation needs one.",
)
PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE = ErrorCode(
    "PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE",
    "PIF",
    about="The PIF's primary address is of another kind (IPv4 or IPv6) than the operation needs.",
)
PIF_IS_MANAGEMENT_INTERFACE = ErrorCode(
    "PIF_IS_MANAGEMENT_INTERFACE",
    "PIF",
    about="The interface carries the host's management traffic and cannot be changed this way.",
)
PIF_IS_NOT_PHYSICAL = ErrorCode(
    "PIF_IS_NOT_PHYSICAL", "PIF", about="The operation needs a real network card, which this PIF is not."
)
PIF_IS_NOT_SRIOV_CAPABLE = ErrorCode(
    "PIF_IS_NOT_SRIOV_CAPABLE", "PIF", about="The NIC behind this PIF cannot do SR-IOV."
)
PIF_IS_PHYSICAL = ErrorCode(
    "PIF_IS_PHYSICAL",
    "PIF",
    about="The PIF is a real network card, while only a virtual one such as a VLAN is allowed here.",
)
PIF_IS_SRIOV_LOGICAL = ErrorCode(
    "PIF_IS_SRIOV_LOGICAL", "PIF", about="The operation is not possible on the logical interface of an SR-IOV network."
)
PIF_IS_VLAN = ErrorCode(
    "PIF_IS_VLAN", "PIF", about="The PIF is itself a VLAN; use the physical interface or bond beneath it."
)
PIF_NOT_ATTACHED_TO_HOST = ErrorCode(
    "PIF_NOT_ATTACHED_TO_HOST", "pif", "host", about="The PIF belongs to another host than the one named."
)
PIF_NOT_PRESENT = ErrorCode("PIF_NOT_PRESENT", "host", "network", about="The host has no PIF on this network.")
PIF_SRIOV_STILL_EXISTS = ErrorCode(
    "PIF_SRIOV_STILL_EXISTS", "PIF", about="The interface cannot be removed while an SR-IOV network is built on it."
)
PIF_TUNNEL_STILL_EXISTS = ErrorCode(
    "PIF_TUNNEL_STILL_EXISTS", "PIF", about="A tunnel still runs over this PIF; remove it first."
)
PIF_UNMANAGED = ErrorCode(
    "PIF_UNMANAGED", "PIF", about="The PIF is set up outside the toolstack, which may not change it."
)
PIF_VLAN_EXISTS = ErrorCode(
    "PIF_VLAN_EXISTS", "PIF", about="The network card already carries a PIF with this VLAN tag."
)
PIF_VLAN_STILL_EXISTS = ErrorCode(
    "PIF_VLAN_STILL_EXISTS", "PIF", about="The interface cannot be changed or removed while VLANs are built on it."
)
PVS_CACHE_STORAGE_ALREADY_PRESENT = ErrorCode(
    "PVS_CACHE_STORAGE_ALREADY_PRESENT", "site", "host", about="The host already has cache storage for this PVS site."
)
PVS_CACHE_STORAGE_IS_IN_USE = ErrorCode(
    "PVS_CACHE_STORAGE_IS_IN_USE",
    "PVS_cache_storage",
    about="The PVS cache storage serves running proxies and cannot be removed.",
)
PVS_PROXY_ALREADY_PRESENT = ErrorCode("PVS_PROXY_ALREADY_PRESENT", "proxies", about="The VIF already has a PVS proxy.")
PVS_PROXY_PRESENT_ON_HIGHER_VIF_DEVICE = ErrorCode(
    "PVS_PROXY_PRESENT_ON_HIGHER_VIF_DEVICE",
    "device",
    about="A virtual interface with a higher device number already has a PVS proxy.",
)
PVS_SERVER_ADDRESS_IN_USE = ErrorCode(
    "PVS_SERVER_ADDRESS_IN_USE", "address", about="Another PVS server is already recorded with this address."
)
PVS_SITE_CONTAINS_RUNNING_PROXIES = ErrorCode(
    "PVS_SITE_CONTAINS_RUNNING_PROXIES", "proxies", about="PVS proxies of this site are still running."
)
PVS_SITE_CONTAINS_SERVERS = ErrorCode(
    "PVS_SITE_CONTAINS_SERVERS",
    "servers",
    about="The PVS site cannot be forgotten, because servers still belong to it.",
)
PVS_VIF_MUST_BE_FIRST_DEVICE = ErrorCode(
    "PVS_VIF_MUST_BE_FIRST_DEVICE", about="A PVS proxy works only on the VM's interface with the lowest device number."
)
REQUIRED_PIF_IS_UNPLUGGED = ErrorCode(
    "REQUIRED_PIF_IS_UNPLUGGED", "PIF", about="An interface that the operation depends on is not plugged."
)
TRANSPORT_PIF_NOT_CONFIGURED = ErrorCode(
    "TRANSPORT_PIF_NOT_CONFIGURED", "PIF", about="The PIF that is to carry the tunnel has no IP configuration."
)
VLAN_IN_USE = ErrorCode("VLAN_IN_USE", "device", "vlan", about="The VLAN tag on this device is already taken.")
VLAN_TAG_INVALID = ErrorCode("VLAN_TAG_INVALID", "VLAN", about="The VLAN tag is outside the range that can be used.")
