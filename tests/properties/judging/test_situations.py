"""Situations are recognised where they are, and not next to it."""

from __future__ import annotations

import pytest
from tests.properties.judging.story import (
    D,
    L,
    Story,
    answer,
    cancelled,
    closed,
    completed,
    event,
    item,
    opened,
    scheduled,
    started,
)

from holdfast.core.contract import events, work_items
from holdfast.core.contract.failures import FailureDetails, Poison, PoisonActivity, PoisonedMessage
from holdfast.core.contract.observe import (
    CapacityChanged,
    HandlerSignalled,
    HandlerStarted,
    HandlerStopped,
    LeaseEnded,
    LeaseTaken,
)
from holdfast.properties.judging.situations.table import SITUATIONS

Q, Q2, PLAIN = item(3), item(4), item(5, None)


def begun() -> Story:
    return Story().ack(started(), opened(2), scheduled(3), scheduled(4), items=[Q, Q2], opens=["s"])


def running() -> Story:
    return begun().deliver("a", Q).tell(HandlerStarted("work-0-a", "t", "i", 1, 3, "s", 1))


def seen(story: Story) -> set[str]:
    return set(story.suite.situations)


def test_every_line_has_a_subject_and_says_what_it_means() -> None:
    for name, situation in SITUATIONS.items():
        assert "." in name, name
        assert situation.means, name
        assert situation.kinds, name


def test_nothing_is_there_before_anything_happened() -> None:
    assert not seen(Story().end())


def test_an_opening_and_a_close() -> None:
    story = begun()
    assert "session.opened" in seen(story)
    assert "session.closed" not in seen(story)
    story.ack(closed(5), cancelled(6, 3), cancelled(7, 4), closed(8), closes=["s"])
    assert {"session.closed", "session.closed_again", "session.closed_while_queued"} <= seen(story)
    assert "session.closed_while_running" not in seen(story)
    assert "session.reopened" not in seen(story)
    story.ack(opened(9), opens=["s"])
    assert "session.reopened" in seen(story)
    assert "session.reopened_same_turn" not in seen(story)


def test_a_reopening_in_one_turn_while_a_handler_runs() -> None:
    story = running().ack(closed(5), cancelled(6, 3), cancelled(7, 4), opened(8), closes=["s"], opens=["s"])
    assert {"session.reopened_same_turn", "session.closed_while_running"} <= seen(story)
    story.commit("ack_work_item", error=True, token="t", completion=answer(3))
    assert "session.late_completion_refused" in seen(story)


def test_claims() -> None:
    story = begun().deliver("a", Q)
    assert "session.claimed" in seen(story)
    assert not {"session.served_again", "session.migrated", "session.claim_raced"} & seen(story)
    story.deliver("a", Q2, "t2")
    assert "session.served_again" in seen(story)
    assert "session.used_across_turns" not in seen(story)
    q = item(6)
    story.at(1).ack(scheduled(6), items=[q]).deliver("a", q, "t3")
    assert "session.used_across_turns" in seen(story)


@pytest.mark.parametrize("rival", ["b", "a"])
@pytest.mark.parametrize("later", [0, 1])
def test_a_race_is_between_two_workers_at_one_time(rival: str, later: int) -> None:
    story = begun().deliver("a", Q).at(later).fetch(rival)
    assert ("session.claim_raced" in seen(story)) == (rival == "b" and later == 0)


@pytest.mark.parametrize("crashed", [False, True])
def test_a_migration_with_and_without_a_crash(crashed: bool) -> None:
    story = running()
    if crashed:
        story.fault("crash", "a")
        assert "owner.crashed_with_item" in seen(story)
        assert "owner.crashed_idle" not in seen(story)
    story.at(D).deliver("b", Q, "t2", number=2)
    assert {"session.migrated", "item.redelivered"} <= seen(story)
    assert ("session.taken_over_after_crash" in seen(story)) == crashed
    assert ("item.redelivered_after_crash" in seen(story)) == crashed
    assert ("lock.expired_under_live_owner" in seen(story)) != crashed


def test_an_idle_owner_crashes() -> None:
    story = begun().deliver("a", Q).done("a", Q).fault("crash", "a")
    assert "owner.crashed_idle" in seen(story)
    assert "owner.crashed_with_item" not in seen(story)


@pytest.mark.parametrize("cause", ["idle", "shutdown"])
def test_a_release_and_the_claim_after_it(cause: str) -> None:
    story = begun().deliver("a", Q).tell(LeaseTaken("a", "i", "s")).done("a", Q)
    story.tell(LeaseEnded("a", "i", "s", cause, 0)).release("a")  # type: ignore[arg-type]
    assert {name for name in seen(story) if name.startswith("session.released")} == {
        f"session.released_{cause}"
    }
    story.deliver("b", Q2, "t2")
    assert "session.claimed_after_release" in seen(story)
    assert "session.migrated" not in seen(story)


