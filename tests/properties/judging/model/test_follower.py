"""The follower: what stays possible along a run, what the store shows, and how a refusal reads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.judging.model.build import (
    NO,
    NOTHING,
    PLAIN,
    UNHEARD,
    D,
    L,
    Q,
    S,
    ack,
    fetch,
    got,
    row,
    turn_got,
)
from tests.properties.judging.story import Story, Table, item, opened, scheduled, started

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.store import WorkerRow
from holdfast.properties.judging.invariants.model_reading import answer_to, is_malformed, read
from holdfast.properties.judging.model.follower import Follower
from holdfast.properties.judging.model.operations import (
    Call,
    Delete,
    DeleteFinished,
    Enqueue,
    FetchTurn,
    Finish,
    PermanentlyRefused,
    ProviderAnswer,
    ProviderOperation,
    Release,
    RenewSession,
    Succeeded,
    TransientlyFailed,
    Unheard,
)
from holdfast.properties.judging.model.refusal import Refusal, side_by_side
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.verdict import Holds
from holdfast.traces.calls import decoded
from holdfast.traces.record import CallOutcome, Commit, RunEnd


def follow(
    *calls: tuple[ProviderOperation, ProviderAnswer] | tuple[ProviderOperation, ProviderAnswer, int],
) -> Follower:
    """All of them, each allowed; judged by answers alone."""
    follower = Follower()
    for operation, answer, *time in calls:
        assert follower.take(Call(operation, answer, time[0] if time else 0)) is None
    return follower


OPENED = (
    (FetchTurn(L), turn_got()),
    (ack((S,), work=(Q,)), NOTHING),
)


# --- answers that were lost ---------------------------------------------------------------------------------


def test_both_stay_open_until_one_is_observed() -> None:
    """A claim whose answer was lost: the session may be w's, and may be free."""
    follower = follow(*OPENED, (fetch("w"), UNHEARD))
    assert [one.sessions[S] for one in follower.states] == [row(), row("w", D)]

    claimed = follower.fork()
    assert claimed.take(Call(fetch("v"), NOTHING, 1)) is None
    assert [one.sessions[S] for one in claimed.states] == [row("w", D)]

    free = follower.fork()
    assert free.take(Call(fetch("v"), got(Q), 1)) is None
    assert [one.sessions[S] for one in free.states] == [row("v", 1 + D)]


def test_what_neither_allows_is_refused() -> None:
    follower = follow(*OPENED, (fetch("w"), UNHEARD))
    refused = follower.take(Call(RenewSession(S, "v", D), NOTHING, 1))
    assert refused is not None and refused.rule == "SS-25.10"


def test_a_repeated_call_closes_what_its_lost_answer_left_open() -> None:
    """SS-12.19: release, lost and repeated, ends as if it had happened once."""
    follower = follow(*OPENED, (fetch("w"), got(Q)), (Release(S, "w"), UNHEARD))
    assert len(follower.states) == 2
    assert follower.take(Call(Release(S, "w"), NOTHING, 1)) is None
    assert [one.sessions[S] for one in follower.states] == [row()]


def test_a_lost_acknowledgement_of_an_item_and_its_repetition() -> None:
    follower = follow(*OPENED, (fetch("w"), got(Q)), (Finish("new"), UNHEARD))
    assert [len(one.queue) for one in follower.states] == [1, 0]
    done = follower.fork()
    assert done.take(Call(Finish("new"), NO, 1)) is None  # the token is gone: it was done
    assert [len(one.queue) for one in done.states] == [0]
    assert follower.take(Call(Finish("new"), NOTHING, 1)) is None  # it was not
    assert [len(one.queue) for one in follower.states] == [0]


