"""Settings of the wall: who is let in without a tenant, which words name what is behind."""

from dataclasses import dataclass

from ensemble.server.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class WallOptions:
    """`closed`: connections without a tenant get nothing. `words_open`: words name everything."""

    closed: bool = False
    words_open: bool = False


def wall(keys: Keys) -> WallOptions:
    return WallOptions(
        closed=keys.one_of("ensemble.tenancy.outsiders", "allow", ("allow", "deny")) == "deny",
        words_open=keys.one_of("ensemble.tenancy.words", "closed", ("closed", "open")) == "open",
    )
