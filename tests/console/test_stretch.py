"""Times in addresses: by name, between two moments, and what is none."""

import pytest

from console.stretch import RANGES, StretchError, stretch_of

NOW = 1_795_000_000


@pytest.mark.parametrize("name", list(RANGES))
def test_a_range_ends_now(name: str) -> None:
    found = stretch_of({"range": name}, NOW)
    assert (found.since, found.until, found.name) == (NOW - RANGES[name], NOW, name)


def test_two_moments_are_utc_or_seconds() -> None:
    found = stretch_of({"since": "2026-11-18T10:00", "until": "1795000000", "earlier": "1d"}, NOW)
    assert found.name == ""
    assert found.since == 1_795_000_000 - (1_795_000_000 - 1_794_996_000)
    assert found.shift == 86_400
    assert stretch_of({"since": str(NOW - 500)}, NOW).until == NOW
    assert stretch_of({}, NOW).name == "1h"


def test_it_is_compared_with_any_time_before_it() -> None:
    found = stretch_of({"range": "1h", "earlier": "2026-11-13T10:00"}, NOW)
    assert found.since - found.shift == 1_794_564_000
    assert found.earlier_words == "from 2026-11-13 10:00 UTC on"
    assert found.earlier_text == "2026-11-13T10:00"
    named = stretch_of({"range": "1h", "earlier": "1w"}, NOW)
    assert (named.earlier_words, named.earlier_text) == ("a week before", "")
    none = stretch_of({"range": "1h"}, NOW)
    assert (none.shift, none.earlier_words, none.earlier_text) == (0, "", "")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"range": "2h"}, "range is '2h'; use one of live, 15m"),
        ({"earlier": "2y"}, "earlier is '2y'; use 2026-11-21T15:04"),
        ({"earlier": "before"}, "earlier is 'before'; use one of 1h, 1d, 1w, 4w, or 2026-11"),
        (
            {"earlier": str(NOW)},
            "begins at 1795000000; use a time before 2026-11-18T10:06, by 400 days at most",
        ),
        ({"earlier": "1"}, "by 400 days at most"),
        ({"since": "yesterday"}, "since is 'yesterday'; use 2026-11-21T15:04"),
        ({"until": "9" * 40}, "until is '9999"),
        ({"since": "999999999999"}, "use 10 s to 400 days"),
        ({"since": str(NOW - 100), "until": str(NOW - 95)}, "are 5 s"),
        ({"since": str(NOW), "until": str(NOW - 50)}, "are -50 s"),
        ({"since": "0001-01-01T00:00+23:59"}, "to 400 days|out of all bounds"),
        ({"since": "1"}, "to 400 days"),
    ],
)
def test_what_is_no_time_is_named(query: dict[str, str], words: str) -> None:
    with pytest.raises(StretchError, match=words):
        stretch_of(query, NOW)
