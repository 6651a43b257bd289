"""Parts of the collector: its thread for SQL, lines out of pieces, what is secret."""

from typing import NoReturn

import pytest
from django.db import InterfaceError, OperationalError

from observability.changes import Policy
from observability.collect.admin import AskError
from observability.collect.changes import LINE_BYTES_MAX, Splitter
from observability.collect.db import Db


async def test_a_connection_that_the_server_closed_is_an_error_to_try_again_after() -> None:
    def closed() -> NoReturn:
        raise InterfaceError("connection already closed")

    db = Db()
    try:
        with pytest.raises(OperationalError, match="already closed"):
            await db.run(closed)
        assert await db.run(lambda: 7) == 7
    finally:
        db.close()


def test_lines_come_whole_however_they_are_cut() -> None:
    text = b"one\ntwo\n\nthree"
    for size in range(1, len(text)):
        splitter = Splitter()
        found = []
        for at in range(0, len(text), size):
            found += splitter.lines(text[at : at + size])
        found += splitter.lines(b"\n")
        assert found == [b"one", b"two", b"", b"three"]


def test_a_line_without_an_end_is_refused() -> None:
    splitter = Splitter()
    with pytest.raises(AskError, match=f"over {LINE_BYTES_MAX} bytes"):
        for _ in range(LINE_BYTES_MAX // (1 << 20) + 1):
            splitter.lines(b"x" * (1 << 20))


@pytest.mark.parametrize(
    ("path", "is_secret"),
    [
        ("/tenants/a/keys", True),
        ("/tenants/a/keys/db", True),
        ("/tenants/a/keys2", False),
        ("/tenants/a", False),
        ("/keys", True),
        ("/zookeeper/quota/tenants/a/keys", False),
    ],
)
def test_a_secret_path_is_the_tenants_or_the_trees(path: str, is_secret: bool) -> None:
    assert Policy(("/keys/",), root="/tenants/a").is_secret(path) is is_secret
    assert Policy(("/",), root="/tenants/a").is_secret(path)
