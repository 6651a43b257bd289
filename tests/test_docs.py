"""Documents point to what exists, and their code runs."""

import asyncio
import importlib
import operator
import re
import sys
from io import StringIO
from pathlib import Path

import pytest

from ensemble.server.ignored_keys import TUNING, UNSUPPORTED
from tests.harness import Node
from tests.server.settings import FOUND

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CITED = ("client", "auth", "admin", "quotas", "storage", "election", "zab")
HEADING = re.compile(r"#+ ([\d.]+?)\.? ")
ITEM = re.compile(r"(\d+)\. ")
NUMBER = r"\d+(?:\.\d+)?"
CITATION = re.compile(
    rf"\b({'|'.join(CITED)})\.md (?:sections? )?({NUMBER}(?:(?:, and|,| and| to) {NUMBER}(?!\w))*)"
)
# An id of docs/trust.md: cited with the document's name, or at the head of a test's name.
ID = r"[A-FI]\d{1,2}"
TRUST = re.compile(rf"\btrust\.md ({ID}(?:, {ID})*)")
TEST_ID = re.compile(rf"def test_((?:{ID}_)+)", re.IGNORECASE)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
SOURCES = ("ensemble", "console", "benchmarks", "tests", "docs")


def sources() -> list[tuple[str, str]]:
    """(name, text) of everything that cites; lines of a comment or docstring are joined."""
    found = []
    for path in [*DOCUMENTS, *(p for folder in SOURCES for p in (ROOT / folder).rglob("*.py"))]:
        text = re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text())
        found.append((str(path.relative_to(ROOT)), text))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", CODE.sub("", path.read_text())):
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


def numbered(text: str) -> set[str]:
    """Sections, and the items of a section's numbered list: 7.6 is the sixth item of section 7."""
    found = set()
    section = ""
    for line in text.splitlines():
        if heading := HEADING.match(line):
            section = heading[1]
            found.add(section)
        elif item := ITEM.match(line):
            found.add(f"{section}.{item[1]}")
    return found


def test_every_place_in_the_protocol_that_code_cites_is_written_down() -> None:
    written = {
        name: numbered((ROOT / "docs" / "protocol" / f"{name}.md").read_text()) for name in CITED
    }
    missing = set()
    for where, text in sources():
        for name, numbers in CITATION.findall(text):
            for number in re.findall(NUMBER, numbers):
                if number not in written[name]:
                    missing.add(f"{where}: {name}.md {number}")
    assert not missing


def test_a_citation_is_found_in_each_of_its_forms() -> None:
    text = "client.md 13.3, [07] storage.md sections 2.3, 3.7 and 4.3 auth.md section 7. "
    text += "admin.md 1 to 3"
    found = [(name, re.findall(NUMBER, numbers)) for name, numbers in CITATION.findall(text)]
    assert found == [
        ("client", ["13.3"]),
        ("storage", ["2.3", "3.7", "4.3"]),
        ("auth", ["7"]),
        ("admin", ["1", "3"]),
    ]


def test_every_id_of_an_invariant_or_fault_is_explained() -> None:
    text = (ROOT / "docs" / "trust.md").read_text()
    explained = set(re.findall(rf"^\| ({ID}) \|", text, re.MULTILINE))
    cited = set()
    for where, source in sources():
        for ids in TRUST.findall(source):
            cited.update((id, where) for id in re.findall(ID, ids))
        for ids in TEST_ID.findall(source):
            cited.update((id, where) for id in re.findall(ID, ids.upper()))
    assert len(cited) > 20
    assert not {(id, where) for id, where in cited if id not in explained}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(path: Path) -> None:
    named = re.findall(
        r"`((?:ensemble|console|tests|benchmarks|docs)/[\w./-]*\w)`", path.read_text()
    )
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def resolve(name: str) -> bool:
    """Whether ARCHITECTURE's `tree/prepare.Preparer.prepare` or `Node.turn` is there."""
    name = re.sub(r"\(.*|\s.*|/flush/roll", "", name)
    module, _, attributes = name.rpartition("/")[2].partition(".")
    folder = name.rpartition("/")[0]
    for path in (*(ROOT / "ensemble").rglob("*.py"), *(ROOT / "tenants").rglob("*.py")):
        if path.stem == module and str(path.parent).endswith(folder):
            within = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            try:
                operator.attrgetter(attributes)(importlib.import_module(within))
            except AttributeError:
                continue
            return True
    return False


def test_the_code_that_architecture_walks_through_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`((?:\w+/)*[a-z_]+\.[A-Za-z_][\w.]*[^`\n]*)`", text)
    named = [name for name in named if not re.match(r"\w+\.md |[\w/]+\.py$", name)]
    assert len(named) > 10
    assert not [name for name in named if not resolve(name)]
    for class_name in re.findall(r"`([A-Z]\w+)\.\w+", text):
        source = "".join(p.read_text() for p in (ROOT / "ensemble").rglob("*.py"))
        assert f"class {class_name}" in source


def test_the_index_names_every_document() -> None:
    docs = ROOT / "docs"
    listed = re.findall(r"\]\(([^)#]+)", (docs / "README.md").read_text())
    seen = {(docs / name).resolve() for name in listed}
    seen.update((docs / "protocol").glob("*.md"))  # listed by an index of their own
    assert set(docs.rglob("*.md")) - {docs / "README.md"} <= seen


def test_the_clients_five_minutes_run(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "client.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("127.0.0.1:2181", node.address)
    out = StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    exec(compile(code, "client.md", "exec"), {"__name__": "example", "asyncio": asyncio})
    assert "somebody was faster" in out.getvalue()
    assert "DATA_CHANGED" in out.getvalue()


def documented_settings() -> set[str]:
    """The keys in the first column of docs/configuration.md; `.x` goes on from the one before."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    named: list[str] = []
    for row in re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", row):
            named.append(named[-1].rpartition(".")[0] + name if name.startswith(".") else name)
    return {name.removesuffix("<n>") for name in named}


def test_every_setting_is_documented_and_none_that_is_not_read() -> None:
    documented = documented_settings()
    # Read in order to refuse or to warn. Members and `dynamicConfigFile` stand below the table.
    others = {"electionAlg", "peerType", "dynamicConfigFile"}
    read = FOUND.used - others
    read |= {"authProvider.", "superUser"}
    # The stores of the others are the client port's with another prefix.
    admin_tls = {name for name in read - documented if name.startswith("ssl.quorum.")}
    assert {name.replace("ssl.quorum.", "ssl.") for name in admin_tls} <= read
    read -= admin_tls
    assert len(read) > 80
    assert documented - {"ssl.quorum.…"} == read


def test_every_setting_without_effect_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert not [name for name in (*TUNING, *UNSUPPORTED) if f"`{name}`" not in text]
    assert not [reason for _, reason in UNSUPPORTED.values() if reason not in text]
    assert not [reason for reason in TUNING.values() if reason not in text]
