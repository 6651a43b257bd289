"""Packets and notifications, against bytes captured from Apache ZooKeeper 3.9.3.

`tests/data/quorum/*.json` are recordings of traffic between unmodified servers.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from ensemble.errors import ProtocolError
from ensemble.wire import peers
from ensemble.wire.jute import MarshallingError
from ensemble.wire.peers import (
    Hello,
    LearnerInfo,
    Notification,
    Packet,
    PacketBuffer,
    encode_hello,
    encode_ids,
    encode_leader_info,
    encode_learner_info,
    hello_bytes_wanted,
    notification_frame,
    read_features,
    read_hello,
    read_learner_info,
    read_notification,
    sealed_frame,
    write_packet,
    write_request_packet,
)
from ensemble.wire.records import Id

RECORDINGS = Path(__file__).parents[1] / "data" / "quorum"


def units(port: str, *whats: str) -> list[dict[str, object]]:
    found = []
    for path in sorted(RECORDINGS.glob("*.json")):
        for unit in json.loads(path.read_text()):
            if unit["port"] == port and (not whats or unit["what"] in whats) and unit["hex"]:
                found.append(unit)
    assert found
    return found


PACKETS = [u for u in units("quorum") if u["what"] not in ("SASL", "SNAPSHOT-STREAM")]


def encode(packet: Packet) -> bytes:
    out = BytesWriter()
    if packet.auth is None:
        write_packet(out, packet.type, packet.zxid, packet.data)
    else:
        assert packet.type == peers.REQUEST
        assert packet.data is not None
        write_request_packet(out, packet.data, encode_ids(packet.auth))
    return out.getvalue()


def test_recorded_packets_are_read_and_written_to_the_bit() -> None:
    for unit in PACKETS:
        raw = bytes.fromhex(str(unit["hex"]))
        buffer = PacketBuffer()
        buffer.feed(raw)
        packet = buffer.next_packet()
        assert packet is not None
        assert buffer.next_packet() is None
        assert buffer.pending() == 0
        assert peers.name_of(packet.type) == unit["what"]
        if packet.auth is None or packet.type == peers.REQUEST:
            assert encode(packet) == raw


def test_packets_come_whole_out_of_a_stream_cut_anywhere() -> None:
    stream = b"".join(bytes.fromhex(str(unit["hex"])) for unit in PACKETS[:200])
    for step in (1, 7, 19, 20, 21, 1000):
        buffer = PacketBuffer()
        again = b""
        count = 0
        for at in range(0, len(stream), step):
            buffer.feed(stream[at : at + step])
            while (packet := buffer.next_packet()) is not None:
                again += encode(packet)
                count += 1
        assert count == 200
        assert again == stream


def test_what_follows_a_packet_can_be_taken_as_another_stream() -> None:
    out = BytesWriter()
    write_packet(out, peers.SNAP, 7)
    buffer = PacketBuffer()
    buffer.feed(out.getvalue() + b"the tree")
    assert buffer.next_packet() is not None
    buffer.feed(b" goes on")
    assert buffer.take_rest() == b"the tree goes on"
    assert buffer.pending() == 0


@pytest.mark.parametrize("size", [-2, 100, 1 << 30])
def test_a_packet_beyond_its_bound_is_refused_before_its_bytes_come(size: int) -> None:
    out = BytesWriter()
    write_packet(out, peers.PROPOSAL, 1)
    raw = out.getvalue()
    buffer = PacketBuffer(data_bytes_max=99)
    buffer.feed(raw[:12] + size.to_bytes(4, "big", signed=True) + raw[:4])
    with pytest.raises(ProtocolError, match=f"PROPOSAL with {size} bytes"):
        buffer.next_packet()


@pytest.mark.parametrize(
    ("count", "length", "text"),
    [(1_001, 0, "1001 identities"), (1, -5, "-5 bytes"), (1, 1 << 24, "16777216 bytes")],
)
def test_identities_beyond_their_bounds_are_refused(count: int, length: int, text: str) -> None:
    buffer = PacketBuffer()
    head = (1).to_bytes(4, "big") + bytes(8) + bytes(4)
    buffer.feed(head + count.to_bytes(4, "big") + length.to_bytes(4, "big", signed=True) + b"x" * 9)
    with pytest.raises(ProtocolError, match=text):
        buffer.next_packet()


def test_recorded_notifications_are_read_and_written_to_the_bit() -> None:
    for unit in units("election", "NOTIFICATION"):
        raw = bytes.fromhex(str(unit["hex"]))
        notification = read_notification(raw[4:])
        assert notification_frame(notification) == raw


def test_older_generations_of_notifications_are_understood() -> None:
    """Election.md 2 and 6.9: 28 bytes without an epoch, exactly 40 without a version."""
    full = notification_frame(Notification(0, 3, 7 << 32 | 5, 9, 6, 2, b"version=0"))[4:]
    short = read_notification(full[:28])
    assert (short.leader, short.zxid, short.round, short.peer_epoch) == (3, 7 << 32 | 5, 9, 7)
    assert (short.version, short.members_text) == (0, None)
    middle = read_notification(full[:40])
    assert (middle.peer_epoch, middle.version, middle.members_text) == (6, 0, None)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_notification_or_refused_3769(raw: bytes) -> None:
    try:
        notification = read_notification(raw)
    except MarshallingError:
        return
    assert 0 <= notification.state <= 3


@pytest.mark.parametrize(
    ("change", "text"),
    [(slice(0, 27), "27 bytes"), (b"\0\0\0\x04", "unknown state 4")],
)
def test_a_malformed_notification_says_what_is_wrong(change: object, text: str) -> None:
    full = notification_frame(Notification(0, 1, 0, 1, 0, 2, b"version=0"))[4:]
    raw = full[change] if isinstance(change, slice) else bytes(change) + full[4:]  # type: ignore[call-overload]
    with pytest.raises(MarshallingError, match=text):
        read_notification(raw)


def test_a_configuration_longer_than_its_message_is_refused() -> None:
    full = notification_frame(Notification(0, 1, 0, 1, 0, 2, b"version=0"))[4:]
    with pytest.raises(MarshallingError, match="9 bytes with 8 left"):
        read_notification(full[:-1])


def test_recorded_hellos_are_read_and_written_to_the_bit() -> None:
    for unit in units("election", "INITIAL"):
        raw = bytes.fromhex(str(unit["hex"]))
        wanted = 0
        have = b""
        while wanted < len(raw) or len(have) < wanted:
            wanted = hello_bytes_wanted(have)
            if len(have) >= wanted:
                break
            have = raw[:wanted]
        assert have == raw
        # With multiAddress.enabled Apache writes the newer form for one address, too.
        assert encode_hello(read_hello(raw))[8:] == raw[8:]


def test_a_bare_server_id_is_a_hello_of_3_4() -> None:
    assert hello_bytes_wanted((5).to_bytes(8, "big")) == 8
    assert read_hello((5).to_bytes(8, "big")).sid == 5


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ((-5).to_bytes(8, "big", signed=True), "version -5"),
        (encode_hello(Hello(1, ["h:1"]))[:16] + (2049).to_bytes(4, "big"), "2049 bytes"),
        (encode_hello(Hello(1, ["h:1"]))[:16] + bytes(4), "0 bytes"),
    ],
)
def test_a_bad_hello_is_refused(raw: bytes, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        hello_bytes_wanted(raw)


def test_a_learners_info_is_read_as_far_as_it_is_long() -> None:
    full = encode_learner_info(LearnerInfo(3, 0x10000, 7, peers.CUMULATIVE), 5 << 32)
    assert len(full) == 28
    assert read_learner_info(full, 5 << 32).features == peers.CUMULATIVE
    assert read_learner_info(full[:20], 5 << 32).features == 0
    assert read_learner_info(full[:12], 5 << 32).members_version == 0
    assert read_learner_info(full[:8], 5 << 32).protocol == 0
    with pytest.raises(ProtocolError, match="7 bytes"):
        read_learner_info(full[:7], 5 << 32)


def test_apaches_form_of_the_infos_carries_nothing_of_ours() -> None:
    assert encode_leader_info(0, 1 << 32) == bytes.fromhex("00010000")
    assert len(encode_learner_info(LearnerInfo(3, 0x10000, 7, 0), 1 << 32)) == 20
    data = encode_leader_info(peers.CUMULATIVE, 1 << 32)
    assert read_features(data, 4, 1 << 32) == peers.CUMULATIVE


def test_a_first_packet_of_ours_that_was_changed_on_the_way_is_refused_f24() -> None:
    """Any one bit but those of the mark: without it, it is a packet of Apache's."""
    zxid = 5 << 32
    learner = encode_learner_info(LearnerInfo(3, 0x10000, 7, peers.FEATURES), zxid)
    leader = encode_leader_info(peers.FEATURES, zxid)
    assert read_learner_info(learner, zxid).features == peers.FEATURES
    assert read_features(leader, 4, zxid) == peers.FEATURES
    with pytest.raises(ProtocolError, match="changed on the way"):
        read_learner_info(learner, 6 << 32)
    for bit in range(8 * len(learner)):
        if bit // 8 not in range(20, 28):
            with pytest.raises(ProtocolError, match="changed on the way"):
                read_learner_info(flipped(learner, bit), zxid)
    for bit in range(8 * len(leader)):
        if bit // 8 not in range(4, 12):
            with pytest.raises(ProtocolError, match="changed on the way"):
                read_features(flipped(leader, bit), 4, zxid)


def test_a_notification_of_ours_that_was_changed_on_the_way_is_refused_f24() -> None:
    """What Apache's servers read of it is what they always read."""
    notification = Notification(0, 3, 7 << 32 | 5, 9, 6, 2, b"version=0")
    raw = sealed_frame(notification)[4:]
    assert raw[:-8] == notification_frame(notification)[4:]
    for bit in range(8 * (len(raw) - 8)):
        with pytest.raises(MarshallingError):
            read_notification(flipped(raw, bit))
    assert read_notification(raw).members_text == b"version=0"


def flipped(data: bytes, bit: int) -> bytes:
    at = bit // 8
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


def test_the_same_identities_are_decoded_once() -> None:
    out = BytesWriter()
    ids = encode_ids([Id("digest", "alice:x")])
    write_request_packet(out, b"a", ids)
    write_request_packet(out, b"b", ids)
    buffer = PacketBuffer()
    buffer.feed(out.getvalue())
    first = buffer.next_packet()
    second = buffer.next_packet()
    assert first is not None
    assert second is not None
    assert first.auth == [Id("digest", "alice:x")]
    assert first.auth is second.auth
