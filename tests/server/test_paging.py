"""Pages of large tables: complete, in order, and never long on the node's thread."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.server.admin_protocol import BadQuery
from ensemble.server.paging import (
    SCANS_MAX,
    SCANS_WAITING_MAX,
    SLICE,
    Scans,
    TooManyScans,
    next_keys,
    path_of,
    session_id_of,
    session_text,
    shown,
)


@given(st.sets(st.integers(-1_000, 1_000)), st.integers(1, 50))
def test_pages_together_are_the_whole_in_order(keys: set[int], limit: int) -> None:
    async def all_pages() -> list[int]:
        found: list[int] = []
        after: int | None = None
        while True:
            page, more = await next_keys(keys, after, limit)
            assert len(page) <= limit
            found += page
            if not more:
                return found
            after = page[-1]

    assert asyncio.run(all_pages()) == sorted(keys)


async def test_D5_a_large_table_is_looked_through_in_slices() -> None:
    """Others have their turn after every slice, and a key is looked at once."""
    keys = {n * 7919 % 1_000_003: None for n in range(50 * SLICE)}
    turns = 0
    looked_at = 0

    def wanted(key: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return key % 2 == 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    page, more = await next_keys(keys, 1_000, 100, wanted)
    task.cancel()
    assert page == sorted(key for key in keys if key > 1_000 and key % 2 == 0)[:100]
    assert more
    assert turns >= 49
    assert looked_at <= len(keys)


async def test_a_table_may_change_while_it_is_looked_through() -> None:
    keys = dict.fromkeys(range(10 * SLICE))

    async def change() -> None:
        for key in range(0, 10 * SLICE, 2):
            del keys[key]
            if key % SLICE == 0:
                await asyncio.sleep(0)

    task = asyncio.create_task(change())
    page, _ = await next_keys(keys, None, 10)
    await task
    assert page == sorted(page)
    assert len(page) == 10


async def test_D5_only_so_many_are_at_it_and_only_so_many_wait() -> None:
    scans = Scans()
    release = asyncio.Event()
    running = 0

    async def one() -> None:
        nonlocal running
        async with scans:
            running += 1
            await release.wait()

    tasks = [asyncio.create_task(one()) for _ in range(SCANS_MAX + SCANS_WAITING_MAX)]
    await asyncio.sleep(0)
    assert running == SCANS_MAX
    with pytest.raises(TooManyScans, match="16 other pages"):
        await scans.__aenter__()
    release.set()
    await asyncio.gather(*tasks)
    async with scans:
        pass


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_session_ids_come_back_as_they_were(session_id: int) -> None:
    assert session_id_of(session_text(session_id), "after") == session_id
    assert session_id_of(str(session_id), "after") == session_id


@pytest.mark.parametrize("text", ["", "0x", "x", "1.5", "0x1" + "0" * 16, "-0x1" * 2, "9" * 40])
def test_what_is_no_session_id_is_refused(text: str) -> None:
    with pytest.raises(BadQuery, match="after="):
        session_id_of(text, "after")


@given(st.binary())
def test_paths_come_back_as_they_were(path: bytes) -> None:
    assert path_of(shown(path)) == path
