"""States that only our own code can bring about: each stops the turn where it arises, and is named."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import pytest
from tests.core.bench import STAMP, Bench

from holdfast.core.contract import events
from holdfast.core.contract.work_items import QueueMessage, StartOrchestration
from holdfast.core.dispatching.batch_decision import RunTurn
from holdfast.core.engine import answer_values
from holdfast.core.engine.actions import (
    CallActivity,
    CreateTimer,
    DequeueEvent,
    Operation,
    WaitExternal,
    _texts_of,
)
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.driver import Driver
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.inbox import PositionalEvents, QueueMessages
from holdfast.core.engine.intake import Intake
from holdfast.core.engine.key_values import KeyValues
from holdfast.core.engine.known_events import KnownEvents
from holdfast.core.engine.matching import match_next
from holdfast.core.engine.open_sessions import OpenSessions
from holdfast.core.engine.replay import Replay
from holdfast.core.engine.turn import _Turn, run_turn
from holdfast.core.engine.turn_state import TurnState
from holdfast.core.engine.turn_values import DroppedChild, ExecutionFailed, TurnInput, TurnResult
from holdfast.core.program.registry import OrchestrationHandler


async def waits(ctx: OrchestrationContext, input: str) -> str:
    return await ctx.schedule_activity("A")


async def returns(ctx: OrchestrationContext, input: str) -> str:
    return input


def first_turn(code: OrchestrationHandler = waits) -> TurnInput:
    bench = Bench(code)
    start = StartOrchestration(instance="i", orchestration="Code", input="x", execution_id=1)
    beginning = bench.begin(start)
    assert isinstance(beginning, RunTurn)
    return beginning.turn_input


def writer() -> EventWriter:
    return EventWriter(instance="i", execution_id=1, now_ms=5, duroxide_version=STAMP, baseline=())


def result() -> TurnResult:
    return run_turn(first_turn())


# --- events ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [events.TimerCreated, events.OrchestrationFailed, events.QueueEvent])
def test_an_event_after_the_terminal_one(kind: type[events.Event]) -> None:
    ended = writer()
    ended.append(events.OrchestrationCompleted, output="")
    with pytest.raises(AssertionError, match=f"{kind.__name__} after event 1 .OrchestrationCompleted."):
        ended.append(kind)
    assert len(ended.delta) == 1


def test_only_cancel_requests_of_activities_follow_the_terminal_event() -> None:
    """RT-11.8."""
    ended = writer()
    ended.append(events.OrchestrationCompleted, output="")
    ended.append(events.ActivityCancelRequested, source=1, reason="")
    assert [event.event_id for event in ended.delta] == [1, 2]


def test_an_id_passed_over_after_the_end() -> None:
    ended = writer()
    ended.append(events.OrchestrationContinuedAsNew, input="")
    with pytest.raises(AssertionError, match="passed over after event 1"):
        ended.pass_over()


@pytest.mark.parametrize("source", [0, 1, 7])
def test_an_event_that_answers_none_before_it(source: int) -> None:
    with pytest.raises(AssertionError, match=f"TimerFired answers event {source}, the last one so far is 0"):
        writer().append(events.TimerFired, source=source, fire_at_ms=1)


# --- operations -----------------------------------------------------------------------------------------


def test_an_operation_answered_too_early_or_twice() -> None:
    operation = Operation(1, CreateTimer(fire_at_ms=5))
    with pytest.raises(AssertionError, match="answered with 'first' before it has an event"):
        operation.resolve("first")
    operation.bind(2)
    operation.resolve("first")
    with pytest.raises(AssertionError, match="answered twice: 'first', 'second'"):
        operation.resolve("second")
    assert operation.answer is not None and operation.answer.text == "first"


def test_an_operation_bound_twice_or_to_no_event() -> None:
    operation = Operation(1, CreateTimer(fire_at_ms=5))
    with pytest.raises(AssertionError, match="bound to event 0"):
        operation.bind(0)
    operation.bind(3)
    with pytest.raises(AssertionError, match="bound to 3 and 4"):
        operation.bind(4)


def test_a_member_of_an_action_that_nobody_checks() -> None:
    """A text that cannot be stored is refused when the action is emitted; so every text must be known."""

    @dataclass
    class Shout:
        name: str
        words: tuple[str, ...]

    with pytest.raises(AssertionError, match=r"Shout.words is of type tuple.*: nobody checks"):
        _texts_of(Shout)  # type: ignore[arg-type]


def test_a_wait_in_line_before_an_older_one() -> None:
    """RT-8.5, RT-8.13: who gets the next event or message is decided by places in history."""
    waits, dequeues = PositionalEvents(), QueueMessages()
    for place, (line, action) in enumerate(
        [(waits.bind, WaitExternal(name="n")), (dequeues.bind, DequeueEvent(name="n"))]
    ):
        unbound, younger, older = (Operation(token, action) for token in (1, 2, 3))
        with pytest.raises(AssertionError, match="before it has an event"):
            line("n", unbound)
        younger.bind(9 + place)
        line("n", younger)
        older.bind(5)
        with pytest.raises(AssertionError, match="of event 5 gets in line after"):
            line("n", older)


def test_a_dequeue_taken_before_its_message() -> None:
    queues = QueueMessages()
    dequeue = Operation(1, DequeueEvent(name="n"))
    dequeue.bind(2)
    queues.bind("n", dequeue)
    with pytest.raises(AssertionError, match="before its message arrived"):
        queues.take("n", dequeue)


def test_a_key_that_is_set_by_no_action_or_recorded_twice() -> None:
    """RT-16.6: token 0 stands for what the snapshot holds."""
    values = KeyValues({})
    with pytest.raises(AssertionError, match="token 0"):
        values.set("k", "v", token=0)
    values.set("k", "v", token=1)
    values.recorded("k", token=1, updated_at_ms=5)
    with pytest.raises(AssertionError, match="set 'k' at 5, again"):
        values.recorded("k", token=1, updated_at_ms=6)


def test_a_tag_that_changes_what_is_recorded() -> None:
    """RT-4.3: `with_tag` refuses that to code; this is what it relies on."""
    turn = first_turn()
    started = turn.history[0]
    assert isinstance(started, events.OrchestrationStarted)
    state = TurnState(turn, started, 0)
    future = OrchestrationContext(state).schedule_activity("A")
    state.operations[0].bind(2)
    with pytest.raises(AssertionError, match=r"event 2 records CallActivity.*, and its tag changes"):
        future.with_tag("gpu")


def test_an_answer_where_there_is_no_value() -> None:
    with pytest.raises(AssertionError, match="'5' answers what has no value"):
        answer_values.nothing("5")


# --- turns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("persisted_length", [-1, 2])
def test_more_or_less_stored_than_there_is(persisted_length: int) -> None:
    with pytest.raises(AssertionError, match=f"{persisted_length} events of 'i' are stored"):
        replace(first_turn(), persisted_length=persisted_length)


def test_more_actions_recorded_than_stored_events() -> None:
    turn = first_turn()
    started = turn.history[0]
    assert isinstance(started, events.OrchestrationStarted)
    with pytest.raises(AssertionError, match="1 actions are recorded in 0 stored events"):
        TurnState(turn, started, 1)


def test_code_polled_after_its_end_or_after_its_turn() -> None:
    for ends in (True, False):
        turn = first_turn(returns if ends else waits)
        started = turn.history[0]
        assert isinstance(started, events.OrchestrationStarted)
        driver = Driver(TurnState(turn, started, 0))
        driver.poll()
        driver.close()
        with pytest.raises(AssertionError, match="Returned" if ends else "the turn is over"):
            driver.poll()


def test_one_turn_run_twice() -> None:
    turn = _Turn(first_turn())
    turn.run()
    with pytest.raises(AssertionError, match="run twice"):
        turn.run()


def test_a_session_opened_by_no_call() -> None:
    with pytest.raises(AssertionError, match="call 0 of execution 1"):
        OpenSessions().new_id(execution_id=1, position=0)


def test_one_replay_run_twice() -> None:
    turn = first_turn()
    started = turn.history[0]
    assert isinstance(started, events.OrchestrationStarted)
    replay = Replay(TurnState(turn, started, 0), writer())
    replay.run(turn.history)
    with pytest.raises(AssertionError, match="run twice"):
        replay.run(turn.history)


def test_a_new_action_that_gets_another_id_than_its_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """RT-1.12: a child without a name of its own is called by the id of the event that records it."""
    append = EventWriter.append

    def with_a_gap(self: EventWriter, kind: type[events.Event], **members: object) -> events.Event:
        self.last_id += 1
        return append(self, kind, **members)

    monkeypatch.setattr(EventWriter, "append", with_a_gap)
    with pytest.raises(AssertionError, match=r"CallActivity.* is event 3, expected 2"):
        run_turn(first_turn())


def test_an_activity_that_ended_with_its_session_and_was_never_scheduled() -> None:
    with pytest.raises(AssertionError, match=r"activities .7. ended with their session"):
        Intake(
            execution_id=1,
            baseline=KnownEvents(first_turn().history),
            ended=[7],
            writer=writer(),
            warn=lambda *_: None,
        )


def test_an_arrival_that_records_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what comes after the arrivals is held against the limits (RT-22)."""

    def accept(self: Intake, message: object) -> None:
        self._writer.append(events.TimerCreated, fire_at_ms=5)

    monkeypatch.setattr(Intake, "accept", accept)
    with pytest.raises(AssertionError, match=r"TimerCreated.* arrived, and records an action"):
        run_turn(replace(first_turn(), messages=(QueueMessage(instance="i", name="n", data=""),)))


