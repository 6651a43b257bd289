"""Writes a subtree as a file: JSON, one znode a line, or an archive with a file for each value."""

import base64
import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final

from tenants.bulk.entries import FORMAT, MANIFEST, OWN_DATA, VERSION, Entry
from tenants.bulk.steps import acl_text, private

FORMS: Final = {"json": "json", "json.gz": "json.gz", "zip": "zip"}
SAFE: Final = re.compile(r"[^A-Za-z0-9._ \-/@+=,]")
ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
GZIP_LEVEL: Final = 6


def write(form: str, path: Path, head: dict[str, Any], entries: Iterable[Entry]) -> int:
    """Write the file; how many znodes are in it. `head` says what it is of."""
    with private(path) as raw:
        if form == "zip":
            return write_zip(raw, head, entries)
        if form == "json":
            return write_json(raw, head, entries)
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=GZIP_LEVEL, mtime=0) as packed:
            return write_json(packed, head, entries)


def write_json(
    out: IO[bytes] | gzip.GzipFile, head: dict[str, Any], entries: Iterable[Entry]
) -> int:
    """The one documented format: docs/console.md."""
    first = json.dumps({"format": FORMAT, "version": VERSION, **head}, ensure_ascii=False)
    out.write(first[:-1].encode() + b', "znodes": [')
    count = 0
    for entry in entries:
        line = json.dumps({**described(entry), **shown(entry.data)}, ensure_ascii=False)
        out.write((b",\n" if count else b"\n") + line.encode())
        count += 1
    out.write(b"\n]}\n")
    return count


def described(entry: Entry) -> dict[str, Any]:
    """All but the value."""
    found: dict[str, Any] = {"path": entry.path}
    if entry.kind.mode != "persistent":
        found["mode"] = entry.kind.mode
    if entry.kind.ttl_ms is not None:
        found["ttl_ms"] = entry.kind.ttl_ms
    if entry.acl is not None:
        found["acl"] = [acl_text(one) for one in entry.acl]
    if entry.left_out:
        found["left_out"] = entry.left_out
    if entry.stat is not None:
        found["stat"] = entry.stat
    return found


def shown(data: bytes | None) -> dict[str, str]:
    """A value as text where it is one, else as base64."""
    if data is None:
        return {}
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def write_zip(out: IO[bytes], head: dict[str, Any], entries: Iterable[Entry]) -> int:
    """A file for each value; what else there is to a znode stands in the manifest."""
    listed: list[dict[str, Any]] = []
    kept = list(entries)
    parents = {entry.path.rsplit("/", 1)[0] or "/" for entry in kept if entry.path != "/"}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in kept:
            found = described(entry)
            if entry.data is not None:
                found["file"] = file_name(entry.path, has_children=entry.path in parents)
                archive.writestr(member(found["file"]), entry.data)
            listed.append(found)
        text = io.StringIO()
        json.dump(
            {"format": FORMAT, "version": VERSION, **head, "znodes": listed},
            text,
            ensure_ascii=False,
            indent=1,
        )
        archive.writestr(member(MANIFEST), text.getvalue().encode())
    return len(kept)


def file_name(path: str, *, has_children: bool) -> str:
    """Unique and harmless on every system: what is not, is written as %XX."""
    safe = SAFE.sub(lambda found: "".join(f"%{b:02X}" for b in found.group().encode()), path)
    names = [f"%5F{name[1:]}" if name == OWN_DATA else name for name in safe.split("/")]
    safe = "/".join(names)
    if path == "/":
        return f"data/{OWN_DATA}"
    return f"data{safe}/{OWN_DATA}" if has_children else f"data{safe}"


def member(name: str) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name, ZIP_TIME)
    found.compress_type = zipfile.ZIP_DEFLATED
    found.external_attr = 0o600 << 16
    return found
