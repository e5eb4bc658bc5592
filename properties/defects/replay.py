"""Defects of replay: how recorded events find the actions of the code."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Final

from holdfast.core.contract.events import (
    ActivityCancelRequested,
    ActivityScheduled,
    Event,
    OrchestrationStarted,
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
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced


def _missing_session_calls_are_tolerated() -> Planting:
    """Session events may find no action, as those of custom status and key-values may."""
    tolerant = original(matching, "_TOLERANT")
    mismatch = "schedule mismatch"
    return replaced(
        Change(matching, "_TOLERANT", {**tolerant, SessionOpened: mismatch, SessionClosed: mismatch})
    )


def _new_session_calls_are_skipped() -> Planting:
    """A session call that history does not have at that place is taken for a repeated one."""
    match_next = original(replay, "match_next")

    def match_behind(unmatched: deque[Operation], event: Event) -> Operation | None:
        if not isinstance(event, SessionOpened | SessionClosed):
            while unmatched and isinstance(unmatched[0].action, OpenSession | CloseSession):
                unmatched.popleft()
        found: Operation | None = match_next(unmatched, event)
        return found

    return replaced(Change(replay, "match_next", match_behind))


def _fits_whatever_the_session(kinds: tuple[type[Action], ...]) -> Planting:
    """The session id of these actions is not compared."""
    fits = original(matching, "fits")

    def fits_otherwise(action: Action, event: Event) -> bool:
        if isinstance(action, kinds) and isinstance(event, SessionOpened | SessionClosed | ActivityScheduled):
            assert isinstance(action, OpenSession | CloseSession | CallActivity)
            changed: Any = replace(action, session_id=event.session_id)  # type: ignore[arg-type]
            return bool(fits(changed, event))
        return bool(fits(action, event))

    return replaced(Change(matching, "fits", fits_otherwise))


def _cancel_notes_answer() -> Planting:
    """The note of a cancelled activity counts as its failure."""
    apply = original(Replay, "_apply")

    def apply_notes(self: Replay, event: Event, *, is_new: bool) -> None:
        apply(self, event, is_new=is_new)
        if isinstance(event, ActivityCancelRequested) and event.source_event_id in self._open:
            self._complete(event, "activity", event.reason, is_error=True)

    return replaced(Change(Replay, "_apply", apply_notes))


def _ends_wait_for_session_events() -> Planting:
    """A turn that opened or closed a session is not the last."""
    conclude = original(turn._Turn, "_conclude")

    def conclude_later(self: turn._Turn, finish: Any, persisted: Any) -> TurnOutcome:
        outcome: TurnOutcome = conclude(self, finish, persisted)
        if isinstance(outcome, ExecutionCompleted) and any(
            isinstance(action, OpenSession | CloseSession) for action in self._new_actions
        ):
            return ExecutionContinues()
        return outcome

    return replaced(Change(turn._Turn, "_conclude", conclude_later))


def _carried_ids_last_one_turn() -> Planting:
    """The carried sessions are given to the first turn of an execution, and to no later one."""
    init = original(TurnState, "__init__")

    def init_by_turn(
        self: TurnState, turn: TurnInput, started: OrchestrationStarted, recorded_ahead: int
    ) -> None:
        init(self, turn, started, recorded_ahead)
        if turn.persisted_length > 0:
            self.sessions = OpenSessions()

    return replaced(Change(TurnState, "__init__", init_by_turn))


def _session_failures_are_results() -> Planting:
    """What comes from a session is a result, also when it is a failure."""
    complete = original(Replay, "_complete")

    def complete_well(self: Replay, event: Event, kind: str, text: str, *, is_error: bool = False) -> None:
        operation = self._open.get(event.source_event_id or 0)
        on_session = (
            operation is not None
            and isinstance(operation.action, CallActivity)
            and operation.action.session_id is not None
        )
        complete(self, event, kind, text, is_error=is_error and not on_session)

    return replaced(Change(Replay, "_complete", complete_well))


def _sessions_keep_timers_back() -> Planting:
    """A timer that is set while a session is open leaves time for the session's activities."""
    schedule_timer = original(OrchestrationContext, "schedule_timer")

    def schedule_later(self: OrchestrationContext, delay: Any) -> Any:
        return schedule_timer(self, delay * 2 if len(self._state.sessions) else delay)

    return replaced(Change(OrchestrationContext, "schedule_timer", schedule_later))


DEFECTS: Final = (
    Defect(
        name="missing_session_calls_are_tolerated",
        title="An open or close in history that the code no longer makes is passed over",
        where="engine",
        caught_by="9.3",
        rows=("9.3", "26.8"),
        scenario="replay_divergence_open_mismatch",
        needs="code that has changed",
        planted=_missing_session_calls_are_tolerated,
    ),
    Defect(
        name="new_session_calls_are_skipped",
        title="An open or close that history does not have is taken for one that does nothing",
        where="engine",
        caught_by="9.4",
        rows=("9.4",),
        scenario="replay_divergence_extra_open",
        needs="code that has changed",
        planted=_new_session_calls_are_skipped,
    ),
    Defect(
        name="opens_fit_any_session",
        title="A recorded open is compared with the code's by its kind alone",
        where="engine",
        caught_by="9.5",
        rows=("9.5",),
        scenario="replay_divergence_open_order",
        needs="code that has changed",
        planted=lambda: _fits_whatever_the_session((OpenSession, CloseSession)),
    ),
    Defect(
        name="activities_fit_any_session",
        title="A recorded activity is compared with the code's by name, input and tag, not by session",
        where="engine",
        caught_by="26.7",
        rows=("26.7",),
        scenario="activity_session_id_mismatch",
        needs="code that has changed",
        planted=lambda: _fits_whatever_the_session((CallActivity,)),
    ),
    Defect(
        name="carried_ids_last_one_turn",
        title="Only the first turn of an execution knows the sessions that it carries over",
        where="engine",
        caught_by="9.6",
        rows=("9.6", "27.1", "27.8"),
        scenario="replay_session_id_restored",
        needs="continue-as-new and a turn after it",
        planted=_carried_ids_last_one_turn,
    ),
    Defect(
        name="cancel_notes_answer",
        title="The note that an activity was cancelled resolves its future with a failure on replay",
        where="engine",
        caught_by="26.9",
        rows=("26.9",),
        scenario="session_closed_breadcrumb_ignored",
        needs="a close over an unfinished activity",
        planted=_cancel_notes_answer,
    ),
    Defect(
        name="ends_wait_for_session_events",
        title="An execution whose last turn opens or closes a session waits for an answer to that",
        where="engine",
        caught_by="26.12",
        rows=("26.12",),
        scenario="open_calls_do_not_suspend",
        needs="nothing",
        planted=_ends_wait_for_session_events,
    ),
    Defect(
        name="session_failures_are_results",
        title="The failure of an activity on a session reaches the code as its result",
        where="engine",
        caught_by="32.9",
        rows=("32.9", "32.6"),
        scenario="combinators",
        needs="an activity that fails",
        planted=_session_failures_are_results,
    ),
    Defect(
        name="sessions_keep_timers_back",
        title="A timer that is set while a session is open takes twice as long",
        where="engine",
        caught_by="32.10",
        rows=("15.4", "32.10"),
        scenario="orthogonal_to_timers_and_events",
        needs="nothing",
        planted=_sessions_keep_timers_back,
    ),
)
