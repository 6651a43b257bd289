"""Hostile bytes at the doors for other servers: each ends its own stream, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import ProtocolError
from ensemble.server.quorum_sasl import SaslAcceptor, SaslInitiator, SaslStage, frame
from ensemble.wire.peers import (
    HELLO_HEAD_BYTES,
    HELLO_TEXT_BYTES_MAX,
    hello_bytes_wanted,
    read_hello,
)

USERS = {"quser": "qpass"}
TOKENS = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from(
            [
                'username="quser"',
                'realm="zk-quorum-sasl-md5"',
                "nc=00000001",
                'nonce="n"',
                "qop=auth",
            ]
            + ['cnonce="c"', "response=0", 'digest-uri="zookeeper-quorum/zk-quorum-sasl-md5"', "="]
            + ['authzid="quser"', "charset=utf-8", "algorithm=md5-sess", "rspauth=0", '"', "\\", ""]
        ),
        max_size=12,
    ).map(lambda parts: ",".join(parts).encode()),
)
FRAMES = st.lists(
    st.one_of(st.builds(frame, st.integers(-2, 3), TOKENS), st.binary(max_size=40)), max_size=5
).map(b"".join)


def feed_in_pieces(stage: SaslStage, data: bytes, cuts: list[int]) -> None:
    at = 0
    for size in [*cuts, len(data)]:
        if at < len(data) and not stage.done:
            stage.feed(data[at : at + size])
            at += size


@given(FRAMES, st.lists(st.integers(1, 50), max_size=10))
def test_E3_nothing_but_the_password_authenticates(data: bytes, cuts: list[int]) -> None:
    acceptor = SaslAcceptor(USERS, True, "n")
    try:
        feed_in_pieces(acceptor, data, cuts)
    except ProtocolError:
        pass
    assert not acceptor.done
    assert acceptor.user == ""


@given(FRAMES, st.lists(st.integers(1, 50), max_size=10))
def test_E3_a_server_without_the_password_is_never_believed(data: bytes, cuts: list[int]) -> None:
    initiator = SaslInitiator("quser", "qpass", "c")
    try:
        feed_in_pieces(initiator, data, cuts)
    except ProtocolError:
        pass
    assert not initiator.done


@given(st.binary(max_size=100), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-9, 3_000))
def test_3769_a_hello_is_bounded_whatever_it_says(tail: bytes, first: int, length: int) -> None:
    head = first.to_bytes(8, "big", signed=True) + bytes(8) + length.to_bytes(4, "big", signed=True)
    data = head + tail
    try:
        wanted = hello_bytes_wanted(data)
    except ProtocolError:
        return
    assert wanted <= HELLO_HEAD_BYTES + HELLO_TEXT_BYTES_MAX
    if wanted <= len(data):
        read_hello(data[:wanted])
