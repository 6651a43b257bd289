"""The numbers of the protocol: opcodes, error codes, permissions, events, create flags.

Source: client.md sections 4, 5, 8, 11, 13. Plain `Final` integers, because comparing them costs a
nanosecond; `name_of_op` and `name_of_error` are for people.
"""

from typing import Final

# Opcodes
OP_NOTIFICATION: Final = 0
OP_CREATE: Final = 1
OP_DELETE: Final = 2
OP_EXISTS: Final = 3
OP_GET_DATA: Final = 4
OP_SET_DATA: Final = 5
OP_GET_ACL: Final = 6
OP_SET_ACL: Final = 7
OP_GET_CHILDREN: Final = 8
OP_SYNC: Final = 9
OP_PING: Final = 11
OP_GET_CHILDREN2: Final = 12
OP_CHECK: Final = 13
OP_MULTI: Final = 14
OP_CREATE2: Final = 15
OP_RECONFIG: Final = 16
OP_CHECK_WATCHES: Final = 17
OP_REMOVE_WATCHES: Final = 18
OP_CREATE_CONTAINER: Final = 19
OP_DELETE_CONTAINER: Final = 20
OP_CREATE_TTL: Final = 21
OP_MULTI_READ: Final = 22
OP_AUTH: Final = 100
OP_SET_WATCHES: Final = 101
OP_SASL: Final = 102
OP_GET_EPHEMERALS: Final = 103
OP_GET_ALL_CHILDREN_NUMBER: Final = 104
OP_SET_WATCHES2: Final = 105
OP_ADD_WATCH: Final = 106
OP_WHO_AM_I: Final = 107
OP_CREATE_SESSION: Final = -10
OP_CLOSE_SESSION: Final = -11
OP_ERROR: Final = -1

OP_NAMES: Final[dict[int, str]] = {
    OP_NOTIFICATION: "notification",
    OP_CREATE: "create",
    OP_DELETE: "delete",
    OP_EXISTS: "exists",
    OP_GET_DATA: "getData",
    OP_SET_DATA: "setData",
    OP_GET_ACL: "getACL",
    OP_SET_ACL: "setACL",
    OP_GET_CHILDREN: "getChildren",
    OP_SYNC: "sync",
    OP_PING: "ping",
    OP_GET_CHILDREN2: "getChildren2",
    OP_CHECK: "check",
    OP_MULTI: "multi",
    OP_CREATE2: "create2",
    OP_RECONFIG: "reconfig",
    OP_CHECK_WATCHES: "checkWatches",
    OP_REMOVE_WATCHES: "removeWatches",
    OP_CREATE_CONTAINER: "createContainer",
    OP_DELETE_CONTAINER: "deleteContainer",
    OP_CREATE_TTL: "createTTL",
    OP_MULTI_READ: "multiRead",
    OP_AUTH: "auth",
    OP_SET_WATCHES: "setWatches",
    OP_SASL: "sasl",
    OP_GET_EPHEMERALS: "getEphemerals",
    OP_GET_ALL_CHILDREN_NUMBER: "getAllChildrenNumber",
    OP_SET_WATCHES2: "setWatches2",
    OP_ADD_WATCH: "addWatch",
    OP_WHO_AM_I: "whoAmI",
    OP_CREATE_SESSION: "createSession",
    OP_CLOSE_SESSION: "closeSession",
    OP_ERROR: "error",
}


def name_of_op(op: int) -> str:
    """The opcode's name in ZooKeeper's spelling, or `op<n>`."""
    return OP_NAMES.get(op, f"op{op}")


# Special xids
XID_NOTIFICATION: Final = -1
XID_PING: Final = -2
XID_AUTH: Final = -4
XID_SET_WATCHES: Final = -8

