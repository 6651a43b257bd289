"""The two epoch files: which leader this server has promised to follow, and which it has followed.

Source: storage.md 2 and 2.1. Written to a temporary file, synced, renamed, folder synced: an epoch
that was acknowledged must not vanish with a rename that never reached the disk.
"""

from typing import Final, final

from ensemble.errors import StorageError
from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout
from ensemble.storage.smallfile import save_small
from ensemble.wire.zxid import epoch_of, format_zxid

ACCEPTED: Final = "acceptedEpoch"
CURRENT: Final = "currentEpoch"
EPOCH_MAX: Final = (1 << 31) - 1
ASIDE: Final = "Set this server's data aside and let it copy the ensemble's"
ADVICE: Final = f"a file is missing or comes from another server. {ASIDE}"


@final
class Epochs:
    """What a member of an ensemble has promised. Invariant: current <= accepted."""

    __slots__ = ("accepted", "current")

    def __init__(self, accepted: int, current: int) -> None:
        assert 0 <= current <= accepted
        self.accepted: Final = accepted
        self.current: Final = current


def load_epoch(disk: Disk, layout: Layout, name: str) -> int | None:
    """The stored epoch, or None where there is no such file.

    Raises:
        StorageError: the file holds something else.
    """
    path = layout.epoch_path(name)
    if not disk.exists(path):
        return None
    text = disk.read(path).decode("ascii", "replace").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > EPOCH_MAX:
        raise StorageError(
            f"{path} holds {text[:40]!r}, an epoch from 0 to {EPOCH_MAX} in decimal is expected. "
            f"{ASIDE}"
        )
    return int(text)


def save_epoch(disk: Disk, layout: Layout, name: str, epoch: int) -> None:
    """Durable when this returns."""
    assert 0 <= epoch <= EPOCH_MAX
    save_small(disk, layout.epoch_path(name), str(epoch).encode())


def load_epochs(disk: Disk, layout: Layout, last_zxid: int) -> Epochs:
    """Both epochs at the start of an ensemble's member, with storage.md 2.1 applied.

    Args:
        last_zxid: of the database as it was recovered.

    Raises:
        StorageError: the files contradict the database or each other.
    """
    logged = max(0, epoch_of(last_zxid))
    stored_current = load_epoch(disk, layout, CURRENT)
    stored_accepted = load_epoch(disk, layout, ACCEPTED)
    accepted = logged if stored_accepted is None else stored_accepted
    current = logged if stored_current is None else stored_current
    if logged > accepted:
        raise StorageError(
            f"the database ends at {format_zxid(last_zxid)}, in epoch {logged}, but "
            f"{layout.epoch_path(ACCEPTED)} says {accepted}: {ADVICE}"
        )
    # A crash between the snapshot of a new epoch and its currentEpoch (ZOOKEEPER-2354): what is on
    # the disk proves that the leader of that epoch was established, and that it is followed.
    current = max(current, logged)
    if accepted < current:
        raise StorageError(
            f"{layout.epoch_path(ACCEPTED)} says {accepted}, less than the {current} of "
            f"{layout.epoch_path(CURRENT)}: {ADVICE}"
        )
    if accepted != stored_accepted:
        save_epoch(disk, layout, ACCEPTED, accepted)
    if current != stored_current:
        save_epoch(disk, layout, CURRENT, current)
    return Epochs(accepted, current)
