"""What servers say to each other: packets of the quorum port, messages of the election port.

Source: zab.md 1 (packets), election.md 1.2 and 2 (hello, notification). Packets have no length in
front, so `PacketBuffer` finds their ends; lengths are checked before their bytes are awaited.
"""

from typing import Final, final
from zlib import crc32

from librt.strings import BytesWriter, read_i32_be, read_i64_be, write_i32_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from ensemble.errors import ProtocolError
from ensemble.wire.jute import MarshallingError, Reader, reader_of, write_text
from ensemble.wire.records import Id, read_id

# Types of quorum packets (zab.md 1.2)
REQUEST: Final = 1
PROPOSAL: Final = 2
ACK: Final = 3
COMMIT: Final = 4
PING: Final = 5
REVALIDATE: Final = 6
SYNC: Final = 7
INFORM: Final = 8
COMMIT_AND_ACTIVATE: Final = 9
NEW_LEADER: Final = 10
FOLLOWER_INFO: Final = 11
UP_TO_DATE: Final = 12
DIFF: Final = 13
TRUNC: Final = 14
SNAP: Final = 15
OBSERVER_INFO: Final = 16
LEADER_INFO: Final = 17
ACK_EPOCH: Final = 18
INFORM_AND_ACTIVATE: Final = 19
SHARES: Final = 0x456E  # between our own servers only: tenants' limits (`wire/shares.py`)
NAMES: Final = (
    "? REQUEST PROPOSAL ACK COMMIT PING REVALIDATE SYNC INFORM COMMITANDACTIVATE NEWLEADER "
    "FOLLOWERINFO UPTODATE DIFF TRUNC SNAP OBSERVERINFO LEADERINFO ACKEPOCH INFORMANDACTIVATE"
).split()

PROTOCOL_VERSION: Final = 0x10000
HEAD_BYTES: Final = 16  # type, zxid and the length of data
PACKET_BYTES_MIN: Final = 20
# Of a packet's data: one transaction of the largest size, or a request (storage.md 1).
DATA_BYTES_MAX_DEFAULT: Final = 2 * 0xFFFFF
IDS_MAX: Final = 1_000
ID_BYTES_MAX: Final = 0xFFFFF

# States in a notification
LOOKING: Final = 0
FOLLOWING: Final = 1
LEADING: Final = 2
OBSERVING: Final = 3
STATE_NAMES: Final = ("looking", "following", "leading", "observing")

NOTIFICATION_BYTES_MAX: Final = 524_288
NOTIFICATION_BYTES_MIN: Final = 28
NOTIFICATION_VERSION: Final = 2

HELLO_ONE_ADDRESS: Final = -65536
HELLO_ADDRESSES: Final = -65535
HELLO_HEAD_BYTES: Final = 20
HELLO_TEXT_BYTES_MAX: Final = 2_048

# What our own nodes add behind the fields that Apache's read, to agree on faster habits: a mark,
# and bits. Apache's servers read the fields in front of it and no further.
FEATURES_MARK: Final = 0x456E7362  # "Ensb"
CUMULATIVE: Final = 1  # one ACK, one COMMIT stands for all zxids up to it
EXACT_TRUNC: Final = 2  # refuses a TRUNC to a zxid that its log does not hold
SEALED: Final = 4  # behind LEADERINFO everything is in sealed pieces, both ways
TURNS: Final = 8  # answers of different sessions may overtake each other; SYNC's says whose it is
BUDGETS: Final = 16  # the leader refuses what does not fit into a subtree's budget
SHARING: Final = 32  # tells and is told of shares of tenants' limits
FEATURES: Final = CUMULATIVE | EXACT_TRUNC | SEALED | TURNS | BUDGETS | SHARING
NOTIFICATION_MARK: Final = 0x456E7353  # "EnsS": the sum of a notification follows


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Packet:
    """One packet of the quorum port. `data` and `auth` None: the null buffer, the null vector."""

    __slots__ = ("auth", "data", "type", "zxid")

    def __init__(
        self, type: i64, zxid: i64, data: bytes | None = None, auth: list[Id] | None = None
    ) -> None:
        self.type: Final = type
        self.zxid: Final = zxid
        self.data: Final = data
        self.auth: Final = auth


def name_of(type: i64) -> str:
    """The packet type as ZooKeeper's documentation prints it."""
    if type == SHARES:
        return "SHARES"
    return NAMES[type] if 0 < type < len(NAMES) else f"type {type}"


