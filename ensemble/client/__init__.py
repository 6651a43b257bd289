"""An asyncio client for ZooKeeper 3.9 on the server's own wire code; see docs/client.md."""

from ensemble.client.acl import CREATOR_ACL, OPEN_ACL, READ_ACL, digest_id, parse_acl
from ensemble.client.client import Client
from ensemble.client.errors import (
    AuthFailedError,
    AuthRequiredError,
    BadArgumentsError,
    BadVersionError,
    ClientError,
    ClosedError,
    ConnectionLossError,
    InvalidAclError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    NotReadOnlyError,
    NoWatcherError,
    QueueFullError,
    QuotaExceededError,
    SessionExpiredError,
    ThrottledOpError,
    UnimplementedError,
)
from ensemble.client.four_letter import four_letter
from ensemble.client.modes import CreateMode
from ensemble.client.sasl import DigestMd5
from ensemble.client.state import State
from ensemble.client.transaction import MultiRead, Transaction
from ensemble.client.trees import delete_tree, ensure_path, walk
from ensemble.client.watches import EventStream, EventType, WatchEvent, WatchKind
from ensemble.wire.codes import ERROR_NAMES
from ensemble.wire.records import Acl, Id, Stat

__all__ = [
    "CREATOR_ACL",
    "ERROR_NAMES",
    "OPEN_ACL",
    "READ_ACL",
    "Acl",
    "AuthFailedError",
    "AuthRequiredError",
    "BadArgumentsError",
    "BadVersionError",
    "Client",
    "ClientError",
    "ClosedError",
    "ConnectionLossError",
    "CreateMode",
    "DigestMd5",
    "EventStream",
    "EventType",
    "Id",
    "InvalidAclError",
    "MultiRead",
    "NoAuthError",
    "NoChildrenForEphemeralsError",
    "NoNodeError",
    "NoWatcherError",
    "NodeExistsError",
    "NotEmptyError",
    "NotReadOnlyError",
    "QueueFullError",
    "QuotaExceededError",
    "SessionExpiredError",
    "Stat",
    "State",
    "ThrottledOpError",
    "Transaction",
    "UnimplementedError",
    "WatchEvent",
    "WatchKind",
    "delete_tree",
    "digest_id",
    "ensure_path",
    "four_letter",
    "parse_acl",
    "walk",
]
