"""The tree that a leader sends behind a SNAP packet, read from the middle of a connection.

Source: zab.md 4.4. No header and no checksum: only the structure can be checked, and it is,
strictly. The leader goes on applying transactions while it dumps. So znodes, sessions and ACLs may
be newer than the packet's zxid, an ephemeral's session may be missing, and so may the ACL that a
znode names: all of it is sent again as transactions (storage.md 6.2). No digest can be compared.
"""

from typing import Final, final

from ensemble.errors import ProtocolError, StorageError
from ensemble.tree.snapshot_reader import STREAM_DONE, Snapshot, SnapshotReader


@final
class StreamReader:
    """`feed` chunk after chunk until it gives what lies behind the stream, then `finish`."""

    __slots__ = ("bytes_read", "ended", "reader")

    def __init__(self, extended_types: bool = False, digest_enabled: bool = True) -> None:
        self.reader: Final = SnapshotReader(extended_types, digest_enabled, sealed=False)
        self.bytes_read = 0  # of the stream; for the log and for progress
        self.ended = False

    def feed(self, chunk: bytes) -> bytes | None:
        """Take the next piece. None: more is to come; else the bytes behind the end, packets again.

        Raises:
            ProtocolError: this is no tree. Close the connection; nothing of it may be used.
        """
        assert not self.ended, "what lies behind the stream is not the stream's"
        try:
            self.reader.feed(chunk)
        except StorageError as error:
            raise ProtocolError(f"the stream behind SNAP: {error}") from None
        self.bytes_read += len(chunk)
        if self.reader.stage != STREAM_DONE:
            return None
        self.ended = True
        rest = self.reader.take_rest()
        self.bytes_read -= len(rest)
        return rest

    def finish(self, zxid: int) -> Snapshot:
        """The tree, once `feed` has seen the end. Its last zxid becomes that of the SNAP packet.

        Raises:
            ProtocolError: the stream has not ended, or holds no tree at all.
        """
        try:
            return self.reader.finish(zxid)
        except StorageError as error:
            raise ProtocolError(f"the stream behind SNAP: {error}") from None
