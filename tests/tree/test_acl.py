"""Permissions: who may, what is shown, which lists are kept (auth.md 2)."""

import pytest
from workbench import ADDRESS, ALICE, ANYONE, SUPER

from ensemble.errors import ConfigError
from ensemble.tree.acl import (
    OPEN_ACL_ID,
    AclList,
    AclSchemes,
    AclTable,
    DigestScheme,
    IpScheme,
    Scheme,
    WorldScheme,
)
from ensemble.tree.addresses import parse_address, parse_network
from ensemble.wire import codes
from ensemble.wire.records import Acl, Id

SCHEMES = AclSchemes([WorldScheme(), IpScheme(), DigestScheme()])
READ, WRITE = codes.PERM_READ, codes.PERM_WRITE


@pytest.mark.parametrize(
    ("entries", "perm", "ids", "allowed"),
    [
        ([], WRITE, [], True),
        ([Acl(READ, ANYONE)], READ, [], True),
        ([Acl(READ, ANYONE)], WRITE, [ADDRESS], False),
        ([Acl(0, ANYONE)], READ, [ADDRESS], False),
        ([Acl(0, ANYONE)], READ, [SUPER], True),
        ([Acl(-1, ANYONE)], WRITE, [], True),
        ([Acl(READ, ANYONE), Acl(WRITE, ALICE)], WRITE, [ALICE], True),
        ([Acl(READ, ALICE)], READ, [Id("digest", "alice:other")], False),
        ([Acl(READ, ALICE)], READ, [Id("sasl", ALICE.id)], False),
        ([Acl(READ, Id("world", "nobody"))], READ, [ADDRESS], False),
        ([Acl(READ, Id("ip", "127.0.0.0/8"))], READ, [ADDRESS], True),
        ([Acl(READ, Id("ip", "126.0.0.0/8"))], READ, [ADDRESS], False),
        ([Acl(READ, Id("ip", "0.0.0.0/0"))], READ, [Id("ip", "0:0:0:0:0:0:0:1")], False),
        ([Acl(READ, Id("ip", "::/0"))], READ, [Id("ip", "fe80:0:0:0:0:0:0:1%eth0")], True),
        ([Acl(READ, Id("ip", "nonsense"))], READ, [ADDRESS], False),
        ([Acl(READ, Id("strange", "x"))], READ, [Id("strange", "x")], False),
        ([Acl(READ, Id(None, None))], READ, [Id(None, None)], False),
    ],
)
def test_who_may(entries: list[Acl], perm: int, ids: list[Id], allowed: bool) -> None:
    """auth.md 2: one shared bit, world:anyone or a held id that matches; super passes."""
    assert SCHEMES.check(AclList(entries), perm, ids) == allowed


def test_skip_acl_lets_everything_pass() -> None:
    """auth.md 2."""
    assert AclSchemes([], skip_acl=True).check(AclList([Acl(0, ANYONE)]), READ, [])


def test_a_scheme_of_somebody_elses_is_asked() -> None:
    """A plug-in: interpreted, and not known here."""

    class Prefix(Scheme):
        def __init__(self) -> None:
            self.name = "prefix"
            self.authenticating = True

        def matches(self, held: str, entry: str) -> bool:
            return held.startswith(entry)

    schemes = AclSchemes([WorldScheme(), Prefix()])
    acl = AclList([Acl(READ, Id("prefix", "te"))])
    assert schemes.check(acl, READ, [Id("prefix", "team")])
    assert not schemes.check(acl, READ, [Id("prefix", "other")])
    assert schemes.user_name(Id("prefix", "team")) == "team"


def test_a_scheme_without_a_name_is_refused() -> None:
    """It would match nobody, and nobody would know why."""
    with pytest.raises(ConfigError, match="Scheme is a scheme without a name"):
        AclSchemes([Scheme()])


def test_hashes_are_not_shown() -> None:
    """E2, CVE-2019-0201: user:x."""
    entries = [Acl(READ, ALICE), Acl(READ, ANYONE), Acl(1, Id("digest", ":h"))]
    shown = [entry.id.id for entry in SCHEMES.redact(AclList(entries))]
    assert shown == ["alice:x", "anyone", ":x"]
    assert entries[0].id == ALICE


def test_names_for_who_am_i() -> None:
    """auth.md 4: digest up to the colon, nothing for a scheme without provider."""
    names = [SCHEMES.user_name(id) for id in (ALICE, ADDRESS, SUPER, Id(None, None))]
    assert names == ["alice", "127.0.0.1", "", ""]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1", b"\x7f\0\0\1"),
        ("::", bytes(16)),
        ("::1", bytes(15) + b"\1"),
        ("1::", b"\0\1" + bytes(14)),
        ("0:0:0:0:0:0:0:1", bytes(15) + b"\1"),
        ("fe80::A", b"\xfe\x80" + bytes(13) + b"\x0a"),
        ("", None),
        ("1.2.3", None),
        ("1.2.3.4.5", None),
        ("1.2.3.-4", None),
        ("1.2.3.\u0664", None),
        (":", None),
        (":::", None),
        ("1:2:3:4:5:6:7", None),
        ("1:2:3:4:5:6:7:8:9", None),
        ("1:2:3:4::5:6:7:8", None),
        ("12345::", None),
        ("g::", None),
        ("::1.2.3.4", None),
        ("+1::", None),
    ],
)
def test_addresses(text: str, parsed: bytes | None) -> None:
    """auth.md 3."""
    assert parse_address(text) == parsed


def test_networks() -> None:
    """auth.md 3: /0 to /32, /0 to /128."""
    assert parse_network("10.0.0.0/8") == (b"\x0a\0\0\0", 8)
    for text in ("10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/8/8", "::/129", "/8"):
        assert parse_network(text) is None, text


def test_the_table_keeps_one_list_per_content_and_drops_it_with_its_last_user() -> None:
    """storage.md 4.1: numbers from 1, -1 is the open list."""
    table = AclTable()
    first = table.take([Acl(READ, ANYONE)])
    assert table.take([Acl(READ, ANYONE)]) is first
    assert (first.id, first.users, table.open_list.id) == (1, 2, OPEN_ACL_ID)
    assert table.take([Acl(codes.PERM_ALL, ANYONE)]) is table.open_list
    for _ in range(2):
        table.release(first)
    assert set(table.by_id) == {OPEN_ACL_ID}
    assert table.take([Acl(READ, ANYONE)]).id == 2


def test_numbers_of_a_snapshot_stay_apart_from_new_ones() -> None:
    """B8: two numbers for one content, a number that is missing, lists that nobody uses."""
    table = AclTable()
    table.load(7, [Acl(READ, ANYONE)])
    table.load(9, [Acl(READ, ANYONE)])
    table.load(8, [Acl(WRITE, ANYONE)])
    a, b, missing = table.take_by_id(7), table.take_by_id(9), table.take_by_id(100)
    assert (a.id, b.id) == (7, 9)
    assert missing.entries == [Acl(0, ANYONE)], "closed, not open"
    table.prune()
    assert set(table.by_id) == {OPEN_ACL_ID, 7, 9, missing.id}
    table.release(a)
    c = table.take([Acl(READ, ANYONE)])
    assert c.id not in (7, missing.id)
    table.release(c)
    assert table.by_id[9] is b
