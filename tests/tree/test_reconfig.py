"""A reconfiguration in the tree: its place among the checks, and its transaction.

Source: client.md 11, storage.md 3 and 6.
"""

from librt.strings import BytesWriter

from ensemble.errors import KeeperError
from ensemble.tree.paths import CONFIG
from ensemble.tree.prepare import Prepared, PrepareOptions
from ensemble.tree.proposals import Reconfigurer
from ensemble.wire import codes
from ensemble.wire.requests import ReconfigRequest, write_reconfig
from ensemble.wire.txns import SetDataTxn, read_txn
from tests.tree.workbench import SESSION, SUPER, Bench, audit

TEXT = b"server.1=h:1:2:participant;0.0.0.0:3\nversion=100000000"


class Leader(Reconfigurer):
    """Refuses with `error`, or gives TEXT."""

    def __init__(self, error: int = 0) -> None:
        self.error = error
        self.asked: list[ReconfigRequest] = []

    def new_text(self, request: ReconfigRequest, zxid: int) -> bytes:
        self.asked.append(request)
        if self.error:
            raise KeeperError(self.error)
        return TEXT


def bench(leader: Leader, enabled: bool = True) -> Bench:
    made = Bench(PrepareOptions(reconfig_enabled=enabled))
    made.preparer.reconfigurer = leader
    return made


def ask(made: Bench, as_super: bool = True, session: int = SESSION) -> Prepared:
    out = BytesWriter()
    write_reconfig(out, ReconfigRequest("j", "l", "m", 7))
    ids = [SUPER] if as_super else []
    return made.submit(codes.OP_RECONFIG, out.getvalue(), session_id=session, ids=ids)


def test_disabled_comes_first_and_the_permission_last() -> None:
    """client.md 11."""
    leader = Leader(codes.RECONFIG_IN_PROGRESS)
    assert ask(bench(leader, enabled=False), session=99).error == codes.RECONFIG_DISABLED
    assert ask(bench(leader), session=99).error == codes.SESSION_EXPIRED
    assert leader.asked == []
    assert ask(bench(leader), as_super=False).error == codes.RECONFIG_IN_PROGRESS
    assert ask(bench(Leader()), as_super=False).error == codes.NO_AUTH
    assert ask(bench(Leader())).error == 0


def test_the_leader_gets_the_request_as_it_came() -> None:
    leader = Leader()
    ask(bench(leader))
    [request] = leader.asked
    assert (request.joining, request.leaving, request.members) == ("j", "l", "m")
    assert request.config_version == 7


def test_the_transaction_sets_the_config_node_and_leaves_the_digest() -> None:
    """Recording 21: type 16, version -1; a reconfig's digest equals the previous one."""
    made = bench(Leader())
    before = made.tree.digest
    prepared = ask(made)
    logged = read_txn(prepared.payload)
    assert logged.header.type == codes.OP_RECONFIG
    txn = logged.txn
    assert isinstance(txn, SetDataTxn)
    assert (txn.path, txn.data, txn.version) == (CONFIG, TEXT, -1)
    assert logged.digest == prepared.digest == before
    node = made.tree.nodes[CONFIG]
    assert (node.data, node.version) == (TEXT, -1)
    assert node.mzxid == prepared.header.zxid
    assert made.events() == [(codes.EVENT_NODE_DATA_CHANGED, CONFIG)]
    audit(made.tree)


def test_a_write_behind_it_sees_what_is_proposed() -> None:
    made = bench(Leader())
    ask(made)
    assert made.set_data(CONFIG, b"mine", 5, ids=[SUPER]).error == codes.BAD_VERSION
    assert made.set_data(CONFIG, b"mine", -1, ids=[SUPER]).error == 0
