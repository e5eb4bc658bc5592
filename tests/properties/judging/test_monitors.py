"""Each rule is kept by an ordinary life, and broken by the smallest story that breaks it."""

from __future__ import annotations

import pytest
from tests.properties.judging.story import (
    D,
    L,
    Story,
    breaks,
    cancelled,
    closed,
    completed,
    event,
    item,
    keeps,
    opened,
    scheduled,
    started,
)

from holdfast.core.contract import events
from holdfast.core.contract.failures import Application, Configuration, FailureDetails
from holdfast.core.contract.observe import (
    CapacityChanged,
    HandlerSignalled,
    HandlerStarted,
    HandlerStopped,
    LeaseEnded,
    LeaseTaken,
    RenewalAnswered,
    RenewalSent,
    ShutdownBegan,
    ShutdownReturned,
    TurnEnded,
)
from holdfast.properties.judging.registry import MONITORS
from holdfast.properties.judging.verdict import Holds, Unknown
from holdfast.traces.record import FaultKind

Q2, Q3 = item(3), item(4)
PLAIN = item(5, None)


def begun(*rules: str) -> Story:
    """Session s is open, activity 3 is queued on it."""
    return Story(*rules).ack(started(), opened(2), scheduled(3), items=[Q2], opens=["s"])


def runs(story: Story, worker: str = "a", token: str = "t", id: int = 3) -> Story:
    """The worker's handler has started under a lease."""
    return story.tell(LeaseTaken(worker, "i", "s"), worker).tell(
        HandlerStarted(f"work-0-{worker}", token, "i", 1, id, "s", 1), worker
    )


def ordinary_life(story: Story) -> Story:
    """W1, W3 and W4 in one: claim, renewals, release, crash, takeover, continue-as-new, close, the end."""
    story.ack(
        started(),
        opened(2),
        scheduled(3),
        scheduled(4),
        scheduled(5, None),
        items=[Q2, Q3, PLAIN],
        opens=["s"],
    )
    story.tell(TurnEnded("i", 1, (), "continued"))
    story.deliver("a", Q2)
    runs(story)
    story.deliver("b", PLAIN, "plain").fetch("b").fetch("b", mode="plain").done("b", PLAIN, "plain")
    story.deliver("a", Q3, "t2", row="claim")
    story.tell(HandlerStarted("work-1-a", "t2", "i", 1, 4, "s", 1))
    story.at(25_000).renew_item("a", Q2).renew_item("a", Q3, "t2")
    story.tell(HandlerStopped("work-0-a", "t", "completed")).done("a", Q2)
    story.at(26_000).tell(HandlerStopped("work-1-a", "t2", "not_started"))
    story.abandon("a", Q3, "t2", uncharged=True)
    story.deliver("a", Q3, "t3", mode="owned", row="claim").tell(
        HandlerStopped("work-1-a", "t3", "completed")
    )
    story.done("a", Q3, "t3")
    story.tell(RenewalSent("a", "i", "s")).at(40_000).renew("a").tell(RenewalAnswered("a", "i", "s", None))
    story.at(52_000).tell(LeaseEnded("a", "i", "s", "idle", 0)).release("a")
    q6 = item(8)
    story.ack(completed(6, 3), completed(7, 4), scheduled(8), items=[q6])
    story.deliver("b", q6, "t4").tell(LeaseTaken("b", "i", "s"), "b").fault("crash", "b")
    story.at(52_000 + D).fetch("a", mode="owned")
    story.deliver("a", q6, "t5", number=2)
    runs(story, token="t5", id=8).tell(HandlerStopped("work-0-a", "t5", "completed")).done("a", q6, "t5")
    story.ack(
        completed(9, 8),
        event(events.OrchestrationContinuedAsNew, 10, input="", open_sessions=("s",)),
        status="ContinuedAsNew",
    )
    story.ack(started(execution_id=2, open_sessions=("s",)), execution=2)
    late = story.fetch_turn(execution=2)
    story.at(57_000 + D).acknowledge(late, error=True, execution=2)
    story.ack(closed(2, execution_id=2), closes=["s"], execution=2)
    story.tell(LeaseEnded("a", "i", "s", "lost", 0))
    story.ack(
        event(events.OrchestrationCompleted, 3, execution_id=2, output=""), status="Completed", execution=2
    )
    return story.end()


