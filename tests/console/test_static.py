"""Scripts of the console: what a page asks for ahead is what its modules import."""

import re
from pathlib import Path

from console.views.znode.pages import MODULES

FOLDER = Path(__file__).parent.parent.parent / "console" / "static" / "console"
IMPORT = re.compile(r'^import (?:.*? from )?"\./([a-z-]+)\.js";$', re.MULTILINE)


def imported(name: str, found: set[str]) -> set[str]:
    for one in IMPORT.findall((FOLDER / f"{name}.js").read_text()):
        if one not in found:
            found.add(one)
            imported(one, found)
    return found


def test_the_znodes_page_asks_ahead_for_all_that_its_script_imports_and_no_more() -> None:
    assert sorted(MODULES) == sorted(imported("znodes", set()) | imported("app", {"app"}))
