"""Settings of tenants at this server: who is let in without one, what words name, its share."""

from dataclasses import dataclass

from ensemble.server.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class WallOptions:
    """`closed`: connections without a tenant get nothing. `words_open`: words name everything.

    `share`: in percent, what this server may use of tenants' limits on connections, watches and
    rates where no leader of ours divides them.
    """

    closed: bool = False
    words_open: bool = False
    share: int = 100  # percent of tenants' limits, where no leader of ours has a say


def wall(keys: Keys) -> WallOptions:
    return WallOptions(
        closed=keys.one_of("ensemble.tenancy.outsiders", "allow", ("allow", "deny")) == "deny",
        words_open=keys.one_of("ensemble.tenancy.words", "closed", ("closed", "open")) == "open",
        share=keys.number("ensemble.tenancy.share", 100, 1, 100),
    )
