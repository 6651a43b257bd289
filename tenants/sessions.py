"""Who is connected to an ensemble, what each session holds and watches: told by its nodes.

Each node lists the ensemble's sessions and knows more of those that are connected to it. Of a
tenant one sees its own sessions alone, and paths as the tenant calls them.
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tenants import apache_sessions, inside
from tenants.inside import Answer
from tenants.kept import Kept
from tenants.models import Ensemble, Node, Tenant

PAGE: Final = 250  # so that no node is held for longer than a few milliseconds
PAGES_MAX: Final = 40  # of one node: what one page of the console sorts and searches
PATHS_MAX: Final = 1_000  # of one session, held or watched
FRESH_S: Final = 2.0  # so long a listing serves all pages; one that took long for longer:
FRESH_FOR_COST: Final = 20.0  # so many times what it took, so that nodes are not asked all the time
FRESH_MAX_S: Final = 30.0
KEPT_MAX: Final = 32
OWN: Final = "/zookeeper/"


@dataclass(frozen=True, slots=True)
class Session:
    """One session. `node` empty: connected to none of those that answer; then it ends soon."""

    id: str
    tenant: str = ""
    node: str = ""
    address: str = ""
    principal: str = ""
    identities: tuple[str, ...] = ()
    is_secure: bool = False
    is_local: bool = False
    timeout_ms: int = 0
    expires_in_ms: int | None = None
    age_ms: int = 0
    ephemerals: int = 0
    watches: int = 0
    requests: int = 0
    queue: int = 0
    queue_oldest_ms: float = 0.0
    avg_ms: float = 0.0
    max_ms: int = 0
    idle_ms: int | None = None
    last_op: str = ""
    operations: tuple[tuple[int, str, int], ...] = ()

    @property
    def number(self) -> int:
        return int(self.id, 16)

    @property
    def is_inner(self) -> bool:
        """Of the server itself, by which it writes what is its own."""
        return self.address == ":0"

    @property
    def who(self) -> str:
        """Its client, as people would name it."""
        return self.principal or ", ".join(self.identities) or "nobody in particular"


@dataclass(frozen=True, slots=True)
class Listing:
    """`is_all` False: there are more, these are the first by their ids."""

    sessions: tuple[Session, ...]
    is_all: bool
    problems: tuple[str, ...]
    at: float = 0.0
    took_s: float = 0.0

    @property
    def is_fresh(self) -> bool:
        fresh_s = min(FRESH_MAX_S, max(FRESH_S, FRESH_FOR_COST * self.took_s))
        return time.monotonic() < self.at + fresh_s

    @property
    def age_s(self) -> float:
        return max(0.0, time.monotonic() - self.at)

    def by_id(self) -> dict[int, Session]:
        return {one.number: one for one in self.sessions}


@dataclass(frozen=True, slots=True)
class Held:
    """An ephemeral of a session."""

    path: str
    created_ms: int
    size: int


@dataclass(frozen=True, slots=True)
class Watch:
    """A path that a session watches, and how: once, persistent, recursive."""

    path: str
    data: tuple[str, ...]
    child: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody who watches a path."""

    session: int
    node: str
    of_data: tuple[str, ...]
    of_children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """A session with what it holds and watches; `held_all` False: it has more than are listed."""

    session: Session
    held: tuple[Held, ...]
    held_all: bool
    watches: tuple[Watch, ...]
    watches_all: bool
    problems: tuple[str, ...] = ()


listings: Final[Kept[tuple[int, str], Listing]] = Kept(KEPT_MAX)
"""The last listing of each ensemble and tenant: pages that refresh share one."""


def of_ensemble(ensemble: Ensemble, tenant: Tenant | None = None) -> Listing:
    """All sessions, or a tenant's; as old as FRESH_MAX_S at most, where they are many."""
    slug = "" if tenant is None else tenant.slug
    key = (ensemble.pk, slug)
    kept = listings.get(key)
    if kept is None:
        kept = ask_all(ensemble, slug)
        listings.put(key, kept)
    return kept