@pytest.mark.parametrize("rule", MONITORS)
def test_an_ordinary_life_keeps_every_rule(rule: str) -> None:
    story = ordinary_life(Story(rule))
    assert story.suite.verdicts == [Holds(rule)]


def test_all_rules_together_are_kept_too() -> None:
    assert not ordinary_life(Story()).violated()


def test_inv_01_a_live_session_is_claimed_by_another() -> None:
    story = begun("INV-01").deliver("a", Q2).abandon("a", Q2)
    story.deliver("b", Q2, "t2", row=("b", D), number=2)
    breaks(story, "INV-01", session="i/s", claimed_by="b")


def test_inv_02_a_row_has_an_expiry_and_no_worker() -> None:
    breaks(begun("INV-02").deliver("a", Q2, row=(None, D)), "INV-02", session="i/s")


def test_inv_03_an_item_goes_to_who_is_not_the_owner() -> None:
    story = begun("INV-03").deliver("a", Q2).abandon("a", Q2)
    breaks(story.deliver("b", Q2, "t2", row="keep", number=2), "INV-03", delivered_to="b")


def test_inv_03_an_item_goes_out_with_an_expired_row() -> None:
    story = begun("INV-03").deliver("a", Q2).at(D)
    breaks(story.deliver("a", Q2, "t2", row="keep", number=2), "INV-03")


def test_inv_04_a_plain_fetch_brings_a_session_item() -> None:
    breaks(begun("INV-04").deliver("b", Q2, mode="plain", row="keep"), "INV-04", session="i/s")


def test_inv_04_the_session_is_the_one_in_history_whatever_the_item_says() -> None:
    stripped = item(3, None)
    story = Story("INV-04").ack(started(), opened(2), scheduled(3), items=[stripped], opens=["s"])
    breaks(story.deliver("b", stripped, mode="plain"), "INV-04", session="i/s")


def test_inv_05_an_owned_only_fetch_claims() -> None:
    breaks(begun("INV-05").deliver("a", Q2, mode="owned"), "INV-05", worker="a")


def test_inv_05_an_owned_only_fetch_touches_an_expired_row_of_its_own() -> None:
    story = begun("INV-05").deliver("a", Q2).done("a", Q2).at(D).row("a", 2 * D).fetch("a", mode="owned")
    breaks(story, "INV-05", session="i/s")


def test_inv_06_an_older_item_is_passed_over() -> None:
    story = Story("INV-06").ack(
        started(), scheduled(2, None), scheduled(3, None), items=[item(2, None), item(3, None)]
    )
    breaks(story.deliver("a", item(3, None)), "INV-06", passed_over="item 1: i/1/2")


def test_inv_06_an_empty_fetch_although_an_item_is_eligible() -> None:
    breaks(begun("INV-06").fetch("a"), "INV-06", passed_over="item 1: i/1/3 on s")


def test_inv_07_an_item_gets_another_number() -> None:
    story = begun("INV-07").deliver("a", Q2)
    story.drop(Q2).put(Q2)
    breaks(
        story.commit("abandon_work_item", token="t", delay=None, ignore_attempt=False), "INV-07", seq_after=2
    )


def test_inv_08_an_item_is_delivered_while_another_holds_it() -> None:
    story = begun("INV-08").deliver("a", Q2).deliver("a", Q2, "t2", number=2)
    breaks(story, "INV-08", held_until=L)


def test_inv_08_an_item_is_delivered_before_its_delay_is_over() -> None:
    story = begun("INV-08").deliver("a", Q2).abandon("a", Q2, delay=10).at(9)
    breaks(story.deliver("a", Q2, "t2", number=2), "INV-08", visible_from=10)


@pytest.mark.parametrize(("uncharged", "number"), [(False, 1), (True, 2)])
def test_inv_09_a_delivery_is_miscounted(uncharged: bool, number: int) -> None:
    story = begun("INV-09").deliver("a", Q2).abandon("a", Q2, uncharged=uncharged)
    breaks(story.deliver("a", Q2, "t2", number=number), "INV-09", attempt=number, earlier_deliveries=1)


