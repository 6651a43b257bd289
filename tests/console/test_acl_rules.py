"""The tester of ACLs: who may do what, and which rule decides."""

import pytest

from console import acl_rules
from console.acl_rules import Ground, Identity, identity, verdicts, warnings
from ensemble.client import OPEN_ACL, READ_ACL, Acl, Id, digest_id

CURATOR = digest_id("curator", "secret")
MIXED = [Acl(31, CURATOR), Acl(1, Id("world", "anyone")), Acl(3, Id("ip", "10.0.0.0/8"))]
ANYONE = Identity("anyone")
ROLES = {
    role: Identity("app@shop", (Id("tenant", "app@shop"),), role, "shop")
    for role in acl_rules.ROLES
}


def may(who: Identity, ground: Ground) -> str:
    """Letters of what is allowed: read, write, create, delete, admin."""
    return "".join(
        letter if one.allowed else "?" if one.allowed is None else "-"
        for letter, one in zip("rwcda", verdicts(who, ground), strict=True)
    )


def why(who: Identity, ground: Ground, what: str) -> str:
    return next(one.why for one in verdicts(who, ground) if one.what.startswith(what))


@pytest.mark.parametrize(
    ("who", "letters"),
    [
        ("anyone", "r--d-"),
        ("ip:10.1.2.3", "rw-d-"),
        ("ip:11.1.2.3", "r--d-"),
        (f"digest:{CURATOR.id}", "rwcda"),
        ("digest:curator", "rwcda"),
        ("digest:other", "r--d-"),
        ("digest:curator:wrong", "r--d-"),
        ("sasl:curator", "r--d-"),
        ("super", "rwcda"),
    ],
)
def test_entries_decide_and_the_parents_about_deleting(who: str, letters: str) -> None:
    assert may(identity(who), Ground(MIXED, OPEN_ACL)) == letters


def test_the_entry_that_decides_is_named() -> None:
    ground = Ground(MIXED, READ_ACL)
    assert why(identity("ip:10.1.2.3"), ground, "Write").startswith("entry 3 of its ACL: ip:10.")
    assert "entry 2 of its ACL: world:anyone:r" in why(ANYONE, ground, "Read")
    assert "no entry of the parent's ACL" in why(ANYONE, ground, "Delete")
    assert "superuser" in why(identity("super"), ground, "Delete")


def test_a_hash_that_is_not_shown_is_met_by_the_users_name() -> None:
    """To who is no admin of a znode getACL shows `curator:x`."""
    ground = Ground([Acl(31, Id("digest", "curator:x"))], None)
    assert may(identity(f"digest:{CURATOR.id}"), ground) == "rwc?a"
    assert may(identity("digest:other:hash"), ground) == "---?-"


@pytest.mark.parametrize(
    ("role", "mode", "state", "letters"),
    [
        ("reader", "enforce", "active", "r----"),
        ("writer", "enforce", "active", "rwcd-"),
        ("admin", "enforce", "active", "rwcda"),
        ("writer", "enforce", "suspended", "r----"),
        ("admin", "enforce", "suspended", "r----"),
    ],
)
def test_roles_and_states_of_tenants_stand_before_acls(
    role: str, mode: str, state: str, letters: str
) -> None:
    acl = [Acl(15, Id("tenant", "app@shop"))]
    assert may(ROLES[role], Ground(acl, acl, "shop", mode, state)) == letters


def test_the_wall_stands_before_everything() -> None:
    enforced = Ground(OPEN_ACL, OPEN_ACL, "shop", "enforce", "active")
    assert may(ANYONE, enforced) == "-----"
    assert "the wall: shop" in why(ANYONE, enforced, "Read")
    assert may(ANYONE, Ground(OPEN_ACL, OPEN_ACL, "shop", "permissive", "active")) == "rwcda"
    assert may(ROLES["admin"], Ground(OPEN_ACL, OPEN_ACL, "bank", "enforce")) == "-----"
    assert may(ROLES["admin"], Ground(OPEN_ACL, OPEN_ACL)) == "-----", "outside its own root"
    operator = Identity("you", (), "admin", "", is_operator=True)
    auditor = Identity("you", (), "reader", "", is_operator=True)
    assert may(operator, Ground(MIXED, MIXED, "shop", "enforce", "suspended")) == "rwcda"
    assert may(auditor, enforced) == "r----"


def test_an_ephemeral_has_no_children_and_an_empty_acl_lets_everybody() -> None:
    assert may(ANYONE, Ground([], [], is_ephemeral=True)) == "rw-da"
    assert may(ANYONE, Ground(None, None)) == "?????"


@pytest.mark.parametrize("text", ["curator", "rot13:x", "digest:", "tenant:app@shop", "ip"])
def test_an_identity_that_is_none_says_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match="use anyone"):
        identity(text)


def test_who_would_be_locked_out_is_warned() -> None:
    writer = ROLES["writer"]
    assert warnings(OPEN_ACL, writer) == []
    assert any("change the ACL" in one for one in warnings(READ_ACL, ROLES["admin"]))
    assert any("may read" in one for one in warnings([Acl(16, CURATOR)], ROLES["admin"]))
    found = warnings([Acl(31, CURATOR)], writer)
    assert [one for one in found if "lock yourself out" in one]
    assert warnings([Acl(31, CURATOR)], ROLES["admin"]) == []
