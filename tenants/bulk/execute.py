"""Does a plan's steps: a portion at a time, each portion as one transaction where it can be.

A step is done only if it finds the znode as the dry run has seen it. What it finds done already it
counts as done, so a plan that was interrupted is begun again where its progress ends.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from ensemble.client import (
    BadVersionError,
    Client,
    ClientError,
    ConnectionLossError,
    NodeExistsError,
    NoNodeError,
    QuotaExceededError,
    SessionExpiredError,
    Stat,
    Transaction,
)
from ensemble.client.errors import RolledBackError
from tenants.advice import advise
from tenants.bulk.bounds import AT_ONCE_BYTES, AT_ONCE_ZNODES
from tenants.bulk.steps import MODES, Step
from tenants.zk import Bridge

CHANGED: Final = "somebody has changed it since the dry run: left as it is"
MADE: Final = "somebody has made it since the dry run: left as it is"
GONE: Final = "somebody has deleted it since the dry run"


@dataclass(slots=True)
class Outcome:
    """How a portion went. `skipped`: the numbers of steps, within it, that changed nothing."""

    skipped: list[int] = field(default_factory=list)
    already: list[int] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    stopped: str = ""  # why nothing more can be done

    def refuse(self, number: int, step: Step, why: str) -> None:
        self.skipped.append(number)
        self.problems.append((step.path, why))


def portions(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """As many steps as one transaction holds."""
    part: list[Step] = []
    size = 0
    for step in steps:
        if part and (len(part) >= AT_ONCE_ZNODES or size + step.size > AT_ONCE_BYTES):
            yield part
            part, size = [], 0
        part.append(step)
        size += step.size
    if part:
        yield part


def do(bridge: Bridge, steps: Sequence[Step]) -> Outcome:
    """Do a portion.

    Raises:
        UnreachableError: it is not known how much of it was done.
    """
    outcome = Outcome()
    ready = prepare(bridge, steps, outcome)
    plain = [(number, step) for number, step in ready if step.op != "acl"]
    acls = [(number, step) for number, step in ready if step.op == "acl"]
    for group in fitting(plain):
        bridge.run(partial(write, part=group, outcome=outcome))
        if outcome.stopped:
            return outcome
    if acls:
        bridge.run(lambda client: one_by_one(client, acls, outcome))
    return outcome


def fitting(ready: Sequence[tuple[int, Step]]) -> Iterator[list[tuple[int, Step]]]:
    """Copies have their values only now: once more as many as a transaction holds."""
    part: list[tuple[int, Step]] = []
    size = 0
    for number, step in ready:
        if part and size + step.size > AT_ONCE_BYTES:
            yield part
            part, size = [], 0
        part.append((number, step))
        size += step.size
    if part:
        yield part


def prepare(bridge: Bridge, steps: Sequence[Step], outcome: Outcome) -> list[tuple[int, Step]]:
    """The steps that have to be done, with the values of what they copy."""
    stats = bridge.run(lambda client: gather(client, [step.path for step in steps]))
    ready: list[tuple[int, Step]] = []
    doubtful: list[tuple[int, Step]] = []
    for number, (step, stat) in enumerate(zip(steps, stats, strict=True)):
        if isinstance(stat, ClientError):
            outcome.refuse(number, step, advise(stat)[2])
        elif is_expected(step, stat):
            ready.append((number, step))
        elif step.op == "delete" and stat is None:
            outcome.already.append(number)
        elif stat is None:
            outcome.refuse(number, step, GONE)
        else:
            doubtful.append((number, step))
    found = look_again(bridge, [step for _, step in doubtful])
    for (number, step), is_so in zip(doubtful, found, strict=True):
        if is_so:
            outcome.already.append(number)
        else:
            outcome.refuse(number, step, MADE if step.op == "create" else CHANGED)
    return with_values(bridge, ready, outcome)


async def gather(client: Client, paths: Sequence[str]) -> list[Stat | ClientError | None]:
    answers = await asyncio.gather(*map(client.exists, paths), return_exceptions=True)
    return [known(answer) for answer in answers]


def known(answer: Stat | BaseException | None) -> Stat | ClientError | None:
    """An answer of the server; what is none is raised."""
    if isinstance(answer, BaseException) and (
        not isinstance(answer, ClientError) or is_broken(answer)
    ):
        raise answer
    return answer


def is_broken(error: ClientError) -> bool:
    """Whether it is not the request that is at fault, but the connection."""
    return isinstance(error, ConnectionLossError | SessionExpiredError)


def is_expected(step: Step, stat: Stat | None) -> bool:
    """Whether a znode is as the dry run has seen it."""
    if stat is None or step.op == "create":
        return stat is None and step.op == "create"
    version = stat.aversion if step.op == "acl" else stat.version
    return int(stat.czxid) == step.czxid and int(version) == step.version


def look_again(bridge: Bridge, steps: Sequence[Step]) -> list[bool]:
    """Of znodes that are not as they were: whether they are what they were to become."""
    return [bridge.run(partial(is_done, step=step)) for step in steps]


async def is_done(client: Client, step: Step) -> bool:
    try:
        if step.op == "delete":
            return await client.exists(step.path) is None
        if step.op == "acl":
            acl, stat = await client.get_acl(step.path)
            return int(stat.czxid) == step.czxid and list(acl) == list(step.acl or ())
        data, stat = await client.get(step.path)
        if step.op == "set":
            is_next = int(stat.version) == step.version + 1 and int(stat.czxid) == step.czxid
            return is_next and data == step.data
        if int(stat.version):
            return False
        wanted = step.data
        if step.source:
            wanted, source = await client.get(step.source)
            if int(source.mzxid) != step.mzxid:
                return False
        return data == wanted
    except ClientError as error:
        if is_broken(error):
            raise
        return False


def with_values(
    bridge: Bridge, ready: Sequence[tuple[int, Step]], outcome: Outcome
) -> list[tuple[int, Step]]:
    """Copies get the value of their source, if it is the one that was looked at."""
    copies = [(number, step) for number, step in ready if step.source]
    if not copies:
        return list(ready)

    async def ask(client: Client) -> list[tuple[bytes, Stat] | BaseException]:
        gets = (client.get(step.source) for _, step in copies)
        return await asyncio.gather(*gets, return_exceptions=True)

    values: dict[int, bytes] = {}
    for (number, step), answer in zip(copies, bridge.run(ask), strict=True):
        if isinstance(answer, ClientError) and not is_broken(answer):
            outcome.refuse(number, step, f"{step.source}: {advise(answer)[2]}")
        elif isinstance(answer, BaseException):
            raise answer
        elif int(answer[1].mzxid) != step.mzxid:
            outcome.refuse(number, step, f"{step.source} has changed since the dry run")
        else:
            values[number] = answer[0]
    return [
        (number, replace(step, data=values[number]) if step.source else step)
        for number, step in ready
        if not step.source or number in values
    ]


async def write(client: Client, part: Sequence[tuple[int, Step]], outcome: Outcome) -> None:
    """All of them in one transaction; where that is refused, each by itself."""
    if len(part) > 1:
        transaction = client.transaction()
        for _, step in part:
            ask(transaction, step)
        try:
            await transaction.commit()
            return
        except ClientError as error:
            if is_broken(error):
                raise
    await one_by_one(client, part, outcome)


async def one_by_one(client: Client, part: Sequence[tuple[int, Step]], outcome: Outcome) -> None:
    """Each by itself, in their order, all of them under way at once."""
    answers = await asyncio.gather(*(ask(client, step) for _, step in part), return_exceptions=True)
    for (number, step), answer in zip(part, answers, strict=True):
        if isinstance(answer, ClientError) and not is_broken(answer):
            outcome.refuse(number, step, why(step, answer))
            if isinstance(answer, QuotaExceededError) and not outcome.stopped:
                outcome.stopped = advise(answer)[2]
        elif isinstance(answer, BaseException):
            raise answer


def ask(to: Client | Transaction, step: Step) -> Any:
    """Have one step done: a client's future, or what a transaction makes of it."""
    if step.op == "create":
        kind = step.kind
        return to.create(
            step.path,
            step.data or b"",
            acl=step.acl or (),
            mode=MODES[kind.mode],
            ttl_ms=kind.ttl_ms,
        )
    if step.op == "set":
        return to.set(step.path, step.data or b"", step.version)
    if step.op == "acl":
        assert isinstance(to, Client), "ZooKeeper has no ACLs in transactions"
        return to.set_acl(step.path, step.acl or (), step.version)
    return to.delete(step.path, step.version)


def why(step: Step, error: ClientError) -> str:
    if isinstance(error, BadVersionError):
        return CHANGED
    if isinstance(error, NodeExistsError):
        return MADE
    if isinstance(error, NoNodeError):
        return GONE if step.op != "create" else "what is above it is not there"
    if isinstance(error, RolledBackError):
        return "the transaction was rolled back"
    return advise(error)[2]


def how_far(bridge: Bridge, steps: Sequence[Step]) -> int:
    """How many of a portion's first steps are done, by what the tree is now.

    Acknowledged or not: a portion is a transaction where it can be, so mostly none or all.
    """
    done = look_again(bridge, steps)
    return done.index(False) if False in done else len(done)