def test_inv_10_a_closed_session_keeps_its_row() -> None:
    breaks(begun("INV-10").ack(closed(4), cancelled(5, 3), closes=["s"], stored=False), "INV-10", open=[])


def test_inv_10_continue_as_new_forgets_a_session_whose_row_stays() -> None:
    forgetful = event(events.OrchestrationContinuedAsNew, 4, input="")
    breaks(begun("INV-10").ack(forgetful, status="ContinuedAsNew"), "INV-10", session="i/s")


def test_inv_11_an_opened_session_has_no_row() -> None:
    breaks(Story("INV-11").ack(started(), opened(2), opens=["s"], stored=False), "INV-11", session="i/s")


def test_inv_12_an_item_is_left_without_its_row() -> None:
    story = begun("INV-12").no_row().ack(closed(4), closes=["s"], stored=False)
    breaks(story, "INV-12", session="i/s")


@pytest.mark.parametrize("status", ["Completed", "Failed"])
def test_inv_13_an_ended_instance_keeps_a_row(status: str) -> None:
    story = begun("INV-13").ack(
        event(events.OrchestrationCompleted, 4, output=""), status=status, stored=False
    )
    breaks(story, "INV-13", session="i/s")


def test_inv_14_an_item_of_a_closed_incarnation_is_delivered() -> None:
    story = begun("INV-14").ack(closed(4), cancelled(5, 3), opened(6), closes=["s"], opens=["s"])
    story.put(Q2)
    breaks(story.deliver("a", Q2), "INV-14", incarnation=1)


def test_inv_15_a_completion_is_recorded_after_the_close() -> None:
    story = begun("INV-15").ack(closed(4), cancelled(5, 3), closes=["s"]).ack(completed(6, 3))
    breaks(story, "INV-15", activity_id=3)


def test_inv_15_in_one_delta_too() -> None:
    breaks(begun("INV-15").ack(closed(4), completed(5, 3), closes=["s"]), "INV-15", activity_id=3)


def test_inv_16_an_activity_is_completed_twice() -> None:
    breaks(begun("INV-16").ack(completed(4, 3)).ack(completed(5, 3)), "INV-16", completions=2)


def test_inv_17_a_close_forgets_an_activity() -> None:
    breaks(begun("INV-17").ack(closed(4), closes=["s"]), "INV-17", activity_id=3, cancel_requests=0)


def test_inv_17_an_activity_is_cancelled_twice() -> None:
    story = begun("INV-17").ack(closed(4), cancelled(5, 3), cancelled(6, 3), closes=["s"])
    breaks(story, "INV-17", cancel_requests=2)


def test_inv_18_an_ack_stores_its_history_and_not_its_items() -> None:
    story = Story("INV-18").ack(started(), scheduled(2, None), items=[item(2, None)], stored=False)
    breaks(story, "INV-18", enqueued=False)


def test_inv_18_an_ack_stores_its_items_and_not_its_rows() -> None:
    story = Story("INV-18").ack(started(), opened(2), opens=["s"], stored=False)
    breaks(story, "INV-18", row_after="absent")


def test_inv_18_an_ack_leaves_a_cancelled_item() -> None:
    breaks(begun("INV-18").ack(cancelled(4, 3), cancels=[3], stored=False), "INV-18", removed=False)


def test_inv_18_a_rejected_ack_stores_something() -> None:
    story = begun("INV-18")
    token = story.fetch_turn()
    breaks(story.no_row().acknowledge(token, error=True), "INV-18", rejected=True)


def test_inv_18_an_acknowledged_event_is_not_in_the_next_history() -> None:
    story = begun("INV-18")
    story.histories["i", 1].pop()
    story.fetch_turn()
    breaks(story, "INV-18", events_acknowledged=3, events_stored=2)


def test_inv_19_a_fetch_claims_and_locks_nothing() -> None:
    breaks(begun("INV-19").deliver("a", Q2, locked=False), "INV-19", delivered_to="a")


