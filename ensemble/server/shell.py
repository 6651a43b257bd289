"""What a replica needs of the world outside: `peering` gives it sockets, the simulation its own."""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.storage.recovery import RecoveryOptions
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import PrepareOptions
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Link


@mypyc_attr(allow_interpreted_subclasses=True)
class Shell:
    """What a replica needs of the world outside; each call returns at once."""

    def send_notification(self, sid: i64, frame: bytes) -> None:
        raise NotImplementedError

    def connect(self, sid: i64) -> None:
        raise NotImplementedError

    def listen(self) -> None:
        raise NotImplementedError

    def stop_listening(self) -> None:
        raise NotImplementedError

    def send_snapshot(self, link: Link, tree: DataTree) -> None:
        """Send the tree as it is now, between what `link.out` holds and what will follow."""
        raise NotImplementedError

    def install_snapshot(self, tree: DataTree) -> None:
        """Make the tree durable in place of all history; then `Replica.on_snapshot_installed`."""
        raise NotImplementedError

    def snapshot_due(self) -> None:
        """Enough has been logged: write a snapshot when convenient."""
        raise NotImplementedError

    def on_serving(self, state: i64, epoch: i64) -> None:
        """A role is established, or (state LOOKING) over: what `install_snapshot` began ends."""
        raise NotImplementedError

    def on_elected(self, took_ms: i64) -> None:
        """A search for a leader is over."""

    def on_members(self, configuration: Configuration) -> None:
        """Other members, committed or proposed: where everybody is from now on."""
        raise NotImplementedError

    def on_tree(self, tree: DataTree) -> None:
        """Another tree has taken the place of the one before."""
        raise NotImplementedError

    def report(self, text: str) -> None:
        """A line for the log."""
        raise NotImplementedError


@final
class ReplicaOptions:
    """Settings beside Zab's `Timing` (zoo.cfg names in docs/configuration.md)."""

    __slots__ = (
        "commit_log_count",
        "digest_enabled",
        "local_sessions",
        "prepare",
        "recovery",
    )

    def __init__(
        self,
        prepare: PrepareOptions,
        recovery: RecoveryOptions,
        digest_enabled: bool = True,
        commit_log_count: int = 500,
        local_sessions: bool = False,
    ) -> None:
        self.prepare: Final = prepare
        self.recovery: Final = recovery
        self.digest_enabled: Final = digest_enabled
        self.commit_log_count: Final = commit_log_count
        self.local_sessions: Final = local_sessions
