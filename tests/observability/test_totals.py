"""Differences, sums and the bytes that figures are kept in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.server.tenant_views import account_fields
from ensemble.tenancy.accounting import CLASS_NAMES as THEIRS
from ensemble.tenancy.accounting import READ, WRITE, Account
from observability.samples.node import Look, NodeFigures
from observability.samples.table import decode_accounts, encode_accounts
from observability.samples.totals import (
    CLASS_NAMES,
    FigureError,
    MoreNeededError,
    Totals,
    decode,
    of_account,
    pack,
    unpack,
)


def account(reads: list[int], writes: int = 0) -> Account:
    """So many requests, the reads with these latencies."""
    made = Account()
    for us in reads:
        made.figures(READ).latency.add(us, 1)
        made.figures(READ).count += 1
    made.figures(WRITE).count += writes
    made.figures(WRITE).bytes_in += 100 * writes
    made.figures(WRITE).latency.add(900, writes)
    made.requests += len(reads) + writes
    made.busy_us += 10 * len(reads)
    return made


def totals(made: Account) -> Totals:
    return of_account(account_fields(made, buckets=True))


def look(uptime_ms: int, asked_s: float, made: Account) -> Look:
    return Look(asked_s, asked_s + 0.01, uptime_ms, {"a": totals(made)}, {})


def test_classes_have_the_nodes_names_in_its_order() -> None:
    assert CLASS_NAMES[: len(THEIRS)] == THEIRS


@given(st.lists(st.integers(0, 1 << 62), min_size=1))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert list(unpack(pack(numbers))) == numbers


@given(st.lists(st.integers(0, 3_000_000)), st.lists(st.integers(0, 3_000_000)))
def test_before_and_since_are_the_whole(first: list[int], then: list[int]) -> None:
    before, after = totals(account(first, 2)), totals(account(first + then, 5))
    more = after.since(before)
    assert more["requests"] == len(then) + 3
    before.add(more)
    assert before.counts == after.counts
    assert decode(before.encode()).keys() == decode(after.encode()).keys()
    for kind, found in before.classes.items():
        assert found.buckets == after.classes[kind].buckets
        assert found.sum_us == after.classes[kind].sum_us


@given(st.lists(st.integers(0, 3_000_000), min_size=1))
def test_quantiles_are_the_nodes(latencies: list[int]) -> None:
    made = account(latencies)
    found = totals(made).classes[READ]
    for share in (0.5, 0.95, 0.99):
        assert found.quantile(share) == made.figures(READ).latency.quantile(share)


def test_kept_accounts_come_back() -> None:
    accounts = {"a": totals(account([1, 500, 70_000], 3)), "_none": Totals()}
    found = decode_accounts(encode_accounts(accounts))
    assert found.keys() == accounts.keys()
    assert found["a"].counts == accounts["a"].counts
    assert found["a"].encode() == accounts["a"].encode()
    with pytest.raises(FigureError, match="end too early"):
        decode(accounts["a"].encode()[:-1])


def test_a_restarted_nodes_figures_are_new_as_a_whole() -> None:
    figures = NodeFigures()
    assert figures.take(look(60_000, 100.0, account([5] * 10))).is_first
    assert figures.take(look(61_000, 101.0, account([5] * 14))).accounts["a"]["requests"] == 4
    gain = figures.take(look(500, 102.0, account([5] * 3)))
    assert gain.is_restart
    assert gain.accounts["a"]["requests"] == 3
    # More than before, and up for longer than before: it was restarted all the same.
    gain = figures.take(look(1_000, 110.0, account([5] * 50)))
    assert gain.is_restart
    assert gain.accounts["a"]["requests"] == 50


def test_a_tenant_that_was_made_anew_is_never_negative() -> None:
    figures = NodeFigures()
    figures.take(look(60_000, 100.0, account([5] * 10, 2)))
    gain = figures.take(look(61_000, 101.0, account([5] * 4)))
    assert not gain.is_restart
    assert gain.accounts["a"]["requests"] == 4
    assert min(gain.accounts["a"].counts) == 0


@pytest.mark.parametrize("wrong", [-1, "7", None, 1 << 63, float("nan")])
def test_what_is_no_figure_is_named(wrong: object) -> None:
    fields = account_fields(account([1]), buckets=True)
    fields["requests"] = wrong  # type: ignore[assignment]
    with pytest.raises(FigureError, match="is no count"):
        of_account(fields)


def test_who_has_done_nothing_since_is_not_looked_at_again() -> None:
    made = account([5, 6], 1)
    first = totals(made)
    assert of_account(account_fields(made, buckets=True), first) is first
    assert first.since(first).is_nothing
    made.requests += 1
    made.figures(READ).latency.add(7, 1)
    quiet = {name: v for name, v in account_fields(made, buckets=True).items() if name != "classes"}
    with pytest.raises(MoreNeededError):
        of_account(quiet, first)
    again = of_account(account_fields(made, buckets=True), first)
    assert again is not first
    assert again.since(first)["requests"] == 1
