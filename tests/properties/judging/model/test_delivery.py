"""Section 13 and the laws of the whole step: order, attempts, purity, answers that were not heard."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.judging.model.build import (
    NO,
    NOTHING,
    PLAIN,
    Q2,
    UNHEARD,
    Activity,
    L,
    Q,
    S,
    ack,
    after,
    fetch,
    got,
    held,
    in_turn,
    item,
    made,
    refusal,
    row,
    state,
    turn_got,
)

from holdfast.properties.judging.model.delivery import admits, is_ready
from holdfast.properties.judging.model.operations import (
    Call,
    Enqueue,
    Fetch,
    FetchTurn,
    Finish,
    GiveBack,
    GiveBackTurn,
    ItemDelivered,
    PermanentlyRefused,
    ProviderAnswer,
    ProviderOperation,
    Release,
    RenewItem,
    RenewSession,
    RenewTurn,
    Succeeded,
    TransientlyFailed,
)
from holdfast.properties.judging.model.state import (
    INT63_MAX,
    KnownItem,
    KnownLock,
    KnownRow,
    StoreState,
    deadline,
    key_of,
)
from holdfast.properties.judging.model.step import Allowed, step

# --- what a fetch may not deliver ---------------------------------------------------------------------------

TAGGED = Activity("i", 1, 5, None, "gpu")


@pytest.mark.parametrize(
    ("rule", "before", "operation", "answer"),
    [
        ("SS-13.1", state(queue=(item(PLAIN),)), fetch("w"), NOTHING),
        ("SS-13.4", state(queue=(held(Q2), item(PLAIN))), fetch("w"), NOTHING),
        ("SS-13.1", state(), fetch("w"), got(PLAIN)),
        ("SS-13.1", state(queue=(item(Q), item(Q2))), fetch("w"), got(Q2)),
        ("SS-13.2", state(queue=(item(Q, attempt_count=1), item(Q2))), fetch("w"), got(Q2)),
        ("SS-13.3", state(queue=(item(PLAIN, visible_from=9),)), fetch("w"), got(PLAIN)),
        ("SS-13.5", state(queue=(item(Q), item(PLAIN))), fetch("w"), got(PLAIN)),
        ("SS-13.5", state(queue=(item(PLAIN), item(Q))), fetch("w"), got(Q)),
        ("SS-12.2", state(queue=(item(Q),)), fetch("w", "plain"), got(Q)),
        ("SS-12.4", state(row(), queue=(item(Q),)), fetch("w", "owned"), got(Q)),
        ("SS-25.7", state(row("v", 7), queue=(item(Q),)), fetch("w"), got(Q)),
        ("PV-10.5", state(queue=(held(PLAIN),)), fetch("w"), got(PLAIN, 2)),
        ("PV-10.4", state(queue=(item(PLAIN),)), fetch("w"), got(PLAIN, 2)),
        ("PV-12.7", state(queue=(item(TAGGED),)), fetch("w"), got(TAGGED)),
        ("PV-7.5", state(queue=(held(Q), item(PLAIN))), fetch("w"), got(PLAIN, token="k")),
        ("PV-10.9", state(queue=(item(Q),)), fetch("w"), got(Q._replace(tag="x"))),
        ("PV-10.4", state(queue=(item(PLAIN),)), fetch("w"), NO),
    ],
)
def test_a_fetch_is_refused_by_the_nearest_clause(
    rule: str, before: StoreState, operation: Fetch, answer: ProviderAnswer
) -> None:
    assert refusal(before, operation, answer).rule == rule


def test_the_refusal_shows_both_answers() -> None:
    found = refusal(state(queue=(item(Q), item(Q2))), fetch("w"), got(Q2))
    assert found.model == {"item": "i/1/2 on s", "attempt": 1}
    assert found.store == {"item": "i/1/3 on s", "attempt": 1}


# --- holding an item ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "ok"), [(L - 1, True), (L, False)])
def test_a_lock_ends_at_its_expiry(now: int, ok: bool) -> None:
    before = state(queue=(held(PLAIN),))
    for operation in (Finish("k"), RenewItem("k", L, L)):
        assert isinstance(step(before, Call(operation, NOTHING if ok else NO, now)), Allowed)
        assert not isinstance(step(before, Call(operation, NO if ok else NOTHING, now)), Allowed)


def test_an_expired_item_is_given_back_all_the_same_and_only_once() -> None:
    only = after(state(queue=(held(PLAIN),)), GiveBack("k", 7, False), NOTHING, L + 1)
    assert only.queue == (item(PLAIN, visible_from=L + 8),)
    assert refusal(only, GiveBack("k", 7, False), NOTHING).rule == "PV-11.11"


def test_a_charged_attempt_is_kept_and_an_uncharged_one_is_not_counted_below_none() -> None:
    before = state(queue=(held(PLAIN)._replace(attempt_count=3),))
    assert after(before, GiveBack("k", 0, True)).queue[0].attempt_count == 3
    assert after(before, GiveBack("k", 0, False)).queue[0].attempt_count == 2
    before = state(queue=(held(PLAIN)._replace(attempt_count=0),))
    assert after(before, GiveBack("k", 0, False)).queue[0].attempt_count == 0


def test_an_item_given_back_is_delivered_before_younger_ones() -> None:
    only = after(state(queue=(held(PLAIN), item(TAGGED._replace(tag=None)))), GiveBack("k", 0, True))
    assert refusal(only, fetch("w"), got(TAGGED._replace(tag=None))).rule == "SS-13.2"
    assert after(only, fetch("w"), got(PLAIN, 2))


def test_a_turn_is_handed_out_once_until_its_lock_ends() -> None:
    first = after(state(), FetchTurn(10), turn_got())
    assert refusal(first, FetchTurn(10), turn_got(token="other"), 9).rule == "PV-7.6"
    second = after(first, FetchTurn(10), turn_got(token="other"), 10)
    assert refusal(second, ack(), NOTHING).rule == "SS-12.12"
    assert after(second, RenewTurn("other", 90), NOTHING).instance_locks == {"i": KnownLock("other", 100)}
    assert after(second, GiveBackTurn("other"), NOTHING, 500).instance_locks == {}


def test_a_turn_whose_delivery_was_not_heard_may_have_superseded_a_lock_that_had_ended() -> None:
    before = in_turn(state(row()), until=5)
    open_ones = made(before, FetchTurn(10), UNHEARD, 6).states
    assert [one.instance_locks["i"].token for one in open_ones] == ["turn", "?"]
    accepted = [one for one in open_ones if isinstance(step(one, Call(ack(), NO, 4)), Allowed)]
    assert accepted == [open_ones[1]]  # the clock was set back: only the superseded token is refused


def test_a_deadline_beyond_all_numbers_is_the_largest() -> None:
    assert deadline(1, INT63_MAX) == INT63_MAX


# --- laws ---------------------------------------------------------------------------------------------------

TIMES = st.integers(0, 12)
WORKERS = st.sampled_from("vw")
ACTIVITIES = st.sampled_from(
    [Activity(instance, 1, 0, session) for instance in "ij" for session in (None, "s", "t")]
)


@st.composite
def states(draw: st.DrawFn) -> StoreState:
    """Any state: rows of each kind, items free, delayed, held and expired, a turn or none."""
    rows = [
        KnownRow(instance, session, worker, None if worker is None else draw(TIMES))
        for instance in "ij"
        for session in "st"
        if draw(st.booleans())
        for worker in (draw(st.sampled_from((None, "v", "w"))),)
    ]
    queue = []
    for number in range(draw(st.integers(0, 5))):
        work = draw(ACTIVITIES)._replace(id=number)
        made_item: KnownItem = item(work, visible_from=draw(TIMES), attempt_count=draw(st.integers(0, 2)))
        if draw(st.booleans()):
            made_item = held(work, draw(WORKERS), f"k{number}", draw(TIMES))
        queue.append(made_item._replace(seq=number))
    built = state(*rows, queue=tuple(queue), now=draw(TIMES))
    return in_turn(built, until=draw(TIMES)) if draw(st.booleans()) else built


KEYS = st.sampled_from([(instance, session) for instance in "ij" for session in "st"])
TOKENS = st.sampled_from(["k0", "k1", "k2", "k3", "none"])
KEY_LISTS = st.lists(st.sampled_from([("i", "s"), ("i", "t")]), max_size=3).map(tuple)
OPERATIONS: st.SearchStrategy[ProviderOperation] = st.one_of(
    st.builds(fetch, WORKERS, st.sampled_from(("plain", "owned", "full")), TIMES, TIMES),
    st.builds(Finish, TOKENS),
    st.builds(GiveBack, TOKENS, TIMES, st.booleans()),
    st.builds(RenewItem, TOKENS, TIMES, TIMES),
    st.builds(RenewSession, KEYS, WORKERS, TIMES),
    st.builds(Release, KEYS, WORKERS),
    st.builds(Enqueue, ACTIVITIES),
    st.builds(ack, KEY_LISTS, KEY_LISTS, status=st.sampled_from((None, "ContinuedAsNew", "Completed"))),
    st.builds(RenewTurn, st.just("turn"), TIMES),
    st.builds(GiveBackTurn, st.just("turn")),
)


def answers(before: StoreState, operation: ProviderOperation, now: int) -> list[ProviderAnswer]:
    """The answers a provider may give: which, the model is asked for each."""
    work = [one.work for one in before.queue if one.work is not None and isinstance(operation, Fetch)]
    possible: list[ProviderAnswer] = [NOTHING, NO]
    possible += [
        PermanentlyRefused(f"session {i}/{s} not owned by {w}") for i in "ij" for s in "st" for w in "vw"
    ]
    possible += [Succeeded(ItemDelivered(one, "new", n)) for one in work for n in (1, 2, 3)]
    return [one for one in possible if isinstance(step(before, Call(operation, one, now)), Allowed)]


@given(states(), OPERATIONS, TIMES)
def test_a_state_is_never_changed_and_the_step_is_a_function(
    before: StoreState, operation: ProviderOperation, now: int
) -> None:
    kept = deepcopy(before)
    for answer in (NOTHING, NO, UNHEARD, TransientlyFailed()):
        call = Call(operation, answer, now)
        assert step(before, call) == step(before, call)
    assert before == kept


@given(states(), OPERATIONS, TIMES)
def test_there_is_a_lawful_answer_and_only_one(
    before: StoreState, operation: ProviderOperation, now: int
) -> None:
    allowed = answers(before, operation, now)
    free_words = [one for one in allowed if isinstance(one, PermanentlyRefused)] if NO in allowed else []
    assert len(allowed) == 1 or allowed == free_words


@given(states(), OPERATIONS, TIMES)
def test_unheard_is_done_or_not(before: StoreState, operation: ProviderOperation, now: int) -> None:
    """SS-24.6. The token of a delivery is all that differs."""
    open_ones = made(before, operation, UNHEARD, now).states
    assert open_ones[0] == before._replace(now=now)
    for answer in answers(before, operation, now):
        done = after(before, operation, answer, now)
        queue = tuple(one._replace(token="?") if one.token == "new" else one for one in done.queue)
        assert done._replace(queue=queue) in open_ones
    assert len(open_ones) <= 2


@given(states(), OPERATIONS, TIMES)
def test_what_is_refused_or_has_failed_changes_nothing_but_the_time(
    before: StoreState, operation: ProviderOperation, now: int
) -> None:
    assert after(before, operation, TransientlyFailed(), now) == before._replace(now=now)
    for answer in answers(before, operation, now):
        if isinstance(answer, PermanentlyRefused):
            assert after(before, operation, answer, now) == before._replace(now=now)


@given(states(), OPERATIONS, TIMES)
def test_no_extension_lowers_an_expiry_and_no_row_is_half_set(
    before: StoreState, operation: ProviderOperation, now: int
) -> None:
    """INV-02, INV-20: the same owner within one incarnation."""
    for answer in answers(before, operation, now):
        for key, later in after(before, operation, answer, now).sessions.items():
            earlier = before.sessions.get(key)
            assert (later.worker_id is None) == (later.locked_until is None)
            if earlier is not None and later.worker_id == earlier.worker_id and earlier.locked_until:
                assert later.locked_until is not None
                assert later.locked_until >= earlier.locked_until


@given(states(), st.builds(fetch, WORKERS, st.sampled_from(("plain", "owned", "full")), TIMES, TIMES), TIMES)
def test_a_fetch_delivers_the_eligible_item_of_the_smallest_rank(
    before: StoreState, operation: Fetch, now: int
) -> None:
    """SS-13.1, INV-06, and INV-03: the session is the worker's afterwards."""

    def eligible(one: KnownItem) -> bool:
        key = key_of(one)
        return is_ready(one, operation, now) and (
            key is None or admits(before.sessions.get(key), operation.worker, operation.mode, now)
        )

    (answer,) = answers(before, operation, now)
    assert isinstance(answer, Succeeded)
    ready = [one for one in before.queue if eligible(one)]
    if not ready:
        assert answer.found is None
        return
    assert isinstance(answer.found, ItemDelivered)
    assert answer.found.work == ready[0].work
    key = key_of(ready[0])
    if key is not None:
        assert after(before, operation, answer, now).sessions[key].worker_id == operation.worker


@given(states(), OPERATIONS, TIMES)
def test_only_what_is_addressed_changes(before: StoreState, operation: ProviderOperation, now: int) -> None:
    """INV-36: at most one instance, and but for an acknowledgement at most one session and one item."""
    for answer in answers(before, operation, now):
        done = after(before, operation, answer, now)
        rows = [
            k for k in {**before.sessions, **done.sessions} if before.sessions.get(k) != done.sessions.get(k)
        ]
        items = [one for one in (*before.queue, *done.queue) if (one in before.queue) != (one in done.queue)]
        instances = {key[0] for key in rows} | {one.work.instance for one in items if one.work is not None}
        assert len(instances) <= 1
        if type(operation).__name__ != "Acknowledge":
            assert len(rows) <= 1
            assert len({one.seq for one in items}) <= 1


def test_time_alone_writes_nothing() -> None:
    before = state(row("w", 7), queue=(held(Q, until=7),))
    for now in (6, 7, 8):
        assert after(before, Release(S, "nobody"), NOTHING, now) == before._replace(now=now)
