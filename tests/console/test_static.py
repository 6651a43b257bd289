"""Scripts of the console: what a page asks for ahead is what its modules import."""

import re
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage

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


def test_the_large_file_of_the_editor_is_packed_when_static_files_are_gathered() -> None:
    """475 kB otherwise, of the 500 kB that a first page may take."""
    large = Path(settings.STATIC_ROOT) / "django_ace" / "ace" / "ace.js"
    large.parent.mkdir(parents=True, exist_ok=True)
    mode = large.parent / "mode-json.js"
    for path in (large, mode):
        path.write_bytes(b"var x = 1;\n" * 10_000)
    paths = {
        str(path.relative_to(settings.STATIC_ROOT)): (staticfiles_storage, str(path))
        for path in (large, mode)
    }
    packed = {name: made for name, _, made in staticfiles_storage.post_process(paths)}  # type: ignore[attr-defined]
    assert large.with_name("ace.js.gz").stat().st_size < 10_000, packed
    assert not mode.with_name("mode-json.js.gz").exists(), "no page loads it but by need"
    for path in large.parent.iterdir():
        path.unlink()
