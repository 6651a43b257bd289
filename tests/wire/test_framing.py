"""Frames: any split of the stream gives the same frames, and lengths are bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import ProtocolError
from ensemble.wire.framing import FrameBuffer, begin_frame, end_frame
from ensemble.wire.jute import BytesWriter, write_int


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


def take_all(frames: FrameBuffer) -> list[bytes]:
    taken: list[bytes] = []
    while frames.next_frame():
        taken.append(frames.buf[frames.start : frames.end])
    return taken


@given(st.lists(st.binary(max_size=60), max_size=12), st.lists(st.integers(1, 50)))
def test_frames_come_out_the_same_however_the_stream_is_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    """client.md 1: frames may be pipelined and may arrive split at any byte."""
    stream = b"".join(framed(p) for p in payloads)
    frames = FrameBuffer(1_000)
    taken: list[bytes] = []
    at = 0
    for cut in cuts:
        frames.feed(stream[at : at + cut])
        at += cut
        taken += take_all(frames)
    frames.feed(stream[at:])
    taken += take_all(frames)
    assert taken == payloads
    assert frames.pending() == 0


def test_the_limit_itself_is_accepted_and_one_more_is_not() -> None:
    """client.md 1, vector 25: 0 <= length <= jute.maxbuffer."""
    frames = FrameBuffer(10)
    frames.feed(framed(b"x" * 10))
    assert take_all(frames) == [b"x" * 10]
    frames.feed(framed(b"x" * 11))
    with pytest.raises(ProtocolError, match="11 bytes, the limit is 10"):
        frames.next_frame()


@pytest.mark.parametrize("length", [-1, -(1 << 31), 0x72756F6B])
def test_negative_and_huge_lengths_close_the_connection(length: int) -> None:
    """client.md 18: refused when the length is known, before any of its bytes."""
    frames = FrameBuffer()
    frames.feed(length.to_bytes(4, signed=True))
    with pytest.raises(ProtocolError):
        frames.next_frame()


def test_a_large_frame_in_small_pieces_is_joined_once() -> None:
    """A megabyte in 1,000 pieces must not cost 1,000 copies of a megabyte."""
    payload = bytes(1_000_000)
    frames = FrameBuffer(1_000_000)
    stream = framed(payload)
    for at in range(0, len(stream), 1_000):
        frames.feed(stream[at : at + 1_000])
        if at + 1_000 < len(stream):
            assert not frames.next_frame()
            assert len(frames.buf) == 0  # collected as parts, not joined again and again
    assert take_all(frames) == [payload]


def test_a_written_frame_has_the_length_of_what_was_written() -> None:
    out = BytesWriter()
    out.write(b"before")
    start = begin_frame(out)
    write_int(out, -1)
    out.write(b"x" * 300)
    end_frame(out, start)
    assert out.getvalue() == b"before" + framed(b"\xff\xff\xff\xff" + b"x" * 300)


def frames_of(sizes: list[int]) -> bytes:
    return b"".join(size.to_bytes(4, "big") + bytes(size) for size in sizes)


def test_a_frame_knows_when_its_last_byte_came() -> None:
    frames = FrameBuffer()
    frames.feed(frames_of([8]) + frames_of([8])[:5], 100)
    assert frames.next_frame()
    assert frames.arrived_us == 100
    assert not frames.next_frame()
    frames.feed(frames_of([8])[5:], 200)
    assert frames.next_frame()
    assert frames.arrived_us == 200


def test_of_what_waits_in_the_buffer_two_generations_are_told_apart() -> None:
    """A deep pipeline never empties its buffer, and must not look older from turn to turn."""
    frames = FrameBuffer()
    frames.feed(frames_of([8, 8, 8]), 100)
    assert frames.next_frame()
    frames.feed(frames_of([8]), 200)
    frames.feed(frames_of([8]), 300)
    seen = []
    while frames.next_frame():
        seen.append(frames.arrived_us)
    assert seen == [100, 100, 200, 200]
    frames.feed(frames_of([8, 8]), 400)
    assert frames.next_frame()
    frames.feed(frames_of([8]), 500)
    assert frames.next_frame()
    assert frames.arrived_us == 400
    assert frames.next_frame()
    assert frames.arrived_us == 500


def test_a_buffer_that_never_empties_is_at_most_one_filling_behind() -> None:
    frames = FrameBuffer()
    frames.feed(frames_of([8] * 4), 0)
    for now_us in range(1, 200):
        frames.feed(frames_of([8] * 4), now_us)
        for _ in range(4):
            assert frames.next_frame()
        assert now_us - frames.arrived_us <= 3
