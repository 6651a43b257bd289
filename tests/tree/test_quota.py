"""Quotas: their texts, who owns a node, usage that follows, limits that hold (quotas.md)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workbench import Bench, audit, created, deleted, written

from ensemble.tree.prepare import PrepareOptions
from ensemble.tree.quota import (
    I64_MAX,
    I64_MIN,
    QuotaIndex,
    format_limits,
    format_usage,
    limited_path,
    parse_limits,
    parse_pieces,
    parse_usage,
)

LIMITS = b"/zookeeper/quota/q/zookeeper_limits"
STATS = b"/zookeeper/quota/q/zookeeper_stats"


def limited(text: bytes, enforce: bool = True) -> Bench:
    """A tree with a quota on /q, made as the stock client makes it."""
    bench = Bench(PrepareOptions(enforce_quota=enforce))
    bench.create(b"/q")
    bench.create(b"/zookeeper/quota/q", None)
    bench.create(LIMITS, text)
    bench.create(STATS, b"count=0,bytes=0")
    return bench


@pytest.mark.parametrize(
    ("text", "count", "size", "count_hard", "bytes_hard"),
    [
        (None, -1, -1, -1, -1),
        (b"", -1, -1, -1, -1),
        (b"count=5,bytes=-1=;byteHardLimit=100;countHardLimit=7", 5, -1, 7, 100),
        (b"count=0", 0, -1, -1, -1),
        (b"count==5,bytes=3", -1, 3, -1, -1),
        (b"count=5=6", 5, -1, -1, -1),
        (b";;,,count=5,", 5, -1, -1, -1),
        (b"countHardLimit=5,nonsense", -1, -1, 5, -1),
        (b"count=,countHardLimit=5", -1, -1, 5, -1),
        (b"count=x,bytes=7", -1, 7, -1, -1),
        (b"count=+5", 5, -1, -1, -1),
        (b"count= 5", -1, -1, -1, -1),
        (b"count=1_0", -1, -1, -1, -1),
        (b"count=\xd9\xa3", -1, -1, -1, -1),
        (b"count=99999999999999999999", I64_MAX, -1, -1, -1),
        (b"count=-99999999999999999999", I64_MIN, -1, -1, -1),
        (b"count=" + b"9" * 9_000, I64_MAX, -1, -1, -1),
        (b"\xff\xfe=5", -1, -1, -1, -1),
    ],
)
def test_how_limits_are_read(
    text: bytes | None, count: int, size: int, count_hard: int, bytes_hard: int
) -> None:
    """quotas.md 2 and 7: what does not parse limits nothing."""
    limits = parse_limits(text)
    found = (limits.count_soft, limits.bytes_soft, limits.count_hard, limits.bytes_hard)
    assert found == (count, size, count_hard, bytes_hard)


def test_how_limits_and_usage_are_written() -> None:
    """quotas.md 2: the forms of the stock client."""
    text = b"count=5,bytes=-1=;byteHardLimit=100;countHardLimit=7"
    assert format_limits(parse_limits(text)) == text
    assert format_usage(2, 8) == b"count=2,bytes=8"
    assert parse_usage(b"count=2,bytes=8") == (2, 8)
    assert parse_usage(b"count=2,bytes=?") is None


@given(st.binary(max_size=60) | st.text(alphabet="count=bytes,;-0123456789", max_size=40))
def test_no_text_raises(text: bytes | str) -> None:
    """quotas.md 7."""
    raw = text if isinstance(text, bytes) else text.encode()
    numbers, _ = parse_pieces(raw)
    assert all(I64_MIN <= number <= I64_MAX for number in numbers.values())


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"/zookeeper/quota/a/zookeeper_limits", b"/a"),
        (b"/zookeeper/quota/a/b/zookeeper_limits", b"/a/b"),
        (b"/zookeeper/quota/zookeeper_limits", None),
        (b"/zookeeper/zookeeper_limits", None),
        (b"/zookeeper/quotaX/zookeeper_limits", None),
        (b"/zookeeper/quota/a/zookeeper_limitsX", None),
        (b"/zookeeper/quota/a/Xzookeeper_limits", None),
        (b"/zookeeper/quota/zookeeper_limits/zookeeper_limits", b"/zookeeper_limits"),
        (b"/zookeeper_limits", None),
    ],
)
def test_which_nodes_are_limits(path: bytes, target: bytes | None) -> None:
    """quotas.md 7: by whole components, and never for the root."""
    assert limited_path(path, b"/zookeeper_limits") == target


def test_the_owner_is_the_deepest_limited_path() -> None:
    """quotas.md 3."""
    index = QuotaIndex()
    index.add(b"/a")
    index.add(b"/a/b")
    owners = [
        index.owner_of(path) for path in (b"/a", b"/a/bc", b"/a/b", b"/a/b/c/d", b"/ab", b"/")
    ]
    found = [None if owner is None else owner.path for owner in owners]
    assert found == [b"/a", b"/a", b"/a/b", b"/a/b", None, None]


def test_usage_follows_every_change_below_the_limited_path() -> None:
    """quotas.md 4: data lengths and nodes, the limited one included; no stat field moves."""
    bench = limited(b"count=-1,bytes=-1", enforce=False)
    assert bench.data(STATS) == b"count=1,bytes=0"
    before = bench.tree.stat_of(bench.tree.nodes[STATS]).as_tuple()
    bench.create(b"/q/a", b"12345")
    assert bench.data(STATS) == b"count=2,bytes=5"
    bench.set_data(b"/q", b"123")
    bench.set_data(b"/q/a", None)
    assert bench.data(STATS) == b"count=2,bytes=3"
    bench.create(b"/q/e", b"1", flags=1)
    bench.create(b"/qq", b"1234567")
    assert bench.data(STATS) == b"count=3,bytes=4"
    bench.close_session()
    assert bench.data(STATS) == b"count=2,bytes=3"
    after = bench.tree.stat_of(bench.tree.nodes[STATS]).as_tuple()
    assert [before[i] for i in range(11) if i != 8] == [after[i] for i in range(11) if i != 8]
    audit(bench.tree)


def test_stats_are_counted_when_their_node_is_created() -> None:
    """quotas.md 3: whatever the client sent."""
    bench = Bench()
    bench.create(b"/q", b"12")
    bench.create(b"/q/a", b"345")
    bench.create(b"/zookeeper/quota/q")
    bench.create(STATS, b"nonsense")
    assert bench.data(STATS) == b"count=2,bytes=5"
    bench.create(b"/q/b")
    assert bench.data(STATS) == b"count=2,bytes=5", "not limited, so nothing follows"


def test_a_deleted_limit_leaves_the_stats_as_they_were() -> None:
    """quotas.md 3."""
    bench = limited(b"countHardLimit=2")
    bench.delete(LIMITS)
    bench.create(b"/q/a")
    bench.create(b"/q/b")
    assert bench.data(STATS) == b"count=1,bytes=0"
    assert bench.tree.quotas.by_path == {}


def test_without_stats_nothing_is_counted_or_checked() -> None:
    """quotas.md 4 and 5."""
    bench = limited(b"countHardLimit=1")
    bench.delete(STATS)
    assert [bench.create(path).error for path in (b"/q/a", b"/q/b")] == [0, 0]
    bench.create(STATS)
    assert bench.data(STATS) == b"count=3,bytes=0"
    assert bench.create(b"/q/c").error == -125


def test_usage_written_by_hand_is_the_base_of_what_follows() -> None:
    """quotas.md 3; a text that does not parse is counted again (7)."""
    bench = limited(b"countHardLimit=100")
    bench.set_data(STATS, b"count=50,bytes=7")
    bench.create(b"/q/a", b"1")
    assert bench.data(STATS) == b"count=51,bytes=8"
    for nonsense in (b"count=x", b"\xff", b"count=5,,bytes"):
        bench.set_data(STATS, nonsense)
        bench.set_data(b"/q/a", b"22")
        assert bench.data(STATS) == b"count=2,bytes=2"
        bench.set_data(STATS, nonsense)
        bench.delete(b"/q/a")
        assert bench.data(STATS) == b"count=1,bytes=0"
        bench.set_data(STATS, nonsense)
        bench.create(b"/q/a", b"1")
        assert bench.data(STATS) == b"count=2,bytes=1"


@pytest.mark.parametrize(
    "usage",
    [
        b"count=9223372036854775807,bytes=9223372036854775807",
        b"count=-9223372036854775808,bytes=-9223372036854775808",
    ],
)
def test_usage_at_the_end_of_64_bits_is_clamped(usage: bytes) -> None:
    """quotas.md 7."""
    bench = limited(b"countHardLimit=5,byteHardLimit=5")
    bench.set_data(STATS, usage)
    bench.create(b"/q/a", b"1")
    bench.delete(b"/q/a")
    assert bench.data(STATS) is not None
    audit(bench.tree)


def test_a_create_beyond_the_count_is_refused() -> None:
    """quotas.md 5."""
    bench = limited(b"count=1,countHardLimit=2")
    assert [bench.create(path).error for path in (b"/q/a", b"/q/b", b"/x")] == [0, -125, 0]
    bench.delete(b"/q/a")
    assert bench.create(b"/q/b").error == 0


def test_the_byte_limit_looks_at_differences_only() -> None:
    """quotas.md 5: [21]."""
    bench = limited(b"byteHardLimit=10")
    assert bench.create(b"/q/a", b"x" * 10).error == 0
    assert bench.create(b"/q/b").error == 0, "no bytes, no check"
    assert bench.create(b"/q/c", b"x").error == -125
    assert bench.set_data(b"/q/a", b"y" * 10).error == 0
    assert bench.set_data(b"/q/a", b"y" * 11, 99).error == -125, "before the version"
    bench.set_data(LIMITS, b"byteHardLimit=3")
    assert bench.set_data(b"/q/a", b"y" * 9).error == -125, "smaller, but still above the limit"
    assert bench.delete(b"/q/a").error == 0


def test_soft_limits_refuse_nothing_and_zero_is_a_limit() -> None:
    """quotas.md 2 and 5."""
    assert limited(b"count=0,bytes=0").create(b"/q/a", b"x").error == 0
    assert limited(b"countHardLimit=0").create(b"/q/a").error == -125
    assert limited(b"countHardLimit=-1").create(b"/q/a").error == 0
    assert limited(b"countHardLimit=0", enforce=False).create(b"/q/a").error == 0


def test_the_limit_is_exact_in_a_pipeline() -> None:
    """I18: what is proposed counts, in both directions."""
    bench = limited(b"countHardLimit=3,byteHardLimit=10")
    bench.hold = True
    errors = [
        bench.create(b"/q/a", b"12345").error,
        bench.create(b"/q/b", b"12345").error,
        bench.create(b"/q/c").error,
        bench.set_data(b"/q/a", b"123456").error,
        bench.delete(b"/q/b").error,
        bench.set_data(b"/q/a", b"123456").error,
        bench.create(b"/q/c", b"1234").error,
        bench.create(b"/q/d").error,
    ]
    assert errors == [0, 0, -125, -125, 0, 0, 0, -125]
    bench.commit()
    assert bench.data(STATS) == b"count=3,bytes=10"
    assert bench.preparer.pending.usage == {}


def test_the_limit_is_exact_in_a_multi() -> None:
    """quotas.md 5: where the Java server lets both pass [21]."""
    bench = limited(b"countHardLimit=2")
    assert bench.multi_errors([created(b"/q/a"), created(b"/q/b")]) == [0, -125]
    errors = bench.multi_errors([created(b"/q/a"), deleted(b"/q/a"), created(b"/q/b")])
    assert errors == [0, 0, 0]
    assert bench.data(STATS) == b"count=2,bytes=0"


def test_an_undone_multi_takes_nothing_from_the_limit() -> None:
    """I16 and I18 together."""
    bench = limited(b"countHardLimit=2,byteHardLimit=5")
    bench.hold = True
    for _ in range(3):
        bench.multi([created(b"/q/a", b"12345"), written(b"/q/none", b"")])
    assert bench.preparer.pending.usage == {}
    assert bench.create(b"/q/a", b"12345").error == 0


def test_closing_a_session_frees_what_it_held() -> None:
    """quotas.md 4: in a pipeline too."""
    bench = limited(b"countHardLimit=2")
    bench.open_session(99)
    bench.create(b"/q/e", flags=1, session_id=99)
    bench.hold = True
    assert bench.create(b"/q/a").error == -125
    bench.close_session(99)
    assert bench.create(b"/q/a").error == 0


def test_new_limits_count_from_the_next_request() -> None:
    """quotas.md 3: even when they are only proposed."""
    bench = limited(b"countHardLimit=9")
    bench.hold = True
    bench.set_data(LIMITS, b"countHardLimit=1")
    assert bench.create(b"/q/a").error == -125


def test_a_quota_on_the_root_is_no_quota() -> None:
    """quotas.md 7."""
    bench = Bench(PrepareOptions(enforce_quota=True))
    bench.create(b"/zookeeper/quota/zookeeper_limits", b"countHardLimit=0")
    bench.create(b"/zookeeper/quota/zookeeper_stats", b"mine")
    assert bench.create(b"/a").error == 0
    assert bench.data(b"/zookeeper/quota/zookeeper_stats") == b"mine"


def test_nested_quotas_charge_the_inner_one_alone() -> None:
    """quotas.md 3: the outer one counts everything again when it is computed anew."""
    bench = limited(b"countHardLimit=100")
    bench.create(b"/q/in")
    bench.create(b"/zookeeper/quota/q/in")
    bench.create(b"/zookeeper/quota/q/in/zookeeper_limits", b"")
    bench.create(b"/zookeeper/quota/q/in/zookeeper_stats", b"")
    bench.create(b"/q/in/a", b"12")
    assert bench.data(b"/zookeeper/quota/q/in/zookeeper_stats") == b"count=2,bytes=2"
    assert bench.data(STATS) == b"count=2,bytes=0"
    bench.tree.rebuild_quotas()
    assert bench.data(STATS) == b"count=3,bytes=2"
    assert bench.data(b"/zookeeper/quota/q/in/zookeeper_stats") == b"count=2,bytes=2"


def test_nodes_below_the_limits_do_not_hide_them_from_a_restart() -> None:
    """quotas.md 7: indexed by name before and after."""
    bench = limited(b"countHardLimit=1")
    bench.create(LIMITS + b"/below")
    bench.tree.rebuild_quotas()
    assert bench.create(b"/q/a").error == -125
