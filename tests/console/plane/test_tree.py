"""A tenant's znodes in the person's own name: the node holds the wall and the role."""

import asyncio
import json
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client as Browser

from console.asgi import router
from console.live import LiveConsumer
from tenants import reach
from tenants.models import Ensemble, Membership, Tenant
from tests.console.cast import browser_of
from tests.console.plane.conftest import Go, text_of
from tests.harness import Node
from tests.tenants import operator

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
BASE = "/tenants/shop/znodes"
JSON = {"accept": "application/json"}
HOST = b"127.0.0.1:8000"


@pytest.fixture
def tree(shop: Tenant, registry_node: Node) -> Tenant:
    """Two znodes in the shop, and one beside it."""

    async def fill() -> None:
        async with operator(registry_node.address) as client:
            await client.create("/tenants/shop/config", b'{"a": 1}')
            await client.create("/tenants/shop/config/deep", b"")
            if await client.exists("/outside") is None:
                await client.create("/outside", b"not theirs")

    asyncio.run(fill())
    return shop


@pytest.mark.parametrize("name", ["bob", "dan", "alice", "olga"])
def test_members_see_the_tenants_root_as_slash_and_nothing_else(
    name: str, go: Go, tree: Tenant
) -> None:
    page = go(name, f"{BASE}/at/config")
    assert page.status_code == 200
    assert f'data-root="{BASE}/at/"' in text_of(page)
    assert 'data-live="/live/tenants/shop"' in text_of(page)
    rows = go(name, f"{BASE}/children", None, data={"path": "/"}).json()["rows"]
    assert [row[0] for row in rows] == ["config", "zookeeper"]
    assert go(name, f"{BASE}/data", None, data={"path": "/config"}).json()["text"] == '{"a": 1}'
    for path in ("/outside", "/tenants/shop", "/../outside"):
        answer = go(name, f"{BASE}/data", None, data={"path": path}, headers=JSON)
        assert answer.status_code in (400, 404), path


def test_who_may_write_and_who_may_not(go: Go, tree: Tenant, registry_node: Node) -> None:
    made = {"parent": "/", "name": "new", "mode": "persistent", "text": "x"}
    assert go("bob", f"{BASE}/create", made, headers=JSON).status_code == 403
    assert go("ada", f"{BASE}/at/", headers=JSON).status_code == 200, "auditors read what is kept"
    assert go("ada", f"{BASE}/create", made, headers=JSON).status_code == 403
    assert go("carol", f"{BASE}/at/", headers=JSON).status_code == 404
    assert go("carol", f"{BASE}/create", made, headers=JSON).status_code == 404
    assert go("dan", f"{BASE}/create", made, headers=JSON).status_code == 201
    shown = go("dan", f"{BASE}/data", None, data={"path": "/new"}).json()
    sent = {"path": "/new", "version": "0", "czxid": shown["czxid"], "text": "y", "format": "text"}
    assert go("dan", f"{BASE}/save", sent, headers=JSON).json()["version"] == 1
    assert go("dan", f"{BASE}/save", sent, headers=JSON).status_code == 409
    gone = {"path": "/new", "version": "1", "confirm": "new"}
    assert go("dan", f"{BASE}/delete", gone, headers=JSON).status_code == 200


def test_the_node_itself_refuses_what_a_faulty_page_would_let_through(
    cast: dict[str, Any], tree: Tenant
) -> None:
    """Had the console no check at all, the assertion that bob comes with is a reader's."""
    from ensemble.client import ClientError

    bridge = reach.as_person(tree, cast["bob"], Membership.objects.get(user=cast["bob"]).role)
    with pytest.raises(ClientError, match=r"(?i)auth"):
        bridge.run(lambda client: client.create("/new", b""))