def of_apache(ensemble: Ensemble) -> Listing:
    """What Apache's servers tell."""
    found: dict[str, dict[str, Any]] = {}
    problems = []
    nodes = list(ensemble.nodes.all()[: inside.NODES_MAX])
    with ThreadPoolExecutor(inside.ASKING_MAX) as pool:
        for answer in pool.map(lambda node: apache_sessions.of_node(ensemble, node), nodes):
            if answer.problem:
                problems.append(f"{answer.node}: {answer.problem}")
            else:
                add(found, answer)
    if not nodes:
        problems.append(f"no server of {ensemble.name} is registered")
    sessions = tuple(session_of(entry) for entry in found.values())
    return Listing(sessions, True, (*problems, apache_sessions.LIMITS), time.monotonic())


def ask_all(ensemble: Ensemble, slug: str) -> Listing:
    if ensemble.kind == Ensemble.Kind.APACHE:
        return of_apache(ensemble)
    nodes = inside.nodes_of(ensemble)
    if not nodes:
        return Listing((), True, (f"no admin port of {ensemble.name} is registered",))
    found: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    is_all = True
    began_s = time.monotonic()
    after: dict[str, str] = {node.name: "" for node in nodes}
    for turn in range(PAGES_MAX):
        asked = [node for node in nodes if node.name in after]
        if not asked:
            break
        for answer in pages(ensemble, asked, after, slug):
            after.pop(answer.node)
            if answer.problem:
                problems.append(f"{answer.node}: {answer.problem}")
                continue
            add(found, answer)
            if answer.said.get("next"):
                after[answer.node] = str(answer.said["next"])
                is_all = turn < PAGES_MAX - 1
    sessions = tuple(session_of(entry) for entry in found.values())
    now_s = time.monotonic()
    return Listing(sessions, is_all, tuple(problems), now_s, now_s - began_s)


def pages(
    ensemble: Ensemble, nodes: list[Node], after: dict[str, str], slug: str
) -> Iterable[Answer]:
    """The next page of each of these nodes; they are asked together where they begin together."""
    params = {"limit": str(PAGE), **({"tenant": slug} if slug else {})}
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(after[node.name], []).append(node)
    for begin, group in groups.items():
        more = {"after": begin} if begin else {}
        yield from inside.ask_all(ensemble, "sessions", {**params, **more}, group)


def add(found: dict[str, dict[str, Any]], answer: Answer) -> None:
    """Take a node's entries in: who is connected there is best known there."""
    for entry in entries(answer.said, "sessions"):
        id = str(entry.get("session", ""))
        if not id.startswith("0x"):
            continue
        known = found.setdefault(id, {})
        if entry.get("connected_here"):
            entry["node"] = answer.node
            expires = known.get("expires_in_ms")
            known.update(entry)
            if expires is not None:
                known.setdefault("expires_in_ms", expires)
        else:
            for name, value in entry.items():
                if known.get(name) is None:
                    known[name] = value


