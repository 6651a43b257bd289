"""Ensemble: a server that speaks Apache ZooKeeper 3.9, written for many teams to share.

Set `ENSEMBLE_PURE=1` to run the Python sources even where compiled modules lie beside them: for
debugging, and for the tests, which run both ways.
"""

import os
import sys

__version__ = "0.1.0"

if os.environ.get("ENSEMBLE_PURE") == "1":
    from importlib.machinery import FileFinder, SourceFileLoader

    _hook = FileFinder.path_hook((SourceFileLoader, [".py"]))
    _root = os.path.dirname(os.path.abspath(__file__))

    def _sources_only(path: str) -> FileFinder:
        """A path hook for this package's folders that does not see compiled modules."""
        if os.path.abspath(path).startswith(_root):
            return _hook(path)  # type: ignore[return-value]
        raise ImportError(path)

    sys.path_hooks.insert(0, _sources_only)
    for _path in [p for p in sys.path_importer_cache if os.path.abspath(p).startswith(_root)]:
        del sys.path_importer_cache[_path]
