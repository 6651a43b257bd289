"""JSON documents of the registry, read with suspicion: every value has a type and a bound.

Pure. A key that is not known is an error: a misspelt limit must not pass for no limit.
"""

import json
from typing import Final, final

from ensemble.errors import EnsembleError

DOCUMENT_BYTES_MAX: Final = 256 * 1024
HEX_DIGITS: Final = "0123456789abcdef"
SHOWN_MAX: Final = 60  # characters of a wrong value in an error's text


class RegistryError(EnsembleError):
    """A document cannot be used. Names the key, the value and the bound."""


def shown(value: object) -> str:
    """A value for an error's text: short, on one line."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two equal keys most readers silently take the last."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise RegistryError(f"the key {shown(key)} comes twice")
        found[key] = value
    return found


def _no_constant(name: str) -> object:
    raise RegistryError(f"{name} is not a number in JSON")


def read_object(raw: bytes | None) -> "Fields":
    """A document's outermost object.

    Raises:
        RegistryError: too long, too deep, not UTF-8, not JSON, or something else than an object.
    """
    data = raw or b""
    if len(data) > DOCUMENT_BYTES_MAX:
        raise RegistryError(f"a document of {len(data)} bytes, at most {DOCUMENT_BYTES_MAX}")
    try:
        value: object = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise RegistryError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise RegistryError(
            "nested too deeply: five levels are the most that mean anything"
        ) from None
    except ValueError as error:
        raise RegistryError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RegistryError(f"{shown(value)} where an object is expected")
    return Fields("", value)


@final
class Fields:
    """One object of a document. `path` says where it stands, for errors."""

    __slots__ = ("path", "taken", "values")

    def __init__(self, path: str, values: dict[str, object]) -> None:
        self.path: Final = path
        self.values: Final = values
        self.taken: Final[set[str]] = set()

    def fail(self, key: str, why: str) -> RegistryError:
        """What is wrong with the value of `key`; to be raised."""
        return RegistryError(f"{self.path}{key}: {why}")

    def take(self, key: str) -> object:
        """The value, None where there is none."""
        self.taken.add(key)
        return self.values.get(key)

    def end(self) -> None:
        """Every key has been understood."""
        for key in self.values:
            if key not in self.taken:
                known = ", ".join(sorted(self.taken))
                raise RegistryError(f"{self.path}{shown(key)} is not known here; known are {known}")

    def text(self, key: str, length_max: int, missing: str | None = None) -> str:
        value = self.take(key)
        if value is None and missing is not None:
            return missing
        if not isinstance(value, str):
            raise self.fail(key, f"{shown(value)} where a text is expected")
        if not 1 <= len(value) <= length_max:
            raise self.fail(key, f"{len(value)} characters, 1 to {length_max} are expected")
        return value

    def number(self, key: str, least: int, most: int, missing: int) -> int:
        """A whole number; `missing` where the key is absent or null."""
        value = self.take(key)
        if value is None:
            return missing
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(key, f"{shown(value)} where a whole number is expected")
        if not least <= value <= most:
            raise self.fail(key, f"{shown(value)} is not in {least}..{most}")
        return value

    def flag(self, key: str, missing: bool) -> bool:
        value = self.take(key)
        if value is None:
            return missing
        if not isinstance(value, bool):
            raise self.fail(key, f"{shown(value)} where true or false is expected")
        return value

    def choice(self, key: str, names: dict[str, int], missing: str = "") -> int:
        """The number of a name; `missing` is the name where the key is absent."""
        value = self.take(key)
        if value is None and missing:
            value = missing
        number = names.get(value) if isinstance(value, str) else None
        if number is None:
            raise self.fail(key, f"{shown(value)}, expected is one of {', '.join(names)}")
        return number

    def hex_bytes(self, key: str, size: int, missing: bytes | None = None) -> bytes:
        """Bytes as lower-case hexadecimal digits."""
        value = self.take(key)
        if value is None and missing is not None:
            return missing
        # The value stays out of the text: some of these are keys.
        if not isinstance(value, str) or len(value) != 2 * size or value.strip(HEX_DIGITS):
            raise self.fail(key, f"{2 * size} digits 0-9 a-f are expected")
        return bytes.fromhex(value)

    def part(self, key: str) -> "Fields":
        """An object; an empty one where it is missing."""
        value = self.take(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.fail(key, f"{shown(value)} where an object is expected")
        return Fields(f"{self.path}{key}.", value)

    def items(self, key: str, count_max: int) -> list[object]:
        """A list; an empty one where it is missing."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fail(key, f"{shown(value)} where a list is expected")
        if len(value) > count_max:
            raise self.fail(key, f"{len(value)} entries, at most {count_max}")
        return value

    def objects(self, key: str, count_max: int) -> list["Fields"]:
        """A list of objects."""
        found: list[Fields] = []
        for index, value in enumerate(self.items(key, count_max)):
            at = f"{key}[{index}]"
            if not isinstance(value, dict):
                raise self.fail(at, f"{shown(value)} where an object is expected")
            found.append(Fields(f"{self.path}{at}.", value))
        return found
