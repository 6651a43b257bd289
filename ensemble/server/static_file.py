"""zoo.cfg once the members are in a file of their own: what is taken out, what points there.

Source: storage.md 2.2, admin.md 5.5. Java rewrites the file as an unordered list and loses all
comments; here every line that stays, stays as it is.
"""

from typing import Final

from ensemble.server.properties import escape, logical_spans, split_key, unescape

DYNAMIC_KEY: Final = "dynamicConfigFile"
MEMBER_PREFIXES: Final = ("server.", "group.", "weight.")
MEMBER_KEYS: Final = frozenset(("peerType", DYNAMIC_KEY))
CLIENT_PREFIX: Final = "clientPort"


def point_to(raw: bytes, dynamic_path: str, drop_client_port: bool) -> bytes:
    """The static file for members that are in `dynamic_path`; `raw` itself if it is that already.

    Args:
        drop_client_port: this server's line there names its client address: a second one in the
            static file would contradict it some day.
    """
    wanted = f"{DYNAMIC_KEY}={escape(dynamic_path)}"
    lines = raw.splitlines(keepends=True)  # the same lines as `logical_spans` counts
    gone: set[int] = set()
    found: list[str] = []
    for first, last, line in logical_spans(raw.decode("iso-8859-1")):
        key = unescape(split_key(line)[0], f"line {first}").strip()
        if is_about_members(key) or (drop_client_port and key.startswith(CLIENT_PREFIX)):
            gone.update(range(first, last + 1))
            found.append(line.strip())
    if found == [wanted]:
        return raw
    kept = [line for number, line in enumerate(lines, 1) if number not in gone]
    if kept and not kept[-1].endswith((b"\n", b"\r")):
        kept.append(b"\n")
    if kept and kept[-1].rstrip(b"\r\n").endswith(b"\\"):
        kept.append(b"\n")  # it would go on in ours
    return b"".join(kept) + wanted.encode("ascii") + b"\n"


def names_members(raw: bytes) -> bool:
    """Whether the static file leaves the members to a file of their own already."""
    return any(
        unescape(split_key(line)[0], f"line {first}").strip() == DYNAMIC_KEY
        for first, _, line in logical_spans(raw.decode("iso-8859-1"))
    )


def is_about_members(key: str) -> bool:
    """What belongs into the dynamic file, or names it."""
    return key.startswith(MEMBER_PREFIXES) or key in MEMBER_KEYS
