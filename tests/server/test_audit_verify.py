"""A kept journal that was touched is found out, and where (issue: "any edited, dropped or swapped
line is found"); what a crash leaves is named and no fault."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble.server.audit_chain import Chain, find_tail, segment_name, segments
from ensemble.tenancy.journal_line import Line
from tests.server.audits import entries, make_journal, verified

LINES = 60
SEGMENT_BYTES = 6_000


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of three segments and more."""
    folder = tmp_path_factory.mktemp("kept") / "audit"
    make_journal(folder, LINES, SEGMENT_BYTES)
    assert len(segments(str(folder))) >= 3
    return folder


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_what_was_written_verifies_over_all_segments(kept: Path) -> None:
    found = verified(kept)
    assert found.problems == []
    assert found.notes == []
    assert found.lines == len(entries(kept))
    assert found.seq == found.lines
    assert found.first_seq == 1


def test_every_line_of_the_chain_is_ascii_json_with_a_number_and_two_hashes(kept: Path) -> None:
    before = "0" * 64
    for at, entry in enumerate(entries(kept), 1):
        assert entry["seq"] == at
        assert entry["prev"] == before
        before = str(entry["hash"])


class Touch:
    """One thing that somebody does to a copy of a journal, and where it must be found."""

    def __init__(self, folder: Path, segment: int, line: int) -> None:
        self.path = folder / segment_name(segment)
        self.lines = lines_of(self.path)
        self.line = line % len(self.lines)

    def save(self) -> None:
        self.path.write_bytes(b"".join(self.lines))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    what=st.sampled_from(["flip", "drop", "swap", "double", "cut", "insert"]),
    segment=st.integers(1, 3),
    line=st.integers(0, 1_000),
    at=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_any_change_is_found_and_its_segment_is_named(
    kept: Path,
    tmp_path_factory: pytest.TempPathFactory,
    what: str,
    segment: int,
    line: int,
    at: int,
    bit: int,
) -> None:
    folder = tmp_path_factory.mktemp("touched") / "audit"
    shutil.copytree(kept, folder)
    last = segments(str(folder))[-1]
    assert last > 3, "the end of the journal is another matter: see the anchors"
    touch = Touch(folder, segment, line)
    line = touch.line
    raw = touch.lines[line]
    at %= len(raw)
    named = {segment}
    if what == "flip":
        if line == len(touch.lines) - 1:
            named.add(segment + 1)  # which begins with the hash of this line
        touch.lines[line] = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
    elif what == "drop":
        del touch.lines[line]
        named.add(segment + 1)  # the last line of a segment: missed by the next one
    elif what == "swap":
        other = (line + 1) % len(touch.lines)
        touch.lines[line], touch.lines[other] = touch.lines[other], raw
        named.add(segment + 1)
    elif what == "double":
        touch.lines.insert(line, raw)
    elif what == "cut":
        touch.lines[line] = raw[:at]
        del touch.lines[line + 1 :]
        named.add(segment + 1)
    else:
        touch.lines.insert(line, b'{"seq":1,"operation":"create"}\n')
    touch.save()
    found = verified(folder)
    assert found.problems, f"{what} of line {line + 1}"
    assert {problem.segment for problem in found.problems} <= named
    if what in ("flip", "insert"):
        assert found.problems[0].line in (line + 1, line + 2)
    shutil.rmtree(folder)


