"""Every operation, with what it gives and what it refuses, on our server and on Apache's."""

import asyncio
from collections.abc import Callable

import pytest

from ensemble.client import (
    CREATOR_ACL,
    OPEN_ACL,
    READ_ACL,
    Acl,
    BadArgumentsError,
    BadVersionError,
    Client,
    ClientError,
    ClosedError,
    CreateMode,
    Id,
    InvalidAclError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    digest_id,
    four_letter,
)
from ensemble.client.modes import TTL_MS_MAX
from ensemble.wire import codes

EPHEMERAL = CreateMode.EPHEMERAL
SEQUENTIAL = CreateMode.PERSISTENT_SEQUENTIAL


# Create


async def test_create_gives_the_path_and_with_stat_the_stat(place: str) -> None:
    async with Client(place) as zk:
        assert await zk.create("/a") == "/a"
        path, stat = await zk.create_with_stat("/b", b"data")
        assert path == "/b"
        assert stat == await zk.exists("/b")
        assert (stat.data_bytes, stat.version, stat.num_children) == (4, 0, 0)
        assert stat.czxid == stat.mzxid == stat.pzxid == zk.last_zxid


async def test_sequential_names_count_upwards_and_may_have_an_empty_stem(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/q")
        names = [await zk.create("/q/n-", mode=SEQUENTIAL) for _ in range(3)]
        assert names == [f"/q/n-{n:010}" for n in range(3)]
        assert await zk.create("/q/", mode=SEQUENTIAL) == "/q/0000000003"


async def test_an_ephemeral_is_its_sessions_and_goes_with_it(place: str) -> None:
    async with Client(place) as other:
        async with Client(place) as zk:
            await zk.create("/e", mode=EPHEMERAL)
            await zk.create("/e-", mode=CreateMode.EPHEMERAL_SEQUENTIAL)
            stat = await other.exists("/e")
            assert stat is not None
            assert stat.ephemeral_owner == zk.session_id
            with pytest.raises(NoChildrenForEphemeralsError):
                await zk.create("/e/child")
        assert await other.children("/") == []


@pytest.mark.parametrize(
    ("mode", "ttl_ms"),
    [
        (CreateMode.CONTAINER, None),
        (CreateMode.PERSISTENT_WITH_TTL, 60_000),
        (CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, TTL_MS_MAX),
    ],
)
async def test_containers_and_ttl_znodes_are_made_and_have_no_owner(
    place: str, mode: CreateMode, ttl_ms: int | None
) -> None:
    async with Client(place) as zk:
        path, stat = await zk.create_with_stat("/c", b"x", mode=mode, ttl_ms=ttl_ms)
        assert path == ("/c0000000000" if mode.is_sequential else "/c")
        assert (stat.data_bytes, stat.ephemeral_owner) == (1, 0)
        assert await zk.create(f"{path}/child") == f"{path}/child"


async def test_create_refuses_what_is_there_and_what_has_no_parent(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        with pytest.raises(NodeExistsError) as caught:
            await zk.create("/a")
        assert caught.value.path == "/a"
        with pytest.raises(NoNodeError, match="/b/c"):
            await zk.create("/b/c")


@pytest.mark.parametrize("acl", [[], [Acl(31, Id("nosuch", "x"))], [Acl(31, Id("digest", "x"))]])
async def test_an_acl_that_makes_no_sense_is_refused(place: str, acl: list[Acl]) -> None:
    async with Client(place) as zk:
        with pytest.raises(InvalidAclError):
            await zk.create("/a", acl=acl)
        with pytest.raises(InvalidAclError):
            await zk.set_acl("/", acl)


# What the caller got wrong raises at the call, and nothing is sent


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda zk: zk.get("a"), "must start with /"),
        (lambda zk: zk.exists("/a/"), "end with /"),
        (lambda zk: zk.children("/a//b"), "empty name"),
        (lambda zk: zk.get_acl("/a/.."), "must not be .."),
        (lambda zk: zk.delete("/\0"), "character 0x0 at 1"),
        (lambda zk: zk.set("/\ud800", b""), "character 0xd800 at 1"),
        (lambda zk: zk.sync(""), "must start with /"),
        (lambda zk: zk.all_children_count("x"), "must start with /"),
        (lambda zk: zk.ephemerals("x"), "must start with /"),
        (lambda zk: zk.ephemerals("/\ud800"), "character 0xd800"),
        (lambda zk: zk.create("/a/"), "end with /"),
        (lambda zk: zk.set("/a", b"", 2**32 - 1), "version 4294967295 is not in"),
        (lambda zk: zk.delete("/a", -(2**31) - 1), "version -2147483649 is not in"),
        (lambda zk: zk.set_acl("/a", OPEN_ACL, 2**31), "version 2147483648 is not in"),
        (lambda zk: zk.reconfig(joining="", config_version=2**63), "is not in"),
        (lambda zk: zk.create("/a", acl=[Acl(32, Id("world", "anyone"))]), "permissions 32"),
        (lambda zk: zk.create("/a", acl=[Acl(-1, Id("world", "anyone"))]), "permissions -1"),
        (lambda zk: zk.create("/a", mode=CreateMode.PERSISTENT_WITH_TTL), "got None"),
        (lambda zk: zk.create("/a", mode=CreateMode.PERSISTENT_WITH_TTL, ttl_ms=0), "got 0"),
        (
            lambda zk: zk.create("/a", mode=CreateMode.PERSISTENT_WITH_TTL, ttl_ms=TTL_MS_MAX + 1),
            f"1..{TTL_MS_MAX}",
        ),
        (lambda zk: zk.create("/a", ttl_ms=5), "takes no ttl_ms"),
        (lambda zk: zk.transaction().set("/a", b"", 2**31), "version 2147483648"),
        (lambda zk: zk.transaction().check("/a", 2**31), "version 2147483648"),
        (lambda zk: zk.transaction().delete("a"), "must start with /"),
        (lambda zk: zk.multi_read().get("a"), "must start with /"),
        (lambda zk: zk.add_watch("a", print), "must start with /"),
        (lambda zk: zk.remove_watches("a"), "must start with /"),
    ],
)
async def test_a_mistake_is_told_at_the_call_with_value_and_bound(
    call: Callable[[Client], object], named: str
) -> None:
    with pytest.raises(BadArgumentsError) as caught:
        call(Client("127.0.0.1:1"))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"timeout": 0}, "timeout of 0"),
        ({"timeout": float("nan")}, "timeout of nan"),
        ({"requests_max": 0}, "requests_max is 0"),
        ({"requests_bytes_max": 0}, "requests_bytes_max is 0"),
        ({"request_bytes_max": 7}, "request_bytes_max is 7"),
        ({"reply_bytes_max": 10}, "reply_bytes_max is 10, at least 1024"),
    ],
)
async def test_settings_are_checked(settings: dict[str, float], named: str) -> None:
    with pytest.raises(BadArgumentsError, match=named):
        Client("127.0.0.1:1", **settings)  # type: ignore[arg-type]


