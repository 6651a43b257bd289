"""Transactions and bulk reads, on our server and on Apache's."""

from collections.abc import Callable

import pytest

from ensemble.client import (
    BadArgumentsError,
    BadVersionError,
    Client,
    ClientError,
    CreateMode,
    NodeExistsError,
    NoNodeError,
    Stat,
    Transaction,
    WatchEvent,
)


async def test_each_operation_has_its_result_in_order(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/old", b"")
        transaction = (
            zk.transaction()
            .create("/a", b"1")
            .create("/a/n-", mode=CreateMode.PERSISTENT_SEQUENTIAL)
            .create("/c", b"22", with_stat=True)
            .create("/box", mode=CreateMode.CONTAINER)
            .create("/ttl", mode=CreateMode.PERSISTENT_WITH_TTL, ttl_ms=60_000)
            .set("/a", b"4444", 0)
            .check("/a", 1)
            .delete("/old")
        )
        assert len(transaction) == 8
        results = await transaction.commit()
        assert results[:2] == ["/a", "/a/n-0000000000"]
        with_stat = results[2]
        assert isinstance(with_stat, tuple)
        assert with_stat[0] == "/c"
        assert with_stat[1].data_bytes == 2
        assert results[3:5] == ["/box", "/ttl"]
        assert isinstance(results[5], Stat)
        assert results[5].version == 1
        assert results[6:] == [None, None]
        assert with_stat[1].czxid == results[5].mzxid == zk.last_zxid, "one transaction, one zxid"
        assert sorted(await zk.children("/")) == ["a", "box", "c", "ttl"]


@pytest.mark.parametrize("at", [0, 1, 3])
async def test_a_failure_undoes_all_and_names_the_operation(place: str, at: int) -> None:
    async with Client(place) as zk:
        await zk.create("/v", b"0")
        transaction = zk.transaction()
        for n in range(4):
            if n == at:
                transaction.set("/v", b"1", 7)
            else:
                transaction.create(f"/{n}")
        with pytest.raises(BadVersionError, match=rf"operation {at}: /v") as caught:
            await transaction.commit()
        assert (caught.value.index, caught.value.path) == (at, "/v")
        assert await zk.children("/") == ["v"]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda t: t.create("/a"), NodeExistsError),
        (lambda t: t.create("/x/y"), NoNodeError),
        (lambda t: t.delete("/x"), NoNodeError),
        (lambda t: t.check("/x", -1), NoNodeError),
        (lambda t: t.check("/a", 1), BadVersionError),
        (lambda t: t.delete("/a", 1), BadVersionError),
    ],
)
async def test_each_kind_of_operation_can_be_the_one_that_fails(
    place: str, spoil: Callable[[Transaction], Transaction], error: type[ClientError]
) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        with pytest.raises(error) as caught:
            await spoil(zk.transaction().create("/b")).commit()
        assert caught.value.index == 1
        assert await zk.exists("/b") is None


async def test_an_operation_sees_those_before_it(place: str) -> None:
    async with Client(place) as zk:
        await zk.transaction().create("/a").create("/a/b").delete("/a/b").delete("/a").commit()
        assert await zk.children("/") == []


async def test_an_empty_transaction_gives_nothing(place: str) -> None:
    async with Client(place) as zk:
        assert await zk.transaction().commit() == []
        assert await zk.multi_read().fetch() == []


async def test_a_transaction_is_committed_once(place: str) -> None:
    async with Client(place) as zk:
        transaction = zk.transaction().create("/a")
        await transaction.commit()
        for again in (transaction.commit, lambda: transaction.delete("/a")):
            with pytest.raises(BadArgumentsError, match="committed before"):
                again()
        assert await zk.exists("/a") is not None


async def test_a_large_transaction_passes(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/many")
        transaction = zk.transaction()
        for n in range(5_000):
            transaction.create(f"/many/{n:05}")
        results = await transaction.commit()
        assert results == [f"/many/{n:05}" for n in range(5_000)]
        stat = await zk.exists("/many")
        assert stat is not None
        assert stat.num_children == 5_000


async def test_a_failed_transaction_fires_no_watch_and_a_good_one_all(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        events: list[WatchEvent] = []
        await zk.add_watch("/", events.append, recursive=True)
        with pytest.raises(ClientError):
            await zk.transaction().set("/a", b"1").delete("/none").commit()
        assert events == []
        await zk.transaction().set("/a", b"1").create("/b").delete("/a").commit()
        assert [event.path for event in events] == ["/a", "/b", "/a"]


async def test_a_bulk_read_gives_each_result_or_its_error(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a", b"x")
        await zk.create("/a/b")
        reads = zk.multi_read().get("/a").children("/a").get("/none").children("/none").get("/a/b")
        assert len(reads) == 5
        data, names, no_data, no_names, last = await reads.fetch()
        assert isinstance(data, tuple)
        assert data[0] == b"x"
        assert names == ["b"]
        for missing in (no_data, no_names):
            assert isinstance(missing, NoNodeError)
            assert missing.path == "/none"
        assert isinstance(last, tuple)
        assert last[0] == b""
