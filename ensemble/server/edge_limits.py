"""Size limits in front of a leader that does not know them: an Apache server's.

The server that takes a request looks whether it fits: into what is used, as far as this server has
applied it, plus what its own requests that are under way may add. What does not fit is answered at
once and not forwarded. Every guess is on the safe side, so this server's clients alone never pass a
limit; requests of other servers that are under way at the same time are not known here: by so much
a limit can be exceeded (docs/tenancy.md, "Behind an Apache leader").
"""

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64

from ensemble.errors import KeeperError
from ensemble.tree.acl import AclList, AclSchemes
from ensemble.tree.budget import Budget, counted_data
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import parent_of
from ensemble.tree.proposals import WriteRequest
from ensemble.wire import codes
from ensemble.wire.framing import end_frame
from ensemble.wire.jute import MarshallingError, Reader, write_int
from ensemble.wire.replies import begin_reply, write_header_only
from ensemble.wire.requests import (
    CreateRequest,
    MultiRequest,
    SetAclRequest,
    SetDataRequest,
    read_create,
    read_delete,
    read_multi,
    read_set_acl,
    read_set_data,
    write_multi_header,
)

SEQUENCE_BYTES: Final = 10


class LimitReachedError(KeeperError):
    """A request does not fit. `part` of `parts` was it; `parts` 0 where it is no multi."""

    def __init__(self, error: KeeperError, part: int, parts: int) -> None:
        super().__init__(error.code, str(error).removesuffix(f" (error {error.code})"))
        self.part = part
        self.parts = parts


@final
class Flight:
    """A znode that requests under way write to. `least`: the smallest that it may be meanwhile."""

    __slots__ = ("created", "least", "requests")

    def __init__(self, least: i64, created: bool) -> None:
        self.least: i64 = least
        self.created = created  # one of the requests makes it
        self.requests: i64 = 0


@final
class Share:
    """What a request, or all that are under way, may add to one budget."""

    __slots__ = ("bytes", "ephemerals", "znodes")

    def __init__(self) -> None:
        self.znodes: i64 = 0
        self.bytes: i64 = 0
        self.ephemerals: i64 = 0

    def add(self, other: "Share", sign: i64) -> None:
        self.znodes += sign * other.znodes
        self.bytes += sign * other.bytes
        self.ephemerals += sign * other.ephemerals

    def keep_growth(self) -> None:
        """What a request takes away counts when it has done so, not before."""
        self.znodes = max(self.znodes, 0)
        self.bytes = max(self.bytes, 0)
        self.ephemerals = max(self.ephemerals, 0)


@final
class Claim:
    """What a request that was forwarded may add, until its answer comes."""

    __slots__ = ("parents", "paths", "shares")

    def __init__(self) -> None:
        self.shares: Final[dict[str, Share]] = {}
        self.paths: Final[list[bytes]] = []
        self.parents: Final[list[bytes]] = []

    def share_of(self, budget: Budget) -> Share:
        share = self.shares.get(budget.name)
        if share is None:
            share = Share()
            self.shares[budget.name] = share
        return share