def test_an_edited_line_is_named_with_its_place_and_only_that_one(
    kept: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    shutil.copytree(kept, folder)
    touch = Touch(folder, 2, 5)
    touch.lines[5] = touch.lines[5].replace(b"app@payments", b"eve@payments")
    touch.save()
    assert [str(problem) for problem in verified(folder).problems] == [
        "audit-00000002.jsonl:6: its hash is not that of its content: edited"
    ]


def test_a_line_that_is_made_with_a_hash_of_its_own_breaks_the_next_one(
    kept: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    shutil.copytree(kept, folder)
    touch = Touch(folder, 2, 5)
    from ensemble.tenancy.journal_line import seal

    entry = json.loads(touch.lines[5])
    prev = entry.pop("prev")
    entry.pop("hash")
    entry["principal"] = "eve@payments"
    text = json.dumps(entry, separators=(",", ":"))[:-1]
    touch.lines[5] = seal(text, prev)[0]
    assert not Line(touch.lines[5]).why
    touch.save()
    found = verified(folder).problems
    assert [(p.segment, p.line) for p in found] == [(2, 7)]


def test_a_segment_that_is_gone_from_the_middle_or_the_beginning_is_missed(
    kept: Path, tmp_path: Path
) -> None:
    for gone, why in (
        (2, "segments 2 to 2 before it are gone"),
        (1, "segments 1 to 1 are gone: the server kept them"),
    ):
        folder = tmp_path / f"without-{gone}"
        shutil.copytree(kept, folder)
        (folder / segment_name(gone)).unlink()
        assert why in [problem.why for problem in verified(folder).problems]


def test_a_torn_last_line_is_named_and_no_fault(kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    shutil.copytree(kept, folder)
    last = folder / segment_name(segments(str(folder))[-1])
    raw = lines_of(last)
    last.write_bytes(b"".join(raw[:-1]) + raw[-1][:40])
    found = verified(folder)
    assert found.problems == []
    assert len(found.notes) == 1
    assert f"{last.name}:{len(raw)}: torn, 40 bytes" in found.notes[0]


def test_a_record_that_is_missing_is_told_or_a_fault(tmp_path: Path) -> None:
    from ensemble.server.audit_lines import LineMaker
    from tests.server.audits import records

    maker = LineMaker(1)
    for told in (True, False):
        folder = tmp_path / f"told-{told}"
        folder.mkdir()
        chain = Chain(str(folder), 1, 1 << 20, 1 << 30)
        chain.resume()
        made = records(range(6))
        texts = [maker.start(made[0], "run"), maker.event(made[1])]
        if told:
            texts.append(maker.gap(2, 4, 0x10, 0x12, "the disk was full", 1, "run"))
        texts.append(maker.event(made[5]))
        chain.append(texts)
        chain.close()
        found = verified(folder)
        if told:
            assert found.problems == []
            assert found.missing == 3
            assert "3 records are missing, 0x10 to 0x12: the disk was full" in found.notes[0]
        else:
            assert "record 5 of the run follows 1, and nothing says why" in found.problems[0].why


def test_only_the_oldest_segments_go_and_the_chain_says_from_where_it_is_kept(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "audit"
    make_journal(folder, 200, SEGMENT_BYTES, 3 * SEGMENT_BYTES)
    numbers = segments(str(folder))
    assert numbers[0] > 1
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4 * SEGMENT_BYTES
    found = verified(folder)
    assert found.problems == []
    assert found.first_seq > 1
    (folder / segment_name(numbers[0])).unlink()
    why = verified(folder).problems[0].why
    assert "are gone: the server kept them" in why


@pytest.mark.parametrize(
    "anchor", [b"", b"[]", b"{}", b'{"seq":"x","hash":1,"segment":1}', b"\xff"]
)
def test_an_anchor_that_is_none_is_said_so(kept: Path, anchor: bytes) -> None:
    found = verified(kept)
    assert "holds no head" in found.compare("server 1", anchor)
    assert found.problems


def test_anchors_find_a_chain_that_was_cut_off_or_written_anew(kept: Path, tmp_path: Path) -> None:
    from ensemble.server.audit_verify import Verifier

    head = entries(kept)[30]
    anchor = json.dumps({"segment": 2, "seq": head["seq"], "hash": head["hash"]}).encode()
    good = Verifier(str(kept))
    good.run_over({31})
    assert good.compare("server 1", anchor) == "server 1: line 31 is as it was committed"
    anew = tmp_path / "anew"
    make_journal(anew, 70, SEGMENT_BYTES + 500)
    other = Verifier(str(anew))
    other.run_over({31})
    assert other.problems == []
    assert "written anew" in other.compare("server 1", anchor)
    short = tmp_path / "short"
    make_journal(short, 10, SEGMENT_BYTES)
    cut = Verifier(str(short))
    cut.run_over({31})
    assert "cut off" in cut.compare("server 1", anchor)


def test_where_to_go_on_is_found_behind_any_torn_end(tmp_path: Path) -> None:
    """Every length that a crash may leave the last segment with."""
    folder = tmp_path / "audit"
    make_journal(folder, 5)
    path = folder / segment_name(1)
    whole = path.read_bytes()
    ends = [0]
    for raw in whole.splitlines(keepends=True):
        ends.append(ends[-1] + len(raw))
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        tail = find_tail(str(folder))
        assert not tail.is_damaged
        assert tail.size == max(end for end in ends if end <= size)
        assert tail.seq == sum(1 for end in ends[1:] if end <= size)


def test_the_chain_goes_on_after_a_torn_line_and_in_a_new_segment_after_damage(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "audit"
    make_journal(folder, 5)
    path = folder / segment_name(1)
    path.write_bytes(path.read_bytes()[:-20])
    make_journal(folder, 0)
    assert segments(str(folder)) == [1]
    found = verified(folder)
    assert found.problems == []
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"/n2", b"/x2"))
    make_journal(folder, 0)
    assert segments(str(folder)) == [1, 2]
    assert {p.segment for p in verified(folder).problems} == {1, 2}
    assert "edited" in verified(folder).problems[0].why
