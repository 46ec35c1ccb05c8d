"""Errors of the contract: pools, sessions, users, clusters and tasks."""

from xapi.datamodel.failure import ErrorCode

AUTH_ALREADY_ENABLED = ErrorCode(
    "AUTH_ALREADY_ENABLED",
    "current auth_type",
    "current service_name",
    about="The host already uses an external directory service; disable that one first.",
)
AUTH_DISABLE_FAILED = ErrorCode(
    "AUTH_DISABLE_FAILED", "message", about="The host could not leave its external authentication service."
)
AUTH_DISABLE_FAILED_PERMISSION_DENIED = ErrorCode(
    "AUTH_DISABLE_FAILED_PERMISSION_DENIED",
    "message",
    about="The account given has no right to take the host out of the directory domain.",
)
AUTH_DISABLE_FAILED_WRONG_CREDENTIALS = ErrorCode(
    "AUTH_DISABLE_FAILED_WRONG_CREDENTIALS",
    "message",
    about="The host could not leave the domain because user name or password was wrong.",
)
AUTH_ENABLE_FAILED = ErrorCode(
    "AUTH_ENABLE_FAILED", "message", about="The host could not join the external directory service."
)
AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED = ErrorCode(
    "AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED",
    "message",
    about="The Active Directory domain could not be found, probably for want of a working DNS.",
)
AUTH_ENABLE_FAILED_INVALID_ACCOUNT = ErrorCode(
    "AUTH_ENABLE_FAILED_INVALID_ACCOUNT",
    "message",
    about="The computer account for joining the directory domain was not accepted.",
)
AUTH_ENABLE_FAILED_INVALID_OU = ErrorCode(
    "AUTH_ENABLE_FAILED_INVALID_OU",
    "message",
    about="The host could not join the domain because the organisational unit does not exist in it.",
)
AUTH_ENABLE_FAILED_INVALID_TRUSTED_CERTS = ErrorCode(
    "AUTH_ENABLE_FAILED_INVALID_TRUSTED_CERTS",
    "message",
    about="Joining the directory failed because its certificate is not trusted by the host.",
)
AUTH_ENABLE_FAILED_NO_SUPPORT_ENCRYPT_TYPE = ErrorCode(
    "AUTH_ENABLE_FAILED_NO_SUPPORT_ENCRYPT_TYPE",
    about="The domain does not offer any Kerberos encryption type that the host accepts.",
)
AUTH_ENABLE_FAILED_NO_TRUSTED_CERTS = ErrorCode(
    "AUTH_ENABLE_FAILED_NO_TRUSTED_CERTS",
    "message",
    about="Joining over TLS needs a trusted certificate for the directory, and none is installed.",
)
AUTH_ENABLE_FAILED_PERMISSION_DENIED = ErrorCode(
    "AUTH_ENABLE_FAILED_PERMISSION_DENIED",
    "message",
    about="The host could not join the domain because the given account lacks the right to do so.",
)
AUTH_ENABLE_FAILED_UNAVAILABLE = ErrorCode(
    "AUTH_ENABLE_FAILED_UNAVAILABLE",
    "message",
    about="Joining the directory failed because its server could not be reached.",
)
AUTH_ENABLE_FAILED_WRONG_CREDENTIALS = ErrorCode(
    "AUTH_ENABLE_FAILED_WRONG_CREDENTIALS",
    "message",
    about="The host could not join the domain because user name or password was rejected.",
)
AUTH_INVALID_TRUSTED_CERTS = ErrorCode(
    "AUTH_INVALID_TRUSTED_CERTS", "message", about="The trusted certificates for the directory service are not valid."
)
AUTH_IS_DISABLED = ErrorCode(
    "AUTH_IS_DISABLED", about="No directory service is configured, so the user or group could not be looked up."
)
AUTH_NO_TRUSTED_CERTS = ErrorCode(
    "AUTH_NO_TRUSTED_CERTS",
    "message",
    about="No trusted certificate for LDAPS is installed, so the directory cannot be verified.",
)
AUTH_SERVICE_ERROR = ErrorCode(
    "AUTH_SERVICE_ERROR",
    "message",
    about="The external authentication service could not be asked or answered with an error.",
)
AUTH_SETUP_TLS_CONNECTION = ErrorCode(
    "AUTH_SETUP_TLS_CONNECTION", "message", about="No TLS connection to the directory service could be set up."
)
AUTH_SET_LDAPS_FAILED = ErrorCode(
    "AUTH_SET_LDAPS_FAILED",
    "host",
    "message",
    about="LDAPS could not be switched on or off on the host, for the reason given.",
)
AUTH_UNKNOWN_TYPE = ErrorCode(
    "AUTH_UNKNOWN_TYPE", "type", about="The type of external directory service is not one the host supports."
)
CANNOT_CONTACT_HOST = ErrorCode("CANNOT_CONTACT_HOST", "host", about="The host does not answer over the network.")
CLUSTERED_SR_DEGRADED = ErrorCode(
    "CLUSTERED_SR_DEGRADED",
    "sr",
    about="The clustered SR is not working fully on every host, so the operation would be unsafe.",
)
CLUSTERING_DISABLED = ErrorCode(
    "CLUSTERING_DISABLED", "cluster_host", about="The host's membership in the cluster is switched off."
)
CLUSTERING_ENABLED = ErrorCode(
    "CLUSTERING_ENABLED", "cluster_host", about="The call is not possible while clustering is enabled on the host."
)
CLUSTER_ALREADY_EXISTS = ErrorCode(
    "CLUSTER_ALREADY_EXISTS", about="The pool has a cluster already and cannot have another one."
)
CLUSTER_CREATE_IN_PROGRESS = ErrorCode(
    "CLUSTER_CREATE_IN_PROGRESS", about="The operation has to wait until the creation of a cluster has finished."
)
CLUSTER_DOES_NOT_HAVE_ONE_NODE = ErrorCode(
    "CLUSTER_DOES_NOT_HAVE_ONE_NODE",
    "number_of_nodes",
    about="The cluster must be down to a single host for this operation.",
)
CLUSTER_FORCE_DESTROY_FAILED = ErrorCode(
    "CLUSTER_FORCE_DESTROY_FAILED", "cluster", about="The cluster could not be destroyed even by force."
)
CLUSTER_HAS_NO_CERTIFICATE = ErrorCode(
    "CLUSTER_HAS_NO_CERTIFICATE", about="The cluster has no certificate to secure its traffic with."
)
CLUSTER_HOST_IS_LAST = ErrorCode(
    "CLUSTER_HOST_IS_LAST", "cluster_host", about="The last member cannot leave a cluster; destroy the cluster instead."
)
CLUSTER_HOST_NOT_JOINED = ErrorCode(
    "CLUSTER_HOST_NOT_JOINED", "cluster_host", about="The host has not joined the cluster's stack yet."
)
CLUSTER_STACK_IN_USE = ErrorCode(
    "CLUSTER_STACK_IN_USE", "cluster_stack", about="The cluster stack is still in use, for example by an attached SR."
)
EVENTS_LOST = ErrorCode(
    "EVENTS_LOST", about="The event queue overflowed; reread everything and register for events again."
)
EVENT_FROM_TOKEN_PARSE_FAILURE = ErrorCode(
    "EVENT_FROM_TOKEN_PARSE_FAILURE", "token", about="The token given to event.from is not one the server has issued."
)
EVENT_SUBSCRIPTION_PARSE_FAILURE = ErrorCode(
    "EVENT_SUBSCRIPTION_PARSE_FAILURE",
    "subscription",
    about="The server does not understand this event subscription; neither a class, an object nor '*'.",
)
HANDLE_INVALID = ErrorCode(
    "HANDLE_INVALID",
    "class",
    "handle",
    about="The reference names no existing object of the given class; it may have been deleted.",
)
HA_ABORT_NEW_MASTER = ErrorCode(
    "HA_ABORT_NEW_MASTER",
    "reason",
    about="The host declined to become coordinator, so the change of coordinator was called off.",
)
HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE = ErrorCode(
    "HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE",
    about="While HA is on, the management interface cannot be put into a bond or taken out of one.",
)
HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED = ErrorCode(
    "HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED",
    "network",
    about="The network is not shared by all hosts, which would break HA's promise to restart VMs.",
)
HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED = ErrorCode(
    "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED",
    "SR",
    about="A protected VM may not depend on an SR that only one host can reach.",
)
HA_DISABLE_IN_PROGRESS = ErrorCode(
    "HA_DISABLE_IN_PROGRESS", about="The operation has to wait until HA has been turned off."
)
HA_ENABLE_IN_PROGRESS = ErrorCode(
    "HA_ENABLE_IN_PROGRESS", about="High availability is just being switched on; wait until that has finished."
)
HA_FAILED_TO_FORM_LIVESET = ErrorCode(
    "HA_FAILED_TO_FORM_LIVESET", about="HA could not be enabled because the hosts failed to see one another in time."
)
HA_HEARTBEAT_DAEMON_STARTUP_FAILED = ErrorCode(
    "HA_HEARTBEAT_DAEMON_STARTUP_FAILED",
    about="The HA heartbeat daemon did not start on the host; it may lack access to statefile or network.",
)
HA_HOST_CANNOT_ACCESS_STATEFILE = ErrorCode(
    "HA_HOST_CANNOT_ACCESS_STATEFILE", about="The host could not reach the HA statefile."
)
HA_HOST_CANNOT_SEE_PEERS = ErrorCode(
    "HA_HOST_CANNOT_SEE_PEERS",
    "host",
    "all",
    "subset",
    about="The HA daemon of this host sees only some of the other hosts; check the network.",
)
HA_HOST_IS_ARMED = ErrorCode(
    "HA_HOST_IS_ARMED", "host", about="The host is still guarded by HA; disarm its fencing first."
)
HA_IS_ENABLED = ErrorCode("HA_IS_ENABLED", about="The operation is not possible while HA is on.")
HA_LOST_STATEFILE = ErrorCode("HA_LOST_STATEFILE", about="The host lost its access to the HA statefile.")
HA_NOT_ENABLED = ErrorCode("HA_NOT_ENABLED", about="The operation needs high availability, which is off in this pool.")
HA_NOT_INSTALLED = ErrorCode("HA_NOT_INSTALLED", "host", about="The HA software is missing on the host.")
HA_NO_PLAN = ErrorCode(
    "HA_NO_PLAN", about="No plan exists by which all protected VMs survive the number of host failures to tolerate."
)
HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN = ErrorCode(
    "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",
    about="The operation would leave too little capacity to restart protected VMs after a failure.",
)
HA_POOL_IS_ENABLED_BUT_HOST_IS_DISABLED = ErrorCode(
    "HA_POOL_IS_ENABLED_BUT_HOST_IS_DISABLED",
    about="The pool runs with HA but this host has it disarmed, so it cannot take part.",
)
HA_SHOULD_BE_FENCED = ErrorCode(
    "HA_SHOULD_BE_FENCED",
    "host",
    about="The host is cut off from the HA pool and has to restart itself before it may rejoin.",
)
HA_TOO_FEW_HOSTS = ErrorCode("HA_TOO_FEW_HOSTS", about="HA needs more live hosts than the pool has.")
JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS = ErrorCode(
    "JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS",
    about="The joining host is the coordinator of a pool with further members; these must leave first.",
)
JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS = ErrorCode(
    "JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS",
    about="A host with shared SRs of its own cannot join a pool; detach them first.",
)
JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS = ErrorCode(
    "JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS",
    about="Shut down all VMs of the host, suspended ones too, before it joins a pool.",
)
JOINING_HOST_CANNOT_HAVE_RUNNING_VMS = ErrorCode(
    "JOINING_HOST_CANNOT_HAVE_RUNNING_VMS", about="Running VMs must be shut down before their host can join a pool."
)
JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS = ErrorCode(
    "JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS",
    about="The joining host has VMs with operations in progress; wait until they are done.",
)
JOINING_HOST_CONNECTION_FAILED = ErrorCode(
    "JOINING_HOST_CONNECTION_FAILED", about="The joining host could not connect to the coordinator of the pool."
)
JOINING_HOST_SERVICE_FAILED = ErrorCode(
    "JOINING_HOST_SERVICE_FAILED",
    about="During the join the service at the other end was reached but gave no sensible answer.",
)
NOT_IN_EMERGENCY_MODE = ErrorCode(
    "NOT_IN_EMERGENCY_MODE", about="The call is meant for a host cut off from its pool, and this host is not."
)
POOL_AUTH_ALREADY_ENABLED = ErrorCode(
    "POOL_AUTH_ALREADY_ENABLED",
    "host",
    about="External authentication is already on for at least one host of the pool.",
)
POOL_AUTH_DISABLE_FAILED = ErrorCode(
    "POOL_AUTH_DISABLE_FAILED",
    "host",
    "message",
    about="A host of the pool could not switch off external authentication.",
)
POOL_AUTH_DISABLE_FAILED_INVALID_ACCOUNT = ErrorCode(
    "POOL_AUTH_DISABLE_FAILED_INVALID_ACCOUNT",
    "host",
    "message",
    about="The pool left the domain, but machine accounts stayed there because the given account was invalid.",
)
POOL_AUTH_DISABLE_FAILED_PERMISSION_DENIED = ErrorCode(
    "POOL_AUTH_DISABLE_FAILED_PERMISSION_DENIED",
    "host",
    "message",
    about="Leaving the directory failed on a host because the account lacks the right to do so.",
)
POOL_AUTH_DISABLE_FAILED_WRONG_CREDENTIALS = ErrorCode(
    "POOL_AUTH_DISABLE_FAILED_WRONG_CREDENTIALS",
    "host",
    "message",
    about="Authentication is off, but wrong credentials kept some host accounts in the domain from being disabled.",
)
POOL_AUTH_ENABLE_FAILED = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED",
    "host",
    "message",
    about="A host of the pool could not switch on external authentication.",
)
POOL_AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED",
    "host",
    "message",
    about="The host named could not find the domain, so the pool did not join it.",
)
POOL_AUTH_ENABLE_FAILED_DUPLICATE_HOSTNAME = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_DUPLICATE_HOSTNAME",
    "host",
    "message",
    about="Joining the directory failed on a host whose name another host uses too.",
)
POOL_AUTH_ENABLE_FAILED_INVALID_ACCOUNT = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_INVALID_ACCOUNT",
    "host",
    "message",
    about="A host of the pool could not join the domain because the account is not valid.",
)
POOL_AUTH_ENABLE_FAILED_INVALID_OU = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_INVALID_OU",
    "host",
    "message",
    about="A host could not join the directory domain because the organisational unit is not valid.",
)
POOL_AUTH_ENABLE_FAILED_INVALID_TRUSTED_CERTS = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_INVALID_TRUSTED_CERTS",
    "host",
    "message",
    about="The pool did not join the domain; no trusted certificate fits the domain controllers.",
)
POOL_AUTH_ENABLE_FAILED_NO_SUPPORT_ENCRYPT_TYPE = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_NO_SUPPORT_ENCRYPT_TYPE",
    "host",
    "message",
    about="Joining failed on a host because the directory supports none of its encryption types.",
)
POOL_AUTH_ENABLE_FAILED_NO_TRUSTED_CERTS = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_NO_TRUSTED_CERTS",
    "host",
    "message",
    about="A host of the pool could not join the domain for lack of a trusted certificate.",
)
POOL_AUTH_ENABLE_FAILED_PERMISSION_DENIED = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_PERMISSION_DENIED",
    "host",
    "message",
    about="A host could not join the directory domain because the account lacks the right to.",
)
POOL_AUTH_ENABLE_FAILED_SETUP_TLS_CONNECTION = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_SETUP_TLS_CONNECTION",
    "host",
    "message",
    about="The pool did not join the domain; the host named got no TLS connection to it.",
)
POOL_AUTH_ENABLE_FAILED_UNAVAILABLE = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_UNAVAILABLE",
    "host",
    "message",
    about="Joining failed on a host because it could not reach the directory server.",
)
POOL_AUTH_ENABLE_FAILED_WRONG_CREDENTIALS = ErrorCode(
    "POOL_AUTH_ENABLE_FAILED_WRONG_CREDENTIALS",
    "host",
    "message",
    about="A host of the pool could not join the domain because user name or password was rejected.",
)
POOL_JOINING_EXTERNAL_AUTH_MISMATCH = ErrorCode(
    "POOL_JOINING_EXTERNAL_AUTH_MISMATCH", about="Host and pool use different external authentication."
)
POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT = ErrorCode(
    "POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT",
    about="The joining host has CA certificates of the same name as the pool's but with other content.",
)
POOL_JOINING_HOST_HAS_BONDS = ErrorCode(
    "POOL_JOINING_HOST_HAS_BONDS", about="A host that already has network bonds cannot join the pool."
)
POOL_JOINING_HOST_HAS_NETWORK_SRIOVS = ErrorCode(
    "POOL_JOINING_HOST_HAS_NETWORK_SRIOVS", about="Switch SR-IOV off on the host before it joins the pool."
)
POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS = ErrorCode(
    "POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS",
    about="The host has VLANs besides that of its management interface; remove them before joining.",
)
POOL_JOINING_HOST_HAS_TUNNELS = ErrorCode(
    "POOL_JOINING_HOST_HAS_TUNNELS", about="The joining host has tunnels; remove them first."
)
POOL_JOINING_HOST_MANAGEMENT_VLAN_DOES_NOT_MATCH = ErrorCode(
    "POOL_JOINING_HOST_MANAGEMENT_VLAN_DOES_NOT_MATCH",
    "local",
    "remote",
    about="The joining host's management VLAN differs from the pool's.",
)
POOL_JOINING_HOST_MUST_HAVE_ONLY_ONE_IP_ON_CLUSTERING_NETWORK = ErrorCode(
    "POOL_JOINING_HOST_MUST_HAVE_ONLY_ONE_IP_ON_CLUSTERING_NETWORK",
    about="The pool is clustered, so the joining host may have only one IP address on the clustering network.",
)
POOL_JOINING_HOST_MUST_HAVE_PHYSICAL_MANAGEMENT_NIC = ErrorCode(
    "POOL_JOINING_HOST_MUST_HAVE_PHYSICAL_MANAGEMENT_NIC",
    about="A host can join only with its management interface on a physical NIC.",
)
POOL_JOINING_HOST_MUST_HAVE_SAME_API_VERSION = ErrorCode(
    "POOL_JOINING_HOST_MUST_HAVE_SAME_API_VERSION",
    "host_api_version",
    "master_api_version",
    about="The joining host speaks another XenAPI version than the pool coordinator.",
)
POOL_JOINING_HOST_MUST_HAVE_SAME_DB_SCHEMA = ErrorCode(
    "POOL_JOINING_HOST_MUST_HAVE_SAME_DB_SCHEMA",
    "host_db_schema",
    "master_db_schema",
    about="The joining host and the pool use different versions of the database schema.",
)
POOL_JOINING_HOST_MUST_HAVE_SAME_PRODUCT_VERSION = ErrorCode(
    "POOL_JOINING_HOST_MUST_HAVE_SAME_PRODUCT_VERSION",
    about="The joining host runs another product version than the pool.",
)
POOL_JOINING_HOST_MUST_ONLY_HAVE_PHYSICAL_PIFS = ErrorCode(
    "POOL_JOINING_HOST_MUST_ONLY_HAVE_PHYSICAL_PIFS",
    about="The host has bonds, VLANs or tunnels; remove them before joining.",
)
POOL_JOINING_HOST_TLS_VERIFICATION_MISMATCH = ErrorCode(
    "POOL_JOINING_HOST_TLS_VERIFICATION_MISMATCH",
    about="One of joining host and pool checks TLS certificates while the other does not.",
)
POOL_JOINING_HOST_TRUSTED_CERTIFICATES_CONFLICT = ErrorCode(
    "POOL_JOINING_HOST_TRUSTED_CERTIFICATES_CONFLICT",
    "ref_in_pool",
    "ref_on_host",
    about="A trusted certificate of the joining host clashes with one in the pool.",
)
POOL_JOINING_MASTER_CERTIFICATE_NOT_IN_POOL_BUNDLE = ErrorCode(
    "POOL_JOINING_MASTER_CERTIFICATE_NOT_IN_POOL_BUNDLE",
    "master_uuid",
    about="The pool coordinator's certificate is missing from the pool's own certificate bundle.",
)
POOL_JOINING_POOL_BUNDLE_EMPTY_AFTER_IMPORT = ErrorCode(
    "POOL_JOINING_POOL_BUNDLE_EMPTY_AFTER_IMPORT",
    "bundle_path",
    about="Joining failed because the bundle repository was still empty after the bundle was imported.",
)
POOL_JOINING_POOL_CANNOT_ENABLE_CLUSTERING_ON_VLAN_NETWORK = ErrorCode(
    "POOL_JOINING_POOL_CANNOT_ENABLE_CLUSTERING_ON_VLAN_NETWORK",
    "vlan",
    about="The pool's cluster network lies on a VLAN, where clustering cannot be set up at joining.",
)
POOL_JOINING_SM_FEATURES_INCOMPATIBLE = ErrorCode(
    "POOL_JOINING_SM_FEATURES_INCOMPATIBLE",
    "pool_sm_ref",
    "candidate_sm_ref",
    about="A storage driver on the joining host lacks features that the pool's driver has.",
)
POOL_SECRET_ROTATION_PENDING = ErrorCode(
    "POOL_SECRET_ROTATION_PENDING", about="An earlier change of the pool secret is unfinished; complete it first."
)
RBAC_PERMISSION_DENIED = ErrorCode(
    "RBAC_PERMISSION_DENIED",
    "permission",
    "message",
    about="The user's roles do not include the permission for this call.",
)
ROLE_ALREADY_EXISTS = ErrorCode(
    "ROLE_ALREADY_EXISTS", about="A role of this kind exists already or is already given to the subject."
)
ROLE_NOT_FOUND = ErrorCode("ROLE_NOT_FOUND", about="No role of this name exists.")
SESSION_AUTHENTICATION_FAILED = ErrorCode(
    "SESSION_AUTHENTICATION_FAILED", about="User name or password is wrong, or the user may not log in."
)
SESSION_AUTHORIZATION_FAILED = ErrorCode(
    "SESSION_AUTHORIZATION_FAILED",
    "username",
    "msg",
    about="The user was recognised, but could not be given any rights to log in.",
)
SESSION_INVALID = ErrorCode("SESSION_INVALID", "handle", about="The session does not exist or has ended; log in again.")
SESSION_NOT_REGISTERED = ErrorCode(
    "SESSION_NOT_REGISTERED", "handle", about="The session asked for events without having registered for any."
)
SLAVE_REQUIRES_MANAGEMENT_INTERFACE = ErrorCode(
    "SLAVE_REQUIRES_MANAGEMENT_INTERFACE",
    about="A pool member needs its management interface to reach the coordinator, so it must stay on.",
)
SUBJECT_ALREADY_EXISTS = ErrorCode("SUBJECT_ALREADY_EXISTS", about="This user or group has been added already.")
SUBJECT_CANNOT_BE_RESOLVED = ErrorCode(
    "SUBJECT_CANNOT_BE_RESOLVED", about="The external directory does not know this user or group."
)
TASK_CANCELLED = ErrorCode("TASK_CANCELLED", "task", about="The operation was cancelled on request before it finished.")
USER_IS_NOT_LOCAL_SUPERUSER = ErrorCode(
    "USER_IS_NOT_LOCAL_SUPERUSER", "msg", about="The call is reserved for the local superuser (root)."
)
WLB_AUTHENTICATION_FAILED = ErrorCode(
    "WLB_AUTHENTICATION_FAILED", about="The workload balancing server rejected the username or password."
)
WLB_CONNECTION_REFUSED = ErrorCode(
    "WLB_CONNECTION_REFUSED", about="The workload balancing server refused the connection."
)
WLB_CONNECTION_RESET = ErrorCode(
    "WLB_CONNECTION_RESET", about="The workload balancing server broke off the connection."
)
WLB_DISABLED = ErrorCode("WLB_DISABLED", about="Workload balancing is turned off for this pool.")
WLB_INTERNAL_ERROR = ErrorCode(
    "WLB_INTERNAL_ERROR", about="The workload balancing server reported a failure of its own."
)
WLB_MALFORMED_REQUEST = ErrorCode(
    "WLB_MALFORMED_REQUEST", about="The workload balancing server did not accept the form of the request."
)
WLB_MALFORMED_RESPONSE = ErrorCode(
    "WLB_MALFORMED_RESPONSE",
    "method",
    "reason",
    "response",
    about="The workload balancing server sent an answer that could not be understood.",
)
WLB_NOT_INITIALIZED = ErrorCode(
    "WLB_NOT_INITIALIZED", about="No workload balancing server has been connected to the pool."
)
WLB_TIMEOUT = ErrorCode(
    "WLB_TIMEOUT",
    "configured_timeout",
    about="The workload balancing server did not answer within the configured time.",
)
WLB_UNKNOWN_HOST = ErrorCode(
    "WLB_UNKNOWN_HOST", about="The name of the workload balancing server could not be resolved."
)
WLB_URL_INVALID = ErrorCode(
    "WLB_URL_INVALID", "url", about="The address of the workload balancing server is not valid."
)
WLB_XENSERVER_AUTHENTICATION_FAILED = ErrorCode(
    "WLB_XENSERVER_AUTHENTICATION_FAILED",
    about="The workload balancing server could not log in to the pool with the account it was given.",
)
WLB_XENSERVER_CONNECTION_REFUSED = ErrorCode(
    "WLB_XENSERVER_CONNECTION_REFUSED", about="The workload balancing server could not connect back to the pool."
)
WLB_XENSERVER_MALFORMED_RESPONSE = ErrorCode(
    "WLB_XENSERVER_MALFORMED_RESPONSE",
    about="The workload balancing server could not understand what this pool answered it.",
)
WLB_XENSERVER_TIMEOUT = ErrorCode(
    "WLB_XENSERVER_TIMEOUT", about="The workload balancing server waited too long for an answer from this pool."
)
WLB_XENSERVER_UNKNOWN_HOST = ErrorCode(
    "WLB_XENSERVER_UNKNOWN_HOST",
    about="The workload balancing server could not resolve the name it holds for this pool.",
)
