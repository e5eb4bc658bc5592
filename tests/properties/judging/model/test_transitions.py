"""Section 25, transition by transition: trigger, guard and effect of each line of the table."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.properties.judging.model.build import (
    NO,
    NOTHING,
    PLAIN,
    Q2,
    D,
    L,
    Q,
    S,
    T,
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
)

from holdfast.properties.judging.model.operations import (
    Delete,
    Finish,
    GiveBack,
    Other,
    PermanentlyRefused,
    ProviderAnswer,
    ProviderOperation,
    Release,
    RenewItem,
    RenewSession,
)
from holdfast.properties.judging.model.state import KnownRow, StoreState

NOT_OWNED = PermanentlyRefused("session i/s not owned by w")
WAITING = (item(Q),)


class Line(NamedTuple):
    """A line of the table: what is before, what is called at `now`, the row afterwards."""

    id: str
    before: StoreState
    operation: ProviderOperation
    row: KnownRow | None
    answer: ProviderAnswer = NOTHING
    now: int = 0


def with_work(*rows: KnownRow) -> StoreState:
    return state(*rows, queue=WAITING)


def with_held(*rows: KnownRow, until: int = L) -> StoreState:
    return state(*rows, queue=(held(Q, until=until),))


TABLE = (
    Line("SS-25.1", in_turn(state()), ack((S,)), row()),
    Line("SS-25.2", in_turn(state(row("v", 9))), ack((S,)), row("v", 9)),
    Line("SS-25.2", in_turn(state(row())), ack((S,)), row()),
    Line("SS-25.3", with_work(row()), fetch("w"), row("w", 5 + D), got(Q), 5),
    Line("SS-25.4", with_work(row("v", 7)), fetch("w"), row("w", 7 + D), got(Q), 7),
    Line("SS-25.5", with_work(row("w", 7)), fetch("w"), row("w", 9 + D), got(Q), 9),
    Line("SS-25.5", with_work(row("w", 7)), fetch("w", duration=0), row("w", 9), got(Q), 9),
    Line("SS-25.6", with_work(row("w", 7)), fetch("w"), row("w", 6 + D), got(Q), 6),
    Line("SS-25.6", with_work(row("w", 7)), fetch("w", "owned"), row("w", 6 + D), got(Q), 6),
    Line("SS-25.6", with_work(row("w", 90_000)), fetch("w"), row("w", 90_000), got(Q), 6),
    Line("SS-25.7", with_work(row("v", 7)), fetch("w"), row("v", 7), NOTHING, 6),
    Line("SS-25.7", with_work(row("v", 7)), fetch("w", "owned"), row("v", 7), NOTHING, 6),
    Line("SS-25.8", state(row("w", 7)), RenewSession(S, "w", D), row("w", 6 + D), NOTHING, 6),
    Line("SS-25.8", state(row("w", 90_000)), RenewSession(S, "w", D), row("w", 90_000), NOTHING, 6),
    Line("SS-25.9", state(row("w", 7)), RenewSession(S, "w", D), row("w", 8 + D), NOTHING, 8),
    Line("SS-25.10", state(), RenewSession(S, "w", D), None, NOT_OWNED),
    Line("SS-25.10", state(row()), RenewSession(S, "w", D), row(), NOT_OWNED),
    Line("SS-25.10", state(row("v", 7)), RenewSession(S, "w", D), row("v", 7), NOT_OWNED),
    Line("SS-25.11", with_held(row("w", 7)), RenewItem("k", L, D), row("w", 6 + D), NOTHING, 6),
    Line("SS-25.11", with_held(row("w", 7)), RenewItem("k", L, D), row("w", 8 + D), NOTHING, 8),
    Line("SS-25.12", with_held(), RenewItem("k", L, D), None, NOT_OWNED),
    Line("SS-25.12", with_held(row()), RenewItem("k", L, D), row(), NOT_OWNED),
    Line("SS-25.12", with_held(row("v", 7)), RenewItem("k", L, D), row("v", 7), NOT_OWNED),
    Line("SS-25.12", with_held(row("w", 9), until=5), RenewItem("k", L, D), row("w", 9), NO, 5),
    Line("SS-25.13", state(row("w", 7)), Release(S, "w"), row(), NOTHING, 6),
    Line("SS-25.13", state(row("w", 7)), Release(S, "w"), row(), NOTHING, 8),
    Line("SS-25.14", state(), Release(S, "w"), None),
    Line("SS-25.14", state(row()), Release(S, "w"), row()),
    Line("SS-25.14", state(row("v", 7)), Release(S, "w"), row("v", 7)),
    Line("SS-25.15", in_turn(with_work(row("v", 7))), ack(closed=(S,)), None),
    Line("SS-25.15", in_turn(state()), ack(closed=(S,)), None),
    Line("SS-25.16", in_turn(with_work(row("v", 7))), ack((S,), (S,)), row()),
    Line("SS-25.16", in_turn(state()), ack((S,), (S,)), row()),
    Line("SS-25.17", in_turn(with_work(row("v", 7))), ack(status="Completed"), None),
    Line("SS-25.17", in_turn(with_work(row("v", 7))), ack((S,), status="Failed"), None),
    Line("SS-25.17", with_work(row("v", 7)), Delete(("i",), True), None),
    Line("SS-25.18", in_turn(with_work(row("v", 7))), ack((T,), status="ContinuedAsNew"), row("v", 7)),
    Line("SS-25.19", state(row("w", 7), now=6), Other(), row("w", 7), NOTHING, 7),
    Line("SS-25.20", state(row("w", 7), now=7), Other(), row("w", 7), NOTHING, 6),
    Line("SS-25.21", with_work(), fetch("w"), row("w", 5 + D), got(Q), 5),
    Line("SS-25.22", with_held(row("w", 7)), Finish("k"), row("w", 7)),
    Line("SS-25.22", with_held(row("w", 7)), GiveBack("k", 0, True), row("w", 7)),
    Line("SS-25.22", with_work(row("v", 7)), fetch("w", "plain"), row("v", 7)),
    Line("SS-25.22", with_work(row("w", 7)), fetch("w", "owned"), row("w", 7), NOTHING, 7),
    Line("SS-25.22", with_work(row()), fetch("w", "owned"), row()),
    Line("SS-25.22", with_work(), fetch("w", "owned"), None),
)


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.id)
def test_a_transition_has_its_effect_and_says_which_it_is(line: Line) -> None:
    found = made(line.before, line.operation, line.answer, line.now)
    assert (S, line.id) in found.rules
    (only,) = found.states
    assert only.sessions.get(S) == line.row
    if line.id in ("SS-25.15", "SS-25.16", "SS-25.17"):
        assert all(one.session_id is None for one in only.queue)


def test_every_transition_has_its_line() -> None:
    assert {line.id for line in TABLE} == {f"SS-25.{number}" for number in range(1, 23)}


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.id)
def test_it_may_not_be_answered_the_other_way(line: Line) -> None:
    """Success for a refusal, a refusal for a success; what is about no answer is left out."""
    if isinstance(line.operation, Delete | Other):
        return
    other = NOTHING if isinstance(line.answer, PermanentlyRefused) else NO
    assert refusal(line.before, line.operation, other, line.now)


def test_a_refused_renewal_says_whose_session_it_is_not() -> None:
    found = refusal(state(row("v", 7)), RenewSession(S, "w", D), NO)
    assert found == (
        "SS-12.7",
        "the answer to RenewSession",
        {"error": "session i/s not owned by w"},
        {"error": "no"},
    )


def test_a_delivery_locks_the_item_and_counts_the_attempt() -> None:
    only = after(with_work(row()), fetch("w"), got(Q), 5)
    assert only.queue == (held(Q, token="new", until=5 + L),)


def test_items_of_a_session_closed_and_opened_stay_if_the_acknowledgement_brings_them() -> None:
    before = in_turn(state(row("v", 7), queue=(item(Q), item(PLAIN))))
    only = after(before, ack((S,), (S,), work=(Q2,)))
    assert [one.work for one in only.queue] == [PLAIN, Q2]
    only = after(before, ack((), (S,), work=(Q2,)))
    assert [one.work for one in only.queue] == [PLAIN]


def test_what_is_scheduled_and_cancelled_in_one_turn_is_not_queued() -> None:
    only = after(in_turn(state(queue=(item(Q2),))), ack(work=(PLAIN,), cancelled=(PLAIN[:3], Q2[:3])))
    assert only.queue == ()


def test_an_end_takes_all_sessions_of_the_instance_and_no_other() -> None:
    other = row("v", 7, ("j", "s"))
    before = in_turn(state(row(), row(key=T), other, queue=(item(Q), item(PLAIN))))
    only = after(before, ack((T,), status="Completed", work=(Q2,)))
    assert only.sessions == {("j", "s"): other}
    assert [one.work for one in only.queue] == [PLAIN]


@pytest.mark.parametrize("until", [0, 6])
def test_an_acknowledgement_needs_a_live_lock(until: int) -> None:
    before = in_turn(state(row()), until=until)
    assert refusal(before, ack(closed=(S,)), NOTHING, 6).rule == "SS-12.12"
    assert after(before, ack(closed=(S,)), NO, 6).sessions == before.sessions


def test_an_acknowledgement_is_for_its_own_instance() -> None:
    assert refusal(in_turn(state()), ack((("j", "s"),)), NOTHING).rule == "PV-25.9"


def test_an_acknowledgement_that_brings_events_may_be_refused_for_them() -> None:
    assert refusal(in_turn(state()), ack(), NO).rule == "SS-12.10"
    assert after(in_turn(state()), ack((S,), excuse=True), NO).sessions == {}
