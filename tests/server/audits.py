"""What the tests of the audit journal share: a kept one read back, and some made for them."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from ensemble.server.audit_chain import Chain, segment_name, segments
from ensemble.server.audit_lines import LineMaker
from ensemble.server.audit_records import (
    NOBODY,
    START,
    Record,
    encode_actor,
    read_message,
    write_message_header,
    write_part,
    write_record,
)
from ensemble.server.audit_verify import Verifier
from ensemble.wire import codes
from ensemble.wire.jute import BytesWriter, write_int
from tests.harness import Node

Entry = dict[str, object]
JOURNAL = {
    "ensemble.audit.journal": "on",
    "ensemble.audit.syncMs": 20,
    "ensemble.audit.anchorMs": 0,
    "admin.enableServer": "false",  # its library is most of a start
}
WAIT_S = 10.0


def folder_of(node: Node) -> Path:
    return node.folder / "data" / "audit"


def entries(folder: Path) -> list[Entry]:
    """Every whole line that is there now; of a segment that goes meanwhile, none."""
    found: list[Entry] = []
    for number in segments(str(folder)):
        with contextlib.suppress(FileNotFoundError):
            raw = (folder / segment_name(number)).read_bytes()
            lines = raw.splitlines(keepends=True)
            found += [json.loads(line) for line in lines if line.endswith(b"\n")]
    return found


def wait_for(folder: Path, holds: Callable[[list[Entry]], bool]) -> list[Entry]:
    """The lines, once they are as wanted: another process writes them."""
    deadline = time.monotonic() + WAIT_S
    while True:
        found = entries(folder)
        if holds(found):
            return found
        assert time.monotonic() < deadline, f"after {WAIT_S} s only {found[-5:]}"
        time.sleep(0.01)


def of_clients(found: list[Entry]) -> list[Entry]:
    """Without what the journal says of itself, and without sessions."""
    own = ("segment", "start", "stop", "resume", "createSession", "closeSession")
    return [entry for entry in found if entry["operation"] not in own]


def told(folder: Path, count: int) -> list[Entry]:
    """What clients did, at least so many lines of it."""
    return of_clients(wait_for(folder, lambda found: len(of_clients(found)) >= count))


def verified(folder: Path) -> Verifier:
    verifier = Verifier(str(folder))
    verifier.run_over()
    return verifier


def message(numbers: range, paths: list[bytes] | None = None, wall_ms: int = 1) -> bytes:
    """A message of the node: a start if it begins with number 0, else creates."""
    out = BytesWriter()
    write_message_header(out, wall_ms)
    actor = encode_actor(b"127.0.0.1", b"payments", b"app@payments")
    for number in numbers:
        if number == 0:
            write_record(out, 0, START, 0, 0, 0, 0, 0, NOBODY)
            write_int(out, 0)
            continue
        write_record(out, number, codes.OP_CREATE, 0, 0, number, 7, 0, actor)
        write_int(out, 1)
        write_part(out, codes.OP_CREATE, paths[number] if paths else b"/n%d" % number)
    return out.getvalue()


def records(numbers: range) -> list[Record]:
    return read_message(message(numbers))


def make_journal(
    folder: Path, lines: int, segment_bytes: int = 1 << 16, keep_bytes: int = 1 << 30
) -> Chain:
    """A journal of a start and creates up to number `lines`, closed."""
    folder.mkdir(parents=True, exist_ok=True)
    chain = Chain(str(folder), 1, segment_bytes, keep_bytes)
    chain.resume()
    maker = LineMaker(1)
    for record in records(range(lines + 1)):
        if record.op == START:
            chain.append([maker.start(record, "run")])
            chain.run = "run"
        else:
            chain.append([maker.event(record)])
        chain.number = int(record.number)
    chain.close()
    return chain