# Error codes
OK: Final = 0
RUNTIME_INCONSISTENCY: Final = -2
CONNECTION_LOSS: Final = -4
MARSHALLING_ERROR: Final = -5
UNIMPLEMENTED: Final = -6
OPERATION_TIMEOUT: Final = -7
BAD_ARGUMENTS: Final = -8
NEW_CONFIG_NO_QUORUM: Final = -13
RECONFIG_IN_PROGRESS: Final = -14
NO_NODE: Final = -101
NO_AUTH: Final = -102
BAD_VERSION: Final = -103
NO_CHILDREN_FOR_EPHEMERALS: Final = -108
NODE_EXISTS: Final = -110
NOT_EMPTY: Final = -111
SESSION_EXPIRED: Final = -112
INVALID_CALLBACK: Final = -113
INVALID_ACL: Final = -114
AUTH_FAILED: Final = -115
SESSION_MOVED: Final = -118
NOT_READ_ONLY: Final = -119
EPHEMERAL_ON_LOCAL_SESSION: Final = -120
NO_WATCHER: Final = -121
REQUEST_TIMEOUT: Final = -122
RECONFIG_DISABLED: Final = -123
SESSION_CLOSED_REQUIRE_SASL_AUTH: Final = -124
QUOTA_EXCEEDED: Final = -125
THROTTLED_OP: Final = -127

ERROR_NAMES: Final[dict[int, str]] = {
    OK: "Ok",
    RUNTIME_INCONSISTENCY: "RuntimeInconsistency",
    CONNECTION_LOSS: "ConnectionLoss",
    MARSHALLING_ERROR: "MarshallingError",
    UNIMPLEMENTED: "Unimplemented",
    OPERATION_TIMEOUT: "OperationTimeout",
    BAD_ARGUMENTS: "BadArguments",
    NEW_CONFIG_NO_QUORUM: "NewConfigNoQuorum",
    RECONFIG_IN_PROGRESS: "ReconfigInProgress",
    NO_NODE: "NoNode",
    NO_AUTH: "NoAuth",
    BAD_VERSION: "BadVersion",
    NO_CHILDREN_FOR_EPHEMERALS: "NoChildrenForEphemerals",
    NODE_EXISTS: "NodeExists",
    NOT_EMPTY: "NotEmpty",
    SESSION_EXPIRED: "SessionExpired",
    INVALID_CALLBACK: "InvalidCallback",
    INVALID_ACL: "InvalidACL",
    AUTH_FAILED: "AuthFailed",
    SESSION_MOVED: "SessionMoved",
    NOT_READ_ONLY: "NotReadOnly",
    EPHEMERAL_ON_LOCAL_SESSION: "EphemeralOnLocalSession",
    NO_WATCHER: "NoWatcher",
    REQUEST_TIMEOUT: "RequestTimeout",
    RECONFIG_DISABLED: "ReconfigDisabled",
    SESSION_CLOSED_REQUIRE_SASL_AUTH: "SessionClosedRequireSaslAuth",
    QUOTA_EXCEEDED: "QuotaExceeded",
    THROTTLED_OP: "ThrottledOp",
}


def name_of_error(code: int) -> str:
    """The error's name in ZooKeeper's spelling, or `error<n>`."""
    return ERROR_NAMES.get(code, f"error{code}")


# Permissions
PERM_READ: Final = 1
PERM_WRITE: Final = 2
PERM_CREATE: Final = 4
PERM_DELETE: Final = 8
PERM_ADMIN: Final = 16
PERM_ALL: Final = 31

# Event types and the one state that is on the wire
EVENT_NODE_CREATED: Final = 1
EVENT_NODE_DELETED: Final = 2
EVENT_NODE_DATA_CHANGED: Final = 3
EVENT_NODE_CHILDREN_CHANGED: Final = 4
STATE_SYNC_CONNECTED: Final = 3

# Watch kinds: addWatch modes, and the types of checkWatches and removeWatches
ADD_WATCH_PERSISTENT: Final = 0
ADD_WATCH_PERSISTENT_RECURSIVE: Final = 1
WATCHER_CHILDREN: Final = 1
WATCHER_DATA: Final = 2
WATCHER_ANY: Final = 3
WATCHER_PERSISTENT: Final = 4
WATCHER_PERSISTENT_RECURSIVE: Final = 5

# Create flags
CREATE_PERSISTENT: Final = 0
CREATE_EPHEMERAL: Final = 1
CREATE_PERSISTENT_SEQUENTIAL: Final = 2
CREATE_EPHEMERAL_SEQUENTIAL: Final = 3
CREATE_CONTAINER: Final = 4
CREATE_PERSISTENT_WITH_TTL: Final = 5
CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL: Final = 6

VERSION_ANY: Final = -1
