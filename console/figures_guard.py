"""Whether the pages that follow figures still may: looked up for all of them together.

A page by itself costs a dozen statements each time; two hundred of them took most of a core. Here
sessions are read one by one, by the one function that does, and what tenants' people may is read in
one statement for some pages at once. The rule is that of `tenants.access`.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from channels.db import DatabaseSyncToAsync

from console import socket
from console.loops import OfLoop
from console.routes_figures import SUBJECT_RIGHTS
from console.second_factor import person_of_session
from tenants import access
from tenants.access import Standing, User
from tenants.models import Ensemble, MemberRole, Membership, Tenant

AT_ONCE: Final = 10  # pages: others' work gets its turn in between


class Guarded(Protocol):
    """A page: whose it is, and what it follows."""

    words: list[str]

    @property
    def session_key(self) -> str | None: ...

    async def close(self, code: int) -> None: ...


class Guard:
    """The pages of one event loop."""

    def __init__(self) -> None:
        self.pages: set[Guarded] = set()
        self.task: asyncio.Task[None] | None = None

    def take(self, page: Guarded) -> None:
        self.pages.add(page)
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self.run())

    def leave(self, page: Guarded) -> None:
        self.pages.discard(page)

    async def run(self) -> None:
        """Until no page is open."""
        while self.pages:
            await asyncio.sleep(socket.CHECK_USER_EVERY_S)
            pages = list(self.pages)
            for begin in range(0, len(pages), AT_ONCE):
                some = pages[begin : begin + AT_ONCE]
                asked = [(page.session_key, tuple(page.words)) for page in some]
                holds = await DatabaseSyncToAsync(may_all, thread_sensitive=False)(asked)
                for page, may_go_on in zip(some, holds, strict=True):
                    if not may_go_on and page in self.pages:
                        await page.close(socket.CLOSE_SIGNED_OUT)


def may_all(asked: Sequence[tuple[str | None, tuple[str, ...]]]) -> list[bool]:
    """For each (session, subjects): whether its person may follow all of these, now."""
    people = [person_of_session(key) for key, _ in asked]
    slugs = {word.split(":", 1)[1] for _, words in asked for word in words if is_tenants(word)}
    ids = {user.pk for user, _ in people if user.pk is not None}
    tenants = set(
        Tenant.objects.filter(slug__in=slugs)
        .exclude(lifecycle=Tenant.Lifecycle.GONE)
        .values_list("slug", flat=True)
    )
    roles = {
        (user_id, slug): MemberRole(role)
        for user_id, slug, role in Membership.objects.filter(
            user_id__in=ids, tenant__slug__in=slugs
        )
        .exclude(tenant__lifecycle=Tenant.Lifecycle.GONE)
        .values_list("user_id", "tenant__slug", "role")
    }
    ensembles = set(Ensemble.objects.values_list("name", flat=True))

    def may(user: User, standing: Standing, word: str) -> bool:
        kind, name = word.split(":", 2)[:2]
        right = SUBJECT_RIGHTS[kind]
        if is_tenants(word):
            role = None if user.pk is None else roles.get((user.pk, name))
            return name in tenants and access.allows(right, standing, role)
        return name in ensembles and standing >= access.PLANE[right]

    return [
        standing >= Standing.PERSON and all(may(user, standing, word) for word in words)
        for (user, standing), (_, words) in zip(people, asked, strict=True)
    ]


def is_tenants(word: str) -> bool:
    return word.startswith("tenant:")


guard: Final = OfLoop(Guard)
"""This loop's."""
