"""What supervisors ask the plane: does it answer, is it ready, what are its figures."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.db import DatabaseError
from django.test import Client as Browser
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from console.views import health as views
from observability.models import Lease, Source
from tenants import reach
from tenants.models import Tenant
from tests.harness import Node, free_port

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


def test_a_plane_that_lives_says_so(client: Browser) -> None:
    assert client.get("/health").content == b"ok\n"


def test_readiness_tells_of_databases_ensemble_and_collector(
    client: Browser, zookeeper: Node
) -> None:
    said = client.get("/health/ready")
    wanted = {"ready": True, "databases": "ok", "ensemble": "ok", "collector": "none"}
    assert (said.status_code, said.json()) == (200, wanted)
    Lease.objects.create(name="collect", holder="x", until=time.time_ns() // 1_000_000 + 60_000)
    assert client.get("/health/ready").json()["collector"] == "ok"


def test_an_ensemble_that_is_down_is_said_and_takes_no_pages_away(
    client: Browser, settings: Any
) -> None:
    reach.stop()
    settings.ZOOKEEPER_HOSTS = f"127.0.0.1:{free_port()}"
    said = client.get("/health/ready")
    assert (said.status_code, said.json()["ensemble"]) == (200, "does not answer")
    reach.stop()


def test_a_database_that_does_not_answer_is_not_ready(
    client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __getitem__(self, alias: str) -> Any:
            raise DatabaseError("it is gone")

    monkeypatch.setattr(views, "connections", Broken())
    said = client.get("/health/ready")
    assert (said.status_code, said.json()["databases"]) == (503, "do not answer")
    assert "gone" not in said.content.decode()


def test_metrics_are_closed_without_a_token(client: Browser, settings: Any, tmp_path: Path) -> None:
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN_FILE = str(tmp_path / "token")
    assert client.get("/metrics").status_code == 401, "there is no such file"
    (tmp_path / "token").write_text("\n")
    empty = client.get("/metrics", headers={"authorization": "Bearer "})
    assert empty.status_code == 401, "an empty file opens nothing"
    (tmp_path / "token").write_text("s3cret\n")
    for wrong in ("", "Bearer", "Bearer s3cre", "s3cret", "Bearer s3crét"):
        answer = client.get("/metrics", headers={"authorization": wrong})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer"), wrong


def test_metrics_count_what_there_is(
    client: Browser,
    settings: Any,
    tmp_path: Path,
    cast: dict[str, AbstractBaseUser],
    tenant: Tenant,
    django_assert_max_num_queries: Any,
) -> None:
    settings.METRICS_TOKEN_FILE = str(tmp_path / "token")
    (tmp_path / "token").write_text("s3cret")
    Source.objects.create(
        ensemble="main", node='n"1\n', kind="journal", looked_at=timezone.now(), behind=1_500
    )
    with django_assert_max_num_queries(20):
        answer = client.get("/metrics", headers={"authorization": "Bearer s3cret"})
    assert answer.status_code == 200
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    assert found["ensemble_plane_tenants", "alive", "active"] == 1
    assert found["ensemble_plane_publications", "pending"] == 1
    assert found["ensemble_plane_publication_oldest_seconds",] >= 0
    assert found["ensemble_plane_people",] == 6
    assert found["ensemble_plane_operators_without_second_factor",] == 1
    assert found["ensemble_plane_collector_up",] == 0
    assert found["ensemble_plane_source_behind_seconds", "main", "journal", 'n"1\n'] == 1.5
    assert found["process_open_fds",] > 0
