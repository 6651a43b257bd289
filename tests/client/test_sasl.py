"""DIGEST-MD5, against an exchange between kazoo and Apache ZooKeeper 3.9.3 (vector 53)."""

import pytest

from ensemble.client.errors import AuthFailedError, BadArgumentsError
from ensemble.client.sasl import CHALLENGE_BYTES_MAX, DigestMd5, parse_challenge
from ensemble.server.auth.sasl_digest_md5 import DigestMd5 as ServerSide
from ensemble.server.auth.sasl_digest_md5 import SaslFailed
from tests.client.vectors import load, sasl_tokens


def test_the_response_is_the_one_that_apache_accepted() -> None:
    challenge, response, proof = sasl_tokens(load("53_kazoo_sasl_digest_md5"))
    theirs = parse_challenge(response)
    exchange = DigestMd5("bob", "bobsecret").begin(cnonce=theirs["cnonce"])
    ours = parse_challenge(exchange.respond(challenge))
    for name in ("username", "realm", "nonce", "cnonce", "nc", "digest-uri", "qop", "response"):
        assert ours[name] == theirs[name]
    exchange.verify(proof)


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    challenge, response, proof = sasl_tokens(load("53_kazoo_sasl_digest_md5"))
    cnonce = parse_challenge(response)["cnonce"]
    exchange = DigestMd5("bob", "otherpassword").begin(cnonce=cnonce)
    exchange.respond(challenge)
    with pytest.raises(AuthFailedError):
        exchange.verify(proof)
    with pytest.raises(AuthFailedError):
        exchange.verify(b"")
    with pytest.raises(AuthFailedError):
        exchange.verify(b"rspauth=")


def test_a_proof_before_any_challenge_is_refused() -> None:
    with pytest.raises(AuthFailedError):
        DigestMd5("bob", "x").begin().verify(b"rspauth=")


def test_client_nonces_are_never_the_same() -> None:
    mechanism = DigestMd5("bob", "x")
    challenge = b'realm="r",nonce="n"'
    nonces = {parse_challenge(mechanism.begin().respond(challenge))["cnonce"] for _ in range(100)}
    assert len(nonces) == 100


@pytest.mark.parametrize("user", ["bob", 'quo"te', "back\\slash", "ümläut", "com,ma"])
def test_our_server_accepts_our_client(user: str) -> None:
    server = ServerSide("nonce/+=", {user: 'se:cr"et'}.get)
    exchange = DigestMd5(user, 'se:cr"et').begin()
    exchange.verify(server.step(exchange.respond(server.step(b""))))
    assert server.user == user


def test_our_server_refuses_a_wrong_password() -> None:
    server = ServerSide("nonce", {"bob": "right"}.get)
    exchange = DigestMd5("bob", "wrong").begin()
    with pytest.raises(SaslFailed):
        server.step(exchange.respond(server.step(b"")))


@pytest.mark.parametrize(
    ("challenge", "named"),
    [
        (b'realm="r"', "no nonce"),
        (b"", "no nonce"),
        (b'nonce="n",algorithm=md5', "algorithm md5"),
        (b'nonce="n",qop="auth-conf"', "auth-conf"),
        (b'nonce="n",nonce="m"', "nonce twice"),
        (b'nonce="n', "offset 0"),
        (b'nonce="n",=', "offset 10"),
        (b"\xff", "not UTF-8"),
        (b"x" * (CHALLENGE_BYTES_MAX + 1), f"{CHALLENGE_BYTES_MAX + 1} bytes"),
    ],
)
def test_a_challenge_that_makes_no_sense_is_refused(challenge: bytes, named: str) -> None:
    with pytest.raises(AuthFailedError) as caught:
        DigestMd5("bob", "x").begin().respond(challenge)
    assert named in str(caught.value)


def test_a_password_never_shows() -> None:
    assert "secret" not in repr(DigestMd5("bob", "secret"))


def test_a_user_name_is_needed() -> None:
    with pytest.raises(BadArgumentsError):
        DigestMd5("", "x")
