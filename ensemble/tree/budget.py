"""One budget: the limits of a subtree, what it holds, and what it will hold.

Bytes of a znode: its path as it is seen from the root, its data and its encoded ACL. The root is a
znode, too. Nobody is exempt; what takes nothing more always passes.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import KeeperError
from ensemble.tree.quota import QUOTA_PREFIX, STATS_SUFFIX
from ensemble.wire import codes

NO_LIMIT: Final = -1
# A usage text of a quota counts as this much, whatever it is: servers rewrite it on their own,
# without a transaction, and never longer.
STATS_BYTES_MAX: Final = 128
QUOTA_PREFIX_BYTES: Final[i64] = 16
LETTER_Z: Final = 0x7A  # of `/zookeeper`
ROOT_SHOWN_MAX: Final = 200  # of a root's path in an error's text


@final
class BudgetLimits:
    """Hard limits; NO_LIMIT where there is none, 0 is a limit.

    `with_quotas`: quota znodes inside the root hold, too, even where `enforceQuota` is off.
    """

    __slots__ = ("bytes", "ephemerals", "with_quotas", "znode_bytes", "znodes")

    def __init__(
        self,
        znodes: i64 = NO_LIMIT,
        bytes: i64 = NO_LIMIT,
        znode_bytes: i64 = NO_LIMIT,
        ephemerals: i64 = NO_LIMIT,
        with_quotas: bool = False,
    ) -> None:
        self.znodes: Final[i64] = znodes
        self.bytes: Final[i64] = bytes
        self.znode_bytes: Final[i64] = znode_bytes
        self.ephemerals: Final[i64] = ephemerals
        self.with_quotas: Final = with_quotas


@final
class Budget:
    """One subtree. `used_*`: in the tree. `ahead_*`: once all that is proposed here is applied.

    `ahead_*` means something only where transactions are prepared.
    """

    __slots__ = (
        "ahead_bytes",
        "ahead_ephemerals",
        "ahead_znodes",
        "limits",
        "name",
        "root",
        "used_bytes",
        "used_ephemerals",
        "used_znodes",
    )

    def __init__(self, name: str, root: bytes, limits: BudgetLimits) -> None:
        self.name: Final = name
        self.root: Final = root
        self.limits = limits
        self.used_znodes: i64 = 0
        self.used_bytes: i64 = 0
        self.used_ephemerals: i64 = 0
        self.ahead_znodes: i64 = 0
        self.ahead_bytes: i64 = 0
        self.ahead_ephemerals: i64 = 0

    def weight(self, path: bytes, data_bytes: i64, acl_bytes: i64) -> i64:
        """What a znode counts: its path as seen from the root, data, and the encoded ACL."""
        size: i64 = len(path) - len(self.root)
        if size == 0:
            size = 1  # the root itself: `/`
        return size + data_bytes + acl_bytes

    def count(self, znodes: i64, bytes: i64, ephemerals: i64) -> None:
        """The tree has changed by this much."""
        self.used_znodes += znodes
        self.used_bytes += bytes
        self.used_ephemerals += ephemerals

    def spend(self, znodes: i64, bytes: i64, ephemerals: i64) -> None:
        """A change by this much is proposed."""
        self.ahead_znodes += znodes
        self.ahead_bytes += bytes
        self.ahead_ephemerals += ephemerals

    def look_back(self) -> None:
        """Nothing is proposed."""
        self.ahead_znodes = self.used_znodes
        self.ahead_bytes = self.used_bytes
        self.ahead_ephemerals = self.used_ephemerals

    def check_bytes(self, growth: i64, weight: i64) -> None:
        """Refuse a znode that grows by `growth` to `weight` and does not fit.

        Raises:
            KeeperError: QUOTA_EXCEEDED.
        """
        limits = self.limits
        if growth > 0 and 0 <= limits.znode_bytes < weight:
            raise self.exceeded(f"a znode of {weight} bytes, the limit is {limits.znode_bytes}")
        if growth > 0 and 0 <= limits.bytes < self.ahead_bytes + growth:
            raise self.exceeded(
                f"{self.ahead_bytes} bytes and {growth} more, the limit is {limits.bytes}"
            )

    def check_create(self, weight: i64, ephemerals: i64) -> None:
        """Refuse one znode more that does not fit.

        Raises:
            KeeperError: QUOTA_EXCEEDED.
        """
        limits = self.limits
        if 0 <= limits.znodes <= self.ahead_znodes:
            raise self.exceeded(f"{self.ahead_znodes} znodes, the limit is {limits.znodes}")
        if ephemerals > 0 and 0 <= limits.ephemerals <= self.ahead_ephemerals:
            raise self.exceeded(
                f"{self.ahead_ephemerals} ephemerals, the limit is {limits.ephemerals}"
            )
        self.check_bytes(weight, weight)

    def exceeded(self, what: str) -> KeeperError:
        return KeeperError(codes.QUOTA_EXCEEDED, f"{self.name} at {shown_root(self.root)}: {what}")


def counted_data(path: bytes, data: bytes | None) -> i64:
    """How much of a znode's data counts."""
    if is_quota_path(path) and path.endswith(STATS_SUFFIX):
        return STATS_BYTES_MAX
    return 0 if data is None else len(data)


def is_quota_path(path: bytes) -> bool:
    """Whether a path is below `/zookeeper/quota`; a look at one byte for most."""
    return len(path) > QUOTA_PREFIX_BYTES and path[1] == LETTER_Z and path.startswith(QUOTA_PREFIX)


def check_stats(budget: Budget, path: bytes, data: bytes | None) -> None:
    """A usage text counts as a fixed size, so it must not be larger."""
    if (
        data is not None
        and len(data) > STATS_BYTES_MAX
        and is_quota_path(path)
        and path.endswith(STATS_SUFFIX)
    ):
        raise budget.exceeded(f"a usage text of {len(data)} bytes, {STATS_BYTES_MAX} at most")


def shown_root(path: bytes) -> str:
    """A path for an error's text."""
    text = path[:ROOT_SHOWN_MAX].decode("utf-8", "replace")
    return text if len(path) <= ROOT_SHOWN_MAX else text + "..."
