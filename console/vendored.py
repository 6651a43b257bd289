"""Files of other projects that pages take as they are, out of installed packages.

`django-unfold` brings Chart.js; nothing else of it is used or served, and it is no app here.
"""

from importlib.util import find_spec
from pathlib import Path


def static_dirs() -> list[tuple[str, Path]]:
    """(prefix of the address, folder) for the finder of static files."""
    found = find_spec("unfold")  # which does not import it
    if found is None or found.origin is None:
        return []  # pages without charts have their tables
    folder = Path(found.origin).parent / "static" / "unfold" / "js" / "chart"
    return [("vendor/chart", folder)] if folder.is_dir() else []
