"""Steps that the tests of an ensemble's members share: raw clients, values of words, waiting."""

import struct
from pathlib import Path

from tests.ensembles import Ensemble, Member, ours
from tests.harness import RawClient, text
from tests.server.starting import until

OP_CREATE, OP_DELETE, OP_EXISTS, OP_GET, OP_SET, OP_SYNC = 1, 2, 3, 4, 5, 9
OP_MULTI, OP_CREATE2, OP_CLOSE = 14, 15, -11
EPHEMERAL = 1
# Two ticks are the shortest session: a second, and at most half a one more.
QUICK: dict[str, object] = {"tickTime": 500, "initLimit": 20, "syncLimit": 10}


def start_three(folder: Path, settings: dict[str, object], *flags: str) -> Ensemble:
    """Three of our servers; the caller enters it, so that they end."""
    return Ensemble(folder, [ours(*flags)] * 3, {**QUICK, **settings}).start()


def followers(ensemble: Ensemble, leader: Member) -> list[Member]:
    return [member for member in ensemble.all if member is not leader]


def value(member: Member, name: str) -> str:
    """A value of `mntr`; "" where it has none, or the server does not serve."""
    for line in member.word("mntr").decode().splitlines():
        key, _, found = line.partition("\t")
        if key == f"zk_{name}":
            return found
    return ""


def number(member: Member, name: str) -> int:
    found = value(member, name)
    return int(found) if found else -1


def zxid(member: Member) -> int:
    line = next(
        line for line in member.word("srvr").decode().splitlines() if line.startswith("Zxid")
    )
    return int(line.split()[1], 16)


OPENED: list[RawClient] = []


def open_client(member: Member) -> RawClient:
    client = RawClient(member.client_port)
    OPENED.append(client)
    return client


def close_clients() -> None:
    """For a test's end, however it ends."""
    while OPENED:
        OPENED.pop().close()


def session(member: Member, timeout_ms: int = 20_000, read_only: bool = False) -> RawClient:
    client = open_client(member)
    assert client.connect(timeout_ms, read_only=read_only)
    return client


def move(client: RawClient, member: Member) -> RawClient | None:
    """The same session on another connection, maybe to another server; None if it is over."""
    moved = open_client(member)
    if moved.connect(20_000, client.session_id, client.password):
        assert moved.session_id == client.session_id
        return moved
    assert moved.read() is None, "told that it is over, and closed"
    return None


def ask(client: RawClient, xid: int, op: int, body: bytes = b"") -> tuple[int, int]:
    """One request's zxid and error."""
    client.request(xid, op, body)
    got, at, err, _ = client.reply()
    assert got == xid
    return at, err


def multi_body(*creates: bytes) -> bytes:
    header = struct.pack(">ibi", OP_CREATE, 0, -1)
    end = struct.pack(">ibi", -1, 1, -1)
    return b"".join(header + create for create in creates) + end


def exists(client: RawClient, xid: int, path: str) -> bool:
    err = ask(client, xid, OP_EXISTS, text(path) + b"\0")[1]
    assert err in (0, -101)
    return err == 0


def nothing_is_left(ensemble: Ensemble) -> None:
    """On no server is a session, or an ephemeral of one."""

    def is_clean() -> bool:
        return all(
            (number(member, "global_sessions"), number(member, "ephemerals_count")) == (0, 0)
            for member in ensemble.running
        )

    until(is_clean)


def gone(client: RawClient) -> bool:
    """Whether the server has closed the connection (it waits for that)."""
    try:
        while client.read() is not None:
            pass
    except TimeoutError:
        return False
    return True
