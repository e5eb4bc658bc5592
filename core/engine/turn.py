"""run_turn: one replay pass of one execution, a pure function of its input (RT-4).

Stage 1 turns the batch's messages into events, stage 2 replays the code over the whole history. Nothing here
touches a clock, a queue, a provider or an event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from holdfast.core.contract import events
from holdfast.core.contract.events import OrchestrationStarted
from holdfast.core.contract.failures import FailureDetails, application, nondeterminism
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.watchdog import Watchdog
from holdfast.core.engine import actions
from holdfast.core.engine.driver import CodeFinish, Panicked, Raised, Refused, Returned
from holdfast.core.engine.dropped_futures import Drops, collect_drops
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.intake import Intake
from holdfast.core.engine.known_events import KnownEvents
from holdfast.core.engine.matching import ACTION_EVENTS, EXECUTION_ENDS, KIND_OF, Nondeterminism
from holdfast.core.engine.open_sessions import SessionScan
from holdfast.core.engine.replay import Replay
from holdfast.core.engine.seclusion import Seclusion
from holdfast.core.engine.teardown import QuietEnds
from holdfast.core.engine.turn_state import TurnState
from holdfast.core.engine.turn_values import (
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ExecutionContinues,
    ExecutionFailed,
    TurnInput,
    TurnOutcome,
    TurnResult,
)

__all__ = ["SESSION_CLOSED", "TurnInput", "TurnResult", "run_turn"]

SESSION_CLOSED: Final = "session_closed"
"""Reason of the cancel request that a close writes for each unfinished activity (SS-11.8)."""

_NO_DROPS = Drops((), ())
_T = TypeVar("_T")


def run_turn(turn_input: TurnInput, watchdog: Watchdog | None = None) -> TurnResult:
    """Replay the execution with its new messages; user code and history make it raise nothing but Overrun."""
    return _Turn(turn_input, watchdog).run()


class _Turn:
    """The stages of one turn, in order."""

    def __init__(self, turn_input: TurnInput, watchdog: Watchdog | None = None) -> None:
        self._turn_input = turn_input
        self._watchdog = watchdog
        self._log: list[Logged] = []
        self._writer = EventWriter(
            instance=turn_input.instance,
            execution_id=turn_input.execution_id,
            now_ms=turn_input.now_ms,
            duroxide_version=turn_input.duroxide_version,
            baseline=turn_input.history,
        )
        self._known = KnownEvents(turn_input.history)
        self._scan = SessionScan()
        self._scan.read_known(self._known)
        self._open_before = self._scan.open.ids()
        self._new_actions: list[actions.Action] = []
        self._drops = _NO_DROPS
        self._state: TurnState | None = None

    def run(self) -> TurnResult:
        assert not self._writer.delta, f"a turn of {self._turn_input.instance!r} is run twice"
        # How much of what is known was stored before the turn; what the turn adds is read on as it comes.
        self._recorded_count = self._known.count(ACTION_EVENTS)
        abort = self._take_messages()
        arrived_count = len(self._writer.delta)
        self._read_on()
        outcome = self._not_run(abort) or self._replay()
        closed = self._cancel_closed(arrived_count)
        return self._result(outcome, arrived_count, closed)

    def _take_messages(self) -> FailureDetails | None:
        intake = Intake(
            execution_id=self._turn_input.execution_id,
            baseline=self._known,
            ended=self._scan.take_changes().ended_activities,
            writer=self._writer,
            warn=self._warn,
        )
        for message in self._turn_input.messages:
            intake.accept(message)
        for event in self._writer.delta:
            assert type(event) not in ACTION_EVENTS, f"{event!r} arrived, and records an action"
        return intake.abort

    def _not_run(self, abort: FailureDetails | None) -> TurnOutcome | None:
        """The outcomes that need no code (RT-4.17 to RT-4.19)."""
        history = self._known.in_order
        if abort is not None:
            return ExecutionFailed(abort)
        if self._known.holds(EXECUTION_ENDS):
            return ExecutionContinues()
        if not history:
            return ExecutionFailed(nondeterminism("corrupted history: empty"))
        if not isinstance(history[0], OrchestrationStarted):
            return ExecutionFailed(
                nondeterminism("corrupted history: first event must be OrchestrationStarted")
            )
        return None

    def _replay(self) -> TurnOutcome:
        history = tuple(self._known.in_order)
        started = history[0]
        assert isinstance(started, OrchestrationStarted), f"code is to be run over {started!r}"
        assert self._state is None, f"a second replay in one turn of {self._turn_input.instance!r}"
        self._state = state = TurnState(self._turn_input, started, self._recorded_count)
        replay = Replay(state, self._writer)
        with Seclusion(started.name, state), QuietEnds():
            try:
                error = self._watched(partial(replay.run, history), started)
                self._new_actions = replay.new_actions
                return ExecutionFailed(error) if error is not None else self._conclude(replay.finish)
            except Nondeterminism as mismatch:
                self._new_actions = replay.new_actions
                return ExecutionFailed(nondeterminism(str(mismatch)))
            finally:
                self._watched(replay.close, started)
                self._log.extend(state.log)

    def _watched(self, call: Callable[[], _T], started: OrchestrationStarted) -> _T:
        """Only calls that run user code: an interrupt of the watchdog must never arrive in other code."""
        if self._watchdog is None:
            return call()
        return self._watchdog.run(f"orchestration '{started.name}' of '{self._turn_input.instance}'", call)

    def _conclude(self, finish: CodeFinish | None) -> TurnOutcome:
        """The outcome by priority (RT-4.49 to RT-4.54, RT-27.8)."""
        match finish:
            case Panicked(message, place):
                return ExecutionFailed(application(message, "Panicked"), traceback=place)
            case Refused(message, place):
                with suppress(Nondeterminism):  # the refusal came first, so it is the reason reported
                    self._collect_drops(code_ended=True)
                return ExecutionFailed(application(message), refused=True, traceback=place)
        # A cancelled execution and one that continues as new give up everything in flight when they end, so
        # neither needs the breadcrumbs of dropped futures; only what goes on or ends by itself has them.
        for request in self._known.of(events.OrchestrationCancelRequested):
            return ExecutionCancelled(request.reason)
        for action in self._new_actions:
            if isinstance(action, actions.ContinueAsNew):
                return ExecutionContinuedAsNew(action.input, action.version)
        self._collect_drops(code_ended=finish is not None)
        match finish:
            case Returned(output):
                return ExecutionCompleted(output)
            case Raised(message, place):
                return ExecutionFailed(application(message), traceback=place)
        return ExecutionContinues()

    def _collect_drops(self, *, code_ended: bool) -> None:
        assert self._state is not None, "futures are given up in a turn that has run no code"
        if code_ended:
            self._state.drop_unobserved()
        self._drops = collect_drops(
            self._state.operations,
            known=self._known,
            persisted_length=self._turn_input.persisted_length,
            writer=self._writer,
        )

    def _cancel_closed(self, arrived_count: int) -> tuple[int, ...]:
        """The activities that closes of this turn ended; a request for each unfinished one (RT-27.6)."""
        # This pass also finds the turn's opens: opens and closes form one sequence, and which sessions are
        # open, and to which incarnation an activity belongs, follows only from all of it. It has to happen
        # here, after everything that the code asked for is recorded and before the requests below are.
        # Messages are left out: none of them opens, closes or schedules anything.
        self._scan.read(self._writer.delta[arrived_count:])
        self._changes = self._scan.take_changes()
        ended = self._changes.ended_activities
        if not ended:
            return ()
        self._read_on()
        settling = KIND_OF[actions.CallActivity].settled_by
        settled = {event.source_event_id for kind in settling for event in self._known.of(kind)}
        for schedule_id in ended:
            if schedule_id not in settled:
                self._writer.append(events.ActivityCancelRequested, source=schedule_id, reason=SESSION_CLOSED)
        return ended

    def _result(self, outcome: TurnOutcome, arrived_count: int, closed: tuple[int, ...]) -> TurnResult:
        requested = [
            event.source_event_id
            for event in self._writer.delta[arrived_count:]
            if isinstance(event, events.ActivityCancelRequested) and event.source_event_id is not None
        ]
        self._read_on()
        return TurnResult(
            outcome=outcome,
            delta=tuple(self._writer.delta),
            arrived_count=arrived_count,
            actions=tuple(self._new_actions),
            cancelled_activities=tuple(requested),
            closed_activities=closed,
            cancelled_children=self._drops.children,
            opened_sessions=self._changes.opened,
            cancelled_sessions=self._changes.closed,
            open_sessions_before=self._open_before,
            open_sessions_after=self._scan.open.ids(),
            carry_forward=() if self._state is None else self._state.queues.unread(),
            custom_status=_custom_status(self._known),
            kv_key_count=_kv_key_count(self._turn_input, self._known),
            log=tuple(self._log),
        )

    def _read_on(self) -> None:
        """Take into what is known the events written since the last call."""
        read_count = len(self._known) - len(self._turn_input.history)
        self._known.read(self._writer.delta[read_count:])

    def _warn(self, event: str, fields: dict[str, object]) -> None:
        where = {"instance_id": self._turn_input.instance, "execution_id": self._turn_input.execution_id}
        self._log.append(Logged(event, "warning", {**where, **fields}))


def _custom_status(known: KnownEvents) -> str | None:
    """The status as the recorded updates leave it (RT-10.6, RT-17.6)."""
    if not known.of(events.CustomStatusUpdated):
        started = known.of(OrchestrationStarted)
        return started[-1].initial_custom_status if started else None
    status: str | None = None
    for event in known.in_order:
        if isinstance(event, OrchestrationStarted):
            status = event.initial_custom_status
        elif isinstance(event, events.CustomStatusUpdated):
            status = event.status
    return status


def _kv_key_count(turn_input: TurnInput, known: KnownEvents) -> int:
    """The live keys after snapshot and recorded writes (RT-16.17)."""
    keys = dict.fromkeys(turn_input.kv_snapshot)
    cleared = len(known.of(events.KeyValueCleared)) + len(known.of(events.KeyValuesCleared))
    if not cleared and not known.of(events.KeyValueSet):
        return len(keys)
    for event in known.in_order:
        match event:
            case events.KeyValueSet():
                keys[event.key] = None
            case events.KeyValueCleared():
                keys.pop(event.key, None)
            case events.KeyValuesCleared():
                keys.clear()
            case _:
                pass
    return len(keys)
