"""What is counted for a known load, turn by turn."""

import pytest

from ensemble.tenancy.accounting import (
    AUTH,
    CLASS_NAMES,
    CLASSES,
    ERROR_CODES_MAX,
    MULTI,
    OTHER,
    OTHER_CODE,
    PING,
    READ,
    SESSION,
    SYNC,
    WATCH,
    WRITE,
    Account,
    Meter,
    class_of,
)
from ensemble.wire import codes


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        (codes.OP_GET_DATA, READ),
        (codes.OP_MULTI_READ, READ),
        (codes.OP_CREATE, WRITE),
        (codes.OP_MULTI, MULTI),
        (codes.OP_SET_WATCHES2, WATCH),
        (codes.OP_SYNC, SYNC),
        (codes.OP_CLOSE_SESSION, SESSION),
        (codes.OP_SASL, AUTH),
        (codes.OP_PING, PING),
        (codes.OP_CHECK, OTHER),
        (10, OTHER),
        (-12, OTHER),
        (108, OTHER),
        (1 << 31, OTHER),
    ],
)
def test_every_opcode_has_a_class(op: int, kind: int) -> None:
    assert class_of(op) == kind


def test_every_opcode_that_a_client_may_send_has_a_class_of_its_own_kind() -> None:
    none = {codes.OP_NOTIFICATION, codes.OP_CHECK, codes.OP_DELETE_CONTAINER, codes.OP_ERROR}
    none |= {codes.OP_CREATE_SESSION}
    unnamed = {op for op in codes.OP_NAMES if class_of(op) == OTHER}
    assert unnamed <= none
    assert len(CLASS_NAMES) == CLASSES


def test_replies_of_one_turn_share_its_length_as_their_latency() -> None:
    meter, account = Meter(), Account()
    for _ in range(3):
        meter.on_request(account, codes.OP_GET_DATA, 40)
        meter.on_reply(account, codes.OP_GET_DATA, 0, 100, 1_000, 1_000)
    reads = account.figures(READ)
    assert reads.latency.count == 0, "the turn is not over"
    meter.end_turn(1_000, 1_500)
    assert (reads.count, reads.bytes_in, reads.bytes_out) == (3, 120, 300)
    assert (reads.latency.count, reads.latency.sum) == (3, 1_500)
    assert account.busy_us == 500
    meter.end_turn(2_000, 9_000)
    assert (reads.latency.count, account.busy_us) == (3, 500), "an empty turn costs nobody anything"


def test_a_request_that_waited_has_its_whole_wait_in_the_latency() -> None:
    meter, account = Meter(), Account()
    meter.on_reply(account, codes.OP_CREATE, 0, 20, 400, 10_000)
    meter.on_reply(account, codes.OP_CREATE, 0, 20, 10_000, 10_000)
    meter.end_turn(10_000, 10_100)
    writes = account.figures(WRITE)
    assert (writes.latency.count, writes.latency.sum) == (2, 9_700 + 100)
    assert writes.latency.max == 9_700


def test_a_turn_is_shared_out_by_replies_and_events() -> None:
    meter, many, few = Meter(), Account(), Account()
    for _ in range(3):
        meter.on_reply(many, codes.OP_EXISTS, 0, 10, 0, 0)
    meter.on_event(few, 64)
    meter.end_turn(0, 1_000)
    assert (many.busy_us, few.busy_us) == (750, 250)
    assert (few.delivery.count, few.delivery.sum, few.event_bytes) == (1, 1_000, 64)
    assert few.requests == 0


def test_errors_are_counted_by_code_and_throttles_apart() -> None:
    meter, account = Meter(), Account()
    for error in (codes.NO_NODE, codes.NO_NODE, codes.THROTTLED_OP, 0, codes.QUOTA_EXCEEDED):
        meter.on_reply(account, codes.OP_SET_DATA, error, 20, 0, 0)
    writes = account.figures(WRITE)
    assert (writes.count, writes.errors, writes.throttled) == (5, 4, 1)
    assert writes.errors_by_code == {
        codes.NO_NODE: 2,
        codes.THROTTLED_OP: 1,
        codes.QUOTA_EXCEEDED: 1,
    }
    assert (account.errors(), account.throttled(), account.bytes_out()) == (4, 1, 100)


def test_error_codes_are_bounded_and_the_rest_is_one_more() -> None:
    account = Account()
    figures = account.figures(READ)
    for code in range(-1, -ERROR_CODES_MAX - 11, -1):
        figures.on_error(code)
    assert len(figures.errors_by_code) == ERROR_CODES_MAX + 1
    assert figures.errors_by_code[OTHER_CODE] == 10
    assert figures.errors == sum(figures.errors_by_code.values())


def test_merged_accounts_are_the_sum() -> None:
    meter, left, right = Meter(), Account(), Account()
    meter.on_reply(left, codes.OP_GET_DATA, codes.NO_NODE, 10, 0, 0)
    meter.on_reply(right, codes.OP_GET_DATA, codes.NO_NODE, 30, 0, 0)
    meter.on_reply(right, codes.OP_MULTI, 0, 5, 0, 0)
    meter.on_event(right, 7)
    right.on_held(250)
    meter.end_turn(0, 100)
    total = Account()
    total.merge(left)
    total.merge(right)
    assert (total.requests, total.bytes_out(), total.event_bytes) == (3, 52, 7)
    assert total.figures(READ).errors_by_code == {codes.NO_NODE: 2}
    assert (total.held, total.held_us, total.delivery.count) == (1, 250, 1)
    assert total.busy_us == left.busy_us + right.busy_us
    assert left.requests == 1, "what is added stays as it was"
