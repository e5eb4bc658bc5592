"""What must never be acknowledged, whatever a turn came to: each is stopped before a store sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from tests.core.bench import STAMP, Bench, policy

from holdfast.core.contract import events
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.failures import application
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import ScheduledActivityIdentifier, ScheduledSessionIdentifier
from holdfast.core.contract.work_items import ActivityExecute, StartOrchestration, TimerFiredMessage
from holdfast.core.dispatching.batch_decision import AbandonFor, Poisoned, RunTurn, begin_execution
from holdfast.core.dispatching.dispatcher import Dispatcher
from holdfast.core.dispatching.execution_end import (
    ForcedFailure,
    activity_identifiers,
    metadata,
    write_end,
)
from holdfast.core.dispatching.parent_link import ParentLink
from holdfast.core.dispatching.poison import poisoned_batch, unreadable_history
from holdfast.core.dispatching.settlement import _Settlement, acknowledgement_failed, settle
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.turn import run_turn
from holdfast.core.program.registry import OrchestrationHandler, Registry


async def waits(ctx: OrchestrationContext, input: str) -> str:
    return await ctx.schedule_activity("A")


async def returns(ctx: OrchestrationContext, input: str) -> str:
    return input


async def fails(ctx: OrchestrationContext, input: str) -> str:
    raise ValueError(input)


async def goes_on(ctx: OrchestrationContext, input: str) -> str:
    ctx.continue_as_new("next")
    return ""


CODES: dict[str, OrchestrationHandler] = {
    "Continue": waits,
    "Completed": returns,
    "Failed": fails,
    "ContinuedAsNew": goes_on,
}
ENDS = ("Completed", "Failed", "ContinuedAsNew")
WORK = ActivityExecute(instance="i", execution_id=1, id=2, name="A", input="")


def beginning(code: OrchestrationHandler = waits) -> RunTurn:
    start = StartOrchestration(instance="i", orchestration="Code", input="x", execution_id=1)
    begun = Bench(code).begin(start)
    assert isinstance(begun, RunTurn)
    return begun


def commit(outcome: str) -> TurnCommit:
    """An acknowledgement of a first turn that ends like this."""
    made = Bench(CODES[outcome]).start("x")
    assert made.outcome == outcome
    return made


def refused(made: TurnCommit, message: str, **changes: Any) -> None:
    with pytest.raises(AssertionError, match=message):
        replace(made, **changes)


# --- ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ENDS)
def test_an_end_that_enqueues_work(outcome: str) -> None:
    refused(
        commit(outcome), f"outcome {outcome}, and .*ActivityExecute.* are to be done", worker_items=(WORK,)
    )


@pytest.mark.parametrize("outcome", ["Completed", "Failed"])
def test_an_end_that_opens_sessions(outcome: str) -> None:
    made = commit(outcome)
    opens = replace(made.metadata, opened_sessions=(ScheduledSessionIdentifier("i", "s"),))
    refused(made, f"outcome {outcome}, and .* are opened", metadata=opens)


@pytest.mark.parametrize("outcome", CODES)
def test_an_outcome_that_its_last_event_denies(outcome: str) -> None:
    made = commit(outcome)
    other = "Continue" if outcome != "Continue" else "Completed"
    refused(made, f"outcome {other}, written as", outcome=other)
    if outcome in ENDS:
        ended = [event for event in made.history_delta if not isinstance(event, events.OrchestrationStarted)]
        twice = (*made.history_delta, structs.replace(ended[-1], event_id=99))
        refused(made, f"outcome {outcome}, written as", history_delta=twice)


@pytest.mark.parametrize("outcome", CODES)
def test_a_status_an_output_or_a_failure_that_the_outcome_denies(outcome: str) -> None:
    made = commit(outcome)
    status = "Completed" if outcome == "Continue" else None
    output = "x" if outcome == "Continue" else None
    refused(made, f"outcome {outcome}, status {status}", metadata=replace(made.metadata, status=status))
    refused(made, f"outcome {outcome} without output", metadata=replace(made.metadata, output=output))
    failure = None if outcome == "Failed" else application("no luck")
    refused(made, f"outcome {outcome}, failure", failure=failure)


def test_a_successor_of_an_execution_that_does_not_continue_as_new_and_none_of_one_that_does() -> None:
    goes = commit("ContinuedAsNew")
    refused(goes, "0 successors of ContinuedAsNew", orchestrator_items=())
    refused(commit("Completed"), "1 successors of Completed", orchestrator_items=goes.orchestrator_items)


# --- events and work ------------------------------------------------------------------------------------


def test_an_event_id_that_goes_back_or_is_given_twice() -> None:
    made = commit("Continue")
    started, scheduled = made.history_delta
    refused(made, "event 1 after 2", history_delta=(scheduled, started))
    refused(made, "event 1 after 1", history_delta=(started, structs.replace(scheduled, event_id=1)))
    refused(made, "has no id", history_delta=(structs.replace(started, event_id=0), scheduled))


@pytest.mark.parametrize(("moved_by", "message"), [(1, "are 2; 0 may be left out"), (-1, "event 1 after 1")])
def test_a_turn_whose_ids_leave_one_out_or_go_back(moved_by: int, message: str) -> None:
    turn = beginning().turn_input
    result = run_turn(turn)
    moved = tuple(structs.replace(event, event_id=event.event_id + moved_by) for event in result.delta)
    with pytest.raises(AssertionError, match=message):
        settle(turn, replace(result, delta=moved, actions=()), supports_sessions=True)


def test_a_turn_whose_ids_do_not_go_on_where_the_stored_ones_end() -> None:
    bench = Bench(waits)
    bench.start("x")
    begun = bench.begin(bench.done(2))
    assert isinstance(begun, RunTurn)
    result = run_turn(begun.turn_input)
    moved = tuple(structs.replace(event, event_id=2) for event in result.delta)
    with pytest.raises(AssertionError, match="event 2 is new, the stored ones go up to 2"):
        settle(begun.turn_input, replace(result, delta=moved), supports_sessions=True)


def test_continue_as_new_may_leave_one_id_out() -> None:
    """RT-4.44, RT-4.45: and nothing else may; its commit is made without complaint."""
    assert [event.event_id for event in commit("ContinuedAsNew").history_delta][-1] in (2, 3)


def test_events_of_another_execution_or_instance() -> None:
    made = commit("Continue")
    started, scheduled = made.history_delta
    refused(made, "in execution 2", execution_id=2)
    refused(made, "in one commit", history_delta=(started, structs.replace(scheduled, instance_id="j")))


def test_work_that_no_event_records_or_of_another_execution() -> None:
    made = commit("Continue")
    refused(made, "no event of this turn records it", worker_items=(structs.replace(WORK, id=7),))
    refused(made, "in execution 1", worker_items=(structs.replace(WORK, execution_id=2),))


def test_one_activity_cancelled_twice() -> None:
    twice = 2 * (ScheduledActivityIdentifier("i", 1, 2),)
    refused(commit("Completed"), "cancelled twice", cancelled_activities=twice)


# --- on the way there -----------------------------------------------------------------------------------


def test_a_second_end_of_one_execution_or_an_end_that_is_none() -> None:
    ended = commit("Completed").history_delta
    writer = EventWriter(instance="i", execution_id=1, now_ms=1, duroxide_version=STAMP, baseline=ended)
    with pytest.raises(AssertionError, match="OrchestrationFailed is to follow OrchestrationCompleted"):
        write_end(writer, ended, events.OrchestrationFailed, details=application("no luck"))
    with pytest.raises(AssertionError, match="TimerFired ends no execution"):
        write_end(writer, (), events.TimerFired, fire_at_ms=1)
    assert writer.delta == []


def test_a_status_without_output() -> None:
    with pytest.raises(AssertionError, match="status Failed, output None"):
        metadata(None, status="Failed")


def test_poison_before_its_time() -> None:
    item = Bench(waits).item()
    with pytest.raises(AssertionError, match="attempt 3 of 3 is no poison yet"):
        unreadable_history(item, "broken", attempt_count=3, max_attempts=3, now_ms=1, duroxide_version=STAMP)


def test_an_execution_ended_by_an_error_that_may_pass() -> None:
    """RT-5.35 is about permanent ones."""
    with pytest.raises(AssertionError, match="may pass"):
        acknowledgement_failed(beginning().turn_input, ProviderError.transient("ack", "busy"))


def test_decisions_that_cannot_be_meant() -> None:
    with pytest.raises(AssertionError, match="given back 5 ms ago"):
        AbandonFor(delay=Millis(-5))
    with pytest.raises(AssertionError, match="ends an instance as Completed"):
        Poisoned(commit=commit("Completed"))
    with pytest.raises(AssertionError, match="at most -1 attempts"):
        begin_execution(Bench(waits).item(), 1, policy=policy(Registry(), max_attempts=-1), now_ms=1)


def test_a_turn_stored_as_one_of_another_execution() -> None:
    turn = beginning().turn_input
    other = object.__new__(Dispatcher)  # its first words need nothing of it
    wrong = replace(commit("Continue"), execution_id=2, history_delta=(), worker_items=())
    call = other._acknowledge(wrong, LockToken("t"), turn_input=turn)
    with pytest.raises(AssertionError, match="a turn of execution 1 is stored as one of 2"):
        call.send(None)


def test_a_timer_or_a_child_that_no_event_records_or_that_an_ending_turn_begins() -> None:
    """RT-5.20, RT-5.27."""
    timer = TimerFiredMessage(instance="i", execution_id=1, id=2, fire_at_ms=5)
    child = StartOrchestration(
        instance="c", orchestration="C", input="", parent_instance="i", parent_id=2, execution_id=1
    )
    for message in (timer, child):
        refused(commit("Continue"), "no event of this turn records it", orchestrator_items=(message,))
        refused(commit("Completed"), "outcome Completed, and .* is", orchestrator_items=(message,))


def test_an_activity_of_another_execution_that_is_cancelled() -> None:
    other = (ScheduledActivityIdentifier("i", 2, 2),)
    refused(commit("Completed"), "in execution 1", cancelled_activities=other)


def test_new_events_that_the_store_has_already() -> None:
    history = commit("Continue").history_delta
    with pytest.raises(AssertionError, match="the stored ones go up to 2"):
        ForcedFailure(
            instance="i",
            execution_id=1,
            persisted=history,
            recorded=history[1:],
            details=application("no luck"),
            now_ms=1,
            duroxide_version=STAMP,
            pin_version=False,
        )


def test_poison_that_begins_an_execution_which_has_begun() -> None:
    history = commit("Continue").history_delta
    with pytest.raises(AssertionError, match="begins an execution that has events"):
        poisoned_batch(
            Bench(waits).item(),
            execution_id=1,
            persisted=history,
            recorded=history[:1],
            attempt_count=4,
            max_attempts=3,
            now_ms=1,
            duroxide_version=STAMP,
            notices=(),
        )


def test_work_that_is_done_twice_and_a_session_that_is_opened_or_closed_twice() -> None:
    made = commit("Continue")
    refused(made, "to be done twice", worker_items=(WORK, WORK))
    twice = 2 * (ScheduledSessionIdentifier("i", "s"),)
    refused(made, "opened twice", metadata=replace(made.metadata, opened_sessions=twice))
    refused(made, "closed twice", metadata=replace(made.metadata, cancelled_sessions=twice))


@pytest.mark.parametrize("code", [returns, waits])
def test_a_parent_that_is_told_of_an_end_twice_or_before_there_is_one(code: OrchestrationHandler) -> None:
    """RT-9.2."""
    link = {"parent_instance": "p", "parent_id": 2, "parent_execution_id": 1}
    start = StartOrchestration(instance="i", orchestration="Code", input="x", execution_id=1, **link)
    begun = Bench(code).begin(start)
    assert isinstance(begun, RunTurn)
    settlement = _Settlement(begun.turn_input, run_turn(begun.turn_input), None)
    settlement._items.append(ParentLink("p", 2, 1).completed("x", current_execution_id=None))
    with pytest.raises(AssertionError, match=r"the parent is told \[SubOrchCompleted"):
        settlement.commit()


def test_a_turn_of_an_instance_that_has_not_begun_and_an_activity_that_is_none() -> None:
    turn = replace(beginning().turn_input, history=(), persisted_length=0)
    with pytest.raises(AssertionError, match="which has not begun"):
        RunTurn(turn_input=turn, name="Code", version="1.0.0")
    with pytest.raises(AssertionError, match="the first event is 1"):
        activity_identifiers("i", 1, [0])
