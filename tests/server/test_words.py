"""Four-letter words against a real node, parsed the way that people's tools parse them."""

import re
from collections.abc import Callable

import pytest

from ensemble.server.four_letter import COMMANDS
from tests.harness import Node, RawClient

MNTR_LINE = re.compile(r"^zk_(\w+)\s+(.*)$")  # Telegraf's and the OpenTelemetry collector's
NOT_WHITELISTED = "is not executed because it is not in the whitelist."


def text(node: Node, word: str) -> str:
    return node.word(word).decode()


def test_ruok_says_imok_and_nothing_more(node: Node) -> None:
    assert node.word("ruok") == b"imok"


def test_srvr_has_the_lines_that_scripts_look_for(node: Node) -> None:
    said = text(node, "srvr")
    for pattern in (
        r"^Zookeeper version: \d+\.\d+\.\d+",
        r"^Latency min/avg/max: \d+/[\d.]+/\d+$",
        r"^Received: \d+$",
        r"^Sent: \d+$",
        r"^Connections: \d+$",
        r"^Outstanding: \d+$",
        r"^Zxid: 0x[0-9a-f]+$",
        r"^Mode: standalone$",
        r"^Node count: \d+$",
    ):
        assert re.search(pattern, said, re.MULTILINE), f"{pattern} in {said}"


def test_every_line_of_mntr_is_a_name_and_a_value(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    values = {}
    for line in text(node, "mntr").splitlines():
        match = MNTR_LINE.match(line)
        assert match is not None, line
        values[match.group(1)] = match.group(2)
    assert values["server_state"] == "standalone"
    assert int(values["znode_count"]) >= 4
    assert int(values["num_alive_connections"]) == 2
    assert int(values["global_sessions"]) == 1
    for name in (
        *("version", "avg_latency", "max_latency", "min_latency", "packets_received"),
        *("packets_sent", "outstanding_requests", "watch_count", "ephemerals_count"),
        *("approximate_data_size", "open_file_descriptor_count", "max_file_descriptor_count"),
        *("cnt_fsynctime", "cnt_readlatency", "cnt_updatelatency", "connection_rejected"),
    ):
        assert name in values, name
    client.close()


def test_the_counters_count(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    before = dict(line.split("\t") for line in text(node, "mntr").splitlines())
    for xid in range(1, 51):
        client.request(xid, 3, b"\0\0\0\1/\0")
        client.reply()
    now = dict(line.split("\t") for line in text(node, "mntr").splitlines())
    grown = {name: float(now[name]) - float(before[name]) for name in ("zk_packets_received",)}
    assert grown["zk_packets_received"] >= 50
    assert float(now["zk_bytes_received_count"]) - float(before["zk_bytes_received_count"]) >= 800
    assert float(now["zk_response_bytes"]) - float(before["zk_response_bytes"]) >= 50 * 20
    client.close()


def test_cons_and_stat_name_each_connection(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    line = next(x for x in text(node, "cons").splitlines() if "sid=" in x)
    assert re.match(r"^ /127\.0\.0\.1:\d+\[[01]\]\(queued=\d+,recved=\d+,sent=\d+,sid=0x", line)
    assert f"sid=0x{client.session_id & (1 << 64) - 1:x}" in line
    assert "Clients:" in text(node, "stat")
    client.close()


def test_dump_wchs_and_dirs_answer(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    client.request(1, 3, b"\0\0\0\1/\1")
    client.reply()
    assert "Session" in text(node, "dump")
    assert text(node, "wchs").startswith("1 connections watching 1 paths\nTotal watches:1")
    assert "/\n" in text(node, "wchp")
    assert f"0x{client.session_id & (1 << 64) - 1:x}" in text(node, "wchc")
    assert re.search(r"^datadir_size: \d+\nlogdir_size: \d+$", text(node, "dirs").strip())
    assert "clientPort=" in text(node, "conf")
    assert text(node, "isro") == "rw"
    assert "zookeeper.version=" in text(node, "envi")
    client.close()


def test_srst_and_crst_begin_anew(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    assert text(node, "srst") == "Server stats reset.\n"
    assert text(node, "crst") == "Connection stats reset.\n"
    assert re.search(r"^Received: [0-2]$", text(node, "srvr"), re.MULTILINE)
    client.close()


@pytest.mark.parametrize("word", sorted(set(COMMANDS) - {"stmk"}))
def test_E10_only_srvr_is_open_unless_the_operator_opens_more(
    word: str, start_node: Callable[..., Node]
) -> None:
    node = start_node({"4lw.commands.whitelist": None})
    said = text(node, word)
    if word == "srvr":
        assert "Mode: standalone" in said
    else:
        assert said.strip() == f"{word} {NOT_WHITELISTED}"


def test_what_is_no_word_is_a_frame(node: Node) -> None:
    client = RawClient(node.port)
    client.sock.sendall(b"nope")  # as a length: far beyond jute.maxbuffer
    assert client.read() is None
    client.close()