def write_packet(out: BytesWriter, type: i64, zxid: i64, data: bytes | None = None) -> None:
    """A packet without identities: every one but REQUEST."""
    write_i32_be(out, int(type))
    write_i64_be(out, zxid)
    if data is None:
        write_i32_be(out, -1)
    else:
        write_i32_be(out, len(data))
        out.write(data)
    write_i32_be(out, -1)


def write_request_packet(out: BytesWriter, data: bytes, encoded_ids: bytes) -> None:
    """A REQUEST; `encoded_ids` comes from `encode_ids`, as a connection's ids seldom change."""
    write_i32_be(out, REQUEST)
    write_i64_be(out, -1)
    write_i32_be(out, len(data))
    out.write(data)
    out.write(encoded_ids)


def encode_ids(ids: list[Id] | None) -> bytes:
    """A vector of identities as it stands in a packet."""
    out = BytesWriter()
    if ids is None:
        write_i32_be(out, -1)
    else:
        write_i32_be(out, len(ids))
        for id in ids:
            write_text(out, id.scheme)
            write_text(out, id.id)
    return out.getvalue()


@final
class PacketBuffer:
    """Received bytes of one quorum connection, handed out packet by packet.

    `feed`, then `next_packet` until it gives None. `take_rest` hands out what no packet has taken,
    where a stream of another kind follows (the snapshot behind SNAP).
    """

    __slots__ = ("at", "buf", "data_bytes_max", "encoded_ids", "ids", "parts", "parts_bytes")

    def __init__(self, data_bytes_max: int = DATA_BYTES_MAX_DEFAULT) -> None:
        self.data_bytes_max: Final[i64] = data_bytes_max
        self.buf = b""
        self.at: i64 = 0
        self.parts: list[bytes] = []  # behind buf; joined when a whole packet may be there
        self.parts_bytes: i64 = 0
        # The same connection asks again and again with the same ids: decode them once.
        self.encoded_ids = b""
        self.ids: list[Id] = []

    def feed(self, chunk: bytes) -> None:
        """Take what one receive call brought."""
        if self.at == len(self.buf) and not self.parts:
            self.buf = chunk
            self.at = 0
        else:
            self.parts.append(chunk)
            self.parts_bytes += len(chunk)

    def take_rest(self) -> bytes:
        """Everything that was fed and not handed out yet."""
        self._join()
        rest = self.buf[self.at :]
        self.buf = b""
        self.at = 0
        return rest

    def pending(self) -> int:
        """Bytes held that belong to no complete packet yet."""
        return len(self.buf) - self.at + self.parts_bytes

    def _join(self) -> None:
        if self.parts:
            self.parts.insert(0, self.buf[self.at :])
            self.buf = b"".join(self.parts)
            self.at = 0
            self.parts = []
            self.parts_bytes = 0

    def next_packet(self) -> Packet | None:
        """The next whole packet, if there is one.

        Raises:
            ProtocolError: a length is impossible or above its bound.
        """
        have = len(self.buf) - self.at
        if have < PACKET_BYTES_MIN:
            if have + self.parts_bytes < PACKET_BYTES_MIN:
                return None
            self._join()
            have = len(self.buf) - self.at
        buf = self.buf
        at = self.at
        size = i64(read_i32_be(buf, at + 12))
        if size < -1 or size > self.data_bytes_max:
            raise ProtocolError(
                f"{name_of(i64(read_i32_be(buf, at)))} with {size} bytes of data, "
                f"the limit is {self.data_bytes_max}"
            )
        end_of_data = at + HEAD_BYTES + (size if size > 0 else 0)
        if end_of_data + 4 > len(buf):
            if end_of_data + 4 - at > have + self.parts_bytes:
                return None
            self._join()
            return self.next_packet()
        count = i64(read_i32_be(buf, end_of_data))
        auth: list[Id] | None = None
        end = end_of_data + 4
        if count >= 0:
            end = self._end_of_ids(end, count)
            if end < 0:
                if not self.parts:
                    return None
                self._join()
                return self.next_packet()
            auth = self._read_ids(buf[end_of_data:end])
        data = None if size < 0 else buf[at + HEAD_BYTES : end_of_data]
        self.at = end
        return Packet(i64(read_i32_be(buf, at)), read_i64_be(buf, at + 4), data, auth)

    def _end_of_ids(self, at: i64, count: i64) -> i64:
        """Where a vector of ids ends, -1 where it is not all there."""
        buf = self.buf
        size = len(buf)
        if count > IDS_MAX:
            raise ProtocolError(f"a packet with {count} identities, the limit is {IDS_MAX}")
        for _ in range(2 * count):
            if at + 4 > size:
                return -1
            length = i64(read_i32_be(buf, at))
            if length < -1 or length > ID_BYTES_MAX:
                raise ProtocolError(f"an identity of {length} bytes, the limit is {ID_BYTES_MAX}")
            at += 4 + (length if length > 0 else 0)
        return at if at <= size else -1

    def _read_ids(self, encoded: bytes) -> list[Id]:
        if encoded != self.encoded_ids:
            reader = reader_of(encoded)
            ids: list[Id] = []
            for _ in range(reader.read_int()):
                ids.append(read_id(reader))
            self.ids = ids
            self.encoded_ids = encoded
        return self.ids


