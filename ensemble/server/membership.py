"""The ensemble's configuration as this server keeps it: beside zoo.cfg, and in the tree.

Source: zab.md 7, storage.md 2.2 and 5.1, client.md 11 ("reconfig"). What is decided here is only
what a leader checks before it orders a reconfiguration; the rest is the order in which things
become durable: the proposal before its transaction, the files before anybody goes by them.
"""

import posixpath
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from ensemble.errors import ConfigError, KeeperError, ProtocolError
from ensemble.server import static_file
from ensemble.storage import members_file
from ensemble.storage.disk import Disk
from ensemble.storage.layout import ZXID_MAX
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import CONFIG
from ensemble.tree.proposals import Reconfigurer
from ensemble.wire import codes
from ensemble.wire.requests import ReconfigRequest
from ensemble.wire.txns import LoggedTxn, SetDataTxn, Txn
from ensemble.wire.zxid import format_zxid
from ensemble.zab.configuration import Configuration
from ensemble.zab.members import Members, parse_members
from ensemble.zab.reconfiguration import next_members

if TYPE_CHECKING:
    from ensemble.server.replica import Replica


@final
class Membership(Reconfigurer):
    """The files of one server, and the checks of a leader."""

    def __init__(
        self, disk: Disk, static_path: str, sid: int, members: Members, standalone_enabled: bool
    ) -> None:
        """`static_path`: zoo.cfg, or "" where the members never change."""
        self.disk: Final = disk
        self.static_path: Final = static_path
        self.sid: Final = sid
        self.voters_min: Final = 2 if standalone_enabled else 1
        self.configuration: Final = Configuration(members, self.load(members), static_path != "")
        self.replica: Replica | None = None

    def load(self, members: Members) -> Members | None:
        """What was proposed after `members`, if anything was.

        Raises:
            ConfigError: the file cannot be read.
        """
        if not self.static_path:
            return None
        text = members_file.load_proposed(self.disk, self.static_path, int(members.version))
        return None if text is None else parse_members(text)

    def save_proposed(self, members: Members | None) -> None:
        """Durable when it returns."""
        if members is None:
            members_file.drop_proposed(self.disk, self.static_path, ZXID_MAX)
        else:
            members_file.save_proposed(self.disk, self.static_path, members.text())

    def save_committed(self, members: Members) -> None:
        """The dynamic file, and zoo.cfg that names it; durable when it returns."""
        disk, static_path = self.disk, self.static_path
        path = members_file.dynamic_path(static_path, int(members.version))
        own = members.servers.get(self.sid)
        raw = disk.read(static_path) if disk.exists(static_path) else b""
        static = static_file.point_to(raw, path, own is not None and own.client_address != "")
        backup = not static_file.names_members(raw)
        members_file.activate(disk, static_path, members.text(), static, backup)

    # What a leader checks (Reconfigurer)

    def new_text(self, request: ReconfigRequest, zxid: i64) -> bytes:
        configuration = self.configuration
        replica = self.replica
        leader = None if replica is None else replica.get_peer().leader
        if leader is None:
            raise KeeperError(codes.UNIMPLEMENTED, "this server orders nothing")
        if configuration.proposed is not None:
            version = configuration.proposed.version
            raise KeeperError(codes.RECONFIG_IN_PROGRESS, f"{version:#x} is not committed yet")
        current = configuration.members
        wanted = request.config_version
        if wanted != -1 and wanted != current.version:
            raise KeeperError(
                codes.BAD_VERSION, f"the configuration is {current.version:#x}, not {wanted:#x}"
            )
        members = next_members(
            current, request.joining, request.leaving, request.members, zxid, self.voters_min
        )
        ready = leader.ready()
        if not members.is_quorum(ready):
            raise KeeperError(
                codes.NEW_CONFIG_NO_QUORUM,
                f"only servers {sorted(ready)} are connected as followers and synced",
            )
        return members.text()


def members_of(zxid: i64, logged: LoggedTxn) -> Members | None:
    """The configuration that a leader's transaction brings.

    Raises:
        ProtocolError: it cannot be read, or is not of this transaction.
    """
    if logged.header.type != codes.OP_RECONFIG:
        return None
    try:
        members = members_in(logged.txn)
    except ConfigError as error:
        raise ProtocolError(f"the configuration in {format_zxid(zxid)}: {error}") from None
    if members.version != zxid:
        raise ProtocolError(
            f"the configuration in {format_zxid(zxid)} says that it is {members.version:#x}"
        )
    return members


def members_in(txn: Txn) -> Members:
    """What a reconfiguration's transaction carries.

    Raises:
        ConfigError: it cannot be read.
    """
    assert isinstance(txn, SetDataTxn)
    return parse_members(txn.data or b"")


def show_members(tree: DataTree, members: Members, wall_ms: i64) -> None:
    """`/zookeeper/config` as this server knows it; no transaction brings the first one.

    It is no part of the digest, and its time is that of the server (storage.md 5.1).
    """
    node = tree.nodes[CONFIG]
    text = members.text()
    if node.data == text:
        return
    tree.set_data(CONFIG, node, text)
    node.version = -1
    node.mzxid = members.version
    node.mtime = wall_ms
    tree.refresh(CONFIG, node)


def absolute(path: str) -> str:
    """zoo.cfg's path as the files beside it are named; the process may change its folder."""
    return posixpath.abspath(path) if path else ""