def test_inv_19_a_fetch_locks_and_claims_nothing() -> None:
    breaks(begun("INV-19").deliver("a", Q2, row="keep"), "INV-19", session="i/s")


def test_inv_19_an_empty_fetch_claims() -> None:
    story = Story("INV-19").ack(started(), opened(2), opens=["s"]).row("a", D).fetch("a")
    breaks(story, "INV-19", delivered=False)


def test_inv_20_an_extension_lowers_the_expiry() -> None:
    story = begun("INV-20").deliver("a", Q2).row("a", D - 1).renew("a", keep=True)
    breaks(story, "INV-20", session="i/s")


@pytest.mark.parametrize("how", ["claim", "renewal", "item renewal"])
def test_inv_21_an_expiry_is_not_the_sum(how: str) -> None:
    story = begun("INV-21")
    if how == "claim":
        story.deliver("a", Q2, row=("a", L))  # the item-lock timeout in the place of D
    elif how == "renewal":
        story.deliver("a", Q2).at(10).row("a", D + 11).renew("a", keep=True)
    else:
        story.deliver("a", Q2).at(10).commit(
            "renew_work_item_lock", token="t", extend_for=L, extend_session_for=D
        )
    breaks(story, "INV-21", session="i/s", worker="a")


def test_inv_22_a_foreign_renewal_changes_the_row() -> None:
    story = begun("INV-22").deliver("a", Q2).at(1).row("a", D + 1).renew("b", keep=True)
    breaks(story, "INV-22", changed_by="Renewed")


def test_inv_22_an_acknowledged_item_releases_its_session() -> None:
    story = begun("INV-22").deliver("a", Q2).row(None, None).done("a", Q2)
    breaks(story, "INV-22", changed_by="Done")


def test_inv_22_a_refused_item_renewal_moves_the_item_lock() -> None:
    story = begun("INV-22").deliver("a", Q2).at(1)
    story.table.work[1] = story.table.work[1]._replace(locked_until=L + 1)
    breaks(story.renew_item("a", Q2, error=True), "INV-22", refused=True)


def lost_by_takeover(*rules: str) -> Story:
    """a runs an item of s; the clock jumps; b claims s with another."""
    story = Story(*rules).ack(started(), opened(2), scheduled(3), scheduled(4), items=[Q2, Q3], opens=["s"])
    runs(story.deliver("a", Q2))
    return story.at(10_000).row("a", 10_000).deliver("b", Q3, "t2")


def test_inv_23_a_taken_session_is_not_signalled_within_r() -> None:
    story = lost_by_takeover("INV-23")
    assert story.suite.open_until_us() == 40_000_000
    keeps(story.at(40_000).fetch("b"))
    breaks(story.at(40_001).fetch("b"), "INV-23", lost="session", due_us=40_000_000)


def test_inv_23_a_signal_in_time_keeps_it() -> None:
    story = lost_by_takeover("INV-23").at(40_000).tell(HandlerSignalled("work-0-a", "t", "session_lost"))
    assert story.suite.open_until_us() == 0
    keeps(story.at(99_000).end())


def test_inv_23_a_removed_item_is_not_signalled_within_i() -> None:
    story = runs(begun("INV-23").deliver("a", Q2)).at(5000).ack(cancelled(4, 3), cancels=[3])
    keeps(story.at(30_000).fetch("b"))
    breaks(story.end(), "INV-23", lost="item", due_us=30_000_000)


def test_inv_23_a_stall_puts_the_signal_off_by_what_is_booked_and_no_more() -> None:
    story = lost_by_takeover("INV-23").at(20_000).fault("stall", "a", 50_000)
    assert story.suite.open_until_us() == 90_000_000
    keeps(story.at(90_000).fetch("b"))
    breaks(story.at(90_001).fetch("b"), "INV-23", due_us=90_000_000)


@pytest.mark.parametrize("how", ["crash", "stop", "shutdown at once"])
def test_inv_23_nobody_is_left_to_signal(how: str) -> None:
    story = lost_by_takeover("INV-23").at(11_000)
    match how:
        case "crash":
            story.fault("crash", "a")
        case "stop":
            story.tell(HandlerStopped("work-0-a", "t", "completed"))
        case _:
            story.tell(ShutdownBegan("a", graceful=False))
    assert story.suite.open_until_us() == 0
    keeps(story.at(99_000).end())