@final
class LearnerInfo:
    """Who a learner is: the data of FOLLOWERINFO and OBSERVERINFO. `features`: ours, or 0."""

    __slots__ = ("features", "members_version", "protocol", "sid")

    def __init__(self, sid: i64, protocol: i64, members_version: i64, features: i64) -> None:
        self.sid: Final = sid
        self.protocol: Final = protocol
        self.members_version: Final = members_version
        self.features: Final = features


def encode_learner_info(info: LearnerInfo, zxid: i64) -> bytes:
    """The data of a packet that carries `zxid`."""
    out = BytesWriter()
    write_i64_be(out, info.sid)
    write_i32_be(out, int(info.protocol))
    write_i64_be(out, info.members_version)
    write_features(out, info.features, zxid)
    return out.getvalue()


def read_learner_info(data: bytes | None, zxid: i64) -> LearnerInfo:
    """Fields as far as the data is long (8, 12 or 20 bytes, and ours behind).

    Raises:
        ProtocolError: not even a server id, or the packet was changed on the way.
    """
    if data is None or len(data) < 8:
        raise ProtocolError(f"a learner's info of {0 if data is None else len(data)} bytes")
    protocol = i64(read_i32_be(data, 8)) if len(data) >= 12 else 0
    version = read_i64_be(data, 12) if len(data) >= 20 else 0
    return LearnerInfo(read_i64_be(data, 0), protocol, version, read_features(data, 20, zxid))


def encode_leader_info(features: i64, zxid: i64) -> bytes:
    """The data of LEADERINFO. `features` only towards those that have said that they know them."""
    out = BytesWriter()
    write_i32_be(out, PROTOCOL_VERSION)
    write_features(out, features, zxid)
    return out.getvalue()


def write_features(out: BytesWriter, features: i64, zxid: i64) -> None:
    """Behind the other fields: the mark, the bits, and the sum of all that and of the zxid."""
    if features != 0:
        write_i32_be(out, FEATURES_MARK)
        write_i32_be(out, int(features))
        if features & SEALED != 0:
            out.write(sum_of(out.getvalue(), zxid))


def sum_of(data: bytes, zxid: i64) -> bytes:
    return crc32(data, crc32(int(zxid).to_bytes(8, "big", signed=True))).to_bytes(4, "big")


def read_features(data: bytes | None, at: i64, zxid: i64) -> i64:
    """The bits behind our mark, 0 where there is none.

    Raises:
        ProtocolError: their sum is not that of the packet.
    """
    if data is None or len(data) < at + 8 or i64(read_i32_be(data, at)) != FEATURES_MARK:
        return 0
    features = i64(read_i32_be(data, at + 4)) & FEATURES
    if features & SEALED != 0 and data[at + 8 : at + 12] != sum_of(data[: at + 8], zxid):
        raise ProtocolError("the first packet was changed on the way: its sum differs")
    return features


@final
class Notification:
    """The message of the election port: a vote, the sender's state and round.

    `members_text`: the sender's committed configuration, None where the message carries none.
    """

    __slots__ = ("leader", "members_text", "peer_epoch", "round", "state", "version", "zxid")

    def __init__(
        self,
        state: i64,
        leader: i64,
        zxid: i64,
        round: i64,
        peer_epoch: i64,
        version: i64,
        members_text: bytes | None,
    ) -> None:
        self.state: Final = state
        self.leader: Final = leader
        self.zxid: Final = zxid
        self.round: Final = round
        self.peer_epoch: Final = peer_epoch
        self.version: Final = version
        self.members_text: Final = members_text


