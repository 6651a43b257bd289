"""What tests of the change feed and of the audit journal over HTTP share: readers with a token."""

import http.client
import json
from pathlib import Path

READ = "read-token-of-the-tests-1"
CONTROL = "control-token-of-the-tests"
Entry = dict[str, object]


def access(folder: Path) -> dict[str, object]:
    """The settings by which a server knows the tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "read").write_text(READ + "\n")
    (folder / "control").write_text(CONTROL + "\n")
    return {
        "ensemble.admin.readTokens": folder / "read",
        "ensemble.admin.controlTokens": folder / "control",
    }


def ask(port: int, path: str, token: str = READ) -> tuple[int, list[Entry]]:
    """Status and the answer's JSON lines."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.getheader("Content-Type", "").startswith("application/json"):
            return answer.status, [json.loads(body)]
        return answer.status, [json.loads(line) for line in body.splitlines()]
    finally:
        connection.close()


class Stream:
    """A reader that follows."""

    def __init__(self, port: int, begin: str = "", query: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.request(
            "GET",
            f"/changes?follow=1&from={begin}{query}",
            headers={"Authorization": f"Bearer {READ}"},
        )
        self.answer = self.connection.getresponse()

    def line(self) -> Entry:
        raw = self.answer.readline()
        assert raw.endswith(b"\n"), "the stream ended"
        entry: Entry = json.loads(raw)
        return entry

    def change(self) -> Entry:
        """The next line that is a transaction."""
        while True:
            entry = self.line()
            if "operation" in entry:
                return entry

    def changes(self, count: int) -> list[Entry]:
        return [self.change() for _ in range(count)]

    def close(self) -> None:
        self.answer.close()
        self.connection.close()