def test_inv_24_a_signal_out_of_the_blue() -> None:
    story = (
        runs(begun("INV-24").deliver("a", Q2)).at(5).tell(HandlerSignalled("work-0-a", "t", "session_lost"))
    )
    breaks(story, "INV-24", cause="session_lost")


def test_inv_24_an_answer_lost_excuses_a_deadline_and_no_loss() -> None:
    """When a deadline is due cannot be told from outside after that; whether a session is lost can."""
    story = runs(begun("INV-24").deliver("a", Q2)).at(5).fault("lost_answer")
    breaks(story.tell(HandlerSignalled("work-0-a", "t", "session_lost")), "INV-24", cause="session_lost")
    again = runs(begun("INV-24").deliver("a", Q2)).at(5).fault("lost_answer")
    keeps(again.tell(HandlerSignalled("work-0-a", "t", "deadline")))


@pytest.mark.parametrize("kind", ["refused", "unsent", "wall_clock"])
def test_inv_24_a_call_that_did_nothing_excuses_no_deadline(kind: FaultKind) -> None:
    """It moves no deadline (SS-7.12), and neither does a clock on the wall (SS-24.2)."""
    story = runs(begun("INV-24").deliver("a", Q2)).at(5).fault(kind)
    breaks(story.tell(HandlerSignalled("work-0-a", "t", "deadline")), "INV-24", cause="deadline")


def test_inv_24_two_signals_for_one_attempt() -> None:
    story = lost_by_takeover("INV-24").tell(HandlerSignalled("work-0-a", "t", "session_lost"))
    keeps(story)
    breaks(story.tell(HandlerSignalled("work-0-a", "t", "deadline")), "INV-24", twice=True)


def test_inv_26_a_second_renewal_while_one_is_outstanding() -> None:
    story = Story("INV-26").tell(RenewalSent("a", "i", "s"))
    breaks(story.tell(RenewalSent("a", "i", "s")), "INV-26", second="RenewalSent")


def test_inv_26_a_second_lease() -> None:
    breaks(Story("INV-26").tell(LeaseTaken("a", "i", "s")).tell(LeaseTaken("a", "i", "s")), "INV-26")


def test_inv_27_more_units_than_the_limit() -> None:
    breaks(Story("INV-27").tell(CapacityChanged("a", 1, 1, 1, 2)), "INV-27", limit=2)


def test_inv_27_more_live_rows_than_the_limit() -> None:
    story = begun("INV-27").tell(CapacityChanged("a", 0, 1, 0, 1)).row("a", D, ("i", "other"))
    breaks(story.deliver("a", Q2), "INV-27", live_rows=2)


@pytest.mark.parametrize("kind", ["refused", "unsent", "slow_call", "slow_answer"])
def test_inv_27_a_call_whose_answer_came_excuses_no_row(kind: FaultKind) -> None:
    """Only one that took effect unheard of does."""
    story = begun("INV-27").tell(CapacityChanged("a", 0, 1, 0, 1)).row("a", D, ("i", "other"))
    breaks(story.fault(kind).deliver("a", Q2), "INV-27", live_rows=2)
    again = begun("INV-27").tell(CapacityChanged("a", 0, 1, 0, 1)).row("a", D, ("i", "other"))
    keeps(again.fault("lost_answer").deliver("a", Q2))


def test_inv_28_a_handler_starts_without_a_lease() -> None:
    story = begun("INV-28").deliver("a", Q2).tell(HandlerStarted("work-0-a", "t", "i", 1, 3, "s", 1))
    breaks(story, "INV-28", session="i/s")


def test_inv_28_an_item_without_handler_is_finished_without_a_lease() -> None:
    story = begun("INV-28").deliver("a", Q2).tell(CapacityChanged("a", 0, 0, 0, 2))
    breaks(story.done("a", Q2), "INV-28", session="i/s")


