"""What may be refused for more than one operation: sessions, permissions, sizes, quotas.

Source: client.md section 7, quotas.md section 5. Every method raises `KeeperError` with the code
that the client gets, or lets pass.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import KeeperError
from ensemble.tree.acl import AclList, AclSchemes
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import is_legal
from ensemble.tree.pending import ChangeRecord, PendingChanges
from ensemble.tree.proposals import PrepareOptions, WriteRequest
from ensemble.tree.quota import Quota
from ensemble.wire import codes
from ensemble.wire.jute import reader_of
from ensemble.wire.txns import TXN_HEADER_BYTES

FIXED_BYTES_MAX: Final = 32  # of a transaction's body: everything but path, data and ACL
PATH_SHOWN_MAX: Final = 200  # of a path in an error's text


@final
class Checks:
    """The checks on behalf of one request, which the preparer sets.

    `part_bytes`: the size of the body that `size` let pass last.
    """

    __slots__ = ("options", "part_bytes", "pending", "request", "schemes", "tree")

    def __init__(
        self,
        tree: DataTree,
        pending: PendingChanges,
        schemes: AclSchemes,
        options: PrepareOptions,
    ) -> None:
        self.tree: Final = tree
        self.pending: Final = pending
        self.schemes: Final = schemes
        self.options: Final = options
        self.request = WriteRequest(0, 0, 0, reader_of(b""), [])
        self.part_bytes: i64 = 0

    def session(self) -> None:
        """The session is open and stays so; a local one is known to be unknown here."""
        request = self.request
        if not self.pending.is_alive(request.session_id) and (
            request.may_ephemeral or request.session_id in self.pending.closing
        ):
            raise session_closed(request.session_id)

    def legal(self, path: bytes) -> None:
        if not is_legal(path):
            raise KeeperError(codes.BAD_ARGUMENTS, f"not a legal path: {shown(path)}")

    def permission(self, record: ChangeRecord, perm: i64) -> None:
        if not self.schemes.check(record.acl, perm, self.request.ids):
            raise KeeperError(codes.NO_AUTH, f"permission {perm} on {shown(record.path)}")

    def size(self, variable_bytes: i64) -> None:
        """Refuse what would not fit into the log, before anything is changed (trust.md D2)."""
        size = variable_bytes + TXN_HEADER_BYTES + FIXED_BYTES_MAX
        self.part_bytes = variable_bytes + FIXED_BYTES_MAX
        if size > self.options.txn_bytes_max:
            raise KeeperError(
                codes.BAD_ARGUMENTS,
                f"a transaction of {size} bytes, the limit is {self.options.txn_bytes_max}",
            )

    def ephemerals(self, path_bytes: i64) -> None:
        """Refuse an ephemeral whose session could not be closed in one transaction any more."""
        size = self.pending.close_bytes(self.request.session_id) + 4 + path_bytes
        if size > self.options.ephemeral_bytes_max:
            raise KeeperError(
                codes.QUOTA_EXCEEDED,
                f"paths of ephemerals of {size} bytes for one session, "
                f"the limit is {self.options.ephemeral_bytes_max}",
            )

    def quota(self, path: bytes, count: i64, size: i64) -> Quota | None:
        """The quota that owns `path`, after making sure that the change fits (quotas.md section 5).

        It holds with `enforceQuota`, and inside a budget that says so. What is proposed and not
        applied yet counts, so the limit is exact in multis and pipelines.
        """
        quota = self.tree.quotas.owner_of(path)
        if quota is None:
            return None
        if not self.options.enforce_quota:
            budget = self.tree.budgets.owner_of(path)
            if budget is None or not budget.limits.with_quotas:
                return quota
        record = self.pending.find(quota.limits_path)
        if record is None or not self.tree.usage_of(quota):
            return quota
        limits = quota.limits_of(record.data)
        usage = self.pending.usage.get(quota.path)
        # Python's integers: a hand-written usage may stand near the end of 64 bits.
        used_count = int(quota.count)
        used_size = int(quota.size)
        if usage is not None:
            used_count += usage.count
            used_size += usage.size
        if count > 0 and limits.count_hard > -1 and used_count + count > limits.count_hard:
            raise KeeperError(
                codes.QUOTA_EXCEEDED,
                f"{shown(quota.path)} has {used_count} nodes, the limit is {limits.count_hard}",
            )
        if size != 0 and limits.bytes_hard > -1 and used_size + size > limits.bytes_hard:
            raise KeeperError(
                codes.QUOTA_EXCEEDED,
                f"{shown(quota.path)} has {used_size} bytes, the limit is {limits.bytes_hard}",
            )
        return quota

    def fixed_acl(self, raw: bytes) -> AclList:
        """The validated ACL, the tree's own object where a node carries it already."""
        entries = self.schemes.fix(raw, self.request.ids)
        acl = self.tree.acls.find(entries)
        return AclList(entries) if acl is None else acl


def check_version(path: bytes, expected: i64, current: i64) -> None:
    if expected != codes.VERSION_ANY and expected != current:
        raise KeeperError(codes.BAD_VERSION, f"{shown(path)} has version {current}, not {expected}")


def session_closed(session_id: int) -> KeeperError:
    return KeeperError(
        codes.SESSION_EXPIRED, f"session {session_id & 0xFFFFFFFFFFFFFFFF:#x} is closed"
    )


def shown(path: bytes) -> str:
    """A path for an error's text."""
    text = path[:PATH_SHOWN_MAX].decode("utf-8", "replace")
    return text if len(path) <= PATH_SHOWN_MAX else text + "..."