def entries(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = said.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def session_of(entry: dict[str, Any]) -> Session:
    """An entry as the node gives it; what it lacks is nothing."""
    operations = tuple(
        (whole(one.get("ago_ms")), str(one.get("op", "")), whole(one.get("error")))
        for one in entries(entry, "last_operations")
    )
    identities = entry.get("identities")
    expires = entry.get("expires_in_ms")
    tenant, is_local = str(entry.get("tenant") or ""), entry.get("local") is True
    return Session(
        id=str(entry["session"]),
        tenant=tenant,
        node=str(entry.get("node") or ""),
        address=str(entry.get("address") or ""),
        principal=str(entry.get("principal") or ""),
        identities=tuple(map(str, identities)) if isinstance(identities, list) else (),
        is_secure=entry.get("secure") is True,
        is_local=is_local,
        timeout_ms=whole(entry.get("timeout_ms")),
        expires_in_ms=None if expires is None else whole(expires),
        age_ms=whole(entry.get("age_ms")),
        # One more is the server's own, by which it knows whose session it is.
        ephemerals=max(0, whole(entry.get("ephemerals")) - (bool(tenant) and not is_local)),
        watches=whole(entry.get("watches")),
        requests=whole(entry.get("requests")),
        queue=whole(entry.get("queue")),
        queue_oldest_ms=float(whole(entry.get("queue_oldest_ms"))),
        avg_ms=decimal(entry.get("avg_ms")),
        max_ms=whole(entry.get("max_ms")),
        idle_ms=operations[0][0] if operations else None,
        last_op=operations[0][1] if operations else "",
        operations=operations,
    )


def whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def decimal(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


# One session


def find(ensemble: Ensemble, id: str, tenant: Tenant | None = None) -> Session | None:
    """The session of this id, if it is there, and the tenant's where one is named."""
    return seek(ensemble, id, tenant)[0]


def seek(
    ensemble: Ensemble, id: str, tenant: Tenant | None = None
) -> tuple[Session | None, list[str]]:
    """The same; and where there is none because nobody answers, what is wrong."""
    if ensemble.kind == Ensemble.Kind.APACHE:
        listing = of_ensemble(ensemble)
        problems = [one for one in listing.problems if one != apache_sessions.LIMITS]
        return listing.by_id().get(int(id, 16)), problems
    params = {"session": id, **({"tenant": tenant.slug} if tenant else {})}
    found: dict[str, dict[str, Any]] = {}
    answers = inside.ask_all(ensemble, "sessions", params)
    for answer in answers:
        if not answer.problem:
            add(found, answer)
    if id in found:
        return session_of(found[id]), []
    if not answers:
        return None, [f"no admin port of {ensemble.name} is registered"]
    if any(not answer.problem for answer in answers):
        return None, []
    return None, [f"{answer.node}: {answer.problem}" for answer in answers]


def detail(ensemble: Ensemble, session: Session, tenant: Tenant | None = None) -> Detail:
    """What a session holds and watches. The caller has seen that the tenant is its own."""
    if ensemble.kind == Ensemble.Kind.APACHE:
        return Detail(session, (), True, (), True, (apache_sessions.LIMITS,))
    params = {"session": session.id, "limit": str(PATHS_MAX)}
    problems: list[str] = []
    held: list[Held] = []
    held_all = True
    for answer in inside.ask_all(ensemble, "ephemerals", params):
        if answer.problem:
            problems.append(f"{answer.node}: {answer.problem}")
            continue
        found = [
            Held(path, whole(one.get("created_ms")), whole(one.get("data_bytes")))
            for one in entries(answer.said, "ephemerals")
            if (path := within(str(one.get("path", "")), tenant)) is not None
        ]
        if len(found) > len(held):  # a node that is behind knows of fewer
            held, held_all = found, not answer.said.get("next")
    watches: list[Watch] = []
    watches_all = True
    for answer in inside.ask_all(ensemble, "session_watches", params):
        if not answer.problem and answer.said.get("connected_here"):
            watches = [
                Watch(path, words(one.get("data")), words(one.get("child")))
                for one in entries(answer.said, "watches")
                if (path := within(str(one.get("path", "")), tenant)) is not None
            ]
            watches_all = not answer.said.get("next")
    return Detail(
        session, tuple(held), held_all, tuple(watches), watches_all, tuple(sorted(set(problems)))
    )


def watchers(ensemble: Ensemble, path: str, tenant: Tenant | None = None) -> dict[int, Watcher]:
    """Who watches a path, by session, at all nodes; of a tenant's whoever it is that does."""
    if ensemble.kind == Ensemble.Kind.APACHE:
        return {}
    root = "" if tenant is None else tenant.root
    whole_path = (root + path).rstrip("/") or "/"
    found: dict[int, Watcher] = {}
    for name in ("data", "child"):
        for answer in inside.ask_all(
            ensemble, "watched_paths", {"path": whole_path, "table": name}
        ):
            for one in entries(answer.said, "paths"):
                for watcher in entries(one, "sessions"):
                    try:
                        id = int(str(watcher.get("session", "")), 16)
                    except ValueError:
                        continue
                    kinds = words(watcher.get("kinds"))
                    known = found.get(id)
                    of_data = kinds if name == "data" else () if known is None else known.of_data
                    of_children = kinds if name == "child" else ()
                    found[id] = Watcher(id, answer.node, of_data, of_children)
    return found


def words(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def within(path: str, tenant: Tenant | None) -> str | None:
    """A path as the tenant calls it; None outside of its root, and for ZooKeeper's own."""
    if tenant is None:
        return None if path.startswith(OWN) else path
    if path == tenant.root:
        return "/"
    return path[len(tenant.root) :] if path.startswith(f"{tenant.root}/") else None