def test_inv_28_an_item_without_handler_may_outlive_its_lease() -> None:
    story = begun("INV-28").deliver("a", Q2).tell(LeaseTaken("a", "i", "s"))
    story.tell(CapacityChanged("a", 1, 0, 0, 2)).tell(LeaseEnded("a", "i", "s", "lost", 0))
    keeps(story.done("a", Q2))


def test_inv_28_a_lease_ends_under_a_running_handler() -> None:
    story = runs(begun("INV-28").deliver("a", Q2)).tell(LeaseEnded("a", "i", "s", "lost", 0))
    breaks(story, "INV-28", lease_ended="lost")


def test_inv_29_an_idle_release_with_an_item_in_flight() -> None:
    story = runs(begun("INV-29").deliver("a", Q2)).tell(LeaseEnded("a", "i", "s", "idle", 0)).release("a")
    breaks(story, "INV-29", session="i/s")


def test_inv_29_an_idle_release_too_early() -> None:
    story = runs(begun("INV-29").deliver("a", Q2)).done("a", Q2).at(11_999)
    breaks(story.tell(LeaseEnded("a", "i", "s", "idle", 0)).release("a"), "INV-29", idle_since_us=0)


def shut_down(story: Story) -> Story:
    story.tell(ShutdownBegan("a", graceful=True)).tell(LeaseEnded("a", "i", "s", "shutdown", 0))
    return story.tell(ShutdownReturned("a"))


def test_inv_30_a_shutdown_leaves_a_session_behind() -> None:
    breaks(shut_down(begun("INV-30").deliver("a", Q2).done("a", Q2)), "INV-30", session="i/s")


def test_inv_30_unless_a_handler_could_not_be_stopped() -> None:
    keeps(shut_down(runs(begun("INV-30").deliver("a", Q2))))


def test_inv_30_or_everything_was_released() -> None:
    keeps(shut_down(begun("INV-30").deliver("a", Q2).done("a", Q2).release("a")))


def test_inv_31_a_session_item_is_finished_without_completion() -> None:
    breaks(begun("INV-31").deliver("a", Q2).done("a", Q2, completion=None), "INV-31")


def test_inv_31_a_session_item_vanishes_with_its_session() -> None:
    story = begun("INV-31").deliver("a", Q2).drop(Q2).release("a")
    breaks(story, "INV-31", gone_by="Released")


def test_inv_32_continue_as_new_detaches_a_carried_session() -> None:
    continued = event(events.OrchestrationContinuedAsNew, 4, input="", open_sessions=("s",))
    story = begun("INV-32").deliver("a", Q2).row(None, None)
    breaks(story.ack(continued, status="ContinuedAsNew"), "INV-32", session="i/s")


def test_inv_33_the_engine_starts_from_another_open_set() -> None:
    story = begun("INV-33")
    story.fetch_turn()
    breaks(story.tell(TurnEnded("i", 1, (), "continued")), "INV-33", open_by_history=[["s"]])


def test_inv_36_a_close_removes_another_sessions_row() -> None:
    story = Story("INV-36")
    story.ack(started(instance_id="j"), opened(2, instance_id="j"), opens=["s"], instance="j")
    story.ack(started(), opened(2), opens=["s"]).no_row(("j", "s"))
    breaks(story.ack(closed(3), closes=["s"]), "INV-36", session="j/s")


def test_inv_36_a_delivery_changes_another_item() -> None:
    story = Story("INV-36").ack(started(), opened(2), scheduled(3), scheduled(4), items=[Q2, Q3], opens=["s"])
    story.table.work[2] = story.table.work[2]._replace(attempt_count=1)
    breaks(story.deliver("a", Q2), "INV-36", seq=2)


def test_inv_37_a_stale_token_is_accepted() -> None:
    story = begun("INV-37")
    first = story.fetch_turn()
    story.at(6000).fetch_turn(process="b")
    breaks(story.acknowledge(first), "INV-37", fenced=False)


def test_inv_37_a_rejected_ack_changes_an_item() -> None:
    story = begun("INV-37")
    token = story.fetch_turn()
    breaks(story.drop(Q2).acknowledge(token, error=True), "INV-37", items_changed=True)


def test_inv_38_an_expiry_comes_from_another_clock() -> None:
    story = begun("INV-38").at(1000).deliver("a", Q2, row=("a", 1000 + D + 7))
    breaks(story, "INV-38", ahead=D + 7)


