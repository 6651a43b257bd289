"""A member's configuration: its files whatever happens, and what a leader checks (zab.md 7)."""

import posixpath

import pytest

from ensemble.errors import KeeperError, ProtocolError
from ensemble.server.membership import Membership, members_of, show_members
from ensemble.storage import members_file
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import CONFIG
from ensemble.wire import codes
from ensemble.wire.requests import ReconfigRequest
from ensemble.wire.txns import LoggedTxn, SetDataTxn, TxnHeader
from ensemble.zab.members import Members, parse_members
from tests.storage.simdisk import PowerCut, SimDisk

STATIC = "/etc/zk/zoo.cfg"
LINES = b"server.1=h1:1:2;3\nserver.2=h2:1:2;3\nserver.3=h3:1:2;3\n"
V1, V2 = 0x100000000, 0x100000007


def members(version: int, more: bytes = b"") -> Members:
    return parse_members(LINES + more + b"version=%x" % version)


OLD, NEW = members(V1), members(V2, b"server.4=h4:1:2:observer;3\n")


def some_disk() -> SimDisk:
    disk = SimDisk()
    disk.make_folder("/etc/zk")
    with_file(disk, STATIC, b"# ours\ndataDir=/data\nclientPort=3\n" + LINES)
    return disk


def with_file(disk: SimDisk, path: str, content: bytes) -> None:
    file = disk.create(path)
    file.write(content)
    file.sync()
    file.close()
    disk.sync_folder("/etc/zk")


def started(disk: SimDisk) -> Membership:
    """As a start reads it: what zoo.cfg says, or the file that it names."""
    named = [line for line in disk.read(STATIC).splitlines() if line.startswith(b"dynamicConfig")]
    found = parse_members(LINES)
    if named:
        path = named[0].decode().partition("=")[2]
        found = parse_members(members_file.load(disk, path))
    return Membership(disk, STATIC, 1, found, True)


def test_the_first_commit_moves_the_members_out_of_zoo_cfg() -> None:
    """Admin.md 5.5: what else stands there stays, and a copy of what was."""
    disk = some_disk()
    before = disk.read(STATIC)
    started(disk).save_committed(OLD)
    path = f"{STATIC}.dynamic.100000000"
    assert disk.read(STATIC) == f"# ours\ndataDir=/data\ndynamicConfigFile={path}\n".encode()
    assert disk.read(f"{STATIC}.bak") == before
    assert disk.read(path) == OLD.text().rpartition(b"\n")[0]
    started(disk).save_committed(NEW)
    assert disk.read(f"{STATIC}.bak") == before, "the copy is of what no dynamic file belonged to"
    assert started(disk).configuration.members.text() == NEW.text()


def test_what_was_proposed_is_found_again_until_it_is_committed() -> None:
    disk = some_disk()
    membership = started(disk)
    membership.save_committed(OLD)
    membership.save_proposed(NEW)
    found = started(disk).configuration
    assert found.members.version == V1
    assert found.proposed is not None
    assert found.proposed.text() == NEW.text()
    membership.save_committed(NEW)
    assert started(disk).configuration.proposed is None


def test_a_proposal_that_came_to_nothing_is_removed() -> None:
    disk = some_disk()
    membership = started(disk)
    membership.save_proposed(NEW)
    membership.save_proposed(None)
    assert started(disk).configuration.proposed is None


@pytest.mark.parametrize("fate", ["all lost", "all kept", "any subset"])
def test_a_power_cut_leaves_the_old_members_or_the_new_ones(fate: str) -> None:
    """A17: at no effect on the disk is there neither, and what was proposed is not forgotten."""
    seen = set()
    for cut_at in range(100):
        disk = some_disk()
        membership = started(disk)
        membership.save_committed(OLD)
        membership.save_proposed(NEW)
        disk.cut_at = len(disk.effects) + cut_at
        try:
            membership.save_committed(NEW)
        except PowerCut:
            disk = disk.after_cut(fate, cut_at)  # type: ignore[arg-type]
        else:
            break
        found = started(disk).configuration
        seen.add(int(found.members.version))
        assert found.members.version in (V1, V2)
        assert found.latest().text() == NEW.text(), f"cut before effect {cut_at}"
    else:
        raise AssertionError("a commit of more than 100 effects")
    assert seen == {V1, V2}


def test_members_that_never_change_touch_no_file() -> None:
    disk = some_disk()
    with_file(disk, f"{STATIC}.dynamic.next", NEW.text())
    membership = Membership(disk, "", 1, members(0), True)
    assert not membership.configuration.enabled
    assert membership.configuration.proposed is None


# What a leader checks


