"""Pipelined requests through the client against the tree's slow and obvious model.

The model is the one of tests/tree: it shares nothing with client or server. Both servers must agree
with it on every error and on the tree in the end. The requests come from seeds, and are dense
enough that every kind of refusal happens, which is checked too.
"""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from ensemble.client import Client, ClientError, CreateMode, walk
from tests.tree.model import Model

SEEDS = range(5)
OPERATIONS = 400
PATHS = ("/a", "/b", "/a/a", "/a/b", "/a/a/a")
# OK, no node, bad version, no children for ephemerals, node exists, not empty
CODES = {0, -101, -103, -108, -110, -111}

Operation = tuple[Any, ...]
SESSION = 1


def one_of(rng: random.Random) -> Operation:
    """An operation. More creates than deletes, so that there is something to fail on."""
    kind = rng.choices(("create", "delete", "set_data"), (4, 3, 3))[0]
    path = rng.choice(PATHS)
    version = rng.choice((-1, -1, 0, 1))
    if kind == "create":
        mode = rng.choice((0, 0, 1, 1, 2, 3, 4))
        if CreateMode(mode).is_sequential:
            path = "/b/n-"  # nobody deletes these: elsewhere, /a could never go again
        return kind, path, rng.choice((b"", b"x", None)), mode
    if kind == "delete":
        return kind, path, version
    return kind, path, rng.choice((b"1", b"22")), version


def multi_of(rng: random.Random) -> Operation:
    parts = [one_of(rng) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.5:
        parts.insert(rng.randint(0, len(parts)), ("check", rng.choice(PATHS), rng.choice((-1, 0))))
    return "multi", parts


def send(zk: Client, operation: Operation) -> asyncio.Future[Any]:
    """One operation, by the client."""
    kind, *rest = operation
    if kind == "create":
        return zk.create(rest[0], rest[1], mode=CreateMode(rest[2]))
    if kind == "delete":
        return zk.delete(*rest)
    if kind == "set_data":
        return zk.set(*rest)
    transaction = zk.transaction()
    for part, *values in rest[0]:
        if part == "create":
            transaction.create(values[0], values[1], mode=CreateMode(values[2]))
        elif part == "delete":
            transaction.delete(*values)
        elif part == "set_data":
            transaction.set(*values)
        else:
            transaction.check(*values)
    return transaction.commit()


def expected(model: Model, operation: Operation) -> tuple[int, int | None]:
    """The error that the model has for it, and which part of a multi it is the error of."""

    def asked(each: Operation) -> Operation:
        return (*each, 31) if each[0] == "create" else each

    if operation[0] != "multi":
        return model.run(SESSION, asked(operation)), None
    errors = model.multi(SESSION, [asked(part) for part in operation[1]])
    return next(((error, at) for at, error in enumerate(errors) if error), (0, None))


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_pipeline_of_anything_does_what_the_model_does(place: str, seed: int) -> None:
    rng = random.Random(seed)
    operations = [multi_of(rng) if rng.random() < 0.2 else one_of(rng) for _ in range(OPERATIONS)]
    model = Model()
    model.sessions.add(SESSION)
    met: Counter[int] = Counter()
    async with Client(place) as zk:
        calls = [send(zk, operation) for operation in operations]
        results = await asyncio.gather(*calls, return_exceptions=True)
        for operation, result in zip(operations, results, strict=True):
            assert isinstance(result, ClientError) or not isinstance(result, BaseException)
            got = (result.code, result.index) if isinstance(result, ClientError) else (0, None)
            assert got == expected(model, operation), operation
            met[got[0]] += 1
        assert set(met) == CODES, "every kind of refusal was tried"
        paths = [path async for path in walk(zk, "/")]
        assert set(paths) == set(model.nodes)
        for path in paths[1:]:  # the root's own data is not the model's
            data, stat = await zk.get(path)
            node = model.nodes[path]
            assert (data, stat.version) == (node["data"] or b"", node["version"])
            assert stat.num_children == len(model.children(path))
            assert (stat.ephemeral_owner == zk.session_id) == (node["owner"] == SESSION)
