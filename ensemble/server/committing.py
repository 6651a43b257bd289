"""A transaction that was prepared here takes effect: applied, told, answered."""

from typing import Final

from ensemble.server.pipeline import Pipeline
from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import NO_SUMS
from ensemble.tree.prepare import Prepared, Preparer

DIGEST_CHECK_EVERY: Final = 128  # transactions; a power of two


def commit_prepared(
    pipeline: Pipeline, tree: DataTree, preparer: Preparer, prepared: Prepared
) -> None:
    """Now and then its checksums are computed a second time and compared with what was foreseen."""
    header = prepared.header
    if header.zxid & (DIGEST_CHECK_EVERY - 1):
        applied = apply(tree, header, prepared.txn, prepared.sums)
    else:
        applied = apply(tree, header, prepared.txn, NO_SUMS)
        assert tree.digest == prepared.digest, f"the digest after {header.zxid:#x} differs"
    preparer.on_applied(prepared)
    journal = pipeline.journal
    if journal is not None:
        journal.on_committed(header, int(prepared.error), prepared.txn, applied)
    pipeline.on_committed(header, prepared.error, applied)
    if pipeline.feed is not None:
        pipeline.feed.on_committed(header.zxid, prepared.payload)