async def test_before_connect_there_is_no_session() -> None:
    zk = Client("127.0.0.1:1")
    with pytest.raises(ClosedError, match="not connected yet"):
        zk.get("/")
    await zk.drain()
    await zk.close()


# Read


async def test_get_gives_data_and_stat_and_null_reads_as_empty(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a", bytes(range(256)))
        data, stat = await zk.get("/a")
        assert data == bytes(range(256))
        assert stat.data_bytes == 256
        await zk.create("/null", None)
        assert (await zk.get("/null"))[0] == b""
        with pytest.raises(NoNodeError, match="/b"):
            await zk.get("/b")


async def test_exists_gives_none_for_what_is_not_there(place: str) -> None:
    async with Client(place) as zk:
        assert await zk.exists("/a") is None
        assert await zk.exists("/a/b/c") is None
        await zk.create("/a")
        assert await zk.exists("/a") is not None


async def test_children_with_and_without_the_parents_stat(place: str) -> None:
    async with Client(place) as zk:
        await asyncio.gather(*(zk.create(f"/{n}") for n in "cab"))
        assert sorted(await zk.children("/")) == ["a", "b", "c"]
        names, stat = await zk.children_with_stat("/")
        assert sorted(names) == ["a", "b", "c"]
        assert stat.num_children == 3
        for call in (zk.children("/x"), zk.children_with_stat("/x")):
            with pytest.raises(NoNodeError):
                await call


async def test_all_children_are_counted_at_any_depth(place: str) -> None:
    async with Client(place) as zk:
        for path in ("/a", "/a/b", "/a/b/c", "/d"):
            await zk.create(path)
        assert await zk.all_children_count("/") == 4
        assert await zk.all_children_count("/a") == 2
        assert await zk.all_children_count("/d") == 0
        with pytest.raises(NoNodeError):
            await zk.all_children_count("/none")


async def test_ephemerals_are_listed_by_prefix_and_only_inside_of_the_chroot(place: str) -> None:
    async with Client(place) as zk:
        for path in ("/a", "/ab", "/b"):
            await zk.create(path, mode=EPHEMERAL)
        assert sorted(await zk.ephemerals()) == ["/a", "/ab", "/b"]
        assert sorted(await zk.ephemerals("/a")) == ["/a", "/ab"]
        assert await zk.ephemerals("/x/") == []


async def test_unicode_names_and_large_data_pass(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/grüße-日本", b"x" * 1_000_000)
        assert await zk.children("/") == ["grüße-日本"]
        assert (await zk.get("/grüße-日本"))[0] == b"x" * 1_000_000


async def test_sync_gives_the_path_and_works_where_nothing_is(place: str) -> None:
    async with Client(place) as zk:
        assert await zk.sync() == "/"
        assert await zk.sync("/nothing") == "/nothing"


async def test_the_configuration_is_read_past_the_chroot(place: str) -> None:
    async with Client(place) as zk:
        data, stat = await zk.config()
        assert data == b""
        assert stat.data_bytes == 0


# Write


async def test_set_replaces_at_the_right_version_only(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a", b"0")
        stat = await zk.set("/a", b"1", 0)
        assert stat.version == 1
        with pytest.raises(BadVersionError) as caught:
            await zk.set("/a", b"2", 0)
        assert caught.value.path == "/a"
        assert (await zk.set("/a", b"3")).version == 2
        with pytest.raises(NoNodeError):
            await zk.set("/b", b"")


async def test_delete_wants_the_right_version_and_no_children(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        await zk.create("/a/b")
        with pytest.raises(NotEmptyError):
            await zk.delete("/a")
        with pytest.raises(BadVersionError):
            await zk.delete("/a/b", 7)
        await zk.delete("/a/b", 0)
        await zk.delete("/a")
        with pytest.raises(NoNodeError):
            await zk.delete("/a")


async def test_an_acl_is_replaced_at_the_right_version_and_then_holds(place: str) -> None:
    async with Client(place) as zk, Client(place) as other:
        await zk.create("/a", b"x")
        mine = Acl(31, digest_id("ann", "secret"))
        stat = await zk.set_acl("/a", [mine, *READ_ACL], 0)
        assert stat.aversion == 1
        with pytest.raises(NoAuthError):
            await other.set("/a", b"y")
        assert (await other.get("/a"))[0] == b"x"
        shown, _ = await other.get_acl("/a")
        assert shown[0].id == Id("digest", "ann:x"), "the digest is hidden"
        await zk.add_auth("digest", b"ann:secret")
        assert (await zk.get_acl("/a"))[0] == [mine, *READ_ACL]
        with pytest.raises(BadVersionError):
            await zk.set_acl("/a", OPEN_ACL, 0)
        with pytest.raises(NoNodeError):
            await zk.set_acl("/none", OPEN_ACL)


async def test_whoami_tells_every_identity(place: str) -> None:
    async with Client(place, auth=[("digest", b"ann:secret")]) as zk:
        await zk.add_auth("digest", b"bob:secret")
        found = {(each.scheme, each.id) for each in await zk.whoami()}
        assert found == {("digest", "ann"), ("digest", "bob"), ("ip", "127.0.0.1")}
        await zk.create("/a", acl=CREATOR_ACL)
        users = {entry.id.id.partition(":")[0] for entry in (await zk.get_acl("/a"))[0]}
        assert users == {"ann", "bob"}


async def test_reconfig_is_refused_by_a_server_that_stands_alone(place: str) -> None:
    async with Client(place) as zk:
        with pytest.raises(ClientError) as caught:
            await zk.reconfig(joining="server.2=127.0.0.1:1:2:observer;3")
        assert caught.value.code == codes.RECONFIG_DISABLED


async def test_four_letter_words_answer_without_a_session(place: str) -> None:
    host, _, port = place.partition("/")[0].partition(":")
    assert await four_letter(host, int(port), "ruok") == "imok"
    with pytest.raises(BadArgumentsError, match="four-letter"):
        await four_letter(host, int(port), "srvr2")


# Many at once


async def test_replies_come_in_the_order_of_the_requests(place: str) -> None:
    async with Client(place) as zk:
        await zk.create("/a")
        order: list[int] = []
        calls: list[asyncio.Future[object]] = []
        for n in range(300):
            call: asyncio.Future[object] = asyncio.ensure_future(
                zk.set("/a", b"") if n % 3 == 0 else zk.get("/a") if n % 3 == 1 else zk.exists("/x")
            )
            call.add_done_callback(lambda _, n=n: order.append(n))  # type: ignore[misc]
            calls.append(call)
        results = await asyncio.gather(*calls)
        assert order == list(range(300))
        seen = [result[1].version for result in results[1::3] if isinstance(result, tuple)]
        assert seen == list(range(1, 101)), "each read sees the write before it"


async def test_one_failure_in_a_pipeline_concerns_nobody_else(place: str) -> None:
    async with Client(place) as zk:
        calls = [zk.create(f"/{n % 50}") for n in range(100)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[:50] == [f"/{n}" for n in range(50)]
        assert all(isinstance(result, NodeExistsError) for result in results[50:])
