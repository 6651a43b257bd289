"""What went wrong on the way to an ensemble, in words for who asked: pages and the API use it."""

from typing import Final

from ensemble.client import (
    BadArgumentsError,
    BadVersionError,
    ClientError,
    InvalidAclError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    QuotaExceededError,
    ThrottledOpError,
)
from tenants.zk import UnreachableError

ADVICE: Final[dict[type[ClientError], tuple[int, str, str]]] = {
    NoNodeError: (404, "no-node", "There is no znode {path}. It may have been deleted meanwhile."),
    NoAuthError: (403, "no-auth", "The ACL of {path} does not let the console do this."),
    BadVersionError: (409, "bad-version", "{path} was changed by somebody else meanwhile."),
    NodeExistsError: (409, "node-exists", "{path} exists already. Choose another name."),
    NotEmptyError: (409, "not-empty", "{path} has children. Delete them first."),
    NoChildrenForEphemeralsError: (
        409,
        "ephemeral-parent",
        "{path}: an ephemeral znode cannot have children.",
    ),
    QuotaExceededError: (
        409,
        "quota-exceeded",
        "{path} would go beyond a quota of its namespace.",
    ),
    ThrottledOpError: (429, "throttled", "{path}: more requests than the tenant may send. Wait."),
    InvalidAclError: (400, "invalid-acl", "The ACL for {path} is not valid."),
    BadArgumentsError: (400, "bad-arguments", "Not possible for {path}: {error}"),
}
"""Status, a code for programs, and a text, by the error of the client."""


def advise(error: ClientError) -> tuple[int, str, str]:
    """Status, code and text for an error of the server."""
    for kind, (status, code, text) in ADVICE.items():
        if isinstance(error, kind):
            return status, code, text.format(path=error.path or "the znode", error=error)
    return 502, "zookeeper-refused", f"ZooKeeper refused: {error}"


def unreachable_text(error: UnreachableError) -> str:
    return f"ZooKeeper does not answer: {error}. Is a server running there?"
