"""IP addresses and networks as ACL entries name them (auth.md sections 2 and 3)."""


def parse_network(text: str) -> tuple[bytes, int] | None:
    """`address[/bits]` as bytes and a number of bits; None if it is neither."""
    host, slash, bits_text = text.partition("/")
    address = parse_address(host)
    if address is None:
        return None
    bits_max = 8 * len(address)
    if not slash:
        return address, bits_max
    if not _is_decimal(bits_text, 3) or int(bits_text) > bits_max:
        return None
    return address, int(bits_text)


def _is_decimal(text: str, digits_max: int) -> bool:
    return 0 < len(text) <= digits_max and text.isascii() and text.isdigit()


def parse_address(text: str) -> bytes | None:
    """An IPv4 or IPv6 address, 4 or 16 bytes, or None. No zone, no embedded IPv4."""
    if ":" in text:
        return _parse_ipv6(text)
    parts = text.split(".")
    if len(parts) != 4:
        return None
    numbers: list[int] = []
    for part in parts:
        if not _is_decimal(part, 3) or int(part) > 255:
            return None
        numbers.append(int(part))
    return bytes(numbers)


def _parse_ipv6(text: str) -> bytes | None:
    halves = text.split("::")
    if len(halves) > 2:
        return None
    head = _parse_groups(halves[0])
    tail = _parse_groups(halves[1]) if len(halves) == 2 else []
    if head is None or tail is None:
        return None
    missing = 8 - len(head) - len(tail)
    if missing < (1 if len(halves) == 2 else 0) or (len(halves) == 1 and missing != 0):
        return None
    out = b""
    for group in head + [0] * missing + tail:
        out += group.to_bytes(2, "big")
    return out


def _parse_groups(text: str) -> list[int] | None:
    """Hex groups between colons; the empty text has none."""
    groups: list[int] = []
    if not text:
        return groups
    for group in text.split(":"):
        if not 0 < len(group) <= 4 or not all(c in "0123456789abcdefABCDEF" for c in group):
            return None
        groups.append(int(group, 16))
    return groups
