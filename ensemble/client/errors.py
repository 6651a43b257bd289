"""What an operation of the client can raise: one class for each error code, all `ClientError`s.

Source: client.md section 8. A code that a server sends and that has no class here arrives as a
plain `ClientError` with that code. Not derived from `KeeperError`: that is the server's side of a
refusal, and a compiled class, which an interpreted one cannot extend.
"""

from typing import Final

from ensemble.errors import EnsembleError
from ensemble.wire import codes


class ClientError(EnsembleError):
    """An operation did not succeed.

    `code` is ZooKeeper's error code. `path` is the path that the operation named, as the caller
    wrote it, where it named one. `index` is the position of the operation that failed, in a
    transaction.
    """

    code: int = 0

    def __init__(
        self,
        message: str = "",
        *,
        path: str | None = None,
        index: int | None = None,
        code: int | None = None,
    ) -> None:
        if code is not None:
            self.code = code
        self.path = path
        self.index = index
        text = message or codes.name_of_error(self.code)
        if index is not None:
            text = f"{text} in operation {index}"
        super().__init__(text if path is None else f"{text}: {path}")


# From the server: the request was refused, the session lives (but for the last three).


class MarshallingFailedError(ClientError):
    """The server could not decode the request, or an operation is not allowed where it stands."""

    code = codes.MARSHALLING_ERROR


class UnimplementedError(ClientError):
    """Not in this server: TTL znodes without extendedTypesEnabled, reconfig when standalone."""

    code = codes.UNIMPLEMENTED


class BadArgumentsError(ClientError):
    """A path, flag, ttl or text that is not legal; raised at the call where the client sees it."""

    code = codes.BAD_ARGUMENTS


class NewConfigNoQuorumError(ClientError):
    """reconfig: no quorum of the new members is connected and up to date."""

    code = codes.NEW_CONFIG_NO_QUORUM


class ReconfigInProgressError(ClientError):
    code = codes.RECONFIG_IN_PROGRESS


class NoNodeError(ClientError):
    """The znode, or the parent of one to create, does not exist."""

    code = codes.NO_NODE


class NoAuthError(ClientError):
    """The ACL does not allow it."""

    code = codes.NO_AUTH


class BadVersionError(ClientError):
    """Somebody else changed the znode since the version that was given."""

    code = codes.BAD_VERSION


class NoChildrenForEphemeralsError(ClientError):
    code = codes.NO_CHILDREN_FOR_EPHEMERALS


class NodeExistsError(ClientError):
    code = codes.NODE_EXISTS


class NotEmptyError(ClientError):
    """A znode with children cannot be deleted."""

    code = codes.NOT_EMPTY


class InvalidAclError(ClientError):
    code = codes.INVALID_ACL


class NotReadOnlyError(ClientError):
    """A write, or sync, on a server in read-only mode."""

    code = codes.NOT_READ_ONLY


class EphemeralOnLocalSessionError(ClientError):
    code = codes.EPHEMERAL_ON_LOCAL_SESSION


class NoWatcherError(ClientError):
    """There is no such watch to remove."""

    code = codes.NO_WATCHER


class RequestTimeoutError(ClientError):
    code = codes.REQUEST_TIMEOUT


class ReconfigDisabledError(ClientError):
    code = codes.RECONFIG_DISABLED


class QuotaExceededError(ClientError):
    code = codes.QUOTA_EXCEEDED


class ThrottledOpError(ClientError):
    """The server is overloaded and did not execute the request."""

    code = codes.THROTTLED_OP


class AuthRequiredError(ClientError):
    """The server serves authenticated sessions only, and closed the connection."""

    code = codes.SESSION_CLOSED_REQUIRE_SASL_AUTH


class AuthFailedError(ClientError):
    """The server refused a credential. The client is done for."""

    code = codes.AUTH_FAILED


class SessionExpiredError(ClientError):
    """The session is over: its ephemerals are gone, its watches too. `connect` starts a new one."""

    code = codes.SESSION_EXPIRED


class SessionMovedError(ClientError):
    code = codes.SESSION_MOVED


# From the client itself.


class ConnectionLossError(ClientError):
    """The connection went away before the reply: **the request may have been executed, or not**.

    Also of a request that never left, because no server answered for a whole session timeout.
    """

    code = codes.CONNECTION_LOSS


class RolledBackError(ClientError):
    """The result of an operation in a transaction that failed because of another one."""

    code = codes.RUNTIME_INCONSISTENCY


class ClosedError(ClientError):
    """The client was closed, or never connected."""

    code = codes.INVALID_CALLBACK


class QueueFullError(ClientError):
    """Too much is waiting for replies. Nothing was sent; `await client.drain()` and go on."""

    code = codes.THROTTLED_OP


_FROM_SERVER: Final[dict[int, type[ClientError]]] = {
    kind.code: kind
    for kind in (
        MarshallingFailedError,
        UnimplementedError,
        BadArgumentsError,
        NewConfigNoQuorumError,
        ReconfigInProgressError,
        NoNodeError,
        NoAuthError,
        BadVersionError,
        NoChildrenForEphemeralsError,
        NodeExistsError,
        NotEmptyError,
        InvalidAclError,
        NotReadOnlyError,
        EphemeralOnLocalSessionError,
        NoWatcherError,
        RequestTimeoutError,
        ReconfigDisabledError,
        QuotaExceededError,
        ThrottledOpError,
        AuthRequiredError,
        AuthFailedError,
        SessionExpiredError,
        SessionMovedError,
        RolledBackError,
    )
}


def error_of(code: int, path: str | None = None, index: int | None = None) -> ClientError:
    """The error for a code that a server sent."""
    kind = _FROM_SERVER.get(code)
    if kind is None:
        return ClientError(path=path, index=index, code=code)
    return kind(path=path, index=index)
