"""What a server asks of its log, whoever writes: a process of its own, or a simulated disk."""

from mypy_extensions import mypyc_attr

from ensemble.server.log_batch import LogBatch


@mypyc_attr(allow_interpreted_subclasses=True)
class LogPort:
    """One batch is in flight at a time; whoever writes says so when it is on the disk."""

    def __init__(self) -> None:
        self.busy: bool = False

    def submit(self, batch: LogBatch) -> None:
        """Write and sync a batch, while not `busy`.

        Raises:
            StorageError: the log failed.
        """
        raise NotImplementedError

    def take_synced(self) -> int:
        """A batch has been synced: its last zxid.

        Raises:
            StorageError: writing or syncing failed; nothing of the batch may be acknowledged.
        """
        raise NotImplementedError

    def end_file(self) -> None:
        """While not busy: end the current file, so that others may cut or remove it.

        Raises:
            StorageError: the log failed.
        """
        raise NotImplementedError
