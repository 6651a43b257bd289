"""Replies to writes, once their transaction is applied (client.md sections 5 and 12)."""

from librt.strings import BytesWriter
from mypy_extensions import i64

from ensemble.server.answers import Answers, shown
from ensemble.server.connection import Pending
from ensemble.tree.apply import Applied, OpResult
from ensemble.tree.znode import wrap32
from ensemble.wire import codes
from ensemble.wire.framing import end_frame
from ensemble.wire.jute import write_buffer, write_int
from ensemble.wire.records import Stat, write_stat
from ensemble.wire.replies import begin_reply, write_header_only
from ensemble.wire.requests import write_multi_header


def write_write_reply(
    out: BytesWriter,
    pending: Pending,
    zxid: i64,
    error: i64,
    applied: Applied,
    answers: Answers,
) -> None:
    """The reply to a write, by its opcode; `answers` knows what its client may see."""
    op = pending.op
    if op == codes.OP_MULTI and applied.multi:
        start = begin_reply(out, pending.xid, zxid, 0)
        for result in applied.results:
            write_multi_result(out, result, pending, answers)
        write_multi_header(out, -1, True, -1)
        end_frame(out, start)
        return
    if error != 0:
        write_header_only(out, pending.xid, zxid, error)
        return
    start = begin_reply(out, pending.xid, zxid, 0)
    result = applied.results[0]
    write_result_body(out, op, result, pending, answers)
    end_frame(out, start)


def write_result_body(
    out: BytesWriter, op: i64, result: OpResult, pending: Pending, answers: Answers
) -> None:
    """path for creates, Stat where the operation returns one, nothing for delete and check."""
    if op == codes.OP_SET_DATA or op == codes.OP_SET_ACL:
        stat = result.stat
        assert stat is not None
        more = answers.more_children(result.path, pending.ids, pending.seat)
        write_stat(out, stat if more == 0 else with_children(stat, more))
    elif op == codes.OP_CREATE:
        write_buffer(out, shown(result.path, pending.seat))
    elif op != codes.OP_DELETE and op != codes.OP_CHECK:
        write_buffer(out, shown(result.path, pending.seat))
        assert result.stat is not None
        write_stat(out, result.stat)


def with_children(stat: Stat, more: i64) -> Stat:
    """A stat with more children than the tree has, or less: `cversion` counts them, too."""
    return Stat(
        stat.czxid,
        stat.mzxid,
        stat.ctime,
        stat.mtime,
        stat.version,
        wrap32(stat.cversion - more),
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_bytes,
        stat.num_children + more,
        stat.pzxid,
    )


def write_multi_result(
    out: BytesWriter, result: OpResult, pending: Pending, answers: Answers
) -> None:
    if result.op == codes.OP_ERROR:
        write_multi_header(out, codes.OP_ERROR, False, result.error)
        write_int(out, result.error)
        return
    op = result.op
    if op == codes.OP_CREATE_CONTAINER or op == codes.OP_CREATE_TTL:
        op = codes.OP_CREATE2
    write_multi_header(out, op, False, 0)
    write_result_body(out, op, result, pending, answers)
