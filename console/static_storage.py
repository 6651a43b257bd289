"""How static files are gathered: those that pages load, and that are worth it, packed beside."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from servestatic.storage import CompressedStaticFilesStorage

# The editor comes with hundreds of languages that no page loads: packing them is most of a start.
LEFT: Final = "django_ace/ace/"
TAKEN: Final = (f"{LEFT}ace.js", f"{LEFT}css/ace.css")


class Storage(CompressedStaticFilesStorage):  # type: ignore[misc]  # the library is untyped
    """`ServeStaticASGI` gives `<file>.gz` to whoever takes it."""

    def post_process(
        self, paths: Mapping[str, Any], dry_run: bool = False, **options: Any
    ) -> Iterator[tuple[str, str, bool]]:
        wanted = {
            name: path
            for name, path in paths.items()
            if not name.startswith(LEFT) or name.startswith(TAKEN)
        }
        yield from super().post_process(wanted, dry_run, **options)
