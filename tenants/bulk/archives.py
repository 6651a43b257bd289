"""Reads archives (zip): our own, with a manifest, and others', where each file is a znode.

Nothing is unpacked to the disk, so no name can lead out; what would is refused all the same.
"""

import io
import stat
import struct
import zipfile
import zlib
from typing import Final

from tenants.bulk.bounds import UNPACKED_BYTES_MAX, VALUE_BYTES_MAX, ZNODES_MAX
from tenants.bulk.entries import MANIFEST, OWN_DATA, Entry, FileError
from tenants.bulk.parsing import check_size, entry_of, listed, loaded

END: Final = b"PK\x05\x06"
END_BYTES: Final = 22
COMMENT_MAX: Final = 65_535
ENTRY_BYTES: Final = 46  # of the directory, at least, for each file
ENCRYPTED: Final = 1
MANIFEST_MAX: Final = UNPACKED_BYTES_MAX


def read_archive(raw: bytes) -> list[Entry]:
    """The znodes of an archive.

    Raises:
        FileError: which file of it, and why.
    """
    check_directory(raw)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = checked_names(archive.infolist())
            values = {name: value_of(archive, info) for name, info in names.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise FileError(f"the archive is broken: {error}. Make it again.") from None
    except (NotImplementedError, RuntimeError) as error:
        raise FileError(f"the archive cannot be read: {error}") from None
    if MANIFEST in values:
        return of_manifest(values.pop(MANIFEST), values)
    return [Entry(path_of(name), value) for name, value in values.items()]


def check_directory(raw: bytes) -> None:
    """Refuse a million files before any of them is read."""
    at = raw.rfind(END, max(0, len(raw) - COMMENT_MAX - END_BYTES))
    if at < 0 or at + END_BYTES > len(raw):
        raise FileError("the archive has no end: it was cut off. Send it again.")
    count, size = struct.unpack_from("<HI", raw, at + 10)
    if count > ZNODES_MAX or size > len(raw):
        raise FileError(f"the archive names more than {ZNODES_MAX:,} files")
    if raw.count(b"PK\x01\x02") > 2 * ZNODES_MAX:
        raise FileError(f"the archive has more than {ZNODES_MAX:,} files, one job takes no more")


def checked_names(found: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Files by their names; folders say nothing."""
    if len(found) > ZNODES_MAX:
        raise FileError(f"the archive has {len(found):,} files, one job takes {ZNODES_MAX:,}")
    names: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in found:
        name = info.filename
        shown = name[:200]
        parts = name.split("/")
        if name.startswith("/") or ":" in parts[0] or "\\" in name:
            raise FileError(f"{shown!r} in the archive is an absolute path or another system's")
        if ".." in parts or "." in parts:
            raise FileError(f"{shown!r} in the archive leads out of it")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise FileError(f"{shown!r} in the archive is a link or a device, no file")
        if info.flag_bits & ENCRYPTED:
            raise FileError(f"{shown!r} in the archive is encrypted: make one without a password")
        if info.is_dir():
            continue
        if name in names:
            raise FileError(f"{shown!r} stands in the archive twice")
        most = MANIFEST_MAX if name == MANIFEST else VALUE_BYTES_MAX
        if info.file_size > most:
            raise FileError(f"{shown!r} has {info.file_size:,} bytes, a server takes {most:,}")
        total += info.file_size
        check_size(total)
        names[name] = info
    return names


def value_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A file's bytes, never more than its head has said; its sum is checked at its end."""
    with archive.open(info) as opened:
        data = opened.read(info.file_size + 1)
        if len(data) > info.file_size:
            raise FileError(f"{info.filename[:200]!r} is larger than the archive says")
        return data


def of_manifest(raw: bytes, values: dict[str, bytes]) -> list[Entry]:
    """Our own: the manifest says which file is whose value."""
    entries = []
    for at, one in enumerate(listed(loaded(raw))):
        name = one.get("file") if isinstance(one, dict) else None
        if name is not None and (not isinstance(name, str) or name not in values):
            raise FileError(f"the manifest names the file {str(name)[:200]!r}, which is not there")
        entries.append(entry_of(one, at, values[name] if name is not None else None))
    return entries


def path_of(name: str) -> str:
    """Others' archives: a file is a znode."""
    path = f"/{name}"
    if path.endswith(f"/{OWN_DATA}"):
        return path[: -len(OWN_DATA) - 1] or "/"
    return path
