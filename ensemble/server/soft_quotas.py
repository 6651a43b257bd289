"""Warnings about soft quotas: said when one is passed, and again after it was not.

Source: quotas.md section 5. Apache's server warns while it prepares the request that goes too far;
here the quotas are looked at from time to time, so many each time, and requests pay nothing.
"""

import logging
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from ensemble.tree.datatree import DataTree
    from ensemble.tree.quota import Quota

log = logging.getLogger("ensemble.quota")

LOOKED_AT_MAX: Final = 200  # quotas in one go
SHOWN_MAX: Final = 200  # characters of a path
WARNINGS_MAX: Final = 20  # in one go; the rest is a number


@final
class SoftQuotas:
    """Which soft quotas are passed now, as far as they have been looked at."""

    def __init__(self) -> None:
        self.passed: Final[set[bytes]] = set()
        self.queue: list[bytes] = []

    def on_tick(self, tree: "DataTree") -> None:
        """Look at some, all of them in turn."""
        if not self.queue:
            self.passed.intersection_update(tree.quotas.by_path)
            self.queue = list(tree.quotas.by_path)
        warnings: list[str] = []
        for _ in range(min(LOOKED_AT_MAX, len(self.queue))):
            path = self.queue.pop()
            quota = tree.quotas.by_path.get(path)
            what = "" if quota is None else excess(tree, quota)
            if not what:
                self.passed.discard(path)
            elif path not in self.passed:
                self.passed.add(path)
                warnings.append(f"{path[:SHOWN_MAX].decode('utf-8', 'replace')!r}: {what}")
        for warning in warnings[:WARNINGS_MAX]:
            log.warning("soft quota of %s", warning)
        if len(warnings) > WARNINGS_MAX:
            log.warning("%d more soft quotas are passed", len(warnings) - WARNINGS_MAX)


def excess(tree: "DataTree", quota: "Quota") -> str:
    """By what it is passed; a hard limit of a kind stands in for the soft one."""
    node = tree.nodes.get(quota.limits_path)
    if node is None or not tree.usage_of(quota):
        return ""
    limits = quota.limits_of(node.data)
    if limits.count_hard < 0 <= limits.count_soft < quota.count:
        return f"{quota.count} znodes, the limit is {limits.count_soft}"
    if limits.bytes_hard < 0 <= limits.bytes_soft < quota.size:
        return f"{quota.size} bytes, the limit is {limits.bytes_soft}"
    return ""
