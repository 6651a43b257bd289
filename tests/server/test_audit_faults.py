"""The audit journal when things go wrong: processes killed anywhere, a slow or a full disk."""

import contextlib
import os
import random
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.server.audit_chain import Chain, segment_name, segments
from ensemble.server.audit_tap import BACKLOG_BYTES_MAX
from ensemble.server.audit_writer import STATUS, Writer, serve
from tests.harness import Node, RawClient, create_body, set_body
from tests.server.audits import (
    JOURNAL,
    entries,
    folder_of,
    message,
    told,
    verified,
    wait_for,
)


def children(pid: int) -> dict[int, str]:
    """The server's processes, by what they hold open."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child): holds(int(child)) for child in listed}


def holds(pid: int) -> str:
    """What it has open; nothing of one that has ended since it was listed."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(os.readlink(fd))
    return " ".join(found)


def audit_pid(node: Node) -> int:
    """The audit's process: it alone holds the journal's lock."""
    assert node.process is not None
    deadline = time.monotonic() + 10
    while True:
        lock = str(folder_of(node) / "lock")
        found = [pid for pid, held in children(node.process.pid).items() if lock in held]
        if len(found) == 1:
            return found[0]
        assert time.monotonic() < deadline, f"{found} hold {lock}"
        time.sleep(0.01)


def kill_all(node: Node, also_audit: bool) -> None:
    """As a crashed machine, or as a killed server whose audit process sees to the rest."""
    assert node.process is not None
    pids = [node.process.pid]
    if also_audit:
        pids += list(children(node.process.pid))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    node.process.wait(10)
    node.process = None


