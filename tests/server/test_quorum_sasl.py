"""SASL between servers: captured dialogues, and everything that must not pass."""

import json
from pathlib import Path

import pytest

from ensemble.errors import ProtocolError
from ensemble.server.auth.sasl_digest_md5 import TOKEN_BYTES_MAX
from ensemble.server.quorum_sasl import SaslAcceptor, SaslInitiator, frame

STREAMS = json.loads((Path(__file__).parent / "data" / "peer-streams.json").read_text())
USERS = {"quser": "qpass"}


def sasl_frames(name: str) -> list[bytes]:
    return [bytes.fromhex(data) for _, what, data in STREAMS[name] if what == "SASL"]


def field(token: bytes, name: bytes) -> str:
    return token.split(name + b'="')[1].split(b'"')[0].decode()


@pytest.mark.parametrize("name", ["sasl election", "sasl quorum"])
def test_the_accepting_side_answers_as_apaches_does(name: str) -> None:
    """zab.md 8: with the same nonce every byte is the same."""
    first, challenge, response, success = sasl_frames(name)
    acceptor = SaslAcceptor(USERS, True, field(challenge, b"nonce"))
    assert acceptor.feed(first) == challenge
    assert acceptor.feed(response) == success
    assert acceptor.done
    assert acceptor.user == "quser"
    assert acceptor.rest == b""


@pytest.mark.parametrize("name", ["sasl election", "sasl quorum"])
def test_the_connecting_side_proves_the_same_as_apaches_does(name: str) -> None:
    first, challenge, response, success = sasl_frames(name)
    initiator = SaslInitiator("quser", "qpass", field(response, b"cnonce"))
    assert initiator.first() == first
    ours = initiator.feed(challenge)

    def parts(token: bytes) -> set[bytes]:
        return set(token[16:].replace(b"maxbuf=65536,", b"").split(b","))

    assert parts(ours) == parts(response)
    assert initiator.feed(success + b"more") == b""
    assert initiator.done
    assert initiator.rest == b"more"


def test_both_sides_of_ours_agree_byte_by_byte() -> None:
    one = SaslInitiator("quser", "qpass")
    two = SaslAcceptor(USERS, True)
    to_two = one.first()
    while not (one.done and two.done):
        to_one = b"".join(two.feed(to_two[at : at + 1]) for at in range(len(to_two)))
        to_two = b"".join(one.feed(to_one[at : at + 1]) for at in range(len(to_one)))
    assert two.user == "quser"


@pytest.mark.parametrize(("user", "password"), [("quser", "wrong"), ("nobody", "qpass")])
def test_E3_a_wrong_password_does_not_pass(user: str, password: str) -> None:
    one = SaslInitiator(user, password)
    two = SaslAcceptor(USERS, True)
    challenge = two.feed(one.first())
    with pytest.raises(ProtocolError, match="unknown user or wrong password"):
        two.feed(one.feed(challenge))
    assert not two.done
    assert two.user == ""
    with pytest.raises(ProtocolError, match="does not accept this server's SASL user"):
        one.feed(two.refusal)


def test_E3_a_server_that_does_not_know_the_password_is_found_out() -> None:
    one = SaslInitiator("quser", "qpass")
    challenge = SaslAcceptor(USERS, True).feed(one.first())
    one.feed(challenge)
    with pytest.raises(ProtocolError, match="did not prove"):
        one.feed(frame(1, b"rspauth=" + b"0" * 32))
    assert not one.done


@pytest.mark.parametrize("status", [1, 0])
def test_E3_success_without_proof_is_none(status: int) -> None:
    one = SaslInitiator("quser", "qpass")
    with pytest.raises(ProtocolError):
        one.feed(frame(status, b""))
        one.feed(frame(status, b""))
    assert not one.done


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0" * 16, "SASL is expected, not 0000000000000000"),
        (frame(0, b"")[:12] + (TOKEN_BYTES_MAX + 1).to_bytes(4, "big"), "4097 bytes, at most 4096"),
        (frame(0, b"")[:12] + b"\xff\xff\xff\xfe", "a SASL token of -2 bytes"),
        (frame(1, b""), "SASL status 1"),
        (frame(0, b"") + frame(0, b"x" * 10), "not understood at offset"),
        (frame(0, b"") * 2, "username is missing"),
    ],
)
def test_what_is_no_sasl_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        SaslAcceptor(USERS, True).feed(data)


def test_where_it_is_not_required_others_pass_with_all_their_bytes() -> None:
    """zab.md 8: serverRequireSasl=false looks at the first eight bytes."""
    acceptor = SaslAcceptor(USERS, False)
    assert acceptor.feed(b"\0\0\0\x0b") == b""
    assert acceptor.done
    assert acceptor.rest == b"\0\0\0\x0b"
    assert acceptor.user == ""


def test_where_it_is_not_required_those_who_begin_it_must_finish_it() -> None:
    acceptor = SaslAcceptor(USERS, False)
    one = SaslInitiator("quser", "wrong")
    first = one.first()
    assert acceptor.feed(first[:5]) == b""
    assert not acceptor.done
    challenge = acceptor.feed(first[5:])
    with pytest.raises(ProtocolError):
        acceptor.feed(one.feed(challenge))