def test_a_store_that_shows_its_rows_says_at_once_what_a_lost_call_did() -> None:
    follower = follow(*OPENED)
    stored = WorkerRow(7, Q, "s", "token of the store", L, 0, 1, "w")  # type: ignore[arg-type]
    assert follower.take(Call(fetch("w"), UNHEARD, 0), {S: row("w", D)}, [stored]) is None
    (only,) = follower.states
    assert only.queue == (stored,)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([fetch("v"), fetch("w"), Release(S, "w"), RenewSession(S, "w", D)]), max_size=8)
)
def test_any_number_of_lost_answers_leaves_no_state_twice(operations: list[ProviderOperation]) -> None:
    states = follow(*OPENED, *((one, UNHEARD) for one in operations)).states
    assert all(one not in states[:at] for at, one in enumerate(states))


# --- what the store shows -----------------------------------------------------------------------------------


def stored(**fields: object) -> WorkerRow:
    base = WorkerRow(1, Q, "s", None, None, 0, 0, None)  # type: ignore[arg-type]
    return base._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "sessions", "items"),
    [
        ("SS-25.1", {}, [stored()]),
        ("SS-25.1", {S: row("w", 9)}, [stored()]),
        ("SS-25.22", {S: row(), ("j", "s"): row(key=("j", "s"))}, [stored()]),
        ("SS-12.10", {S: row()}, []),
        ("SS-12.10", {S: row()}, [stored(), stored(seq=2)]),
        ("SS-10.4", {S: row()}, [stored(session_id=None)]),
        ("SS-12.10", {S: row()}, [stored(attempt_count=1)]),
        ("SS-10.5", {S: row()}, [stored(claimed_by="w")]),
    ],
)
def test_a_row_that_differs_is_refused(rule: str, sessions: object, items: object) -> None:
    follower = follow(OPENED[0])
    refused = follower.take(Call(OPENED[1][0], NOTHING, 0), sessions, items)  # type: ignore[arg-type]
    assert refused is not None and refused.rule == rule
    assert follower.accepted == 1


def test_a_number_never_changes() -> None:
    follower = follow(OPENED[0])
    assert follower.take(Call(OPENED[1][0], NOTHING, 0), {S: row()}, [stored()]) is None
    refused = follower.take(Call(fetch("w", "plain"), NOTHING, 0), {S: row()}, [stored(seq=2)])
    assert refused is not None and refused.rule == "SS-13.2"


def test_an_item_that_cannot_be_decoded_is_passed_over() -> None:
    follower = follow((FetchTurn(L), turn_got()))
    both = [stored(), stored(seq=2, item=PLAIN, session_id=None)]
    assert follower.take(Call(ack((S,), work=(Q, PLAIN)), NOTHING, 0), {S: row()}, both) is None
    left = [stored(item=None), both[1]._replace(token="new", locked_until=L, attempt_count=1)]
    assert follower.take(Call(fetch("w"), got(PLAIN), 0), {S: row()}, left) is None


def test_a_bulk_deletion_leaves_open_which_went() -> None:
    ended = follow((FetchTurn(L), turn_got()), (ack(work=(PLAIN,), status="Completed"), NOTHING))
    assert ended.take(Call(DeleteFinished(), NOTHING, 0)) is None
    assert [len(one.queue) for one in ended.states] == [1, 0]
    assert ended.take(Call(fetch("w"), NOTHING, 0)) is None
    assert [len(one.queue) for one in ended.states] == [0]


def test_a_deletion_may_be_refused_for_reasons_of_its_own() -> None:
    follower = follow(*OPENED, (Delete(("i",), True), NO))
    assert follower.states[0].sessions == {S: row()}
    assert follow(*OPENED, (Delete(("i",), True), NOTHING)).states[0].sessions == {}


# --- reading ------------------------------------------------------------------------------------------------

SESSION = {"instance_id": "i", "session_id": "s"}


def commit(operation: str, outcome: CallOutcome = "answered", error: ProviderError | None = None) -> Commit:
    return Commit(0, "a", 1, operation, {"token": "k", "completion": None}, outcome, None, error, 0, 9)


