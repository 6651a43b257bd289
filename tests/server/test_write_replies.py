"""Replies to writes that have more in them than a path and a stat (client.md 5)."""

from librt.strings import BytesWriter

from ensemble.server.answers import Answers
from ensemble.server.connection import Pending
from ensemble.server.write_replies import write_write_reply
from ensemble.tenancy.seat import OUTSIDE
from ensemble.tree.acl import AclSchemes
from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import CONFIG
from ensemble.tree.watches import WatchTable
from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.records import read_stat
from ensemble.wire.replies import read_reply_header
from ensemble.wire.txns import SetDataTxn, TxnHeader

TEXT = b"server.1=h:1:2:participant;0.0.0.0:3\nversion=100000000"


def test_a_reconfigurations_reply_shows_the_new_configuration_and_the_nodes_stat() -> None:
    """client.md 11 [31]: the node's version stays -1."""
    header = TxnHeader(1, 3, 0x100000000, 5, codes.OP_RECONFIG)
    tree = DataTree(True, True)
    answers = Answers(tree, AclSchemes([]), WatchTable(), 0)
    applied = apply(tree, header, SetDataTxn(CONFIG, TEXT, -1))
    out = BytesWriter()
    pending = Pending(3, codes.OP_RECONFIG, header.zxid, None, None, [], OUTSIDE, 0)
    write_write_reply(out, pending, header.zxid, 0, applied, answers)
    raw = out.getvalue()
    reader = Reader(raw, 4, len(raw))
    reply = read_reply_header(reader)
    assert (reply.xid, reply.err) == (3, 0)
    assert reader.read_buffer() == TEXT
    stat = read_stat(reader)
    assert (stat.version, stat.mzxid) == (-1, header.zxid)