class Role:
    def __init__(self, *ready: int) -> None:
        self.here = set(ready)
        self.leader: Role | None = self

    def get_peer(self) -> "Role":
        return self

    def ready(self) -> set[int]:
        return self.here


def leading(*ready: int, version: int = V1) -> Membership:
    membership = Membership(SimDisk(), "", 1, members(version), True)
    membership.replica = Role(*ready)  # type: ignore[assignment]
    return membership


def asked(joining: str | None = None, leaving: str | None = None, version: int = -1) -> int:
    return code_of(leading(1, 2, 3), ReconfigRequest(joining, leaving, None, version))


def code_of(membership: Membership, request: ReconfigRequest) -> int:
    try:
        membership.new_text(request, V2)
    except KeeperError as error:
        return error.code
    return 0


NOTHING = ReconfigRequest(None, None, None, -1)


def test_a_leader_gives_the_new_text_with_the_version_of_its_transaction() -> None:
    joining = "server.4=h4:1:2:observer;3"
    request = ReconfigRequest(joining, None, None, V1)
    assert leading(1, 2, 3).new_text(request, V2) == NEW.text()


def test_who_does_not_lead_reconfigures_nothing() -> None:
    assert code_of(Membership(SimDisk(), "", 1, OLD, True), NOTHING) == codes.UNIMPLEMENTED
    membership = leading(1)
    membership.replica.leader = None  # type: ignore[union-attr]
    assert code_of(membership, NOTHING) == codes.UNIMPLEMENTED


def test_the_checks_come_in_the_order_of_the_protocol() -> None:
    """client.md 11: in progress, version, the new configuration, then its quorum."""
    wrong = ReconfigRequest("junk", None, None, 12345)
    membership = leading()
    membership.configuration.proposed = NEW
    assert code_of(membership, wrong) == codes.RECONFIG_IN_PROGRESS
    membership.configuration.proposed = None
    assert code_of(membership, wrong) == codes.BAD_VERSION
    assert code_of(membership, ReconfigRequest("junk", None, None, V1)) == codes.BAD_ARGUMENTS
    assert code_of(membership, NOTHING) == codes.NEW_CONFIG_NO_QUORUM


def test_a_quorum_of_the_new_members_must_be_connected_and_synced() -> None:
    joining = ",".join(f"server.{n}=h{n}:1:2;3" for n in (4, 5))
    request = ReconfigRequest(joining, None, None, -1)
    assert code_of(leading(1, 2), request) == codes.NEW_CONFIG_NO_QUORUM
    assert code_of(leading(1, 2, 9), request) == codes.NEW_CONFIG_NO_QUORUM
    assert code_of(leading(1, 2, 4), request) == 0


def test_one_participant_may_be_left_without_standalone() -> None:
    assert asked(leaving="2,3") == codes.BAD_ARGUMENTS
    membership = Membership(SimDisk(), "", 1, OLD, False)
    membership.replica = Role(1)  # type: ignore[assignment]
    assert code_of(membership, ReconfigRequest(None, "2,3", None, -1)) == 0


# What comes from a leader, and what clients see


def logged(data: bytes, type: int = codes.OP_RECONFIG) -> LoggedTxn:
    header = TxnHeader(1, 1, V2, 0, type)
    return LoggedTxn(header, SetDataTxn(CONFIG, data, -1), False, 0, 0)


def test_only_a_reconfiguration_brings_members() -> None:
    found = members_of(V2, logged(NEW.text()))
    assert found is not None
    assert found.text() == NEW.text()
    assert members_of(V2, logged(NEW.text(), codes.OP_SET_DATA)) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no server is a participant"),
        (b"server.1=junk", "line 1"),
        (OLD.text(), "says that it is 0x100000000"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_reconfiguration_that_cannot_be_read_is_the_leaders_fault(
    data: bytes, reason: str
) -> None:
    with pytest.raises(ProtocolError, match=reason):
        members_of(V2, logged(data))


def test_the_tree_shows_the_members_outside_of_the_digest() -> None:
    """Storage.md 5.1: data version -1, mzxid is the configuration's version."""
    tree = DataTree(True, True)
    digest = tree.digest
    show_members(tree, NEW, 1_234)
    node = tree.nodes[CONFIG]
    assert node.data == NEW.text()
    assert (node.version, node.mzxid, node.mtime, node.aversion) == (-1, V2, 1_234, -1)
    show_members(tree, NEW, 9_999)
    assert node.mtime == 1_234, "what is shown already is left alone"
    assert tree.digest == digest


def test_files_stand_beside_zoo_cfg() -> None:
    assert posixpath.dirname(members_file.dynamic_path(STATIC, V2)) == "/etc/zk"