@final
class EdgeLimits:
    """The claims of a server's requests that are under way. Bounded as these requests are.

    `is_due`: the leader that is followed knows no budgets.
    """

    __slots__ = ("by_budget", "children", "flights", "is_due", "schemes")

    def __init__(self, schemes: AclSchemes) -> None:
        self.schemes: Final = schemes
        self.is_due = False
        self.by_budget: Final[dict[str, Share]] = {}
        self.flights: Final[dict[bytes, Flight]] = {}
        self.children: Final[dict[bytes, int]] = {}  # creates below znodes with a limit of them

    def clear(self) -> None:
        """Nothing is under way any more."""
        self.by_budget.clear()
        self.flights.clear()
        self.children.clear()

    def claim(self, tree: DataTree, request: WriteRequest) -> Claim | None:
        """A request is to be forwarded: what it claims; None where it grows nothing.

        What cannot be decoded claims nothing: the leader refuses it.

        Raises:
            LimitReachedError: it does not fit.
        """
        body = Reader(request.body.buf, request.body.at, request.body.end)
        op = request.op
        claim = Claim()
        try:
            if op == codes.OP_MULTI:
                items = read_multi(body)
                for at in range(len(items)):
                    try:
                        self._add(claim, tree, request, items[at].op, items[at].request)
                    except KeeperError as error:
                        self._forget(claim)
                        raise LimitReachedError(error, at, len(items)) from None
            else:
                decoded = _decode(body, op)
                if decoded is None:
                    return None
                try:
                    if isinstance(decoded, SetAclRequest):
                        self._set_acl(claim, tree, request, decoded)
                    else:
                        self._add(claim, tree, request, op, decoded)
                except KeeperError as error:
                    self._forget(claim)
                    raise LimitReachedError(error, 0, 0) from None
        except MarshallingError:
            self._forget(claim)
            return None
        for name, share in claim.shares.items():
            share.keep_growth()
            total = self.by_budget.get(name)
            if total is None:
                total = Share()
                self.by_budget[name] = total
            total.add(share, 1)
        return claim if claim.shares or claim.paths or claim.parents else None

    def release(self, claim: Claim) -> None:
        """Its answer has come, and what it did is in the tree."""
        for name, share in claim.shares.items():
            total = self.by_budget.get(name)
            if total is not None:
                total.add(share, -1)
        self._forget(claim)

    def _forget(self, claim: Claim) -> None:
        for path in claim.paths:
            flight = self.flights[path]
            flight.requests -= 1
            if flight.requests == 0:
                del self.flights[path]
        for parent in claim.parents:
            self.children[parent] -= 1
            if self.children[parent] == 0:
                del self.children[parent]

    # One operation

    def _add(
        self, claim: Claim, tree: DataTree, request: WriteRequest, op: i64, decoded: MultiRequest
    ) -> None:
        if isinstance(decoded, CreateRequest):
            self._create(claim, tree, request, decoded)
        elif isinstance(decoded, SetDataRequest):
            self._set_data(claim, tree, decoded)
        elif op == codes.OP_DELETE:
            self._delete(claim, tree, decoded.path)

    def _create(
        self, claim: Claim, tree: DataTree, request: WriteRequest, create: CreateRequest
    ) -> None:
        path = create.path
        flags = create.flags
        sequential = (
            flags == codes.CREATE_PERSISTENT_SEQUENTIAL
            or flags == codes.CREATE_EPHEMERAL_SEQUENTIAL
            or flags == codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL
        )
        self._child(claim, tree, parent_of(path))
        budget = tree.budgets.owner_of(path)
        if budget is None:
            return
        if not sequential and path in tree.nodes and path not in self.flights:
            return  # the leader refuses it
        weight = budget.weight(
            path, counted_data(path, create.data), self._acl_bytes(create.acl, request)
        )
        if sequential:
            weight += SEQUENCE_BYTES
        ephemerals: i64 = 0
        if flags == codes.CREATE_EPHEMERAL or flags == codes.CREATE_EPHEMERAL_SEQUENTIAL:
            ephemerals = 1
        self._fit(claim, budget, 1, weight, weight, ephemerals)
        if not sequential:
            self._fly(claim, path, 0, True)

    def _set_data(self, claim: Claim, tree: DataTree, request: SetDataRequest) -> None:
        path = request.path
        budget = tree.budgets.owner_of(path)
        if budget is None:
            return
        node = tree.nodes.get(path)
        data_bytes = counted_data(path, request.data)
        if node is None:
            flight = self.flights.get(path)
            if flight is not None and flight.created:
                self._fit(claim, budget, 0, data_bytes, budget.weight(path, data_bytes, 0), 0)
                self._fly(claim, path, 0, False)
            return
        acl_bytes = node.acl.wire_bytes
        now = budget.weight(path, counted_data(path, node.data), acl_bytes)
        self._grow(claim, budget, path, now, budget.weight(path, data_bytes, acl_bytes))

    def _set_acl(
        self, claim: Claim, tree: DataTree, request: WriteRequest, change: SetAclRequest
    ) -> None:
        path = change.path
        budget = tree.budgets.owner_of(path)
        if budget is None:
            return
        node = tree.nodes.get(path)
        acl_bytes = self._acl_bytes(change.acl, request)
        if node is None:
            flight = self.flights.get(path)
            if flight is not None and flight.created:
                self._fit(claim, budget, 0, acl_bytes, budget.weight(path, 0, acl_bytes), 0)
                self._fly(claim, path, 0, False)
            return
        size = counted_data(path, node.data)
        now = budget.weight(path, size, node.acl.wire_bytes)
        self._grow(claim, budget, path, now, budget.weight(path, size, acl_bytes))

    def _delete(self, claim: Claim, tree: DataTree, path: bytes) -> None:
        budget = tree.budgets.owner_of(path)
        node = tree.nodes.get(path)
        if budget is None or node is None:
            return
        if path not in self.flights:
            # It makes room for what follows in the same multi: all of it happens, or nothing.
            share = claim.share_of(budget)
            share.znodes -= 1
            share.bytes -= budget.weight(path, counted_data(path, node.data), node.acl.wire_bytes)
            if tree.is_ephemeral(node.owner):
                share.ephemerals -= 1
        self._fly(claim, path, 0, False)

    def _grow(self, claim: Claim, budget: Budget, path: bytes, now: i64, weight: i64) -> None:
        """A znode of `now` bytes is to have `weight`."""
        least = now
        flight = self.flights.get(path)
        if flight is not None and flight.least < least:
            least = flight.least
        growth = weight - least
        if growth > 0:
            self._fit(claim, budget, 0, growth, weight, 0)
        self._fly(claim, path, min(least, weight), False)

    def _child(self, claim: Claim, tree: DataTree, parent: bytes) -> None:
        """One child more below a znode that may have only so many."""
        budgets = tree.budgets
        limit = budgets.children_max.get(parent)
        if limit is None:
            return
        under_way = self.children.get(parent, 0)
        node = tree.nodes.get(parent)
        count = under_way if node is None else under_way + int(node.num_children())
        budgets.check_children(parent, count)
        self.children[parent] = under_way + 1
        claim.parents.append(parent)

    def _fit(
        self,
        claim: Claim,
        budget: Budget,
        znodes: i64,
        growth: i64,
        weight: i64,
        ephemerals: i64,
    ) -> None:
        """Refuse what does not fit into what is used and claimed; claim it otherwise."""
        share = claim.share_of(budget)
        total = self.by_budget.get(budget.name)
        budget.look_back()
        budget.spend(share.znodes, share.bytes, share.ephemerals)
        if total is not None:
            budget.spend(total.znodes, total.bytes, total.ephemerals)
        if znodes > 0:
            budget.check_create(weight, ephemerals)
        else:
            budget.check_bytes(growth, weight)
        share.znodes += znodes
        share.bytes += growth
        share.ephemerals += ephemerals

    def _fly(self, claim: Claim, path: bytes, least: i64, created: bool) -> None:
        """A request writes to this znode: until its answer comes it may be this small."""
        flight = self.flights.get(path)
        if flight is None:
            flight = Flight(least, created)
            self.flights[path] = flight
        flight.least = min(flight.least, least)
        flight.created = flight.created or created
        flight.requests += 1
        claim.paths.append(path)

    def _acl_bytes(self, raw: bytes, request: WriteRequest) -> i64:
        """The size of the ACL that the leader will store, `auth` replaced by whom it stands for."""
        try:
            return AclList(self.schemes.fix(raw, request.ids)).wire_bytes
        except KeeperError:
            return len(raw)


