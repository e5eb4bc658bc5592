"""Defects of replay: how recorded events find the actions of the code."""

from __future__ import annotations

from collections import deque
from datetime import timedelta

from msgspec.structs import replace

from holdfast.core.contract.events import (
    ActivityCancelRequested,
    ActivityScheduled,
    Event,
    SessionClosed,
    SessionOpened,
)
from holdfast.core.engine import matching, replay, turn
from holdfast.core.engine.actions import Action, CallActivity, CloseSession, OpenSession, Operation
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.open_sessions import OpenSessions
from holdfast.core.engine.replay import Replay
from holdfast.core.engine.turn_state import TurnState
from holdfast.core.engine.turn_values import ExecutionCompleted, ExecutionContinues, TurnInput, TurnOutcome
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, original


@defect("engine", "9.3 26.8", "replay_divergence_open_mismatch", needs="code that has changed")
def missing_session_calls_are_tolerated() -> Changes:
    """An open or close in history that the code no longer makes is passed over."""
    tolerant = original(matching, "_TOLERANT")
    mismatch = "schedule mismatch"
    yield Change(matching, "_TOLERANT", {**tolerant, SessionOpened: mismatch, SessionClosed: mismatch})


@defect("engine", "9.4", "replay_divergence_extra_open", needs="code that has changed")
def new_session_calls_are_skipped() -> Changes:
    """An open or close that history does not have is taken for one that does nothing."""

    def match_behind(match_next: Original, unmatched: deque[Operation], event: Event) -> object:
        if not isinstance(event, SessionOpened | SessionClosed):
            while unmatched and isinstance(unmatched[0].action, OpenSession | CloseSession):
                unmatched.popleft()
        return match_next(unmatched, event)

    yield around(replay, "match_next", match_behind)


def _fits_whatever_the_session(kinds: tuple[type[Action], ...]) -> Change:
    """The session id of these actions is not compared."""

    def fits_otherwise(fits: Original, action: Action, event: Event) -> bool:
        if isinstance(action, kinds) and isinstance(event, SessionOpened | SessionClosed | ActivityScheduled):
            assert isinstance(action, OpenSession | CloseSession | CallActivity)
            changed: object = replace(action, session_id=event.session_id)
            return bool(fits(changed, event))
        return bool(fits(action, event))

    return around(matching, "fits", fits_otherwise)


@defect("engine", "9.5", "replay_divergence_open_order", needs="code that has changed")
def opens_fit_any_session() -> Changes:
    """A recorded open is compared with the code's by its kind alone."""
    yield _fits_whatever_the_session((OpenSession, CloseSession))


@defect("engine", "26.7", "activity_session_id_mismatch", needs="code that has changed")
def activities_fit_any_session() -> Changes:
    """A recorded activity is compared with the code's by name, input and tag, not by session."""
    yield _fits_whatever_the_session((CallActivity,))


@defect("engine", "26.9", "session_closed_breadcrumb_ignored", needs="a close over an unfinished activity")
def cancel_notes_answer() -> Changes:
    """The note that an activity was cancelled resolves its future with a failure on replay."""

    def apply_notes(apply: Original, this: Replay, event: Event, is_new: bool) -> None:
        apply(this, event, is_new)
        if isinstance(event, ActivityCancelRequested) and event.source_event_id in this._open:
            this._complete(event, "activity", event.reason, is_error=True)

    yield around(Replay, "_apply", apply_notes)


@defect("engine", "26.12", "open_calls_do_not_suspend")
def ends_wait_for_session_events() -> Changes:
    """An execution whose last turn opens or closes a session waits for an answer to that."""

    def conclude_later(conclude: Original, this: turn._Turn, *given: object) -> TurnOutcome:
        outcome: TurnOutcome = conclude(this, *given)
        if isinstance(outcome, ExecutionCompleted) and any(
            isinstance(action, OpenSession | CloseSession) for action in this._new_actions
        ):
            return ExecutionContinues()
        return outcome

    yield around(turn._Turn, "_conclude", conclude_later)


@defect("engine", "9.6 27.1 27.8", "replay_session_id_restored", needs="continue-as-new and a turn after it")
def carried_ids_last_one_turn() -> Changes:
    """Only the first turn of an execution knows the sessions that it carries over."""

    def init_by_turn(init: Original, state: TurnState, turn_input: TurnInput, *rest: object) -> None:
        init(state, turn_input, *rest)
        if turn_input.persisted_length > 0:
            state.sessions = OpenSessions()

    yield around(TurnState, "__init__", init_by_turn)


@defect("engine", "32.9 32.6", "combinators", needs="an activity that fails")
def session_failures_are_results() -> Changes:
    """The failure of an activity on a session reaches the code as its result."""

    def complete_well(
        complete: Original, this: Replay, event: Event, *rest: object, is_error: bool = False
    ) -> None:
        operation = this._open.get(event.source_event_id or 0)
        on_session = (
            operation is not None
            and isinstance(operation.action, CallActivity)
            and operation.action.session_id is not None
        )
        complete(this, event, *rest, is_error=is_error and not on_session)

    yield around(Replay, "_complete", complete_well)


@defect("engine", "15.4 32.10", "orthogonal_to_timers_and_events", caught_by="32.10")
def sessions_keep_timers_back() -> Changes:
    """A timer that is set while a session is open takes twice as long."""

    def schedule_later(schedule_timer: Original, context: OrchestrationContext, delay: timedelta) -> object:
        return schedule_timer(context, delay * 2 if len(context._state.sessions) else delay)

    yield around(OrchestrationContext, "schedule_timer", schedule_later)
