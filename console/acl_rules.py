"""Which rule decides whether somebody may do something with a znode: for the tester of ACLs.

The decision about entries is the server's own (`ensemble.tree.acl`), asked for one entry at a time;
around it stand what tenants add: the wall, the role, the state. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ensemble.client import Acl, Id
from ensemble.tree.acl import (
    AclList,
    AclSchemes,
    DigestScheme,
    IpScheme,
    Scheme,
    WorldScheme,
)

READ: Final = 1
WRITE: Final = 2
CREATE: Final = 4
DELETE: Final = 8
ADMIN: Final = 16
LETTERS: Final = (
    ("c", CREATE, "create children"),
    ("d", DELETE, "delete children"),
    ("r", READ, "read"),
    ("w", WRITE, "write"),
    ("a", ADMIN, "change the ACL"),
)
"""In the order of ZooKeeper's tools: cdrwa."""

ROLES: Final = ("reader", "writer", "admin")
DIGEST_HIDDEN: Final = ":x"  # what getACL shows of a hash to who is not an admin of the znode


class Named(Scheme):
    """A scheme whose ids are compared as they stand."""

    def __init__(self, name: str) -> None:
        self.name = name


SCHEMES: Final = AclSchemes(
    [
        WorldScheme(),
        DigestScheme(),
        IpScheme(),
        *(Named(name) for name in ("x509", "sasl", "tenant", "super")),
    ]
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: what the connection holds, and as what it sits in a tenant or above all.

    `role`: of a tenant's credential or an operator; empty where there is none. `tenant`: whose
    credential it is, empty for nobody's. `is_operator`: of the whole ensemble.
    """

    words: str
    ids: tuple[Id, ...] = ()
    role: str = ""
    tenant: str = ""
    is_operator: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """The znode as far as rules go. `acl` and `parent_acl` None: not readable."""

    acl: Sequence[Acl] | None
    parent_acl: Sequence[Acl] | None
    tenant: str = ""  # whose root it lies in
    mode: str = ""  # of that tenant: observe, permissive, enforce
    state: str = ""  # active, suspended, draining
    is_ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allowed` None: it cannot be told from here."""

    what: str
    allowed: bool | None
    why: str


WORK: Final = (
    ("Read it", READ, False),
    ("Write its data", WRITE, False),
    ("Create a child", CREATE, False),
    ("Delete it", DELETE, True),
    ("Change its ACL", ADMIN, False),
)
"""What is asked, the permission that it takes, and whether the parent's ACL gives that."""


def verdicts(who: Identity, ground: Ground) -> list[Verdict]:
    return [Verdict(what, *verdict(who, ground, perm, of_parent)) for what, perm, of_parent in WORK]


def verdict(who: Identity, ground: Ground, perm: int, of_parent: bool) -> tuple[bool | None, str]:
    """The first rule that decides, in the node's order."""
    if not who.is_operator and not is_super(who):
        if who.tenant and who.tenant != ground.tenant:
            return False, f"the wall: a credential of {who.tenant} reaches its own root only"
        if not who.tenant and ground.tenant and ground.mode == "enforce":
            return False, f"the wall: {ground.tenant} enforces it, outsiders get nothing"
    if perm != READ and who.role == "reader":
        return False, "the role: readers change nothing, whatever ACLs say"
    if perm != READ and ground.state == "suspended" and not who.is_operator:
        return False, f"{ground.tenant} is suspended: reads pass, writes do not"
    if perm == CREATE and ground.is_ephemeral:
        return False, "an ephemeral znode has no children, whoever asks"
    if who.role == "admin" or is_super(who):
        kind = "the role admin" if who.role else "a superuser"
        return True, f"{kind} passes every ACL"
    if of_parent and ground.parent_acl is None:
        return None, "the parent's ACL is not readable from here"
    entries = ground.parent_acl if of_parent else ground.acl
    if entries is None:
        return None, "its ACL is not readable from here"
    return by_entries(who, entries, perm, "of the parent's ACL" if of_parent else "of its ACL")


def is_super(who: Identity) -> bool:
    return any(held.scheme == "super" for held in who.ids)


def by_entries(who: Identity, entries: Sequence[Acl], perm: int, whose: str) -> tuple[bool, str]:
    if not entries:
        return True, "an empty ACL lets everybody"
    for number, entry in enumerate(entries, 1):
        if SCHEMES.check(AclList([entry]), perm, [*who.ids, *hidden_hashes(who, entry)]):
            return True, f"entry {number} {whose}: {spelled(entry)}"
    return False, f"no entry {whose} gives {words_of(perm)} to {who.words}"


def hidden_hashes(who: Identity, entry: Acl) -> list[Id]:
    """Where the hash is not shown, or was not given, the user's name has to do."""
    text = entry.id.id or ""
    if entry.id.scheme != "digest":
        return []
    user = text.partition(":")[0]
    return [
        entry.id
        for held in who.ids
        if held.scheme == "digest"
        and (held.id or "").partition(":")[0] == user
        and (text.endswith(DIGEST_HIDDEN) or ":" not in (held.id or ""))
    ]


def letters_of(perms: int) -> str:
    return "".join(letter for letter, bit, _ in LETTERS if perms & bit) or "-"


def words_of(perms: int) -> str:
    """`read, write`."""
    found = [words for _, bit, words in LETTERS if perms & bit]
    return "everything" if len(found) == len(LETTERS) else ", ".join(found) or "nothing"


def spelled(entry: Acl) -> str:
    return f"{entry.id.scheme}:{entry.id.id}:{letters_of(entry.perms)}"


def identity(text: str) -> Identity:
    """`scheme:id` as ACLs have it; `anyone` is who holds nothing.

    Raises:
        ValueError: it is neither, with what would do.
    """
    text = text.strip()
    if text in ("", "anyone", "world:anyone"):
        return Identity("anyone")
    scheme, colon, id = text.partition(":")
    if scheme == "super":
        return Identity("a superuser", (Id("super", ""),))
    if not colon or scheme not in ("digest", "ip", "x509", "sasl") or not id:
        raise ValueError(
            f"{text[:80]!r} is no identity: use anyone, super, or digest:, ip:, x509: or sasl: "
            "and an id"
        )
    return Identity(text, (Id(scheme, id),))


def warnings(entries: Sequence[Acl], mine: Identity) -> list[str]:
    """What somebody should know before an ACL is saved that locks people out."""
    found = []
    if not any(entry.perms & ADMIN for entry in entries):
        found.append("No entry may change the ACL: only superusers and admins can undo this.")
    if not any(entry.perms & READ for entry in entries):
        found.append("No entry may read: only superusers and admins will see the data.")
    if mine.role != "admin" and not is_super(mine):
        for perm in (ADMIN, READ, WRITE):
            if not by_entries(mine, entries, perm, "")[0]:
                found.append(f"You lock yourself out: {words_of(perm)} is not given to you.")
    return found
