"""Reads what is to be imported: our JSON and archives, ZooNavigator's JSON, lines of zkui.

A file comes from anywhere: every bound is checked before what it bounds is taken.
"""

import base64
import binascii
import gzip
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ensemble.client import Acl, BadArgumentsError
from ensemble.client.modes import TTL_MS_MAX
from ensemble.client.paths import check_path
from tenants.bulk.bounds import (
    ACL_ENTRIES_MAX,
    DEPTH_MAX,
    PATH_BYTES_MAX,
    UNPACKED_BYTES_MAX,
    VALUE_BYTES_MAX,
    ZNODES_MAX,
)
from tenants.bulk.entries import FORMAT, VERSION, Entry, FileError, sorted_entries
from tenants.bulk.steps import Kind, acl_of
from tenants.errors import InvalidError

GZIP: Final = b"\x1f\x8b"
GZIP_TEXT: Final = b"H4sI"  # the same in base64
ZIP: Final = b"PK"
KINDS: Final = ("persistent", "container", "ttl", "ephemeral")
LETTERS: Final = {"create": "c", "delete": "d", "read": "r", "write": "w", "admin": "a"}
WORDS: Final = {
    "ours": "JSON of this console",
    "zip": "an archive",
    "zoonavigator": "JSON of ZooNavigator",
    "lines": "lines path=name=value, as zkui's",
}


def read(path: Path) -> tuple[str, list[Entry]]:
    """What kind of file it is (a key of WORDS), and its znodes, parents first.

    Raises:
        FileError: with the place and what is wrong there.
    """
    raw = unpacked(path)
    if raw[:2] == ZIP:
        from tenants.bulk.archives import read_archive  # an archive holds JSON in turn

        return "zip", checked(read_archive(raw))
    start = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start not in (b"{", b"["):
        return "lines", checked(of_lines(raw))
    found = loaded(raw)
    if isinstance(found, list):
        return "zoonavigator", checked(of_zoonavigator(found))
    return "ours", checked([entry_of(one, at) for at, one in enumerate(listed(found))])


def unpacked(path: Path) -> bytes:
    """The file without its compression.

    Raises:
        FileError: it is broken, or more than UNPACKED_BYTES_MAX.
    """
    with path.open("rb") as plain:
        start = plain.read(2)
    try:
        with gzip.open(path) if start == GZIP else path.open("rb") as opened:
            raw = opened.read(UNPACKED_BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"the file is compressed, but broken: {error}. Send it again.") from None
    check_size(len(raw))
    if raw[:4] == GZIP_TEXT:  # as ZooNavigator's API hands it out
        raw = unzipped(decoded(raw.strip().decode("ascii", "replace"), "the file"))
    if raw[:2] == GZIP:
        raise FileError("the file is compressed more than once: unpack it first")
    return raw


def unzipped(packed: bytes) -> bytes:
    """No more of it than is taken.

    Raises:
        FileError: it is broken, or too large.
    """
    try:
        with gzip.open(io.BytesIO(packed)) as opened:
            raw = opened.read(UNPACKED_BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"the file is compressed, but broken: {error}. Send it again.") from None
    check_size(len(raw))
    return raw


def check_size(size: int) -> None:
    if size > UNPACKED_BYTES_MAX:
        raise FileError(
            f"unpacked it has more than {UNPACKED_BYTES_MAX >> 20} MiB: import it in parts"
        )


def loaded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except RecursionError:
        raise FileError("its JSON is nested too deeply: no export looks like this") from None
    except ValueError as error:
        raise FileError(f"it begins like JSON and is none: {error}") from None


