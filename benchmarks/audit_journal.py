"""What the audit journal costs: nanoseconds a write on the server's thread, and behind it.

`python -m benchmarks.audit_journal [writes]`. Processor time, which others on the machine hardly
disturb. The first number is `AuditTap.on_committed` with its share of a turn's end, the second how
many lines the audit process makes in a second of its processor.
"""

import sys
import tempfile
import time

from ensemble.server.audit_chain import Chain
from ensemble.server.audit_tap import AuditTap
from ensemble.server.audit_writer import Writer
from ensemble.server.connection import Connection, Pending
from ensemble.server.stats import ConnectionStats
from ensemble.tenancy.seat import OUTSIDE
from ensemble.tree.apply import Applied, OpResult
from ensemble.wire import codes
from ensemble.wire.records import Id
from ensemble.wire.txns import TxnHeader

WRITES: int = 200_000
TURN: int = 50  # writes of one turn
ROUNDS: int = 5


def tap_ns(writes: int) -> tuple[float, list[bytes]]:
    """The best of several rounds, and the messages of one."""
    ids = [Id("ip", "10.0.0.1"), Id("digest", "app:x")]
    conn = Connection(1, "10.0.0.1", 1, False, ids, 1 << 20, ConnectionStats(0), 0)
    pending = Pending(1, codes.OP_SET_DATA, 7, None, None, ids, OUTSIDE, 0)
    applied = Applied(False)
    applied.results.append(OpResult(codes.OP_SET_DATA, 0, b"/services/payments/leader", None))
    best = float("inf")
    messages: list[bytes] = []
    for _ in range(ROUNDS):
        tap = AuditTap()
        tap.on_start(0)
        messages = []
        spent = 0
        for turn in range(writes // TURN):
            headers = [
                TxnHeader(7, 1, turn * TURN + at + 1, 1_795_000_000_000, codes.OP_SET_DATA)
                for at in range(TURN)
            ]
            began = time.process_time_ns()
            for header in headers:
                tap.on_committed(conn, pending, header, 0, applied)
            tap.end_turn(1_795_000_000_000)
            spent += time.process_time_ns() - began
            while tap.messages:
                messages.append(tap.messages[0])
                tap.take_message()
        best = min(best, spent / writes)
    return best, messages


def lines_per_second(messages: list[bytes], writes: int) -> float:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        writer = Writer(Chain(folder, 1, 16 << 20, 1 << 30), "run", True, 1_000)
        began = time.process_time()
        for message in messages:
            writer.take(message, 0.0)
        writer.sync()
        took_s = time.process_time() - began
        writer.chain.close()
    return writes / took_s


def main() -> None:
    writes = int(sys.argv[1]) if len(sys.argv) > 1 else WRITES
    ns, messages = tap_ns(writes)
    size = sum(len(message) for message in messages) / writes
    print(f"{ns:.0f} ns a write on the server's thread, {size:.0f} bytes handed over")
    print(f"{lines_per_second(messages, writes):,.0f} lines in a second of the audit process")


if __name__ == "__main__":
    main()
