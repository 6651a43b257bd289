"""What Zab asks of the server it runs in, and the links it speaks over.

The state machines of this folder call these methods; what comes of it returns as calls of
`peer.Peer`. The server implements them with sockets, files and a tree, the tests with lists, the
simulation with a world of its own. To Zab a transaction is bytes.
"""

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from ensemble.wire.records import Id
from ensemble.zab.members import Members


@mypyc_attr(allow_interpreted_subclasses=True)
class Link:
    """A connection to another server: bytes in order, or the end of it.

    Packets are appended to `out`; the server writes it to the network at the end of its turn. What
    the other end sends arrives through `Peer.on_bytes`, the end through `Peer.on_link_closed`.
    """

    def __init__(self, id: i64) -> None:
        self.id: i64 = id
        self.out: BytesWriter = BytesWriter()

    def seal(self) -> None:
        """What is written from here on leaves in sealed pieces (`wire.sealing`)."""
        raise NotImplementedError

    def close(self, reason: str) -> None:
        """End it; `Peer.on_link_closed` is not called for it any more."""
        raise NotImplementedError

    def check_is(self, sid: i64) -> None:
        """May the other end be server `sid`?

        Raises:
            ProtocolError: it has proved to be another one.
        """

    def describe(self) -> str:
        """The other end's address, for the log."""
        return f"link {self.id}"


@final
class Proposal:
    """A transaction in its place in the order: `payload` is what log and packets carry.

    `decoded` is the host's: what it has made of the payload already. `members`: the configuration
    that a reconfiguration brings; the host sets it before the proposal is passed on or logged.
    """

    __slots__ = ("decoded", "members", "payload", "zxid")

    def __init__(self, zxid: i64, payload: bytes, decoded: object = None) -> None:
        self.zxid: Final = zxid
        self.payload: Final = payload
        self.decoded: object = decoded
        self.members: Members | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Host:
    """The server around a `Peer`. Each method says what returns, and when."""

    # The network

    def send_notification(self, sid: i64, frame: bytes) -> None:
        """Put an election message into a server's slot; it replaces one that is not sent yet."""
        raise NotImplementedError

    def connect(self, sid: i64) -> None:
        """Connect to a leader's quorum port: `on_connected`, or `on_connect_failed`."""
        raise NotImplementedError

    def listen(self) -> None:
        """Open the quorum port; each learner comes as `on_accepted`."""
        raise NotImplementedError

    def stop_listening(self) -> None:
        raise NotImplementedError

    # What is durable

    def save_accepted_epoch(self, epoch: i64) -> None:
        """Durable when it returns."""
        raise NotImplementedError

    def save_current_epoch(self, epoch: i64) -> None:
        """Durable when it returns."""
        raise NotImplementedError

    def append(self, zxid: i64, payload: bytes) -> None:
        """Log a transaction. `on_logged` once it is on the disk, at the latest in its turn."""
        raise NotImplementedError

    def log_is_idle(self) -> bool:
        """Whether everything that was appended is on the disk; `on_log_idle` once it is."""
        raise NotImplementedError

    def truncate(self, zxid: i64, reload: bool) -> bool:
        """Cut the history on the disk after `zxid`, durably; `reload` the tree from what is left.

        Without `reload` the tree holds nothing that is cut.

        False where this history does not hold exactly `zxid`: nothing has been changed.
        """
        raise NotImplementedError

    def begin_snapshot(self, zxid: i64) -> None:
        """A tree comes as a stream: `take_snapshot` gets its bytes."""
        raise NotImplementedError

    def take_snapshot(self, chunk: bytes) -> bytes | None:
        """More of the stream. None while it goes on, else the bytes behind it; the tree is in use.

        Raises:
            ProtocolError: it is no tree.
        """
        raise NotImplementedError

    def install_snapshot(self) -> None:
        """Make the tree of a received snapshot durable, in place of all older history.

        `on_snapshot_installed` follows.
        """
        raise NotImplementedError

    def reload(self) -> None:
        """Forget the tree, which the disk does not back, and load what the disk holds."""
        raise NotImplementedError

    # The tree

    def check(self, proposal: Proposal) -> None:
        """Look at a transaction before it is logged, and set its `members` if it brings any.

        Raises:
            ProtocolError: it cannot be decoded, or carries another zxid.
        """
        raise NotImplementedError

    def apply(self, proposal: Proposal) -> None:
        """Bring the tree forward by one transaction, nobody being served."""
        raise NotImplementedError

    def commit(self, proposal: Proposal) -> None:
        """A transaction is committed while serving: apply it, tell watchers and who asked."""
        raise NotImplementedError

    # What a leader sends to those who are behind

    def last_zxid(self) -> i64:
        """The last transaction in the tree."""
        raise NotImplementedError

    def recent(self) -> list[Proposal]:
        """The last transactions of the tree, without a hole, ending with `last_zxid` if any."""
        raise NotImplementedError

    def read_log(self, after: i64, up_to: i64) -> list[Proposal] | None:
        """History from the disk: what follows `after` up to `up_to`, None unless it is proved."""
        raise NotImplementedError

    def send_snapshot(self, link: Link) -> None:
        """Send the tree as it is now: behind what `link.out` holds, before what comes later."""
        raise NotImplementedError

    # Serving

    def end_search(self, took_ms: i64) -> None:
        """Somebody is elected. What was shown of the tree meanwhile ends before it changes."""

    def begin_serving(self, state: i64, epoch: i64) -> None:
        """The role is established (`wire.peers` names the states): take clients."""
        raise NotImplementedError

    def stop_serving(self, reason: str) -> None:
        """The role is over: close every client connection. Called for each role's end."""
        raise NotImplementedError

    def on_request(self, sid: i64, data: bytes, ids: list[Id] | None) -> None:
        """Leader: a learner forwards a client's request."""
        raise NotImplementedError

    def on_revalidate(self, sid: i64, session_id: i64, timeout_ms: i64) -> bool:
        """Leader: a client with this session has come to `sid`. Whether the session is alive."""
        raise NotImplementedError

    def on_revalidated(self, session_id: i64, valid: bool) -> None:
        """Learner: the leader's answer."""
        raise NotImplementedError

    def on_touches(self, data: bytes) -> None:
        """Leader: sessions whose clients a learner has heard from, as a PING carries them."""
        raise NotImplementedError

    def take_touches(self) -> bytes:
        """Learner: those since the last call."""
        raise NotImplementedError

    def on_learner(self, sid: i64, features: i64) -> None:
        """Leader: a learner has the history; `features` of `wire.peers` are what it knows."""

    def on_shares(self, sid: i64, data: bytes) -> None:
        """A SHARES packet of server `sid`: a learner's report, or the leader's answer.

        Raises:
            ProtocolError: it cannot be read.
        """

    def on_learner_left(self, sid: i64) -> None:
        """Leader: a learner's link has ended; nothing that came over it is wanted any more."""

    def on_synced(self, session_id: i64) -> None:
        """The oldest sync of a session has happened; 0: the oldest one that was asked for."""
        raise NotImplementedError

    # Configuration

    def propose_members(self, members: Members | None) -> None:
        """A configuration that may be committed already somewhere; None: there is none any more.

        Durable when it returns, and the new servers can be reached from now on (zab.md 7).
        """
        raise NotImplementedError

    def use_members(self, members: Members) -> None:
        """A configuration is committed: it is in force. Durable when it returns."""
        raise NotImplementedError

    def report(self, text: str) -> None:
        """A line for the log: a role begins or ends, a peer is refused."""
        raise NotImplementedError