def listed(found: Any) -> list[Any]:
    """The list of znodes in our own format."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FileError(
            f'it is JSON, but no export: "format": "{FORMAT}" is wanted at its beginning'
        )
    if found.get("version") != VERSION:
        raise FileError(
            f"its version is {str(found.get('version'))[:20]}, this console reads {VERSION}"
        )
    znodes = found.get("znodes")
    if not isinstance(znodes, list):
        raise FileError('"znodes" is no list')
    if len(znodes) > ZNODES_MAX:
        raise FileError(f"it has {len(znodes):,} znodes, one job takes {ZNODES_MAX:,}")
    return znodes


def entry_of(one: Any, at: int, data: bytes | None = None) -> Entry:
    """One of our own."""
    if not isinstance(one, dict) or not isinstance(one.get("path"), str):
        raise FileError(f"znode {at + 1} of the file has no path")
    path = one["path"]
    if data is None:
        data = data_of(one, path)
    return Entry(path, data, acl_in(one.get("acl"), path), kind_in(one, path))


def data_of(one: dict[str, Any], path: str) -> bytes | None:
    text, packed = one.get("text"), one.get("base64")
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise FileError(f"{path[:200]}: its text holds half a character") from None
    if isinstance(packed, str):
        return decoded(packed, path)
    if text is not None or packed is not None:
        raise FileError(f"{path[:200]}: its value is neither a text nor base64")
    return None


def decoded(packed: str, path: str) -> bytes:
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise FileError(f"{path[:200]}: its value is no base64") from None


def acl_in(found: Any, path: str) -> tuple[Acl, ...] | None:
    if found is None:
        return None
    if not isinstance(found, list) or len(found) > ACL_ENTRIES_MAX:
        raise FileError(f"{path[:200]}: its ACL is no list of at most {ACL_ENTRIES_MAX} entries")
    try:
        return tuple(acl_of(text) for text in found)
    except InvalidError as error:
        raise FileError(f"{path[:200]}: {error}") from None


def kind_in(one: dict[str, Any], path: str) -> Kind:
    mode, ttl = one.get("mode", "persistent"), one.get("ttl_ms")
    if mode not in KINDS:
        raise FileError(f"{path[:200]}: mode is {str(mode)[:40]!r}; use {', '.join(KINDS)}")
    if mode == "ttl" and not (type(ttl) is int and 1 <= ttl <= TTL_MS_MAX):
        raise FileError(f"{path[:200]}: ttl_ms is {str(ttl)[:40]}; use 1 to {TTL_MS_MAX}")
    return Kind(mode, ttl if mode == "ttl" else None)


# Others' formats


def of_zoonavigator(forest: list[Any]) -> list[Entry]:
    """Trees of `{"h": {path, data, acl}, "t": [trees]}`; values are base64."""
    entries: list[Entry] = []
    waiting = list(reversed(forest))
    while waiting:
        tree = waiting.pop()
        head = tree.get("h") if isinstance(tree, dict) else None
        below = tree.get("t", []) if isinstance(tree, dict) else None
        if not isinstance(head, dict) or not isinstance(below, list):
            raise FileError(
                'it is a list, but none of ZooNavigator\'s: {"h": ..., "t": []} missing'
            )
        path = head.get("path")
        if not isinstance(path, str):
            raise FileError(f"znode {len(entries) + 1} of the file has no path")
        data = head.get("data")
        value = decoded(data, path) if isinstance(data, str) else b""
        entries.append(Entry(path, value, zoonavigator_acl(head.get("acl"), path)))
        if len(entries) > ZNODES_MAX:
            raise FileError(f"it has more than {ZNODES_MAX:,} znodes, one job takes no more")
        waiting += reversed(below)
    return entries


def zoonavigator_acl(found: Any, path: str) -> tuple[Acl, ...] | None:
    if not isinstance(found, list):
        return None
    texts = []
    for one in found[: ACL_ENTRIES_MAX + 1]:
        if not isinstance(one, dict):
            raise FileError(f"{path[:200]}: its ACL is none of ZooNavigator's")
        words = one.get("permissions")
        letters = "".join(
            LETTERS.get(str(word).lower(), "?")
            for word in (words if isinstance(words, list) else [])
        )
        texts.append(f"{one.get('scheme')}:{one.get('id')}:{letters}")
    return acl_in(texts, path)


def of_lines(raw: bytes) -> list[Entry]:
    """`/path=name=value`, or `/path/name=value`; empty lines and those with # are left out."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(
            f"byte {error.start} is no UTF-8: it is neither JSON, nor an archive, nor lines"
        ) from None
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        path, equals, rest = line.partition("=")
        if not line.startswith("/") or not equals:
            what = "deletes are not taken" if line.startswith("-") else "path=name=value is wanted"
            raise FileError(f"line {number}: {what}, not {line[:80]!r}")
        name, again, value = rest.partition("=")
        if not again:
            entries.append(Entry(path, rest.encode()))
        else:
            entries.append(Entry(f"{path.rstrip('/')}/{name}", value.encode()))
        if len(entries) > ZNODES_MAX:
            raise FileError(f"it has more than {ZNODES_MAX:,} lines, one job takes no more")
    return entries


# What holds for all of them


def checked(entries: Sequence[Entry]) -> list[Entry]:
    """Sorted, each path legal and only once, each value small enough.

    Raises:
        FileError: names the first that is not.
    """
    seen: set[str] = set()
    for entry in entries:
        if len(entry.path.encode("utf-8", "replace")) > PATH_BYTES_MAX:
            raise FileError(f"{entry.path[:80]}...: a path has {PATH_BYTES_MAX} bytes at most")
        if entry.path.count("/") > DEPTH_MAX:
            raise FileError(f"{entry.path[:80]}...: a path has {DEPTH_MAX} names at most")
        try:
            check_path(entry.path)
        except BadArgumentsError as error:
            raise FileError(f"not a path: {error}") from None
        if entry.path in seen:
            raise FileError(f"{entry.path[:200]} stands in it twice: leave one out")
        seen.add(entry.path)
        if entry.data is not None and len(entry.data) > VALUE_BYTES_MAX:
            raise FileError(
                f"{entry.path[:200]}: its value has {len(entry.data):,} bytes, a server takes "
                f"{VALUE_BYTES_MAX:,}"
            )
    if not entries:
        raise FileError("there is no znode in it")
    return list(sorted_entries(entries))
