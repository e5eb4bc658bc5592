"""Stage 2 of a turn: the code runs over baseline and delta, then over its own new work (RT-4.17 to RT-4.48).

The loop polls the code where history says something could have changed for it, and pairs each stored action
event with the next action that the code emitted. What is left over afterwards is new, becomes events, and may
let the code run on at once.

Binding a dequeue can give the code a message that waited for it. Live, the code is polled only after *all*
actions emitted so far are bound; so on replay that poll waits until no emitted action is unmatched (RT-4.48).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from holdfast.core.contract import events
from holdfast.core.contract.events import Event
from holdfast.core.contract.failures import FailureDetails, Infrastructure
from holdfast.core.engine import actions
from holdfast.core.engine.actions import Action, Operation
from holdfast.core.engine.context import PENDING_CHILD
from holdfast.core.engine.driver import CodeFinish, Driver, Panicked
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.matching import (
    ACTION_EVENTS,
    COMPLETION_OF_EVENT,
    KIND_OF,
    WAIT_BREADCRUMBS,
    CompletionKind,
    Nondeterminism,
    match_next,
    recording_event,
)
from holdfast.core.engine.turn_state import TurnState

_QUIESCENCE_ROUNDS_SPARE = 100


class Replay:
    """One pass. After `run`, `new_actions` and the writer's delta hold what is new."""

    def __init__(self, state: TurnState, writer: EventWriter) -> None:
        self.new_actions: list[Action] = []
        self._state = state
        self._writer = writer
        self._driver = Driver(state)
        self._open: dict[int, Operation] = {}  # operations that await a completion, by schedule id (RT-4.22)
        self._waits: dict[int, Operation] = {}  # external waits and dequeues, by schedule id
        self._must_poll = True
        self._poll_when_all_bound = False
        self._cause_is_new = not state.is_replaying  # whether the event that asks for a poll is of this turn

    @property
    def finish(self) -> CodeFinish | None:
        """How the code ended, None if it waits."""
        return self._driver.finish

    def run(self, history: Sequence[Event]) -> FailureDetails | None:
        """Replay, convert, and go on until nothing moves; an error other than the code's own is returned.

        Raises Nondeterminism.
        """
        assert self._must_poll, "one replay is run twice"
        persisted_length = self._state.turn_input.persisted_length
        driver, apply = self._driver, self._apply  # each event of each history comes by here
        for index, event in enumerate(history):
            is_new = index >= persisted_length
            if is_new:
                self._state.is_replaying = False
            if self._poll_when_all_bound or self._must_poll:
                self._poll_if_due()
                if driver.finish is not None:
                    self._keep_messages(history[index:])
                    break
            apply(event, is_new)
        self._state.is_replaying = False
        if self.finish is None:
            self._poll_if_due()
            assert self._state.recorded_ahead == 0, f"{self._state.recorded_ahead} actions were not applied"
        if isinstance(self.finish, Panicked):
            return None  # what it asked for before it panicked is not recorded (RT-4.70)
        self._state.is_first_run = True
        self._convert()
        return self._settle_down()

    def close(self) -> None:
        self._driver.close()

    # --- polling ----------------------------------------------------------------------------------------
    #
    # The poll that an event asks for happens after that event is applied and before the next one is. So a
    # poll has one cause, the event applied last, and the code it runs is new exactly if that event is
    # (`_cause_is_new`): only then has no earlier turn run this code, and may its traces be written (RT-4.74).
    # The event about to be applied says nothing about that: the poll for the last stored event comes before
    # the first new one.

    def _poll_if_due(self) -> None:
        if self._must_poll or (self._poll_when_all_bound and not self._state.unmatched):
            self._must_poll = self._poll_when_all_bound = False
            self._state.is_first_run = self._cause_is_new
            self._driver.poll()

    def _settle_down(self) -> FailureDetails | None:
        """Quiescence: poll and convert while that yields new work (RT-4.46).

        Every round but the last reads a queue message, so no valid code reaches the bound (RT-4.47).
        """
        rounds_max = _QUIESCENCE_ROUNDS_SPARE + len(self._state.queues)
        rounds = 0
        while self.finish is None and self.new_actions:
            rounds += 1
            if rounds > rounds_max:
                return _quiescence_exceeded(rounds_max)
            self._driver.poll()
            if isinstance(self.finish, Panicked) or not self._state.unmatched:
                break
            self._convert()
        left = len(self._state.unmatched)
        assert self.finish is not None or left == 0, f"the code waits, and {left} actions have no event"
        return None

    # --- applying stored events -------------------------------------------------------------------------

    def _apply(self, event: Event, is_new: bool) -> None:
        kind = type(event)
        if kind in ACTION_EVENTS:
            self._match(event)
        elif kind in COMPLETION_OF_EVENT:
            awaited, completion = COMPLETION_OF_EVENT[kind]
            text, is_error = _answer(event, completion)
            self._complete(event, awaited.operation, text, is_error=is_error)
        elif isinstance(event, events.ExternalEvent):
            self._deliver(event)
        elif isinstance(event, events.QueueEvent):
            self._state.queues.arrive(event.name, event.data)
            self._must_poll = True
        elif kind in WAIT_BREADCRUMBS:
            self._cancel_wait(event)
        # Other breadcrumbs and the events of the execution itself mean nothing to the code (RT-4.42).
        self._cause_is_new = is_new

    def _keep_messages(self, unapplied: Sequence[Event]) -> None:
        """The code has ended and the rest is not applied (RT-4.26); but no message may be lost (RT-10.12)."""
        assert self.finish is not None, f"{len(unapplied)} events are left out, and the code waits for them"
        for event in unapplied:
            if isinstance(event, events.QueueEvent):
                self._state.queues.arrive(event.name, event.data)

    def _match(self, event: Event) -> None:
        self._state.recorded_ahead -= 1
        assert self._state.recorded_ahead >= 0, f"{event!r} records an action that was counted as none"
        operation = match_next(self._state.unmatched, event)
        if operation is None:
            return
        if isinstance(event, events.SubOrchestrationScheduled):
            assert isinstance(operation.action, actions.StartSubOrchestration), f"{event!r} fits no child"
            operation.action = replace(operation.action, instance=event.instance)
        updated_at_ms = event.last_updated_at_ms if isinstance(event, events.KeyValueSet) else 0
        self._bind(operation, event.event_id, updated_at_ms)

    def _complete(self, event: Event, kind: str, text: str, *, is_error: bool = False) -> None:
        schedule_id = event.source_event_id
        operation = None if schedule_id is None else self._open.get(schedule_id)
        if operation is None or schedule_id is None:
            raise Nondeterminism("completion without open schedule")
        if KIND_OF[type(operation.action)].operation != kind:
            raise Nondeterminism(f"completion kind mismatch: expected {kind}")
        del self._open[schedule_id]
        operation.resolve(text, is_error=is_error)
        self._must_poll = True

    def _deliver(self, event: events.ExternalEvent) -> None:
        if self._state.positional.deliver(event.name, event.data):
            self._must_poll = True
        elif not self._state.is_replaying:
            self._state.note("turn.external_event_missed", "warning", name=event.name)

    def _cancel_wait(self, event: Event) -> None:
        wait = None if event.source_event_id is None else self._waits.get(event.source_event_id)
        if wait is not None:
            wait.cancelled = True

    # --- new work ---------------------------------------------------------------------------------------

    def _convert(self) -> None:
        """What no stored event recorded is new: it gets its event and its id, in order (RT-4.44)."""
        unmatched = self._state.unmatched
        assert not self._state.is_replaying, (
            f"{len(unmatched)} actions get new events while stored ones are read"
        )
        while unmatched:
            operation = unmatched.popleft()
            action = self._with_suffix(operation.action)
            if isinstance(action, actions.StartSubOrchestration):
                assert not action.instance.startswith(PENDING_CHILD), f"{action!r} is recorded without suffix"
            expected_id = self._writer.last_id + 1  # by which an unnamed child is called
            recording = recording_event(action)
            if recording is None:
                event_id = self._writer.pass_over()
            else:
                kind, members = recording
                event_id = self._writer.append(kind, **members).event_id
            assert event_id == expected_id, f"{action!r} is event {event_id}, expected {expected_id}"
            operation.action = replace(action, scheduling_event_id=event_id)
            updated_at_ms = action.last_updated_at_ms if isinstance(action, actions.SetKeyValue) else 0
            self._bind(operation, event_id, updated_at_ms)
            self.new_actions.append(operation.action)

    def _with_suffix(self, action: Action) -> Action:
        if not isinstance(action, actions.StartSubOrchestration) or not action.instance.startswith(
            PENDING_CHILD
        ):
            return action
        execution_id = self._state.turn_input.execution_id
        place = f"{self._writer.last_id + 1}"
        suffix = f"sub::{place}" if execution_id == 1 else f"sub::{execution_id}_{place}"  # RT-1.12
        return replace(action, instance=suffix)

    def _bind(self, operation: Operation, event_id: int, updated_at_ms: int) -> None:
        """The operation now has its event (RT-4.31, RT-4.32)."""
        operation.bind(event_id)
        kind = KIND_OF[type(operation.action)]
        if kind.completions:
            assert event_id not in self._open, f"event {event_id} records {operation.action!r} and another"
            self._open[event_id] = operation
            return
        if kind.arrival is not None:
            operation.cancelled = operation.dropped
            self._waits[event_id] = operation
        match operation.action:
            case actions.WaitExternal(name=name):
                self._state.positional.bind(name, operation)
            case actions.DequeueEvent(name=name):
                self._state.queues.bind(name, operation)
                self._poll_when_all_bound = True
            case actions.SetKeyValue(key=key):
                self._state.key_values.recorded(key, token=operation.token, updated_at_ms=updated_at_ms)
            case _:
                pass


def _answer(event: Event, completion: CompletionKind) -> tuple[str, bool]:
    """The text that answers the operation, and whether it is a failure's (RT-4.38)."""
    if completion.member == "details":
        details: FailureDetails = getattr(event, completion.member)
        return details.display(), True
    return "" if completion.member == "fire_at_ms" else getattr(event, completion.member), False


def _quiescence_exceeded(rounds_max: int) -> FailureDetails:
    message = f"quiescence loop exceeded {rounds_max} iterations"
    return FailureDetails(
        infrastructure=Infrastructure(operation="quiescence_loop", message=message, retryable=False)
    )
