"""What documents may say: every field's type and bound, and what an error tells."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.tenancy.fields import DOCUMENT_BYTES_MAX, RegistryError
from ensemble.tenancy.registry import (
    CREDENTIALS_MAX,
    is_principal,
    is_slug,
    read_tenant,
    read_top,
)
from ensemble.tenancy.spec import ADMIN, DRAINING, NO_LIMIT, OBSERVE, WRITER
from tests.tenancy.documents import HASH_KEY, encoded, tenant, top

Document = dict[str, object]
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def read(document: Document, slug: str = "a") -> None:
    read_tenant(slug, encoded(document), 1)


def secret(**changes: object) -> Document:
    kept = {"hash": "0" * 64, "digest_md5": "0" * 32, "until": None}
    return tenant(
        "a", credentials=[{"name": "x", "role": "admin", "secrets": [{**kept, **changes}]}]
    )


def test_a_whole_document_is_read() -> None:
    document = tenant(
        "a",
        root="/kafka",
        state="draining",
        mode="observe",
        weight=7,
        limits={"znodes": 0, "bytes": 5, "sessions": None},
        signing_keys={"Console-1": KEY},
        audit={"reads": True},
        credentials=[
            {
                "name": "x_1.y",
                "role": "admin",
                "subjects": ["CN=x"],
                "secrets": [{"hash": "0f" * 32, "until": 5}],
            }
        ],
    )
    spec = read_tenant("a", encoded(document), 9)
    assert (spec.slug, spec.root, spec.state, spec.mode) == ("a", b"/kafka", DRAINING, OBSERVE)
    assert (spec.weight, spec.version, spec.audit_reads) == (7, 9, True)
    assert (spec.limits.znodes, spec.limits.bytes) == (0, 5)
    assert (spec.limits.sessions, spec.limits.watches) == (NO_LIMIT, NO_LIMIT)
    assert spec.signing_keys == {"Console-1": bytes(range(32))}
    (credential,) = spec.credentials
    assert (credential.name, credential.role, credential.subjects) == ("x_1.y", ADMIN, ["CN=x"])
    assert credential.secrets[0].hash == b"\x0f" * 32
    assert (credential.secrets[0].digest_md5, credential.secrets[0].until_ms) == (b"", 5)


def test_what_may_be_left_out_has_a_default() -> None:
    spec = read_tenant("a", encoded({"schema": 1, "slug": "a", "root": "/a", "mode": "enforce"}), 0)
    assert (spec.weight, spec.state, spec.credentials, spec.signing_keys) == (100, 0, [], {})
    assert spec.limits.znodes == NO_LIMIT


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "schema: 2, this server knows 1"),
        ({"schema": "1"}, "schema: '1' where a whole number is expected"),
        ({"schema": True}, "schema: True where a whole number is expected"),
        ({"slug": "b"}, "slug: 'b', the znode's name is a"),
        ({"root": "/"}, "root: '/' is not a legal path below /"),
        ({"root": ""}, "root: 0 characters"),
        ({"root": "a"}, "root: 'a' is not a legal path"),
        ({"root": "/a/"}, "is not a legal path"),
        ({"root": "/a//b"}, "is not a legal path"),
        ({"root": "/a/../b"}, "is not a legal path"),
        ({"root": "/a\u0000"}, "is not a legal path"),
        ({"root": "/a\ud800"}, "is not a legal path"),
        ({"root": "/" + "x" * 1_024}, "root: 1025 characters, 1 to 1024"),
        ({"root": "/" + "é" * 600}, "root: 1201 bytes, at most 1024"),
        ({"root": "/zookeeper"}, "lies in /zookeeper"),
        ({"root": "/zookeeper/x"}, "lies in /zookeeper"),
        ({"root": "/x/zookeeper_limits"}, "holds zookeeper_limits"),
        ({"root": 5}, "root: 5 where a text is expected"),
        ({"state": "off"}, "state: 'off', expected is one of active, suspended, draining"),
        ({"mode": None}, "mode: None, expected is one of observe, permissive, enforce"),
        ({"mode": ["enforce"]}, "mode: ['enforce'], expected"),
        ({"weight": 0}, "weight: 0 is not in 1..10000"),
        ({"weight": 10_001}, "weight: 10001 is not in 1..10000"),
        ({"weight": 1.5}, "weight: 1.5 where a whole number"),
        ({"weight": False}, "weight: False where a whole number"),
        ({"limits": []}, "limits: [] where an object"),
        ({"limits": {"znodes": -1}}, "limits.znodes: -1 is not in 0.."),
        ({"limits": {"znodes": 1 << 53}}, "limits.znodes: 9007199254740992 is not in"),
        ({"limits": {"znode": 1}}, "limits.'znode' is not known here; known are bytes"),
        ({"limit": {}}, "'limit' is not known here"),
        ({"credentials": {}}, "credentials: {} where a list"),
        ({"credentials": ["x"]}, "credentials[0]: 'x' where an object"),
        ({"credentials": [{}] * (CREDENTIALS_MAX + 1)}, "credentials: 1001 entries, at most 1000"),
        ({"credentials": [{"name": "A", "role": "reader"}]}, "credentials[0].name: 'A'"),
        ({"credentials": [{"name": "x" * 64, "role": "reader"}]}, "name: 64 characters"),
        ({"credentials": [{"name": "x", "role": "root"}]}, "credentials[0].role: 'root'"),
        ({"credentials": [{"name": "x", "role": "reader", "subjects": [""]}]}, "subjects[0]"),
        ({"credentials": [{"name": "x", "role": "reader", "subjects": ["a", "a"]}]}, "twice"),
        ({"credentials": [{"name": "x", "role": "reader"}] * 2}, "credentials[1].name: x comes"),
        ({"signing_keys": {"k": "AAAA"}}, "signing_keys.k: the base64 of 32 bytes"),
        ({"signing_keys": {"k": "!" * 44}}, "signing_keys.k: the base64 of 32 bytes"),
        ({"signing_keys": {"k k": KEY}}, "signing_keys.'k k'"),
        ({"signing_keys": {f"k{i}": KEY for i in range(33)}}, "signing_keys: 33 keys, at most 32"),
        ({"audit": {"reads": 1}}, "audit.reads: 1 where true or false"),
        ({"audit": {"writes": True}}, "audit.'writes' is not known"),
    ],
)
def test_an_error_names_the_key_the_value_and_the_bound(changes: Document, says: str) -> None:
    with pytest.raises(RegistryError) as caught:
        read(tenant("a", **changes))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (secret(hash="00"), "hash: 64 digits"),
        (secret(hash="0" * 63 + "G"), "hash: 64 digits"),
        (secret(hash="A" * 64), "hash: 64 digits"),
        (secret(hash=None), "hash: 64 digits"),
        (secret(digest_md5="0" * 31), "digest_md5: 32 digits"),
        (secret(until=0), "until: 0 is not in 1.."),
        (secret(until="soon"), "until: 'soon' where a whole number"),
        (secret(secret="x"), "'secret' is not known"),
    ],
)
def test_an_error_about_a_secret_does_not_show_it(document: Document, says: str) -> None:
    with pytest.raises(RegistryError) as caught:
        read(document)
    assert says in str(caught.value)
    assert "AAAA" not in str(caught.value)


def test_five_secrets_are_too_many_and_two_equal_ones_too() -> None:
    kept = [{"hash": f"{i:064x}"} for i in range(5)]
    for secrets in (kept, [kept[0], kept[0]]):
        with pytest.raises(RegistryError, match=r"at most 4|comes twice"):
            read(tenant("a", credentials=[{"name": "x", "role": "reader", "secrets": secrets}]))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"{",
        b"{}",
        b"\xff",
        b'{"schema": 1, "schema": 1}',
        b'{"schema": NaN}',
        b'{"schema": Infinity}',
        b'{"schema": 1e400}',
        b'{"schema": ' + b"9" * 5_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"schema": 1, "slug": "a", "x": "' + b"y" * DOCUMENT_BYTES_MAX + b'"}',
        encoded(tenant("a")) + b"x",
        b"\xef\xbb\xbf" + encoded(tenant("a")),
        encoded(tenant("a")).decode().encode("utf-16"),
    ],
)
def test_bytes_that_are_no_document_are_an_error(raw: bytes) -> None:
    with pytest.raises(RegistryError):
        read_tenant("a", raw, 0)
    with pytest.raises(RegistryError):
        read_top(raw)


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a.b", "a/b", "a" * 64, "ü", "a\n"])
def test_a_name_that_is_none(slug: str) -> None:
    assert not is_slug(slug)
    assert not is_principal(f"app@{slug}")
    with pytest.raises(RegistryError):
        read_tenant(slug, encoded(tenant(slug)), 0)


@pytest.mark.parametrize("slug", ["a", "0", "a-b", "a" * 63, "7up"])
def test_a_name_that_is_one(slug: str) -> None:
    assert is_slug(slug)
    assert is_principal(f"a.b_c-1@{slug}")
    assert not is_principal(f"@{slug}")
    assert not is_principal(f"a@b@{slug}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*tenant("a"), "state", "weight", "limits", "audit", "signing_keys"]), JSON)
def test_a_wrong_value_anywhere_is_an_error_or_is_taken(key: str, value: object) -> None:
    """Hostile documents: nothing but RegistryError, ever."""
    try:
        spec = read_tenant("a", json.dumps(tenant("a", **{key: value})).encode(), 0)
    except RegistryError:
        return
    assert 1 <= spec.weight <= 10_000
    assert spec.root.startswith(b"/")
    assert not spec.root.startswith(b"/zookeeper")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 500), st.integers(0, 60))
def test_a_damaged_document_is_an_error_or_is_taken(noise: bytes, at: int, cut: int) -> None:
    raw = encoded(tenant("a"))
    at %= len(raw)
    for parse in PARSERS:
        try:
            parse(raw[:at] + noise + raw[at + cut :])
        except RegistryError:
            continue


def _tenant(raw: bytes) -> object:
    return read_tenant("a", raw, 0)


PARSERS: tuple[Callable[[bytes], object], ...] = (_tenant, read_top)


def test_what_holds_for_all() -> None:
    spec = read_top(top(signing_keys={"ops": KEY}))
    assert (spec.hash_key, spec.signing_keys) == (HASH_KEY, {"ops": bytes(range(32))})
    for bad in ({"hash_key": "00"}, {"schema": 3}, {"hash": ""}, {"signing_keys": {"": KEY}}):
        with pytest.raises(RegistryError):
            read_top(top(**bad))


def test_roles_in_documents_are_those_of_specs() -> None:
    assert read_tenant("a", encoded(tenant("a")), 0).credentials[0].role == WRITER
