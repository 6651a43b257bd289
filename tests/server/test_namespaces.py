"""Metrics by the first name of a path, and soft quotas, on a real node."""

import json
import time
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import QuotaExceededError
from prometheus_client.parser import text_string_to_metric_families

from ensemble.server.namespaces import NAMESPACES_MAX, NamespaceSet
from tests.harness import Node
from tests.server import tenant_steps as steps
from tests.server.test_admin_port import ask


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("names") / "node", {"enforceQuota": "true"}, {}, []).start()
    yield node
    node.kill9()


def monitored(node: Node) -> dict[str, object]:
    found: dict[str, object] = json.loads(ask(node, "/commands/monitor")[1])
    return found


def quota(client: KazooClient, path: str, limits: str) -> None:
    client.ensure_path(f"/zookeeper/quota{path}")
    client.create(f"/zookeeper/quota{path}/zookeeper_limits", limits.encode())
    client.create(f"/zookeeper/quota{path}/zookeeper_stats", b"count=0,bytes=0")


def test_bytes_read_and_written_are_summed_by_the_first_name(node: Node) -> None:
    client = steps.client(node)
    client.create("/app", b"x" * 10)  # 4 + 10
    client.create("/app/n", b"x" * 20)  # 6 + 20
    client.set("/app/n", b"x" * 30)  # 6 + 30
    client.get("/app/n")  # 6 + 30
    client.get("/app")  # 4 + 10
    client.delete("/app/n")  # 6
    found = monitored(node)
    assert found["cnt_app_write_per_namespace"] == 4
    assert found["sum_app_write_per_namespace"] == 14 + 26 + 36 + 6
    assert found["min_app_write_per_namespace"] == 6
    assert found["max_app_write_per_namespace"] == 36
    assert found["cnt_app_read_per_namespace"] == 2
    assert found["sum_app_read_per_namespace"] == 36 + 14
    assert found["avg_app_read_per_namespace"] == "25.0"
    words = node.word("mntr").decode()
    assert "zk_sum_app_read_per_namespace\t50\n" in words
    steps.leave(client)


def test_what_a_quota_refuses_is_counted_by_name_and_hostile_names_are_escaped(node: Node) -> None:
    client = steps.client(node)
    name = 'q"\\u'
    client.create(f"/{name}")
    quota(client, f"/{name}", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2")
    client.create(f"/{name}/one")
    for _ in range(3):
        with pytest.raises(QuotaExceededError):
            client.create(f"/{name}/two")
    assert monitored(node)[f"{name}_quota_exceeded_error_per_namespace"] == 3
    families = {f.name: f for f in text_string_to_metric_families(ask(node, "/metrics")[1])}
    samples = families["quota_exceeded_error_per_namespace"].samples
    assert [(s.labels["key"], s.value) for s in samples] == [(name, 3.0)]
    assert name in {s.labels["key"] for s in families["write_per_namespace"].samples}
    steps.leave(client)


def test_a_soft_quota_is_warned_of_once_until_it_was_kept_again(node: Node) -> None:
    client = steps.client(node)
    client.create("/soft")
    quota(client, "/soft", "count=2,bytes=-1")

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 20
        while node.log().count("soft quota of '/soft': 3 znodes, the limit is 2") < count:
            assert time.monotonic() < deadline
            node.word("ruok")

    client.create("/soft/a")
    client.create("/soft/b")
    wait_for(1)
    client.set("/soft/a", b"more")
    client.delete("/soft/b")
    node.word("ruok")
    end = time.monotonic() + 2.5  # the quotas are looked at every second
    while time.monotonic() < end:
        node.word("ruok")
    assert node.log().count("soft quota of") == 1
    client.create("/soft/c")
    wait_for(2)
    steps.leave(client)


def test_only_so_many_names_are_counted() -> None:
    names = NamespaceSet()
    for n in range(NAMESPACES_MAX + 50):
        names.add(f"/n{n}/below".encode(), 1)
    names.add(b"/n0", 5)
    names.add(b"/", 1)
    names.add(b"", 1)
    assert len(names.by_name) == NAMESPACES_MAX
    assert (names.by_name[b"n0"].count, names.by_name[b"n0"].sum) == (2, 6)
