"""What takes several requests: making parents, walking, deleting below. Not atomic, and bounded.

On top of the client; a concurrent change is met as it comes, and said so at each function.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from ensemble.client.acl import OPEN_ACL
from ensemble.client.client import Client
from ensemble.client.errors import BadArgumentsError, NodeExistsError, NoNodeError
from ensemble.client.paths import ROOT, check_path
from ensemble.wire.records import Acl

AT_ONCE_MAX: Final = 256  # requests in flight of one walk


async def ensure_path(zk: Client, path: str, acl: Sequence[Acl] = OPEN_ACL) -> None:
    """Create the znode and its parents where they are missing, without data."""
    if check_path(path) == ROOT or await zk.exists(path):
        return
    at = path.find("/", 1)
    while True:
        part = path if at < 0 else path[:at]
        try:
            await zk.create(part, acl=acl)
        except NodeExistsError:
            pass  # somebody else was faster, or it was there
        if at < 0:
            return
        at = path.find("/", at + 1)


async def walk(zk: Client, path: str) -> AsyncIterator[str]:
    """The path and all below it, parents first. What vanishes meanwhile is left out."""
    level = [check_path(path)]
    while level:
        below: list[str] = []
        for start in range(0, len(level), AT_ONCE_MAX):
            part = level[start : start + AT_ONCE_MAX]
            found = await asyncio.gather(*map(zk.children, part), return_exceptions=True)
            for parent, names in zip(part, found, strict=True):
                if isinstance(names, NoNodeError):
                    continue
                if isinstance(names, BaseException):
                    raise names
                yield parent
                prefix = "/" if parent == ROOT else parent + "/"
                below += [prefix + name for name in names]
        level = below


async def delete_tree(zk: Client, path: str) -> int:
    """Delete the znode and all below it; how many were deleted.

    Raises:
        NotEmptyError: somebody created a znode meanwhile. Part of the tree is gone.
        NoNodeError: `path` is not there.
        BadArgumentsError: it is the root, which cannot go: all else would, before that shows.
    """
    if check_path(path) == ROOT and not zk.chroot.prefix:
        raise BadArgumentsError("the root cannot be deleted", path=path)
    paths = [found async for found in walk(zk, path)]
    if not paths:
        raise NoNodeError(path=path)
    paths.reverse()  # children before their parents
    deleted = 0
    for start in range(0, len(paths), AT_ONCE_MAX):
        part = paths[start : start + AT_ONCE_MAX]
        results = await asyncio.gather(*map(zk.delete, part), return_exceptions=True)
        for result in results:
            if result is None:
                deleted += 1
            elif not isinstance(result, NoNodeError):
                raise result
    return deleted
