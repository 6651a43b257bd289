"""Sealed pieces: whatever is cut or changed on the way, nothing else comes out than went in."""

import random

import pytest

from ensemble.errors import ProtocolError
from ensemble.wire.sealing import HEAD_BYTES, PIECE_BYTES_MAX, Unsealer, seal

DATA = b"some packets of a turn"


def test_pieces_come_out_as_they_went_in_however_they_are_cut() -> None:
    rng = random.Random(1)
    sent = [rng.randbytes(rng.randrange(1, 400)) for _ in range(200)]
    wire = b"".join(seal(data) for data in sent)
    unsealer = Unsealer()
    got = b""
    at = 0
    while at < len(wire):
        step = rng.choice((1, 3, 50, 2_000))
        got += unsealer.feed(wire[at : at + step])
        at += step
    assert got == b"".join(sent)


def test_a_piece_comes_out_as_soon_as_it_is_whole() -> None:
    unsealer = Unsealer()
    wire = seal(DATA)
    assert unsealer.feed(wire[:-1]) == b""
    assert unsealer.feed(wire[-1:] + wire[:3]) == DATA
    assert unsealer.feed(wire[3:]) == DATA


def test_what_is_longer_goes_in_several_pieces() -> None:
    data = bytes(range(256)) * (PIECE_BYTES_MAX // 256) + b"more"
    wire = seal(data)
    assert len(wire) == len(data) + 2 * HEAD_BYTES
    assert Unsealer().feed(wire) == data


def test_a_changed_bit_is_found_f24() -> None:
    wire = seal(DATA)
    for bit in range(8 * len(wire)):
        changed = bytearray(wire + seal(DATA))
        changed[bit // 8] ^= 1 << bit % 8
        unsealer = Unsealer()
        got = b""
        # A length that became larger waits for more; what comes next makes the sum wrong.
        with pytest.raises(ProtocolError, match=r"sum differs|sealed piece of"):
            got = unsealer.feed(bytes(changed) + bytes(PIECE_BYTES_MAX))
        assert got == b""


@pytest.mark.parametrize("length", [0, -1, PIECE_BYTES_MAX + 1])
def test_a_length_out_of_bounds_is_refused_at_once(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"{length} bytes, 1 to {PIECE_BYTES_MAX}"):
        Unsealer().feed(length.to_bytes(4, "big", signed=True) + bytes(4))