def test_inv_40_a_refused_turn_enqueues() -> None:
    failed = event(
        events.OrchestrationFailed,
        2,
        details=FailureDetails(
            application=Application(
                kind="OrchestrationFailed",
                message="max sessions per orchestration exceeded (limit: 0, open: 0)",
            )
        ),
    )
    story = Story("INV-40").ack(started(), failed, items=[PLAIN], status="Failed")
    breaks(story, "INV-40", enqueued=[5])


def expired_under(story: Story) -> Story:
    """a claims s, finishes its item, and does not renew; another item comes."""
    runs(story.deliver("a", Q2)).done("a", Q2)
    return story.ack(scheduled(4), items=[Q3])


def test_inv_45_a_worker_lets_its_session_expire() -> None:
    story = expired_under(begun("INV-45")).at(D).deliver("b", Q3, "t2")
    breaks(story, "INV-45", claimed_by="b")


@pytest.mark.parametrize("strike", ["stall", "crash", "jump"])
def test_inv_45_unless_it_could_not_help_it(strike: str) -> None:
    story = expired_under(begun("INV-45")).at(20_000)
    match strike:
        case "stall":
            story.fault("stall", "a", 30_000)
        case "crash":
            story.fault("crash", "a")
        case _:
            story.fault("provider_clock", None, 30_000)
    keeps(story.at(D).deliver("b", Q3, "t2").end())


def test_inv_47_a_lease_outlives_its_session() -> None:
    story = runs(begun("INV-47").deliver("a", Q2)).at(1000).ack(closed(4), cancelled(5, 3), closes=["s"])
    keeps(story.at(31_000).fetch("b"))
    breaks(story.at(31_001).fetch("b"), "INV-47", due_us=31_000_000)


def test_inv_25_a_lease_outlives_a_takeover() -> None:
    story = runs(begun("INV-25").deliver("a", Q2)).at(D).deliver("b", Q2, "t2", number=2)
    keeps(story.at(D + 30_000).fetch("b"))
    breaks(story.at(D + 30_001).fetch("b"), "INV-25", due_us=90_000_000)


def test_inv_25_a_lease_that_ends_in_time_keeps_it() -> None:
    story = runs(begun("INV-25").deliver("a", Q2)).at(D).deliver("b", Q2, "t2", number=2)
    keeps(story.tell(LeaseEnded("a", "i", "s", "lost", 1)).at(3 * D).end())


def nondeterministic() -> events.Event:
    details = FailureDetails(configuration=Configuration(message="schedule mismatch"))
    return event(events.OrchestrationFailed, 4, details=details)


def test_inv_34_a_replay_by_the_same_process_differs() -> None:
    breaks(begun("INV-34").ack(nondeterministic(), status="Failed"), "INV-34", instance="i")


def test_inv_34_another_process_may_run_other_code() -> None:
    keeps(begun("INV-34").ack(nondeterministic(), status="Failed", process="b"))


def test_inv_35_an_open_beyond_the_limit() -> None:
    """The limit in these stories is 2."""
    story = Story("INV-35").ack(started(), opened(2), opened(3, "t"), opens=["s", "t"])
    keeps(story)
    breaks(story.ack(opened(4, "u"), opens=["u"]), "INV-35", limit=2)


def test_inv_35_a_close_makes_room() -> None:
    story = Story("INV-35").ack(started(), opened(2), opened(3, "t"), opens=["s", "t"])
    keeps(story.ack(closed(4), opened(5, "u"), opens=["u"], closes=["s"]))


def test_inv_35_a_refusal_while_there_is_room() -> None:
    message = "max sessions per orchestration exceeded (limit: 2, open: 1)"
    details = FailureDetails(application=Application(kind="OrchestrationFailed", message=message))
    failed = event(events.OrchestrationFailed, 4, details=details)
    breaks(begun("INV-35").ack(failed, status="Failed"), "INV-35", instance="i")


def test_inv_39_a_rejected_ack_leaves_a_row() -> None:
    story = Story("INV-39").ack(started()).row(None, None, ("i", "u"))
    breaks(story.ack(opened(2, "u"), opens=["u"], error=True), "INV-39", session="i/u")


