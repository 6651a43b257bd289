"""The audit journal at one node: the tap, the process behind it, the anchors in the tree.

The node calls it at the end of each turn, at each tick, and when it stops (docs/tenancy.md, "Who
did what").
"""

import os
import time
from typing import TYPE_CHECKING, Final, final

from ensemble.server.audit_anchor import Anchor
from ensemble.server.audit_process import AuditProcess
from ensemble.server.audit_tap import AuditTap
from ensemble.server.clock import wall_ms
from ensemble.server.config import Config
from ensemble.server.inner_client import InnerClient

if TYPE_CHECKING:
    from ensemble.server.node import Node

STOP_TIMEOUT_S: Final = 10.0  # for what the process has not taken yet when the node stops


@final
class AuditDesk:
    """See above. Made early, while the node is small; `attach` once there is a pipeline."""

    def __init__(self, config: Config) -> None:
        """Begin the process.

        Raises:
            ConfigError: its folder cannot be used.
        """
        self.options: Final = config.audit
        self.server_id: Final = config.server_id
        self.tap: Final = AuditTap()
        run = f"{wall_ms()}-{os.getpid()}"
        self.process: Final = AuditProcess(config.audit, config.server_id, run)
        self.client: InnerClient | None = None
        self.anchor: Anchor | None = None

    def attach(self, node: "Node") -> None:
        """The tree is there and nobody has been served yet."""
        pipeline = node.pipeline
        pipeline.audit = self.tap
        self.tap.authority = node.authority
        self.process.watch(node.port.poll)
        self.tap.on_start(node.tree.last_zxid)
        if self.options.anchor_ms:
            client = InnerClient(pipeline, "ensemble", wall_ms)
            self.client = client
            self.anchor = Anchor(client, self.process, self.server_id, self.options.anchor_ms)

    def end_turn(self, now_ms: int) -> None:
        """After all input of a turn, before anything is acknowledged. `now_ms`: wall clock."""
        if self.tap.end_turn(now_ms):
            self.process.hand_over(self.tap)

    def on_tick(self, now_ms: int) -> None:
        """`now_ms`: the pipeline's clock."""
        self.process.on_tick()
        if self.client is not None:
            self.client.on_tick(now_ms)
        if self.anchor is not None:
            self.anchor.on_tick(time.monotonic())

    def counters(self) -> dict[str, int]:
        """For metrics. What is missing is told in the journal, too, with its transactions."""
        process = self.process
        return {
            "audit_lines": process.lines,
            "audit_missing": process.missing,
            "audit_dropped": int(self.tap.dropped_total),
            "audit_process_restarts": process.restarts,
            "audit_anchor_failures": 0 if self.anchor is None else self.anchor.failures,
        }

    def stop(self, zxid: int) -> None:
        """Have everything written that was told, then end the process."""
        self.tap.on_stop(zxid)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        self.end_turn(wall_ms())
        while self.tap.messages and time.monotonic() < deadline:
            self.process.on_tick()
            time.sleep(0.005)
            self.process.hand_over(self.tap)
        self.process.stop()