def _decode(body: Reader, op: i64) -> MultiRequest | SetAclRequest | None:
    """A request that may change usage; None for another one."""
    if op == codes.OP_SET_DATA:
        return read_set_data(body)
    if (
        op == codes.OP_CREATE
        or op == codes.OP_CREATE2
        or op == codes.OP_CREATE_CONTAINER
        or op == codes.OP_CREATE_TTL
    ):
        return read_create(body, op)
    if op == codes.OP_DELETE:
        return read_delete(body)
    if op == codes.OP_SET_ACL:
        return read_set_acl(body)
    return None


def write_refusal(xid: i64, zxid: i64, error: LimitReachedError) -> bytes:
    """The reply that a leader's refusal would have been (client.md sections 5 and 12)."""
    out = BytesWriter()
    if error.parts == 0:
        write_header_only(out, xid, zxid, error.code)
        return out.getvalue()
    start = begin_reply(out, xid, zxid, 0)
    for at in range(error.parts):
        code = codes.OK
        if at >= error.part:
            code = error.code if at == error.part else codes.RUNTIME_INCONSISTENCY
        write_multi_header(out, codes.OP_ERROR, False, code)
        write_int(out, code)
    write_multi_header(out, -1, True, -1)
    end_frame(out, start)
    return out.getvalue()
