"""Transactions: what is written is read back; closeSession's three forms are told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.wire import codes, txns
from ensemble.wire.jute import BytesWriter, MarshallingError
from ensemble.wire.records import Acl, Id

longs = st.integers(-(1 << 63), (1 << 63) - 1)
ints = st.integers(-(1 << 31), (1 << 31) - 1)
paths = st.binary(min_size=1, max_size=30)
data = st.binary(max_size=60) | st.none()
acls = st.lists(
    st.builds(Acl, ints, st.builds(Id, st.text("abc", max_size=5), st.text("abc:", max_size=9))),
    max_size=3,
)

creates = st.tuples(
    st.sampled_from([codes.OP_CREATE, codes.OP_CREATE2]),
    st.builds(txns.CreateTxn, paths, data, acls, st.booleans(), ints, st.just(0)),
)
containers = st.tuples(
    st.just(codes.OP_CREATE_CONTAINER),
    st.builds(txns.CreateTxn, paths, data, acls, st.just(False), ints, st.just(0)),
)
ttls = st.tuples(
    st.just(codes.OP_CREATE_TTL),
    st.builds(txns.CreateTxn, paths, data, acls, st.just(False), ints, longs),
)
deletes = st.tuples(
    st.sampled_from([codes.OP_DELETE, codes.OP_DELETE_CONTAINER]), st.builds(txns.DeleteTxn, paths)
)
sets = st.tuples(st.just(codes.OP_SET_DATA), st.builds(txns.SetDataTxn, paths, data, ints))
checks = st.tuples(st.just(codes.OP_CHECK), st.builds(txns.CheckTxn, paths, ints))
errors = st.tuples(st.just(codes.OP_ERROR), st.builds(txns.ErrorTxn, ints))
subs = st.one_of(creates, containers, ttls, deletes, sets, checks, errors)
multis = st.lists(subs, max_size=6).map(
    lambda parts: (codes.OP_MULTI, txns.MultiTxn([t for t, _ in parts], [x for _, x in parts]))
)
others = st.one_of(
    st.tuples(st.just(codes.OP_RECONFIG), st.builds(txns.SetDataTxn, paths, data, ints)),
    st.tuples(st.just(codes.OP_SET_ACL), st.builds(txns.SetAclTxn, paths, acls, ints)),
    st.tuples(st.just(codes.OP_CREATE_SESSION), st.builds(txns.CreateSessionTxn, ints)),
    st.tuples(
        st.just(codes.OP_CLOSE_SESSION),
        st.builds(txns.CloseSessionTxn, st.none() | st.lists(paths, max_size=5)),
    ),
)
tops = st.one_of(creates, containers, ttls, deletes, sets, errors, multis, others)


def payload_of(type: int, txn: txns.Txn, digest: int | None) -> bytes:
    out = BytesWriter()
    txns.write_txn_header(out, txns.TxnHeader(-5, 7, 0x100000002, 1_700_000_000_000, type))
    txns.write_txn_body(out, type, txn)
    if digest is not None:
        txns.write_digest(out, digest)
    return out.getvalue()


@given(tops, st.none() | longs)
def test_every_transaction_comes_back_as_it_was_written(
    top: tuple[int, txns.Txn], digest: int | None
) -> None:
    """storage.md 3.2 to 3.4, with and without a digest."""
    type, txn = top
    raw = payload_of(type, txn, digest)
    logged = txns.read_txn(raw)
    assert (logged.digest if logged.has_digest else None) == digest
    assert payload_of(type, logged.txn, digest) == raw


@pytest.mark.parametrize("digest", [None, 1, -1])
@pytest.mark.parametrize("paths", [None, [], [b"/a"], [b"/a", b"/bb"]])
def test_close_session_with_and_without_body_and_digest(
    paths: list[bytes] | None, digest: int | None
) -> None:
    """storage.md 3.4: decided by the bytes that remain, where the Java reader guesses."""
    raw = payload_of(codes.OP_CLOSE_SESSION, txns.CloseSessionTxn(paths), digest)
    logged = txns.read_txn(raw)
    assert isinstance(logged.txn, txns.CloseSessionTxn)
    assert logged.txn.paths == paths
    assert logged.has_digest == (digest is not None)


def test_the_old_form_of_create_reads_with_an_unknown_parent_cversion() -> None:
    """storage.md 3.4, step 1."""
    create = txns.CreateTxn(b"/a", b"x", [Acl(31, Id("world", "anyone"))], True, 9, 0)
    raw = payload_of(codes.OP_CREATE, create, None)[:-4]
    logged = txns.read_txn(raw)
    assert isinstance(logged.txn, txns.CreateTxn)
    assert (logged.txn.parent_cversion, logged.txn.ephemeral) == (-1, True)


@pytest.mark.parametrize("type", [codes.OP_CHECK, 99, 0, codes.OP_PING])
def test_types_that_no_log_may_hold_are_refused(type: int) -> None:
    """B9, ZOOKEEPER-2623: a check outside a multi never enters a database."""
    with pytest.raises(MarshallingError):
        txns.read_txn(payload_of(type, txns.CheckTxn(b"/a", 1), None))


@given(st.binary(max_size=120))
def test_hostile_payloads_raise_nothing_but_marshalling_errors(raw: bytes) -> None:
    try:
        txns.read_txn(raw)
    except MarshallingError:
        pass