def read_notification(payload: bytes) -> Notification:
    """The payload of a frame; older generations are shorter (election.md 2).

    Raises:
        MarshallingError: it is none; the message is dropped and the connection lives.
    """
    size = len(payload)
    if not NOTIFICATION_BYTES_MIN <= size <= NOTIFICATION_BYTES_MAX:
        raise MarshallingError(
            f"a notification of {size} bytes, "
            f"{NOTIFICATION_BYTES_MIN} to {NOTIFICATION_BYTES_MAX} are allowed"
        )
    check_sum(payload)
    reader = reader_of(payload)
    state = reader.read_int()
    if not LOOKING <= state <= OBSERVING:
        raise MarshallingError(f"a notification with the unknown state {state}")
    leader = reader.read_long()
    zxid = reader.read_long()
    round = reader.read_long()
    peer_epoch = zxid >> 32
    version: i64 = 0
    text: bytes | None = None
    if size >= 36:
        peer_epoch = reader.read_long()
    if size >= 44:
        version = reader.read_int()
    if version >= NOTIFICATION_VERSION:
        text = read_members_text(reader)
    return Notification(state, leader, zxid, round, peer_epoch, version, text)


def read_members_text(reader: Reader) -> bytes:
    length = reader.read_int()
    if length < 0 or length > reader.remaining():
        raise MarshallingError(
            f"a notification's configuration of {length} bytes with {reader.remaining()} left"
        )
    return reader.buf[reader.at : reader.at + length]


def check_sum(payload: bytes) -> None:
    """Our own servers add a sum, which Apache's do not read."""
    at = len(payload) - 8
    if i64(read_i32_be(payload, at)) != NOTIFICATION_MARK:
        return
    if i64(read_i32_be(payload, at + 4)) & 0xFFFFFFFF != crc32(payload[:at]):
        raise MarshallingError(
            f"a notification of {len(payload)} bytes that was changed on the way: its sum differs"
        )


def sealed_frame(n: Notification) -> bytes:
    """`notification_frame` with a sum at its end (trust.md F24)."""
    plain = notification_frame(n)[4:]
    out = BytesWriter()
    write_i32_be(out, len(plain) + 8)
    out.write(plain)
    write_i32_be(out, NOTIFICATION_MARK)
    out.write(crc32(plain).to_bytes(4, "big"))
    return out.getvalue()


def notification_frame(n: Notification) -> bytes:
    """The message with its 4-byte length, as generation 2 writes it."""
    text = n.members_text or b""
    out = BytesWriter()
    write_i32_be(out, 44 + len(text))
    write_i32_be(out, int(n.state))
    write_i64_be(out, n.leader)
    write_i64_be(out, n.zxid)
    write_i64_be(out, n.round)
    write_i64_be(out, n.peer_epoch)
    write_i32_be(out, NOTIFICATION_VERSION)
    write_i32_be(out, len(text))
    out.write(text)
    return out.getvalue()


@final
class Hello:
    """The first message on an election connection. `addresses` are texts `host:port`, v6 in []."""

    __slots__ = ("addresses", "sid")

    def __init__(self, sid: i64, addresses: list[str]) -> None:
        self.sid: Final = sid
        self.addresses: Final = addresses


def encode_hello(hello: Hello) -> bytes:
    """One address is sent in the old form, which every server reads."""
    text = "|".join(hello.addresses).encode()
    assert 0 < len(text) <= HELLO_TEXT_BYTES_MAX
    out = BytesWriter()
    write_i64_be(out, HELLO_ONE_ADDRESS if len(hello.addresses) == 1 else HELLO_ADDRESSES)
    write_i64_be(out, hello.sid)
    write_i32_be(out, len(text))
    out.write(text)
    return out.getvalue()


def hello_bytes_wanted(head: bytes) -> int:
    """How long a hello is that begins with `head`; more than len(head) while that is not known.

    Raises:
        ProtocolError: it is no hello.
    """
    if len(head) < 8:
        return 8
    version = read_i64_be(head, 0)
    if version >= 0:
        return 8  # of 3.4: the server id alone
    if version != HELLO_ONE_ADDRESS and version != HELLO_ADDRESSES:
        raise ProtocolError(f"a hello of the unknown version {version}")
    if len(head) < HELLO_HEAD_BYTES:
        return HELLO_HEAD_BYTES
    length = int(read_i32_be(head, 16))
    if not 0 < length <= HELLO_TEXT_BYTES_MAX:
        raise ProtocolError(
            f"a hello with {length} bytes of addresses, 1 to {HELLO_TEXT_BYTES_MAX} are allowed"
        )
    return HELLO_HEAD_BYTES + length


def read_hello(data: bytes) -> Hello:
    """A whole hello, as long as `hello_bytes_wanted` says."""
    first = read_i64_be(data, 0)
    if first >= 0:
        return Hello(first, [])
    text = data[HELLO_HEAD_BYTES:].decode("utf-8", "replace")
    return Hello(read_i64_be(data, 8), text.split("|"))
