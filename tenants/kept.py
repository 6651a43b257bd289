"""What was looked up a moment ago and serves whoever asks again: fresh only, and not too many."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, Protocol, TypeVar


class Ages(Protocol):
    """Something that is worth showing for a while."""

    @property
    def is_fresh(self) -> bool: ...


K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Ages)


class Kept(Generic[K, T]):
    """The newest of each key, at most `most` keys; for several threads."""

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self._kept: Final[OrderedDict[K, T]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def get(self, key: K) -> T | None:
        with self._lock:
            found = self._kept.get(key)
            return found if found is not None and found.is_fresh else None

    def put(self, key: K, value: T) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
