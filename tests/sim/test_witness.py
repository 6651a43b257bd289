"""Checker A finds what it is for: for each rule a good history, and one that must not pass."""

from ensemble.wire import codes
from ensemble.wire.txns import CheckTxn, DeleteTxn, ErrorTxn, MultiTxn, SetDataTxn
from tests.sim import witness
from tests.sim.history import Part
from tests.sim.story import EPOCH, SESSION, Story


def busy() -> Story:
    """Two clients that write, fail and read, all of it right."""
    story = Story()
    story.create(0, b"/a", b"0")
    story.set(0, b"/a", b"1")
    story.set(1, b"/a", b"2", version=1)
    story.refused(1, "set", b"/a", codes.BAD_VERSION, version=1)
    story.refused(0, "create", b"/a", codes.NODE_EXISTS)
    story.create(1, b"/e", b"", ephemeral=True)
    story.read(0, "get", b"/a")
    story.read(1, "children", b"/")
    story.read(1, "exists", b"/nothing")
    story.sync(0)
    story.close(1, [b"/e"])
    story.delete(0, b"/a")
    return story


def everything(story: Story) -> list[str]:
    model, history = story.model(), story.history
    return [
        *witness.check_writes(model, history.ops),
        *witness.check_real_time(history.ops),
        *witness.check_reads(model, history.ops),
        *witness.check_sessions(history),
        *witness.check_closed(model, history.ops),
        *witness.check_replies(history),
        *witness.check_syncs(history.ops),
        *witness.check_ephemerals(model),
        *witness.check_names(model),
    ]


def found(story: Story, rule: str) -> bool:
    return any(rule in problem for problem in everything(story))


def test_a_good_history_passes() -> None:
    assert everything(busy()) == []


# A1: the log fits


def test_a_hole_in_the_log_is_found() -> None:
    story = busy()
    del story.log[3]  # the first of two sets
    assert found(story, "A1")


def test_a_log_out_of_order_is_found() -> None:
    story = busy()
    story.log[2], story.log[3] = story.log[3], story.log[2]
    assert found(story, "zxid")


def test_a_tail_that_was_dropped_by_others_is_found() -> None:
    """A transaction prepared on top of another that is not in the history."""
    story = Story()
    story.create(0, b"/a")
    story.record(SESSION, 7, codes.OP_SET_DATA, SetDataTxn(b"/a", b"", 2))
    assert found(story, "A1")


def test_a_write_of_a_closed_session_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.close(0, [])
    story.delete(0, b"/a")
    assert found(story, "A1")


def test_a_close_that_leaves_an_ephemeral_out_is_found() -> None:
    story = Story()
    story.create(0, b"/e", ephemeral=True)
    story.close(0, [])
    assert found(story, "A1")


# A2: answered writes


def test_a_lost_write_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    del story.log[-1]
    assert found(story, "A2: acknowledged and not in the log")


def test_a_write_that_was_carried_out_twice_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    op = story.delete(0, b"/a")
    story.create(1, b"/a")
    story.record(op.session, op.xid, codes.OP_DELETE, DeleteTxn(b"/a"))
    assert found(story, "A2: logged 2 times")


def test_an_unanswered_write_may_be_there_or_not() -> None:
    story = Story()
    story.create(0, b"/a")
    story.op(0, "delete", b"/a")
    op = story.op(1, "delete", b"/a")
    story.record(op.session, op.xid, codes.OP_DELETE, DeleteTxn(b"/a"))
    assert everything(story) == []


def test_a_write_of_nobody_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.record(SESSION, 99, codes.OP_DELETE, DeleteTxn(b"/a"))
    assert found(story, "A2: nobody asked")


def test_an_answer_with_another_zxid_is_found() -> None:
    story = busy()
    story.history.ops[1].zxid += 1
    assert found(story, "A2: its zxid")


def test_an_answer_with_a_wrong_stat_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    op = story.set(0, b"/a", b"x")
    assert op.stat is not None
    op.stat = (*op.stat[:4], 5, *op.stat[5:])
    assert found(story, "A2: stat")


def test_a_success_that_the_log_refused_is_found() -> None:
    story = Story()
    op = story.refused(0, "create", b"/a", codes.NODE_EXISTS)
    op.error = 0
    assert found(story, "A2: logged as error")


def test_a_refusal_without_reason_is_found() -> None:
    story = Story()
    story.refused(0, "create", b"/a", codes.NODE_EXISTS)
    assert found(story, "A2: refused without a reason")


