"""The ensemble's configuration on the disk, beside zoo.cfg, the static file.

    <zoo.cfg>.dynamic.<version>   the committed members; the version, in hex, is in the name only
    <zoo.cfg>.dynamic.next        members that were proposed and perhaps committed, with a version
    <zoo.cfg>.bak                 the static file from before it named a dynamic one

Source: storage.md 2.2, admin.md 5.5, zab.md 7 and 10. Texts are those of `zab.members`, and are
bytes here. Each file changes as a whole, and the static one last: whenever the power fails, it
names a file that is there. Files are 0600; the static one, too, once it was changed.
"""

import posixpath
from typing import Final

from ensemble.errors import ConfigError
from ensemble.storage.disk import Disk, file_bytes
from ensemble.storage.layout import HEX_DIGITS, ZXID_MAX
from ensemble.storage.smallfile import save_small
from ensemble.wire.zxid import format_zxid

DYNAMIC: Final = ".dynamic."
NEXT: Final = "next"
BACKUP: Final = ".bak"
VERSION_KEY: Final = b"version"
FILE_BYTES_MAX: Final = 1 << 19  # what a notification can carry (election.md 2)


def dynamic_path(static_path: str, version: int) -> str:
    """Where the members of a version are kept."""
    assert 0 <= version <= ZXID_MAX
    return f"{static_path}{DYNAMIC}{version:x}"


def proposed_path(static_path: str) -> str:
    """Where the members are kept that were proposed last."""
    return f"{static_path}{DYNAMIC}{NEXT}"


def version_of(path: str) -> int:
    """What the name of a dynamic file says; 0 where it says none."""
    digits = posixpath.basename(path).rpartition(".")[2]
    if not digits or not HEX_DIGITS.issuperset(digits) or int(digits, 16) > ZXID_MAX:
        return 0
    return int(digits, 16)


def load(disk: Disk, path: str) -> bytes:
    """The text of a dynamic file, its version added as the last line.

    Raises:
        ConfigError: there is no such file, it is too long, or says a version of its own.
        StorageError: the disk cannot read.
    """
    text = read(disk, path)
    if version_in(text, path) is not None:
        raise ConfigError(f"{path} has a line {VERSION_KEY.decode()}=, only its name may say that")
    return with_version(text, version_of(path))


def load_proposed(disk: Disk, static_path: str, version: int) -> bytes | None:
    """The text that was proposed last, with its version line; None unless later than `version`.

    Raises:
        ConfigError: the file is not what this server writes: remove it, the ensemble knows better.
        StorageError: the disk cannot read.
    """
    path = proposed_path(static_path)
    if not disk.exists(path):
        return None
    text = read(disk, path)
    found = version_in(text, path)
    if found is None:
        raise ConfigError(f"{path} has no line {VERSION_KEY.decode()}=: remove the file")
    return text if found > version else None


def save_proposed(disk: Disk, static_path: str, text: bytes) -> None:
    """Durable when this returns; only then may the proposal be logged (zab.md 10).

    Args:
        text: with its version line.
    """
    path = proposed_path(static_path)
    assert version_in(text, path) is not None
    assert len(text) <= FILE_BYTES_MAX
    save_small(disk, path, text)


def activate(disk: Disk, static_path: str, text: bytes, static: bytes, backup: bool) -> str:
    """Members were committed; the path of their file. Durable when this returns.

    It can be done again. A power cut leaves the old members or the new ones.

    Args:
        text: with its version line.
        static: what the static file is to hold; it names the returned path.
        backup: keep the static file as it is now, once: it names no dynamic one yet.
    """
    version = version_in(text, proposed_path(static_path))
    assert version is not None
    assert len(text) <= FILE_BYTES_MAX
    path = dynamic_path(static_path, version)
    save_if_new(disk, path, without_version(text))
    if backup and disk.exists(static_path):
        save_if_new(disk, static_path + BACKUP, disk.read(static_path))
    save_if_new(disk, static_path, static)
    drop_proposed(disk, static_path, version)
    return path


def drop_proposed(disk: Disk, static_path: str, version: int) -> None:
    """Forget a proposal that is committed or overtaken. If it comes back it does no harm."""
    path = proposed_path(static_path)
    if disk.exists(path) and (version_in(disk.read(path), path) or 0) <= version:
        disk.remove(path)
        disk.sync_folder(posixpath.dirname(path) or ".")


def save_if_new(disk: Disk, path: str, content: bytes) -> None:
    """An unchanged file is left alone: its folder may be one that nobody may write to."""
    if not disk.exists(path) or disk.read(path) != content:
        save_small(disk, path, content)
    else:
        disk.sync_folder(posixpath.dirname(path) or ".")  # of a run that was killed before its own


def read(disk: Disk, path: str) -> bytes:
    if not disk.exists(path):
        raise ConfigError(f"{path} is not there, it should hold the ensemble's members")
    size = file_bytes(disk, path)
    if size > FILE_BYTES_MAX:
        raise ConfigError(f"{path} has {size} bytes, {FILE_BYTES_MAX} at most")
    return disk.read(path)


def version_in(text: bytes, path: str) -> int | None:
    """What the line `version=` says, in hex; None without such a line.

    Raises:
        ConfigError: it is no version.
    """
    for line in text.splitlines():
        key, equals, value = line.partition(b"=")
        if key.strip() != VERSION_KEY or not equals:
            continue
        digits = value.strip().decode("ascii", "replace")
        if digits and HEX_DIGITS.issuperset(digits) and int(digits, 16) <= ZXID_MAX:
            return int(digits, 16)
        raise ConfigError(
            f"{path}: version={digits[:40]!r}, at most {format_zxid(ZXID_MAX)} in hex is expected"
        )
    return None


def without_version(text: bytes) -> bytes:
    lines = [line for line in text.splitlines() if line.partition(b"=")[0].strip() != VERSION_KEY]
    return b"\n".join(lines)


def with_version(text: bytes, version: int) -> bytes:
    body = text.rstrip(b"\r\n")
    return (body + b"\n" if body else b"") + VERSION_KEY + f"={version:x}".encode()