def test_inv_39_a_row_that_was_there_may_stay() -> None:
    keeps(begun("INV-39").ack(opened(4), opens=["s"], error=True))


def test_inv_41_an_instance_without_sessions_has_one_opened() -> None:
    story = Story("INV-41").ack(started(), scheduled(2, None), items=[item(2, None)])
    keeps(story)
    breaks(story.ack(completed(3, 2), opens=["s"], stored=False), "INV-41", instance="i")


def test_inv_42_an_item_is_gone_and_no_completion_is_on_its_way() -> None:
    keeps(begun("INV-42").deliver("a", Q2).done("a", Q2).end())
    story = begun("INV-42").deliver("a", Q2).done("a", Q2, completion=None)
    breaks(story.end(), "INV-42", activity=3)


def test_inv_44_a_crashed_owner_blocks_for_longer_than_d() -> None:
    keeps(begun("INV-44").deliver("a", Q2).at(1000).fault("crash"))
    story = begun("INV-44").deliver("a", Q2, row=("a", D + 5000)).at(1000).fault("crash")
    breaks(story, "INV-44", session="i/s")


def test_inv_49_a_shutdown_goes_on_and_on() -> None:
    story = Story("INV-49").fetch("a").tell(ShutdownBegan("a", graceful=True, timeout_us=10_000_000))
    assert story.suite.open_until_us() == 11_000_000
    keeps(story.at(11_000).fetch("b"))
    breaks(story.at(11_001).fetch("b"), "INV-49", process="a")


def test_inv_49_a_shutdown_that_returns_keeps_it() -> None:
    story = Story("INV-49").fetch("a").tell(ShutdownBegan("a", graceful=True, timeout_us=10_000_000))
    keeps(story.at(10_000).tell(ShutdownReturned("a")).at(99_000).end())


def looked_at(story: Story) -> Story:
    """Time in which rules that look every P have looked three times, and worker b polled in vain."""
    for now in (1, 31_000, 62_000, 93_000):
        story.at(now).fetch("b")
    return story


def test_inv_43_a_worker_that_polls_is_not_given_what_it_could_have() -> None:
    story = Story("INV-43").fetch("b").ack(started(), opened(2), scheduled(3), items=[Q2], opens=["s"])
    breaks(looked_at(story), "INV-43", item="item 1: i/1/3 on s")


def test_inv_43_a_run_goes_on_until_what_waits_was_looked_at_twice() -> None:
    story = Story("INV-43").fetch("b").ack(started(), opened(2), scheduled(3), items=[Q2], opens=["s"])
    assert story.suite.open_until_us() == 30_100_000
    story.at(1).fetch("b")
    assert story.suite.open_until_us() > 30_100_000
    (verdict,) = story.end().suite.verdicts
    assert isinstance(verdict, Unknown)
    assert verdict.reason.startswith("an item waited")


def test_inv_43_a_worker_that_works_is_not_blamed() -> None:
    story = Story("INV-43").fetch("b").ack(started(), opened(2), scheduled(3), items=[Q2], opens=["s"])
    keeps(looked_at(story.deliver("b", Q2)))


def test_inv_46_a_worker_at_capacity_no_longer_asks_for_plain_items() -> None:
    story = Story("INV-46").fetch("b").tell(CapacityChanged("b", 2, 0, 0, 2), "b")
    breaks(looked_at(story.ack(started(), scheduled(2, None), items=[item(2, None)])), "INV-46")


def test_inv_48_a_released_session_waits_for_its_next_owner() -> None:
    story = begun("INV-48").fetch("b").deliver("a", Q2).abandon("a", Q2, uncharged=True)
    keeps(looked_at(begun("INV-48").fetch("b").deliver("a", Q2)))
    breaks(looked_at(story.release("a")), "INV-48")


def test_every_rule_has_a_story_that_breaks_it() -> None:
    tested = {name[5:11].upper().replace("_", "-") for name in globals() if name.startswith("test_inv_")}
    assert tested | {"MODEL"} == set(MONITORS)  # the model has tests of its own beside this
