"""Documents point to what exists, and their code runs."""

import asyncio
import re
import sys
from io import StringIO
from pathlib import Path

import pytest

from tests.harness import Node

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CITED = ("client", "auth", "admin", "quotas", "storage")
HEADING = re.compile(r"^#+ ([\d.]+?)\.? ", re.MULTILINE)
CITATION = re.compile(rf"\b({'|'.join(CITED)})\.md (?:sections? )?(\d+(?:\.\d+)?)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if target.startswith(("http:", "https:")):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{path.name}: {target}"
        if anchor:
            text = there.read_text()
            heads = [line.lstrip("# ").lower() for line in text.splitlines() if line[:1] == "#"]
            anchors = [re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in heads]
            assert anchor in anchors, f"{path.name}: {target}"


def test_every_place_in_the_protocol_that_code_cites_is_written_down() -> None:
    written = {
        name: set(HEADING.findall((ROOT / "docs" / "protocol" / f"{name}.md").read_text()))
        for name in CITED
    }
    missing = set()
    for folder in ("ensemble", "console", "tests", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md"}:
                for name, number in CITATION.findall(path.read_text()):
                    if number not in written[name]:
                        missing.add(f"{path.relative_to(ROOT)}: {name}.md {number}")
    assert not missing


def test_the_clients_five_minutes_run(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "client.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("127.0.0.1:2181", node.address)
    out = StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    exec(compile(code, "client.md", "exec"), {"__name__": "example", "asyncio": asyncio})
    assert "somebody was faster" in out.getvalue()
    assert "DATA_CHANGED" in out.getvalue()


def test_every_setting_is_documented() -> None:
    keys = re.findall(
        r'keys\.(?:number|flag|text|password|one_of|listed|with_prefix)\(\s*"([^"]+)"',
        (ROOT / "ensemble" / "server" / "config.py").read_text(),
    )
    assert len(keys) > 60
    text = (ROOT / "docs" / "configuration.md").read_text()
    others = {"audit.enable", "datadir.autocreate", "dynamicConfigFile"}
    short = {key: key.rsplit(".", 1)[-1] for key in keys}
    missing = [
        key
        for key in keys
        if key not in others and key not in text and f".{short[key]}`" not in text
    ]
    assert not missing
