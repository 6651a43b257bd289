"""What Apache's servers tell of their connections, by `cons` and by the AdminServer."""

import pytest

from tenants import apache_sessions, inside
from tenants.models import Ensemble, Node

# As a server of Apache's 3.9.3 wrote it, with one client of kazoo's and the connection that asked.
CONS = (
    " /127.0.0.1:41542[1](queued=0,recved=2,sent=2,sid=0x10003bc01730000,lop=EXIS,"
    "est=1795287647891,to=10000,lcxid=0x1,lzxid=0x1,lresp=62660256,llat=9,minlat=0,avglat=15,"
    "maxlat=22)\n /127.0.0.1:41552[0](queued=0,recved=1,sent=0)\n\n"
)
# The fields that its AdminServer has for each connection.
ENTRY = {
    "remote_socket_address": "127.0.0.1:41882",
    "interest_ops": 1,
    "outstanding_requests": 0,
    "packets_received": 12,
    "packets_sent": 13,
    "session_id": 72069044012081153,
    "session_timeout": 30000,
    "avg_latency": 1,
    "max_latency": 7,
}


def told_by(monkeypatch: pytest.MonkeyPatch, text: str) -> inside.Answer:
    async def answer(host: str, port: int, word: str, within: float) -> str:
        assert (host, port, word) == ("10.0.0.1", 2181, "cons")
        return text

    monkeypatch.setattr(apache_sessions, "four_letter", answer)
    node = Node(name="node1", client="10.0.0.1:2181", admin_url="")
    return apache_sessions.of_node(Ensemble(name="legacy", kind="apache"), node)


def test_cons_tells_of_sessions_and_not_of_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [one for one in told_by(monkeypatch, CONS).said["sessions"] if one]
    (one,) = found
    assert one["session"] == "0x10003bc01730000"
    assert one["address"] == "127.0.0.1:41542"
    assert (one["requests"], one["timeout_ms"], one["avg_ms"], one["max_ms"]) == (2, 10_000, 15, 22)


def test_the_admin_servers_ids_are_the_same() -> None:
    one = apache_sessions.of_entry({**ENTRY, "session_id": 0x1000A5C91540001})
    assert one["session"] == "0x1000a5c91540001"
    below = apache_sessions.of_entry({**ENTRY, "session_id": -1})
    assert below["session"] == "0xffffffffffffffff"
    for none in (0, None, "1", 1.5):
        assert apache_sessions.of_entry({**ENTRY, "session_id": none}) == {}


@pytest.mark.parametrize("text", ["", "\n\n", "garbage", " /1.2.3.4:5[1](sid=7)", " /x[0]()"])
def test_what_is_no_session_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one for one in told_by(monkeypatch, text).said["sessions"] if one] == []


def test_a_word_that_is_not_allowed_says_how_to_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "cons is not executed because it is not in the whitelist.\n"
    assert "4lw.commands.whitelist" in told_by(monkeypatch, text).problem
