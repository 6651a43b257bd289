"""Reads whole subtrees in portions: who is below, then values and ACLs as far as they are needed.

A subtree is not read at one moment: each znode is seen with its version, and what is written later
expects that version.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ensemble.client import Acl, Client, ClientError, NoAuthError, NoNodeError, Stat
from tenants.bulk.bounds import AT_ONCE_BYTES, AT_ONCE_ZNODES, BYTES_MAX, ZNODES_MAX
from tenants.errors import ActionError, LimitError
from tenants.zk import Bridge
from tenants.znodes import child_path

OWN: Final = "/zookeeper"  # ZooKeeper's own znodes: quotas, configuration, the registry
NO_PERMISSION: Final = "no permission to read it"

Tell = Callable[[int], None]
"""Called with how many znodes have been looked at; it may raise to stop."""


class MissingError(ActionError):
    """There is no such znode."""

    code = "no-node"
    status = 404


@dataclass(slots=True)
class Found:
    """A znode of a subtree. `blocked`: why it, or what is below it, cannot be seen."""

    path: str
    stat: Stat
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A znode with its value and ACL; None where they may not be read."""

    found: Found
    data: bytes | None
    acl: tuple[Acl, ...] | None


def is_own(path: str) -> bool:
    return path == OWN or path.startswith(f"{OWN}/")


def subtree(bridge: Bridge, path: str, tell: Tell, *, most: int = ZNODES_MAX) -> list[Found]:
    """The znode and all below it, parents first, ZooKeeper's own left out.

    Raises:
        MissingError: it is not there.
        LimitError: more znodes, or more bytes in their values, than one job takes.
    """
    first = bridge.run(lambda client: client.exists(path))
    if first is None:
        raise MissingError(f"There is no znode {path}.")
    found = [Found(path, first)]
    total = int(first.data_bytes)
    at = 0
    while at < len(found):
        part = [one for one in found[at : at + AT_ONCE_ZNODES] if one.stat.num_children]
        at = min(at + AT_ONCE_ZNODES, len(found))
        below: list[str] = []
        for parent, names in zip(part, children(bridge, part), strict=True):
            below += [child_path(parent.path, name) for name in sorted(names)]
        below = [one for one in below if not is_own(one)]
        if len(found) + len(below) > most:
            raise LimitError(
                f"{path} has more than {most:,} znodes, one job takes no more: go by its parts",
                field="path",
            )
        for start in range(0, len(below), AT_ONCE_ZNODES):
            for one in stats(bridge, below[start : start + AT_ONCE_ZNODES]):
                found.append(one)
                total += int(one.stat.data_bytes)
        if total > BYTES_MAX:
            raise LimitError(
                f"{path} has more than {BYTES_MAX >> 20} MiB of values, one job takes no more: "
                "go by its parts",
                field="path",
            )
        tell(len(found))
    return found


def children(bridge: Bridge, part: Sequence[Found]) -> list[list[str]]:
    """The children's names of each; those that may not be listed are marked."""

    async def ask(client: Client) -> list[list[str] | BaseException]:
        return await asyncio.gather(
            *(client.children(one.path) for one in part), return_exceptions=True
        )

    names: list[list[str]] = []
    for one, answer in zip(part, bridge.run(ask), strict=True):
        if isinstance(answer, NoAuthError):
            one.blocked = "no permission to list what is below it"
        elif isinstance(answer, BaseException) and not isinstance(answer, NoNodeError):
            raise answer
        names.append([] if isinstance(answer, BaseException) else answer)
    return names


def stats(bridge: Bridge, paths: Sequence[str]) -> list[Found]:
    """Those of the paths that are there."""
    found = []
    for path, answer in zip(paths, look(bridge, paths), strict=True):
        if isinstance(answer, ClientError):
            raise answer
        if answer is not None:
            found.append(Found(path, answer))
    return found


def look(bridge: Bridge, paths: Sequence[str]) -> list[Stat | ClientError | None]:
    """The stat of each, None where it is not there, or why it cannot be seen."""

    async def ask(client: Client) -> list[Stat | BaseException | None]:
        return await asyncio.gather(*map(client.exists, paths), return_exceptions=True)

    answers: list[Stat | ClientError | None] = []
    for answer in bridge.run(ask):
        if isinstance(answer, BaseException) and not isinstance(answer, ClientError):
            raise answer
        answers.append(answer)
    return answers


def portions(found: Sequence[Found]) -> Iterator[list[Found]]:
    """In portions that may be read, or written, at once."""
    part: list[Found] = []
    size = 0
    for one in found:
        if part and (len(part) >= AT_ONCE_ZNODES or size + one.stat.data_bytes > AT_ONCE_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += int(one.stat.data_bytes)
    if part:
        yield part


def values(
    bridge: Bridge, found: Sequence[Found], tell: Tell, *, data: bool = True, acl: bool = True
) -> Iterator[Value]:
    """The values and ACLs of what was found, in its order; none of what has gone meanwhile.

    A znode that was changed meanwhile is given as it is now, with its stat of now.
    """
    done = 0
    for part in portions(found):

        async def ask(
            client: Client, part: list[Found] = part
        ) -> tuple[
            list[tuple[bytes, Stat] | BaseException], list[tuple[list[Acl], Stat] | BaseException]
        ]:
            gets = [client.get(one.path) for one in part] if data else []
            acls = [client.get_acl(one.path) for one in part] if acl else []
            return (
                await asyncio.gather(*gets, return_exceptions=True),
                await asyncio.gather(*acls, return_exceptions=True),
            )

        gets, acls = bridge.run(ask)
        for number, one in enumerate(part):
            got = gets[number] if data else None
            listed = acls[number] if acl else None
            if isinstance(got, NoNodeError) or isinstance(listed, NoNodeError):
                continue
            for answer in (got, listed):
                if isinstance(answer, BaseException) and not isinstance(answer, NoAuthError):
                    raise answer
            value = None
            if isinstance(got, tuple):
                value, one.stat = got
            elif data:
                one.blocked = one.blocked or NO_PERMISSION
            yield Value(one, value, tuple(listed[0]) if isinstance(listed, tuple) else None)
        done += len(part)
        tell(done)
