"""What groups of single sign-on mean here: `sre=operator; payments-dev=payments:developer`.

A group makes somebody an operator or an auditor of the plane, or a member of tenants with a role.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

GROUPS_MAX: Final = 1_000  # in the mapping
GROUP_MAX: Final = 200  # characters, as `Membership.from_group` keeps them
CLAIMED_MAX: Final = 5_000  # groups of one person that are looked at
PLANE_ROLES: Final = ("operator", "auditor")
MEMBER_ROLES: Final = {"viewer": 1, "developer": 2, "owner": 3}
SLUG: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one group gives: a standing on the plane, or a role (1 to 3) in a tenant."""

    standing: str = ""
    tenant: str = ""
    role: int = 0


Mapped = Mapping[str, tuple[Meaning, ...]]


@dataclass(slots=True)
class Given:
    """What all groups of a person give together: the strongest role of each tenant."""

    operator: bool = False
    auditor: bool = False
    roles: dict[str, tuple[int, str]] = field(default_factory=dict)  # by slug: role, group

    def __bool__(self) -> bool:
        return self.operator or self.auditor or bool(self.roles)


def from_text(text: str) -> Mapped:
    """A mapping in one line, entries separated by semicolons.

    Raises:
        ValueError: names the entry, and what it should look like.
    """
    entries: dict[str, list[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        group, equals, meaning = entry.rpartition("=")
        if not equals:
            raise ValueError(f"{entry[:100]!r} has no '=': write group=operator or group=slug:role")
        entries.setdefault(group.strip(), []).append(meaning.strip())
    return from_entries(entries)


def from_document(document: object) -> Mapped:
    """The same from a YAML file: `group: operator`, or `group: [slug:role, slug:role]`.

    Raises:
        ValueError: names the entry, and what it should look like.
    """
    if not isinstance(document, Mapping):
        raise ValueError("the file holds no mapping from groups to what they mean")
    entries: dict[str, list[str]] = {}
    for group, meanings in document.items():
        listed = meanings if isinstance(meanings, list) else [meanings]
        if not all(isinstance(meaning, str) for meaning in listed):
            raise ValueError(f"{str(group)[:100]!r} means {str(meanings)[:100]!r}: use text")
        entries[str(group)] = listed
    return from_entries(entries)


def from_entries(entries: Mapping[str, Iterable[str]]) -> Mapped:
    if len(entries) > GROUPS_MAX:
        raise ValueError(f"{len(entries)} groups are mapped, at most {GROUPS_MAX}")
    return {
        group: tuple(map(meaning_of, texts)) for group, texts in entries.items() if named(group)
    }


def named(group: str) -> bool:
    if not 0 < len(group) <= GROUP_MAX:
        raise ValueError(f"a group is called {group[:50]!r}: 1 to {GROUP_MAX} characters")
    return True


def meaning_of(text: str) -> Meaning:
    if text in PLANE_ROLES:
        return Meaning(standing=text)
    slug, colon, role = text.partition(":")
    if not colon or role not in MEMBER_ROLES or not SLUG.fullmatch(slug):
        raise ValueError(
            f"{text[:100]!r} means nothing: use operator, auditor, or slug:role with one of "
            f"{', '.join(MEMBER_ROLES)}"
        )
    return Meaning(tenant=slug, role=MEMBER_ROLES[role])


def given_by(mapping: Mapped, groups: Iterable[str]) -> Given:
    """What somebody with these groups is given."""
    given = Given()
    for group in sorted(groups):
        for meaning in mapping.get(group, ()):
            given.operator = given.operator or meaning.standing == "operator"
            given.auditor = given.auditor or meaning.standing == "auditor"
            if meaning.tenant and meaning.role > given.roles.get(meaning.tenant, (0, ""))[0]:
                given.roles[meaning.tenant] = (meaning.role, group)
    return given


def groups_in(claim: object) -> list[str]:
    """The groups that a provider claims: a list of texts, or one text; anything else is none."""
    if isinstance(claim, str):
        return [claim]
    if not isinstance(claim, list):
        return []
    return [group for group in claim[:CLAIMED_MAX] if isinstance(group, str)]