def test_operators_browse_a_chosen_ensemble_in_their_own_name(
    go: Go, tree: Tenant, one: Any
) -> None:
    where = "/ensembles/one/znodes"
    rows = go("olga", f"{where}/children", None, data={"path": "/"}).json()["rows"]
    assert {"outside", "tenants", "zookeeper"} <= {row[0] for row in rows}
    assert go("alice", f"{where}/at/", headers=JSON).status_code == 403
    assert go("ada", f"{where}/at/", headers=JSON).status_code == 200
    made = {"parent": "/", "name": "by-ada", "mode": "persistent"}
    assert go("ada", f"{where}/create", made, headers=JSON).status_code == 403
    assert go("olga", "/ensembles/none/znodes/at/").status_code == 404
    assert [name.who for name in reach.pool()._bridges if name.tenant == "*"].count("olga") == 1


def test_an_ensemble_of_apaches_is_browsed_and_edited_as_it_is(
    go: Go, home: Any, registry_node: Node
) -> None:
    """With a plain connection, and the one credential that was given for it."""
    (home / "ensembles" / "old").mkdir(parents=True)
    (home / "ensembles" / "old" / "auth").write_text("digest:curator:secret\n")
    hosts = registry_node.address
    Ensemble.objects.create(name="old", kind="apache", hosts=hosts, takes_tenants=False)
    where = "/ensembles/old/znodes"
    made = {"parent": "/", "name": f"by-hand-{hosts[-5:]}", "mode": "persistent", "text": "x"}
    answer = go("olga", f"{where}/create", made, headers=JSON)
    assert answer.status_code == 201, text_of(answer)
    path = answer.json()["path"]
    shown = go("olga", f"{where}/data", None, data={"path": path}).json()
    assert shown["text"] == "x"
    gone = {"path": path, "version": "0", "confirm": made["name"]}
    assert go("olga", f"{where}/delete", gone, headers=JSON).status_code == 200
    page = text_of(go("ada", "/ensembles/old/"))
    assert "needs our nodes" in page
    assert "auth: signs in" in page


def test_without_a_key_the_page_says_which_one_is_missing(go: Go, tenant: Tenant) -> None:
    page = go("bob", "/tenants/payments/znodes/at/")
    assert page.status_code == 503
    assert "operator" in text_of(page)
    data = go("bob", "/tenants/payments/znodes/data", None, data={"path": "/"}, headers=JSON)
    assert data.status_code == 503


# The websocket


def socket(browser: Browser, path: str) -> WebsocketCommunicator:
    key = browser.cookies[settings.SESSION_COOKIE_NAME].value
    headers = [
        (b"host", HOST),
        (b"origin", b"http://" + HOST),
        (b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()),
    ]
    return WebsocketCommunicator(router, path, headers=headers)


@pytest.fixture
def browsers(
    transactional_db: None, cast: dict[str, AbstractBaseUser], tree: Tenant
) -> dict[str, Browser]:
    LiveConsumer.open_pages.clear()
    return {name: browser_of(cast, name) for name in ("bob", "carol", "ada", "olga")}


@pytest.mark.django_db(transaction=True, databases=["default", "observed"])
async def test_a_tenants_changes_are_told_to_its_people_and_to_nobody_else(
    browsers: dict[str, Browser], registry_node: Node
) -> None:
    page = socket(browsers["carol"], "/live/tenants/shop")
    assert (await page.connect())[0] is False
    assert (await socket(browsers["bob"], "/live/tenants/none").connect())[0] is False
    assert (await socket(browsers["bob"], "/live/ensembles/one").connect())[0] is False
    assert (await socket(browsers["bob"], "/live").connect())[0] is False, "the whole tree"
    page = socket(browsers["bob"], "/live/tenants/shop")
    assert (await page.connect())[0] is True
    await page.send_to(json.dumps({"do": "watch", "path": "/config"}))
    while not any(bridge._watchers for bridge in reach.pool()._bridges.values()):
        assert await page.receive_nothing(timeout=0.05)
    async with operator(registry_node.address) as client:
        await client.set("/tenants/shop/config", b"changed")
    told = json.loads(await page.receive_from(timeout=10))
    assert told["events"] == [{"event": "data", "path": "/config"}]
    await page.disconnect()