def test_a_write_with_a_condition_that_did_not_hold_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.set(0, b"/a", b"x").version = 7
    assert found(story, "that was not asked for")


def multi(story: Story, *errors: int) -> None:
    """check /a, set /b; as error records where an error is given."""
    op = story.op(0, "multi", b"")
    op.parts = [Part("check", b"/a", version=0), Part("set", b"/b", b"x")]
    for part, error in zip(op.parts, errors, strict=True):
        part.error = error
    types = [
        codes.OP_ERROR if any(errors) else kind for kind in (codes.OP_CHECK, codes.OP_SET_DATA)
    ]
    txns = [ErrorTxn(error) for error in errors]
    if not any(errors):
        story.parts(
            0,
            op,
            MultiTxn(types, [CheckTxn(b"/a", 0), SetDataTxn(b"/b", b"x", 1)]),
            codes.OP_MULTI,
        )
    else:
        story.parts(0, op, MultiTxn(types, list(txns)), codes.OP_MULTI)


def test_a_multi_is_all_or_nothing() -> None:
    story = Story()
    story.create(0, b"/a")
    story.create(0, b"/b")
    multi(story, 0, 0)
    story.set(0, b"/a", b"1")
    multi(story, codes.BAD_VERSION, codes.RUNTIME_INCONSISTENCY)
    assert everything(story) == []


def test_a_multi_that_should_have_failed_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.create(0, b"/b")
    story.set(0, b"/a", b"1")
    multi(story, 0, 0)
    assert found(story, "A2: part 0")


# A3 to A5, A7, and the order of replies


def test_a_write_that_overtakes_an_answered_one_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.create(1, b"/b")
    first, second = story.history.ops
    second.sent_us, second.done_us = first.sent_us - 5, first.sent_us - 1
    assert found(story, "A3")


def test_writes_at_the_same_time_have_any_order() -> None:
    story = Story()
    story.create(0, b"/a")
    story.create(1, b"/b")
    first, second = story.history.ops
    second.sent_us = first.sent_us
    assert not found(story, "A3")


def test_a_stale_read_is_found() -> None:
    story = Story()
    story.create(0, b"/a", b"old")
    op = story.read(1, "get", b"/a")
    story.set(0, b"/a", b"new")
    op.zxid = story.zxid
    assert found(story, "A4: stat")


def test_a_read_that_shows_what_was_never_committed_is_found() -> None:
    story = Story()
    story.create(0, b"/a", b"x")
    story.read(1, "get", b"/a").value = b"y"
    assert found(story, "A4")


def test_a_session_that_goes_back_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.reconnect(0)
    story.pong(0, EPOCH + 1)
    assert found(story, "A4: client 0 goes back")


def test_a_new_session_may_begin_earlier() -> None:
    story = Story(clients=1)
    story.create(0, b"/a")
    trail = story.history.trail(0)
    story.reconnect(0, resumed=False)
    trail.entries[-1].session = 0x777  # type: ignore[union-attr]
    story.pong(0, EPOCH + 1)
    assert everything(story) == []


def test_a_sync_that_shows_too_little_is_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.answer(story.op(1, "sync", b"/"), EPOCH + 2)
    assert found(story, "A5")


def test_an_answer_to_a_closed_session_is_found() -> None:
    story = Story()
    story.close(1, [])
    assert everything(story) == []
    story.read(1, "exists", b"/a")
    assert found(story, "I13")


def test_replies_out_of_order_are_found() -> None:
    story = Story()
    story.create(0, b"/a")
    story.create(0, b"/b")
    entries = story.history.trail(0).entries
    entries[-1], entries[-2] = entries[-2], entries[-1]
    assert found(story, "I15")


def test_an_ephemeral_without_a_session_is_found() -> None:
    """It needs a log that is wrong already; the end of it is looked at all the same."""
    story = Story()
    story.close(0, [])
    story.create(0, b"/e", ephemeral=True)
    assert found(story, "A7")


def test_a_tree_that_differs_is_found() -> None:
    story = busy()
    story.create(0, b"/b", b"x")
    model = story.model()
    tree = {
        path: (node.data, node.stat())
        for path in model.paths()
        if (node := model.at(path, model.last_zxid)) is not None
    }
    assert witness.check_tree(model, 1, tree) == []
    assert witness.check_tree(model, 1, {**tree, b"/b": (b"y", tree[b"/b"][1])})
    assert witness.check_tree(model, 1, {**tree, b"/c": tree[b"/b"]})
    del tree[b"/b"]
    assert witness.check_tree(model, 1, tree)