def test_kill_9_anywhere_leaves_a_chain_that_verifies_up_to_its_last_line(
    start_node: Callable[..., Node],
) -> None:
    """trust.md F1: the server, its audit process, or both, again and again under load."""
    chance = random.Random(7)
    node = start_node({**JOURNAL, "ensemble.audit.segmentBytes": 1 << 16})
    written = 0
    for round in range(9):
        client = RawClient(node.port)
        client.connect()
        stop_after = chance.randrange(50, 400)
        for at in range(stop_after):
            client.request(at + 1, 5, set_body(f"/none-{round}-{at}", b""))
        for _ in range(stop_after // 2):
            client.reply()
            written += 1
        if round % 3 == 0:
            os.kill(audit_pid(node), signal.SIGKILL)
            for _ in range(stop_after - stop_after // 2):
                client.reply()
                written += 1
            told(folder_of(node), written if round == 0 else 1)
            kill_all(node, also_audit=False)
        else:
            kill_all(node, also_audit=round % 3 == 1)
        client.close()
        found = verified(folder_of(node))
        assert found.problems == [], [str(problem) for problem in found.problems]
        node.start()
    node.stop()
    found = verified(folder_of(node))
    assert [str(problem) for problem in found.problems] == []
    assert found.missing == 0


def test_a_killed_audit_process_loses_nothing_and_the_server_goes_on(
    start_node: Callable[..., Node],
) -> None:
    node = start_node(JOURNAL)
    client = RawClient(node.port)
    client.connect()
    count = 0
    for _ in range(3):
        os.kill(audit_pid(node), signal.SIGKILL)
        for _ in range(300):
            count += 1
            client.request(count, 5, set_body(f"/none-{count}", b""))
            assert client.reply()[2] == -101
    found = told(folder_of(node), count)
    assert [entry["path"] for entry in found] == [f"/none-{at}" for at in range(1, count + 1)]
    resumed = [e for e in entries(folder_of(node)) if e["operation"] == "resume"]
    assert 1 <= len(resumed) <= 3, "one that is killed before its first line says nothing"
    assert "the audit process ended" in node.log()
    client.close()
    node.stop()
    result = verified(folder_of(node))
    assert [str(problem) for problem in result.problems] == []
    assert result.missing == 0


def test_a_killed_server_has_what_it_acknowledged_in_the_journal(
    start_node: Callable[..., Node],
) -> None:
    """What was handed over before the reply went out is written by the process that is left."""
    node = start_node(JOURNAL)
    client = RawClient(node.port)
    client.connect()
    for at in range(200):
        client.request(at + 1, 5, set_body(f"/none-{at}", b""))
        client.reply()
    kill_all(node, also_audit=False)
    client.close()
    found = told(folder_of(node), 200)
    assert len(found) == 200
    node.start()
    assert verified(folder_of(node)).problems == []


def test_a_slow_disk_does_not_slow_the_server_and_what_is_missing_is_told(
    start_node: Callable[..., Node],
) -> None:
    """trust.md F10: the audit process stands still while the server serves; later it says so."""
    node = start_node(JOURNAL)
    client = RawClient(node.port, 60.0)
    client.connect()
    long = "/" + "l" * 4_000
    client.request(1, 5, set_body(long, b""))
    client.reply()
    pid = audit_pid(node)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        need = BACKLOG_BYTES_MAX // len(long) + 2_000
        asked = answered = 0
        while answered < need:
            while asked < need and asked - answered < 500:
                asked += 1
                client.request(asked, 5, set_body(long, b""))
            client.reply()
            answered += 1
        took_s = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    assert took_s < 50
    # As soon as there is room again records are taken again, and the gap goes first.
    deadline = time.monotonic() + 60
    while not any(entry["operation"] == "gap" for entry in entries(folder_of(node))):
        asked += 1
        client.request(asked, 5, set_body(long, b""))
        client.reply()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    need = asked
    client.request(asked + 1, 1, create_body("/after"))
    assert client.reply()[2] == 0
    found = wait_for(folder_of(node), lambda lines: lines[-1].get("path") == "/after")
    gaps = [entry for entry in found if entry["operation"] == "gap"]
    assert len(gaps) >= 1
    missing = sum(int(str(gap["missing"])) for gap in gaps)
    lines = sum(entry["operation"] == "setData" for entry in found)
    assert lines + missing == need + 1
    assert int(str(gaps[0]["zxid"]), 16) <= int(str(gaps[0]["zxid_to"]), 16)
    assert gaps[0]["reason"] == "the audit process did not keep up"
    client.close()
    node.stop()
    result = verified(folder_of(node))
    assert [str(problem) for problem in result.problems] == []
    assert result.missing == missing


class Full:
    """A disk that is full from byte `room` on, and may get room again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self.real = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        count = self.real(fd, data[: self.room])
        self.room -= count
        return count


@pytest.mark.parametrize("room", [0, 1, 100, 300, 700, 1_500, 2_499])
def test_a_full_disk_leaves_whole_lines_and_a_gap_is_told_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """trust.md F9, at different places of the segment's first line and of later ones."""
    disk = Full(monkeypatch, room)
    writer = Writer(Chain(str(tmp_path), 1, 1 << 20, 1 << 30), "run", True, 0)
    for first in range(0, 30, 5):
        writer.take(message(range(first, first + 5)), float(first) / 10)
    assert writer.lost
    assert "No space left" in writer.lost_why
    disk.room = 1 << 20
    assert writer.on_time(10.0) in (True, False)
    writer.take(message(range(30, 33)), 10.1)
    writer.sync()
    found = verified(tmp_path)
    assert [str(problem) for problem in found.problems] == []
    assert found.missing == writer.missing > 0
    operations = [entry["operation"] for entry in entries(tmp_path)]
    assert operations.count("gap") == 1
    assert operations[-3:] == ["create"] * 3
    assert operations.count("create") + operations.count("start") + found.missing == 33


def test_syncing_that_fails_is_told_and_another_segment_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """trust.md F5: nothing is tried again on a file whose sync failed."""
    writer = Writer(Chain(str(tmp_path), 1, 1 << 20, 1 << 30), "run", True, 0)
    writer.take(message(range(3)), 0.0)
    monkeypatch.setattr(os, "fdatasync", fail)
    writer.sync()
    monkeypatch.undo()
    writer.take(message(range(3, 6)), 0.1)
    writer.sync()
    assert segments(str(tmp_path)) == [1, 2]
    found = verified(tmp_path)
    assert found.problems == []
    assert any("syncing" in note and "failed" in note for note in found.notes)


def fail(fd: int) -> None:
    raise OSError(5, "Input/output error")


def test_a_process_that_dies_between_writing_and_taking_repeats_nothing(tmp_path: Path) -> None:
    """The message is still in the socket: by its numbers the next process knows its lines."""
    ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.send(message(range(5)))
    first = Writer(Chain(str(tmp_path), 1, 1 << 20, 1 << 30), "run", True, 0)
    first.take(childs.recv(1 << 20, socket.MSG_PEEK), 0.0)  # and is killed here
    first.chain.close()
    ours.send(message(range(5, 8)))
    ours.shutdown(socket.SHUT_WR)
    second = Writer(Chain(str(tmp_path), 1, 1 << 20, 1 << 30), "run", False, 0)
    serve(childs, second)
    second.chain.close()
    found = verified(tmp_path)
    assert [str(problem) for problem in found.problems] == []
    numbers = [entry["n"] for entry in entries(tmp_path) if entry["operation"] == "create"]
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    segment, seq, _, missing, head = STATUS.unpack(ours.recv(STATUS.size))
    assert (segment, missing) == (1, 0)
    assert entries(tmp_path)[seq - 1]["hash"] == head.hex()
    ours.close()
    childs.close()


@pytest.mark.parametrize("end", range(0, 400, 37))
def test_a_process_that_dies_in_the_middle_of_a_line_repeats_that_line_alone(
    tmp_path: Path, end: int
) -> None:
    first = Writer(Chain(str(tmp_path), 1, 1 << 20, 1 << 30), "run", True, 0)
    first.take(message(range(9)), 0.0)
    first.chain.close()
    path = tmp_path / segment_name(1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - end])
    second = Writer(Chain(str(tmp_path), 1, 1 << 20, 1 << 30), "run", False, 0)
    second.take(message(range(9)), 0.0)
    second.take(message(range(9, 12)), 0.0)
    second.chain.close()
    found = verified(tmp_path)
    assert [str(problem) for problem in found.problems] == []
    numbers = [entry["n"] for entry in entries(tmp_path) if entry["operation"] == "create"]
    assert numbers == list(range(1, 12))


def test_a_folder_is_one_processes_own_until_it_has_ended(start_node: Callable[..., Node]) -> None:
    """A server that starts while the old one's audit process still writes waits for it."""
    node = start_node(JOURNAL)
    pid = audit_pid(node)
    os.kill(pid, signal.SIGSTOP)
    kill_all(node, also_audit=False)
    try:
        node.start()
        client = RawClient(node.port)
        client.connect()
        client.request(1, 1, create_body("/a"))
        assert client.reply()[2] == 0
        assert not any(e["operation"] == "create" for e in entries(folder_of(node)))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert told(folder_of(node), 1)[0]["path"] == "/a"
    client.close()
    assert verified(folder_of(node)).problems == []
    assert struct.calcsize(STATUS.format) == STATUS.size
