"""The wall: what a tenant's paths mean, and what it is shown. All translation is in this file."""

from typing import Final, final


@final
class View:
    """A tenant's view of the tree: its `/` is `root`."""

    __slots__ = ("root",)

    def __init__(self, root: bytes) -> None:
        assert len(root) > 1
        self.root: Final = root