def test_renewals() -> None:
    story = begun().deliver("a", Q).renew("a")
    assert "session.renewed" in seen(story)
    assert not {"session.renewed_between", "session.renewed_by_item", "session.renewed_late"} & seen(story)
    story.renew_item("a", Q).done("a", Q).renew("a")
    assert {"session.renewed_between", "session.renewed_by_item"} <= seen(story)
    story.renew("b", error=True)
    assert {"session.renewal_refused", "session.renewal_refused_stolen"} <= seen(story)
    story.at(D + L).renew("a")
    assert "session.renewed_late" in seen(story)


def test_a_worker_at_capacity() -> None:
    story = (
        begun().deliver("a", Q).tell(CapacityChanged("a", 1, 0, 0, 1)).deliver("a", Q2, "t2", mode="owned")
    )
    assert {"worker.at_capacity", "worker.served_owned_at_capacity"} <= seen(story)
    other = item(7, "z")
    story.ack(
        opened(5, "z"), scheduled(7, "z"), scheduled(8, None), items=[other, item(8, None)], opens=["z"]
    )
    story.deliver("a", item(8, None), "t3", mode="owned")
    assert {"worker.served_plain_at_capacity", "worker.passed_free_session_at_capacity"} <= seen(story)


def test_two_owners_and_plain_work_elsewhere() -> None:
    story = begun().deliver("a", Q).ack(scheduled(5, None), items=[PLAIN]).deliver("b", PLAIN, "t2")
    assert {"plain.delivered_elsewhere", "session.passed_over"} <= seen(story)
    assert "two_sessions.two_owners" not in seen(story)
    other = item(7, "z")
    story.ack(opened(6, "z"), scheduled(7, "z"), items=[other], opens=["z"]).deliver("b", other, "t3")
    assert "two_sessions.two_owners" in seen(story)


def test_items_given_back() -> None:
    story = begun().deliver("a", Q).abandon("a", Q, uncharged=True)
    assert "item.abandoned_uncharged" in seen(story)
    assert not {"item.abandoned_backoff", "item.same_attempt_again"} & seen(story)
    story.deliver("a", Q, "t2").abandon("a", Q, "t2", delay=5)
    assert {"item.abandoned_backoff", "item.same_attempt_again"} <= seen(story)


def test_a_poisoned_item() -> None:
    poison = Poison(
        attempt_count=11,
        max_attempts=10,
        message_type=PoisonedMessage(
            activity=PoisonActivity(instance="i", execution_id=1, activity_name="n", activity_id=3)
        ),
        message="",
    )
    failed = work_items.ActivityFailedMessage(
        instance="i", execution_id=1, id=3, details=FailureDetails(poison=poison)
    )
    story = begun().deliver("a", Q).deliver("a", Q2, "t2").done("a", Q2, "t2")
    assert "item.poisoned" not in seen(story)
    assert "item.poisoned" in seen(story.done("a", Q, completion=failed))


@pytest.mark.parametrize("session", [True, False])
def test_continue_as_new_with_and_without_a_session(session: bool) -> None:
    carried = ("s",) if session else ()
    story = running() if session else Story().ack(started())
    continued = event(events.OrchestrationContinuedAsNew, 5, input="", open_sessions=carried)
    story.ack(continued, cancels=[3] if session else [], status="ContinuedAsNew")
    with_session = {
        "session.carried_over",
        "session.owned_across_continue",
        "instance.continued_while_running",
    }
    assert (with_session <= seen(story)) == session
    assert ("instance.continued" in seen(story)) != session


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled"])
def test_an_end_with_an_open_session(how: str) -> None:
    story = begun()
    if how == "cancelled":
        story.ack(event(events.OrchestrationCancelRequested, 5, reason="no"))
    story.ack(
        event(events.OrchestrationCompleted, 6, output=""),
        status="Completed" if how == "completed" else "Failed",
    )
    assert {name for name in seen(story) if name.endswith("_with_open_session")} == {
        f"instance.{how}_with_open_session"
    }


def test_handlers() -> None:
    story = running().tell(HandlerSignalled("work-0-a", "t", "session_lost"))
    assert "handler.signalled_lost" in seen(story)
    assert "handler.signalled_shutdown" not in seen(story)
    story.tell(HandlerStopped("work-0-a", "t", "aborted"))
    assert "handler.aborted" in seen(story)
    assert "handler.discarded" not in seen(story)


def test_outcomes_and_clocks() -> None:
    story = begun().fetch("a", outcome="refused").fetch("b", outcome="lost").fault("provider_clock", None, -5)
    assert {"call.refused", "answer.lost", "answer.of_claim_lost", "clock.jumped_back"} <= seen(story)
    assert not {"call.unsent", "answer.of_ack_lost", "clock.jumped_forward"} & seen(story)


def test_what_was_first_seen_stays_where_it_was() -> None:
    story = begun().ack(completed(5, 3)).ack(opened(6, "z"), opens=["z"])
    assert story.suite.situations["session.opened"] == 1
