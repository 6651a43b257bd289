"""Units, image and compose file: what they name exists, and what they promise is in them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import ROOT
from tests.needs import need

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "User": "ensemble",
    "UMask": "0077",
}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_a_unit(path: Path, tmp_path: Path) -> None:
    need("systemd-analyze")
    text = re.sub(r"/opt/ensemble/bin/\w+", sys.executable, path.read_text())
    (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [line for line in done.stderr.splitlines() if path.name in line]
    assert not said


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_gives_its_process_as_little_as_it_can(path: Path) -> None:
    lines = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line[:40])
    assert {name: lines.get(name) for name in HARDENED} == HARDENED
    assert lines["Restart"] == "always"


def test_there_are_units_for_node_pages_and_collector() -> None:
    assert [path.stem for path in UNITS] == ["ensemble-collect", "ensemble-node", "ensemble-web"]


def test_the_image_runs_as_nobody_special_and_copies_what_exists() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    final = text.split("FROM ")[-1]
    assert re.search(r"^USER 10001$", final, re.MULTILINE)
    assert "gcc" not in final
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert copied
    for names in copied:
        for name in names.split():
            assert (ROOT / name).exists(), name


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_every_service_of_ours_is_locked_down(compose: Any) -> None:
    assert {"node1", "node2", "node3", "web", "collect", "postgres"} <= set(compose["services"])
    for name, service in compose["services"].items():
        if service["image"] != "ensemble":
            continue
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: beyond this machine is your decision"


def test_what_services_mount_and_wait_for_is_there(compose: Any) -> None:
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            assert mount.split(":")[0] in compose["volumes"], name
        for other in service.get("depends_on", {}):
            assert other in compose["services"], name


def test_a_node_takes_the_configuration_of_the_compose_file(compose: Any, tmp_path: Path) -> None:
    """Every key is known and has an effect; only the names of machines are put in."""
    from ensemble.server.config import load_config

    text = compose["configs"]["zoo"]["content"].replace("/data", str(tmp_path / "data"))
    text = text.replace("/keys/", f"{tmp_path}/keys/")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "myid").write_text("1\n")
    (tmp_path / "zoo.cfg").write_text(text)
    config = load_config([str(tmp_path / "zoo.cfg")], {})
    assert not config.unknown