@pytest.mark.parametrize(
    ("outcome", "retryable", "answer"),
    [
        ("answered", None, Succeeded()),
        ("answered", False, PermanentlyRefused("no")),
        ("answered", True, TransientlyFailed()),
        ("refused", None, TransientlyFailed()),
        ("lost", None, Unheard()),
        ("lost", False, Unheard()),
        ("unsent", None, Unheard()),
    ],
)
def test_only_what_the_caller_heard_is_read(
    outcome: CallOutcome, retryable: bool | None, answer: ProviderAnswer
) -> None:
    error = None if retryable is None else ProviderError("ack_work_item", "no", retryable=retryable)
    found = answer_to(commit("ack_work_item", outcome, error))
    assert (type(found), found) == (type(answer), answer)


def test_an_operation_the_model_does_not_know_touches_nothing() -> None:
    assert follow().take(read(commit("read"))) is None


@pytest.mark.parametrize(
    ("operation", "arguments", "malformed"),
    [
        ("renew_session_lock", {**SESSION, "extend_for": -1, "worker_id": "w"}, True),
        ("renew_session_lock", {**SESSION, "extend_for": 1, "worker_id": ""}, True),
        ("renew_session_lock", {**SESSION, "extend_for": 1, "worker_id": "w"}, False),
        ("ack_work_item", {"token": "k", "completion": item(1)}, True),
        ("ack_work_item", {"token": "k", "completion": None}, False),
    ],
)
def test_a_malformed_call_is_refused_by_right(
    operation: str, arguments: dict[str, object], malformed: bool
) -> None:
    assert is_malformed(decoded(operation, arguments)) is malformed


def test_an_item_may_be_refused_as_it_comes_in() -> None:
    assert follow((FetchTurn(L), turn_got())).take(Call(Enqueue(Q), NO, 0, malformed=True)) is None


# --- as a monitor -------------------------------------------------------------------------------------------

WORK = item(3)


def begun() -> Story:
    return Story("MODEL").ack(started(), opened(2), scheduled(3), items=[WORK], opens=["s"])


def test_a_refusal_shows_the_accepted_prefix_the_rule_and_both_rows() -> None:
    story = begun().deliver("a", WORK, row=("a", D + 5))
    (failure,) = story.suite.failures
    assert failure.rule == "MODEL"
    assert failure.position == 3, "after the two that were accepted and the one that was not"
    first, *table = failure.message.splitlines()
    assert first == (
        "The reference model: 2 commits accepted, the last 1 a/1 ack_orchestration_item at 0 ms; "
        "2 a/1 fetch_session_work_item at 0 ms is refused by SS-25.3: session i/s"
    )
    assert table == [
        "              model  store",
        "worker_id     a      a",
        "locked_until  60000  60005  <",
    ]


def test_a_refusal_does_not_end_a_run_and_is_told_after_what_does() -> None:
    story = Story("INV-01", "INV-21", "MODEL")
    story.ack(started(), opened(2), scheduled(3), items=[WORK], opens=["s"])
    assert not story.suite.violated
    story.row("x", 7).fetch("b", mode="owned")
    assert not story.suite.violated and [one.rule for one in story.suite.failures] == ["MODEL"]
    story.deliver("a", WORK, row=("a", D + 5))
    assert story.suite.violated
    assert [one.rule for one in story.suite.failures][-1] == "MODEL"


def test_a_store_without_hooks_is_judged_by_its_answers() -> None:
    story = Story("MODEL")
    table = Table()
    story.suite = MonitorSuite(object(), {}, ["MODEL"])
    story.table = table
    story.ack(started(), opened(2), scheduled(3), items=[WORK], opens=["s"])
    story.suite.on_end(RunEnd(0, 0, None))
    assert story.suite.verdicts == [Holds("MODEL")]


def test_rows_that_are_not_there_are_shown_as_absent() -> None:
    assert side_by_side({}, {"a": 1}).splitlines() == ["   model   store", "a  absent  1      <"]
    assert side_by_side({}, {}).splitlines()[1].split() == ["absent", "absent"]
    assert isinstance(Refusal("r", "s", {}, {}), tuple)
