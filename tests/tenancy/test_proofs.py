"""What credentials and assertions are worth, and until when: pure, the time is an argument."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.admin.keys import OperatorKey
from ensemble.tenancy.assertions import (
    ASSERTION_AHEAD_MAX_MS,
    ASSERTION_BYTES_MAX,
    decode_base64url,
    encode_base64url,
    read_assertion,
)
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.identity import (
    Grant,
    NotProved,
    digest_keys,
    prove_digest,
    prove_secret,
    prove_subject,
    renewed,
)
from ensemble.tenancy.spec import ADMIN, READER, WRITER
from tests.tenancy.documents import TENANTS, Registry, tenant, top

KEY = OperatorKey("k", bytes(range(32)))
NOW = 1_000_000


def credential(document: dict[str, object]) -> dict[str, object]:
    """The first credential of a document, to be changed."""
    credentials = document["credentials"]
    assert isinstance(credentials, list)
    found = credentials[0]
    assert isinstance(found, dict)
    return found


def with_until(slug: str, until: int | None) -> dict[str, object]:
    document = tenant(slug)
    (kept,) = credential(document)["secrets"]  # type: ignore[misc]
    kept["until"] = until  # type: ignore[has-type]
    return document


def registry(*slugs: str) -> Registry:
    made = Registry()
    for slug in slugs:
        made.put(slug)
    return made


def test_a_secret_proves_its_credential() -> None:
    directory = registry("a", "b").directory
    grant = prove_secret(directory, b"a:secret-of-a", NOW)
    assert (grant.slug, grant.name, grant.role) == ("a", "app", WRITER)
    assert grant.principal() == "app@a"
    assert not grant.is_operator()


@pytest.mark.parametrize(
    "token",
    [
        None,
        b"",
        b":",
        b"a",
        b"a:",
        b":secret-of-a",
        b"a:secret-of-b",
        b"b:secret-of-a",
        b"a:secret-of-a ",
        b" a:secret-of-a",
        b"a:a:secret-of-a",
        b"A:secret-of-a",
        b"c:secret-of-c",
        b"a:" + b"x" * 10_000,
    ],
)
def test_what_is_not_the_secret_proves_nothing(token: bytes | None) -> None:
    directory = registry("a", "b").directory
    with pytest.raises(NotProved) as caught:
        prove_secret(directory, token, NOW)
    assert "secret-of" not in str(caught.value)


def test_without_a_key_of_hashes_nothing_is_proved() -> None:
    with pytest.raises(NotProved):
        prove_secret(Directory(), b"a:secret-of-a", NOW)
    made = registry("a")
    made.set(TENANTS, top(hash_key="11" * 32))  # another key: no hash is right any more
    with pytest.raises(NotProved):
        prove_secret(made.directory, b"a:secret-of-a", NOW)


def test_a_secret_is_void_from_its_until_on() -> None:
    made = Registry()
    made.put("a", with_until("a", NOW))
    grant = prove_secret(made.directory, b"a:secret-of-a", NOW - 1)
    assert grant.until_ms == NOW
    with pytest.raises(NotProved):
        prove_secret(made.directory, b"a:secret-of-a", NOW)
    assert digest_keys(made.directory, "app@a", NOW) == []
    assert len(digest_keys(made.directory, "app@a", NOW - 1)) == 1
    assert renewed(made.directory, grant, NOW - 1) is grant
    assert renewed(made.directory, grant, NOW) is None


def test_a_digest_proves_the_same_credential() -> None:
    directory = registry("a").directory
    (key,) = digest_keys(directory, "app@a", NOW)
    grant = prove_digest(directory, "app@a", key, NOW)
    assert grant is not None
    assert grant.hash == prove_secret(directory, b"a:secret-of-a", NOW).hash
    for user in ("app@b", "app", "", "@a", "app@a@a", "eve@a"):
        assert digest_keys(directory, user, NOW) == []
        assert prove_digest(directory, user, key, NOW) is None
    assert prove_digest(directory, "app@a", bytes(16), NOW) is None
    assert prove_digest(directory, "app@a", b"", NOW) is None


def test_a_grant_changes_with_its_document_and_ends_with_its_secret() -> None:
    made = registry("a", "b")
    grant = prove_secret(made.directory, b"a:secret-of-a", NOW)
    made.put("b", tenant("b", weight=3))
    assert renewed(made.directory, grant, NOW) is grant
    document = tenant("a")
    credential(document)["role"] = "admin"
    made.put("a", document)
    now = renewed(made.directory, grant, NOW)
    assert now is not None
    assert now.role == ADMIN
    made.put("a", with_until("a", NOW + 5))
    now = renewed(made.directory, grant, NOW)
    assert now is not None
    assert now.until_ms == NOW + 5
    credential(document)["secrets"] = [{"hash": "ab" * 32}]
    made.put("a", document)
    assert renewed(made.directory, grant, NOW) is None
    made.put("a")
    assert renewed(made.directory, grant, NOW) is not None
    credential(document)["name"] = "other"
    made.put("a", document)
    assert renewed(made.directory, grant, NOW) is None
    made.put("a")
    made.delete(f"{TENANTS}/a")
    assert renewed(made.directory, grant, NOW) is None


def test_a_subject_proves_its_credential_until_it_is_taken_away() -> None:
    made = Registry()
    document = tenant("a", credentials=[{"name": "x", "role": "reader", "subjects": ["CN=x"]}])
    made.put("a", document)
    assert prove_subject(made.directory, "CN=y") is None
    grant = prove_subject(made.directory, "CN=x")
    assert grant is not None
    assert (grant.principal(), grant.role) == ("x@a", READER)
    assert renewed(made.directory, grant, NOW) is grant
    credential(document)["role"] = "writer"
    made.put("a", document)
    now = renewed(made.directory, grant, NOW)
    assert now is not None
    assert now.role == WRITER
    credential(document)["subjects"] = ["CN=z"]
    made.put("a", document)
    assert renewed(made.directory, grant, NOW) is None


def test_an_operators_grant_ends_with_its_key() -> None:
    made = Registry()
    made.put("a")
    grant = Grant("a", "alice", READER, KEY.public, "", "k", NOW + 10)
    assert renewed(made.directory, grant, NOW) is None
    made.directory.trusted_keys = {"k": KEY.public}
    assert renewed(made.directory, grant, NOW) is grant
    assert renewed(made.directory, grant, NOW + 10) is None
    made.directory.trusted_keys = {"k": bytes(32), "j": KEY.public}
    assert renewed(made.directory, grant, NOW) is None
    whole = Grant("", "alice", ADMIN, KEY.public, "", "j", NOW + 10)
    assert renewed(made.directory, whole, NOW) is whole


def test_an_assertion_is_read_as_it_was_signed() -> None:
    token = KEY.sign("alice", "payments", "writer", 1_000, NOW)
    assertion = read_assertion(token, NOW)
    grant = assertion.grant(KEY.public)
    assert (grant.slug, grant.name, grant.role) == ("payments", "alice", WRITER)
    assert (grant.key_id, grant.until_ms, grant.principal()) == ("k", NOW + 1_000, "alice")
    assert read_assertion(KEY.sign("alice", now_ms=NOW), NOW).slug() == ""


def test_an_assertion_has_its_time() -> None:
    longest = KEY.sign("alice", valid_ms=ASSERTION_AHEAD_MAX_MS, now_ms=NOW)
    assert read_assertion(longest, NOW).until_ms == NOW + ASSERTION_AHEAD_MAX_MS
    with pytest.raises(NotProved, match="for the next"):
        read_assertion(longest, NOW - 1)
    read_assertion(longest, NOW + ASSERTION_AHEAD_MAX_MS - 1)
    with pytest.raises(NotProved, match="that ended 0 ms ago"):
        read_assertion(longest, NOW + ASSERTION_AHEAD_MAX_MS)


@given(st.binary(max_size=300))
def test_base64url_is_exact(data: bytes) -> None:
    text = encode_base64url(data)
    assert decode_base64url(text) == data
    for wrong in (text + b"=", text + b"+", text + b"!"):
        assert decode_base64url(wrong) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=ASSERTION_BYTES_MAX + 50), st.integers(0, 300), st.integers(0, 40))
def test_hostile_tokens_prove_nothing(noise: bytes, at: int, cut: int) -> None:
    """Nothing but NotProved, whatever comes."""
    directory = registry("a").directory
    token = KEY.sign("alice", now_ms=NOW)
    for hostile in (noise, token[:at] + noise + token[at + cut :]):
        try:
            read_assertion(hostile, NOW)
        except NotProved:
            pass
        try:
            prove_secret(directory, hostile, NOW)
        except NotProved:
            continue
        raise AssertionError("a secret was guessed")


@given(st.dictionaries(st.text(max_size=6), st.none() | st.integers() | st.text(max_size=9)))
def test_documents_that_are_no_assertions_are_refused(document: dict[str, object]) -> None:
    body = encode_base64url(json.dumps(document).encode())
    with pytest.raises(NotProved):
        read_assertion(body + b"." + encode_base64url(bytes(64)), NOW)
