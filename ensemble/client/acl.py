"""ACLs as people write them: the usual ones, and digest ids.

Source: auth.md sections 1 and 2.
"""

import base64
import hashlib
from typing import Final

from ensemble.client.errors import BadArgumentsError
from ensemble.wire import codes
from ensemble.wire.records import Acl, Id

ANYONE: Final = Id("world", "anyone")
OPEN_ACL: Final = (Acl(codes.PERM_ALL, ANYONE),)
READ_ACL: Final = (Acl(codes.PERM_READ, ANYONE),)
CREATOR_ACL: Final = (Acl(codes.PERM_ALL, Id("auth", "")),)
"""Everything, for each identity that the creating connection has authenticated."""

PERMISSION_LETTERS: Final = {
    "c": codes.PERM_CREATE,
    "d": codes.PERM_DELETE,
    "r": codes.PERM_READ,
    "w": codes.PERM_WRITE,
    "a": codes.PERM_ADMIN,
}


def digest_id(user: str, password: str) -> Id:
    """The identity that `add_auth("digest", b"user:password")` gives, for an ACL."""
    if ":" in user:
        raise BadArgumentsError(f"a digest user must not contain a colon: {user!r}")
    digest = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    return Id("digest", f"{user}:{base64.b64encode(digest).decode()}")


def format_permissions(perms: int) -> str:
    """`cdrwa`, or the letters of it that are set."""
    return "".join(letter for letter, bit in PERMISSION_LETTERS.items() if perms & bit)


def parse_acl(text: str) -> Acl:
    """`scheme:id:cdrwa`, as zkCli writes it; the id itself may contain colons.

    Raises:
        BadArgumentsError: names the part that is not understood.
    """
    scheme, _, rest = text.partition(":")
    id, colon, letters = rest.rpartition(":")
    if not scheme or not colon or not letters:
        raise BadArgumentsError(f"ACL {text!r}: scheme:id:cdrwa is wanted")
    perms = 0
    for letter in letters:
        if letter not in PERMISSION_LETTERS:
            raise BadArgumentsError(f"ACL {text!r}: {letter!r} is not one of cdrwa")
        perms |= PERMISSION_LETTERS[letter]
    return Acl(perms, Id(scheme, id))
