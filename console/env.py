"""What the environment decides about the console, read in one place. See docs/console.md."""

import ipaddress
import os
import secrets
from pathlib import Path
from typing import Final

SECRET_BYTES: Final = 50


def folder() -> Path:
    """Where the console keeps its files: ENSEMBLE_VAR, `var` beside manage.py by default."""
    named = os.environ.get("ENSEMBLE_VAR", "")
    path = Path(named) if named else Path(__file__).parent.parent / "var"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def flag(name: str, default: bool) -> bool:
    """A yes or no.

    Raises:
        ValueError: something else, with the name and the value.
    """
    value = os.environ.get(name, "")
    if not value:
        return default
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{name} is {value!r}; use 1 or 0")


def number(name: str, default: int, low: int, high: int) -> int:
    """A number within bounds.

    Raises:
        ValueError: no number, or out of bounds, with the name and the value.
    """
    value = os.environ.get(name, "") or str(default)
    if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
        raise ValueError(f"{name} is {value!r}; use a number between {low} and {high}")
    return int(value)


def choice(name: str, default: str, known: tuple[str, ...]) -> str:
    """One of some words.

    Raises:
        ValueError: another one, with the name, the value and those that there are.
    """
    value = os.environ.get(name, "") or default
    if value not in known:
        raise ValueError(f"{name} is {value!r}; use {', '.join(known)}")
    return value


def words(name: str, default: str) -> list[str]:
    """A list, separated by commas."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def networks(name: str) -> list[str]:
    """Networks, separated by commas.

    Raises:
        ValueError: one that is none, with the name and the value.
    """
    found = words(name, "")
    for word in found:
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; use networks like 10.1.2.0/24") from None
    return found


def secret_in(name: str) -> str:
    """The first line of the file that the variable names; empty without one."""
    path = os.environ.get(name, "")
    return Path(path).read_text().split("\n", 1)[0] if path else ""


def kept_secret(path: Path) -> str:
    """The secret in a file; made at the first start, readable by its owner only."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    made = secrets.token_urlsafe(SECRET_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was faster
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(made)
    return made