def test_an_event_that_records_no_action_is_not_matched() -> None:
    with pytest.raises(AssertionError, match=r"OrchestrationStarted.* records no action"):
        match_next(deque(), first_turn().history[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": (CreateTimer(scheduling_event_id=2, fire_at_ms=5),)}, "CreateTimer.* was recorded as"),
        ({"actions": (CreateTimer(scheduling_event_id=7, fire_at_ms=5),)}, "was recorded as None"),
        ({"closed_activities": (3, 2)}, "in the order .3, 2."),
        ({"cancelled_children": 2 * (DroppedChild(2, "sub::2"),)}, "dropped twice"),
        ({"arrived_count": 2}, "2 of 1 new events are arrivals"),
        ({"actions": (CallActivity(name="A", input=""),)}, "not all of"),
        ({"actions": 2 * (CallActivity(scheduling_event_id=2, name="A", input=""),)}, "in the order .2, 2."),
    ],
)
def test_a_turn_result_that_contradicts_itself(change: dict[str, object], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        replace(result(), **change)  # type: ignore[arg-type]


def test_a_terminal_event_within_a_turn() -> None:
    ended = writer()
    ended.append(events.OrchestrationCompleted, output="")
    with pytest.raises(AssertionError, match="only its settlement writes it"):
        replace(result(), delta=tuple(ended.delta), actions=())


# --- who failed: the engine, or the code ----------------------------------------------------------------


def test_an_assertion_of_the_engine_below_the_code_is_not_the_codes_failure() -> None:
    """The turn is given back; a failure would be stored for good."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx._state.key_values.set("k", "v", token=0)  # as if a call of the context had done it
        return ""

    with pytest.raises(AssertionError, match="token 0"):
        run_turn(first_turn(code))


def test_an_assertion_of_the_code_is_its_failure() -> None:
    """RT-4.71."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        raise AssertionError("two is three")

    outcome = run_turn(first_turn(code)).outcome
    assert (
        isinstance(outcome, ExecutionFailed) and outcome.details.display() == "AssertionError: two is three"
    )


@pytest.mark.parametrize("combined", [False, True])
def test_code_that_takes_a_value_before_it_is_there_is_told_so(combined: bool) -> None:
    """RT-4.71: the code's doing, so it is an error of the code and no assertion."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        future = ctx.schedule_activity("A")
        return str(ctx.select(future).take() if combined else future.take())

    outcome = run_turn(first_turn(code)).outcome
    assert isinstance(outcome, ExecutionFailed)
    assert "taken before" in outcome.details.display()
