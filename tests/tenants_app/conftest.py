"""The cast, plans, and a real node with a registry that the plane holds the key of."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User

from ensemble.admin import provision
from ensemble.admin.keys import save_key
from ensemble.client import delete_tree
from tenants import nodes, publication, reach
from tenants.actions import ensembles, plans
from tenants.actions.ensembles import NodeSpec
from tenants.audit import PLANE, Actor
from tenants.models import Ensemble, Plan
from tests.harness import Node, free_port
from tests.server.feeds import CONTROL
from tests.tenants import KEY, operator, trusting

PASSWORD = "correct horse battery"
TOKEN = "read-token-of-the-tests"


@dataclass(frozen=True, slots=True)
class Cast:
    """olga operates, ada audits, alice owns, dan develops, bob views, carol is a stranger."""

    olga: User
    ada: User
    alice: User
    dan: User
    bob: User
    carol: User


@pytest.fixture
def cast(db: None) -> Cast:
    def person(name: str, **fields: bool) -> User:
        return User.objects.create_user(name, password=PASSWORD, **fields)

    ada = person("ada")
    ada.groups.add(Group.objects.get_or_create(name="auditors")[0])
    olga = person("olga", is_staff=True)
    return Cast(olga, ada, person("alice"), person("dan"), person("bob"), person("carol"))


def acts(user: User) -> Actor:
    return Actor(user, "form", "127.0.0.1")


@pytest.fixture
def small(db: None) -> Plan:
    plans.create_defaults()
    return Plan.objects.get(name="small")


@pytest.fixture(scope="module")
def registry_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with a registry and an admin port."""
    folder = Path(tmp_path_factory.mktemp("node"))
    (folder / "admin.read").write_text(TOKEN + "\n")
    (folder / "admin.control").write_text(CONTROL + "\n")
    admin_port = free_port()
    node = Node(
        folder / "node",
        {
            **trusting(folder / "keys"),
            "ensemble.admin.readTokens": folder / "admin.read",
            "ensemble.admin.controlTokens": folder / "admin.control",
            "admin.enableServer": "true",
            "admin.serverPort": admin_port,
            "admin.serverAddress": "127.0.0.1",
        },
        {},
        [],
    ).start()
    node.admin_port = admin_port  # type: ignore[attr-defined]
    asyncio.run(init(node))
    yield node
    node.kill9()


async def init(node: Node) -> None:
    async with operator(node.address) as admin:
        await provision.init(admin, KEY.id, KEY.public)


async def clear(node: Node) -> None:
    """As before the test before this one."""
    async with operator(node.address) as admin:
        for kept in await provision.read_all(admin):
            if kept.draft is None:
                await admin.delete(provision.path_of(kept.slug))
            else:
                await provision.delete(admin, kept.slug, with_data=True)
        if await admin.exists("/tenants") is not None:
            await delete_tree(admin, "/tenants")


def put_keys(folder: Path) -> None:
    """What the plane needs to sign in at an ensemble."""
    folder.mkdir(parents=True)
    save_key(KEY, folder / "operator.key")
    (folder / "admin.read").write_text(TOKEN + "\n")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an action waits for is for people; here a busy machine is no fault."""
    monkeypatch.setattr(publication, "NOW_WITHIN_S", 30.0)
    monkeypatch.setattr(nodes, "ASK_WITHIN_S", 20.0)


@pytest.fixture
def home(settings: object, tmp_path: Path) -> Iterator[Path]:
    """The plane's folder, and no connections from before."""
    settings.VAR = tmp_path / "var"  # type: ignore[attr-defined]
    put_keys(tmp_path / "var" / "ensembles" / "one")
    reach.stop()
    yield tmp_path / "var"
    reach.stop()


@pytest.fixture
def one(db: None, home: Path, registry_node: Node) -> Ensemble:
    """An ensemble of one real node, whose admin port the plane knows."""
    admin_url = f"http://127.0.0.1:{registry_node.admin_port}"  # type: ignore[attr-defined]
    asyncio.run(clear(registry_node))
    return ensembles.register(
        PLANE,
        name="one",
        hosts=registry_node.address,
        nodes=[NodeSpec("node1", registry_node.address, admin_url)],
    )


@pytest.fixture
def nowhere(db: None, home: Path) -> Ensemble:
    """An ensemble that does not answer."""
    put_keys(home / "ensembles" / "nowhere")
    return ensembles.register(PLANE, name="nowhere", hosts=f"127.0.0.1:{free_port()}")
