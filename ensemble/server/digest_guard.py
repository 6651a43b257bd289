"""Whether a learner's tree is what its leader has, by the digests that transactions carry."""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import StorageError
from ensemble.wire.zxid import format_zxid

DOUBTFUL_TXNS_MAX: Final = 10_000  # after a received tree; Apache's leaders dump one that changes
DIVERGENCES_MAX: Final = 3  # times that a tree may differ from its leader's before the server stops


@final
class DigestGuard:
    """`look` is told of each digest that comes with a transaction."""

    __slots__ = ("divergences", "doubtful")

    def __init__(self) -> None:
        self.divergences: i64 = 0
        self.doubtful: i64 = 0  # transactions whose digests may differ: the tree may be ahead

    def tree_received(self) -> None:
        """A leader's snapshot has come: until the first match it may be newer than it says."""
        self.doubtful = DOUBTFUL_TXNS_MAX

    def look(self, zxid: i64, same: bool) -> str:
        """Why this tree cannot be kept; empty while it can.

        Raises:
            StorageError: it has happened too often: this server stops.
        """
        if same:
            self.doubtful = 0
            return ""
        if self.doubtful > 0:
            self.doubtful -= 1
            return ""
        self.divergences += 1
        text = (
            f"after {format_zxid(zxid)} this tree's digest differs from the leader's: "
            "this server takes a snapshot from it"
        )
        if self.divergences > DIVERGENCES_MAX:
            raise StorageError(f"{text}, for the {self.divergences}th time: it stops")
        return text
