"""How much room the disks have, and what this server's files take: looked at from time to time, in
a thread, as a disk that hangs must hang nothing else."""

import os
from typing import TYPE_CHECKING, Final, final

from ensemble.server.four_letter import folder_bytes

if TYPE_CHECKING:
    from ensemble.server.node import Node

LOOK_EVERY_MS: Final = 10_000


@final
class DiskRoom:
    """The last look; nothing is told before the first one."""

    def __init__(self, node: "Node") -> None:
        self.node: Final = node
        self.next_look_ms = 0
        self.looking = False
        self.found: dict[str, int] = {}

    def on_tick(self, now_ms: int) -> None:
        if now_ms < self.next_look_ms or self.looking:
            return
        self.next_look_ms = now_ms + LOOK_EVERY_MS
        self.looking = True
        self.node.loop.run_in_executor(None, self.look)

    def look(self) -> None:
        try:
            layout = self.node.layout
            data, log = os.statvfs(layout.snapshot_folder), os.statvfs(layout.log_folder)
            self.found = {
                "datadir_disk_bytes": data.f_blocks * data.f_frsize,
                "datadir_free_bytes": data.f_bavail * data.f_frsize,
                "logdir_disk_bytes": log.f_blocks * log.f_frsize,
                "logdir_free_bytes": log.f_bavail * log.f_frsize,
                "datadir_files_bytes": folder_bytes(layout.snapshot_folder),
                "logdir_files_bytes": folder_bytes(layout.log_folder),
            }
        except OSError:
            self.found = {}  # better nothing than what was so once
        finally:
            self.looking = False
