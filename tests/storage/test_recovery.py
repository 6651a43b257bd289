"""Recovery from real servers' directories, and from damaged ones.

`data/` holds directories written by Apache ZooKeeper and what a real server answers on each.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from histories import History, payload, picture
from simdisk import SimDisk

from ensemble.errors import StorageError
from ensemble.storage import snapfile
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import Layout
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.storage.redo import Change
from ensemble.storage.txnlog import TxnLog
from ensemble.tree.datatree import DataTree
from ensemble.tree.znode import Znode
from ensemble.wire import codes
from ensemble.wire.txns import ErrorTxn

DATA = Path(__file__).parent / "data"
DIRECTORIES = sorted(path.parent.name for path in DATA.glob("*/expected.json"))
EDITS: list[dict[str, Any]] = json.loads((DATA / "edits.json").read_text())

# What Java skips silently and we refuse (storage.md 3.6, the MUSTs), with what our text says.
REFUSED_BY_US = {
    "end-byte-zeroed-middle": "the end byte is 0x0",
    "missing-older-log": "transactions are missing",
    "append-zxid-gap": "transactions are missing",
    "append-lower-zxid": "comes again",
    "append-wrong-digest": "does not match the digest",  # I12, B10: Java only logs it
    "append-closeSession-digest-only": "does not match the digest",  # Java misreads the digest
}
# What Java refuses to start on and we know for a torn tail of the newest file: it was never
# acknowledged, since a sync would have completed it.
STARTED_BY_US = {
    "payload-bit-flipped-last": 0x2A,
    "length-negative-last": 0x2A,
    "length-minus-one-last": 0x2A,
    "length-huge-last": 0x2A,
    "short-header-last-file": 0x2B,
}


def audit(tree: DataTree) -> None:
    """Indexes, digest and sizes are what the znodes say."""
    again = DataTree(tree.extended_types)
    again.clear()
    for path in sorted(tree.nodes):
        node = tree.nodes[path]
        parent = None if path == b"/" else again.nodes[path.rpartition(b"/")[0] or b"/"]
        copy = Znode(node.data, again.acls.take(node.acl.entries), node.owner, 0, 0)
        for name in ("czxid", "mzxid", "pzxid", "ctime", "mtime"):
            setattr(copy, name, getattr(node, name))
        for name in ("version", "cversion", "aversion"):
            setattr(copy, name, getattr(node, name))
        again.insert(path, copy, parent)
    again.sessions.update(tree.sessions)
    again.last_zxid = tree.last_zxid
    assert picture(again) == picture(tree)


def load(folder: Path, **options: Any) -> DataTree:
    recovered = recover(
        OsDisk(), Layout(str(folder)), RecoveryOptions(extended_types=True, **options)
    )
    return recovered.tree


def session_text(session_id: int) -> str:
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"


def ephemerals(tree: DataTree) -> dict[str, list[str]]:
    return {
        session_text(owner): sorted(path.decode() for path in paths)
        for owner, paths in tree.ephemerals.items()
    }


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_real_servers_directory_loads_to_what_that_server_answers(
    name: str, tmp_path: Path
) -> None:
    shutil.copytree(DATA / name, tmp_path / "data")
    expected = json.loads((DATA / name / "expected.json").read_text())
    tree = load(tmp_path / "data")
    assert tree.last_zxid == int(expected["lastZxid"], 16)
    assert set(tree.nodes) == {path.encode() for path in expected["nodes"]}
    wanted_ephemerals = {
        owner: sorted(paths) for owner, paths in expected["ephemeralsBySession"].items()
    }
    assert ephemerals(tree) == wanted_ephemerals
    for text, wanted in expected["nodes"].items():
        node = tree.nodes[text.encode()]
        data = None if node.data is None else node.data.hex()
        assert data == wanted["data"], text
        assert sorted(c.rpartition(b"/")[2].decode() for c in node.children or ()) == sorted(
            wanted["children"]
        )
        acl = [
            {"perms": entry.perms, "scheme": entry.id.scheme, "id": entry.id.id}
            for entry in node.acl.entries
        ]
        assert acl == wanted["acl"], text
        stat = tree.stat_of(node)
        if text == "/zookeeper/config":
            continue  # rewritten locally by a quorum server at every start (storage.md 5.1)
        assert {
            "czxid": stat.czxid,
            "mzxid": stat.mzxid,
            "ctime": stat.ctime,
            "mtime": stat.mtime,
            "version": stat.version,
            "cversion": stat.cversion,
            "aversion": stat.aversion,
            "ephemeralOwner": stat.ephemeral_owner & 0xFFFFFFFFFFFFFFFF,
            "dataLength": stat.data_bytes,
            "numChildren": stat.num_children,
            "pzxid": stat.pzxid,
        } == {**wanted["stat"], "ephemeralOwner": wanted["stat"]["ephemeralOwner"] & 2**64 - 1}, (
            text
        )


def edit(folder: Path, step: list[Any]) -> None:
    """One step of an edit list (the forms are those of edits.json)."""
    kind, name = step[0], folder / step[1]
    if kind == "truncate":
        with name.open("r+b") as file:
            file.truncate(step[2])
    elif kind == "delete":
        name.unlink()
    elif kind == "create":
        name.write_bytes(bytes.fromhex(step[2]))
    else:
        data = bytearray(name.read_bytes())
        if kind == "zero":
            data[step[2] : step[3]] = bytes(step[3] - step[2])
        elif kind == "xor":
            data[step[2]] ^= step[3]
        else:
            assert kind == "write", kind
            raw = bytes.fromhex(step[3])
            data[step[2] : step[2] + len(raw)] = raw
        name.write_bytes(data)


@pytest.mark.parametrize("case", EDITS, ids=lambda case: str(case["name"]))
def test_damage_is_dropped_or_refused_as_the_rules_say(
    case: dict[str, Any], tmp_path: Path
) -> None:
    """storage.md 3.6: where Java starts, the same state, or a refusal of what it loses silently."""
    shutil.copytree(DATA / str(case["base"]), tmp_path / "version-2")
    for step in case["edits"]:
        edit(tmp_path / "version-2", step)
    name = str(case["name"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "version-2").iterdir()}
    refused = name in REFUSED_BY_US or not (case["server_starts"] or name in STARTED_BY_US)
    if refused:
        with pytest.raises(StorageError, match=REFUSED_BY_US.get(name, str(tmp_path))) as error:
            load(tmp_path)
        assert "version-2" in str(error.value), "the text names a file or a folder"
        after = {path.name: path.read_bytes() for path in (tmp_path / "version-2").iterdir()}
        assert after == before, "nothing is changed before it is sure that the server starts"
        return
    tree = load(tmp_path)
    audit(tree)
    assert picture(load(tmp_path)) == picture(tree), "a second start finds the same"
    if name in STARTED_BY_US:
        assert tree.last_zxid == STARTED_BY_US[name]
        return
    assert tree.last_zxid == int(case["lastZxid"], 16)
    assert len(tree.nodes) == case["nodeCount"] - 1  # Java has its root under two names
    children = [c.decode()[1:] for c in tree.nodes[b"/"].children or ()]
    assert sorted(children) == sorted(case["children"])
    assert ephemerals(tree) == {o: sorted(p) for o, p in case["ephemerals"].items()}
    node = tree.nodes[b"/p"]
    assert (node.data or b"").decode() == case["node_p"]["data"]
    root = tree.stat_of(tree.nodes[b"/"])
    # Java fixes the parent's numbers for type 1 alone; storage.md 6.2 says to do it for all.
    if name != "append-create2-existing-node":
        wanted = case["root"]
        assert (root.cversion, root.pzxid) == (wanted["cversion"], wanted["pzxid"])


def test_no_case_of_the_tables_above_is_unknown() -> None:
    names = {str(case["name"]) for case in EDITS}
    assert names >= set(REFUSED_BY_US) | set(STARTED_BY_US)


# Recent transactions, for learners that were away for a moment (zab.md 4.2)


def recent_of(disk: SimDisk, recent_max: int = 500) -> tuple[int, list[int]]:
    layout = Layout("/data")
    recovered = recover(disk, layout, RecoveryOptions(recent_max=recent_max))
    return recovered.snapshot_zxid, [zxid for zxid, _ in recovered.recent]


def server(count: int, snapshot_at: int) -> tuple[SimDisk, History]:
    disk = SimDisk()
    layout = Layout("/data")
    layout.make_folders(disk)
    history = History(8)
    snapfile.save(disk, layout, history.tree)
    log = TxnLog(disk, layout, prealloc_kb=0)
    for _ in range(count):
        log.append(*history.grow())
        if history.last_zxid == snapshot_at:
            snapfile.save(disk, layout, history.tree)
    log.roll()
    return disk, history


@pytest.mark.parametrize(
    ("count", "snapshot_at", "recent_max", "wanted"),
    [
        (0, 0, 500, []),
        (30, 0, 500, list(range(1, 31))),
        (30, 20, 500, list(range(21, 31))),
        (30, 30, 500, []),
        (30, 0, 10, list(range(21, 31))),
        (700, 0, 500, list(range(201, 701))),
    ],
)
def test_the_last_replayed_transactions_are_kept(
    count: int, snapshot_at: int, recent_max: int, wanted: list[int]
) -> None:
    disk, history = server(count, snapshot_at)
    assert recent_of(disk, recent_max) == (snapshot_at, wanted)
    recovered = recover(disk, Layout("/data"), RecoveryOptions(recent_max=recent_max))
    assert recovered.recent == [(zxid, history.payloads[zxid - 1]) for zxid in wanted]


@pytest.mark.parametrize(("first", "wanted"), [(1, [1, 2]), (0, [])])
def test_a_new_epoch_goes_on_only_where_nothing_can_be_missing(
    first: int, wanted: list[int]
) -> None:
    """zab.md 9: a record with counter 0 proves nothing about what was before it."""
    disk, history = server(2, 0)
    epoch = 1 << 32
    log = TxnLog(disk, Layout("/data"), prealloc_kb=0)
    for zxid in (epoch + first, epoch + first + 1):
        op, txn = codes.OP_ERROR, ErrorTxn(codes.NO_NODE)
        log.append(zxid, payload(history.tree, zxid, op, txn))
    log.roll()
    assert recent_of(disk) == (0, [*wanted, epoch + first, epoch + first + 1])


def test_a_decided_change_of_history_is_completed_first() -> None:
    disk, history = server(30, 20)
    change = Change()
    change.remove("snapshot.14")
    size = disk.files["/data/version-2/log.1"].live.index(history.payloads[9]) - 12
    change.cut("log.1", size)
    file = disk.create("/data/version-2/redo")
    file.write(change.text())
    file.close()
    recovered = recover(disk, Layout("/data"), RecoveryOptions())
    assert recovered.tree.last_zxid == 9
    assert "1 files removed, 1 cut" in recovered.notes[0]
    assert not disk.exists("/data/version-2/redo")
