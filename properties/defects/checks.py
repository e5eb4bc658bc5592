"""Defects of the calls about sessions: what is checked, when, and what a refusal leaves behind."""

from __future__ import annotations

from typing import Any, Final

from holdfast.core.contract.errors import SessionIdError
from holdfast.core.dispatching import limit_checks
from holdfast.core.engine import driver
from holdfast.core.engine.actions import CallActivity, CloseSession, OpenSession
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.driver import Driver
from holdfast.core.engine.open_sessions import OpenSessions, check_session_id
from holdfast.core.engine.turn_state import TurnState
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced

_NOT_OPEN: Final = "schedule_activity_on_session called for session '{}' which is not open"
_TOO_MANY: Final = "max sessions per orchestration exceeded (limit: {}, open: {})"


def _opening(*, spare: int = 0, checks_recorded: bool = False, records_first: bool = False) -> Planting:
    """Another body of the call behind both opens."""

    def open_otherwise(self: OrchestrationContext, session_id: str) -> str:
        state = self._state
        limit, count = state.turn.limits.sessions_per_orchestration_max, len(state.sessions)
        may_refuse = checks_recorded or not state.next_is_recorded
        if records_first:
            state.emit(OpenSession(session_id=session_id))
        if count >= limit + spare and may_refuse:
            state.refuse(_TOO_MANY.format(limit, count))
        if not records_first:
            state.emit(OpenSession(session_id=session_id))
        state.sessions.open(session_id)
        return session_id

    return replaced(Change(OrchestrationContext, "_open", open_otherwise))


def _checks_when_the_code_waits() -> Planting:
    """Sessions are checked at the end of a poll, against what is open then."""
    poll = original(Driver, "poll")

    def emit(
        self: OrchestrationContext,
        name: str,
        input: str,
        tag: str | None = None,
        session_id: str | None = None,
    ) -> Any:
        return self._state.emit(CallActivity(name=name, input=input, session_id=session_id, tag=tag))

    def open_unchecked(self: OrchestrationContext, session_id: str) -> str:
        self._state.emit(OpenSession(session_id=session_id))
        self._state.sessions.open(session_id)
        return session_id

    def poll_and_check(self: Driver) -> None:
        poll(self)
        state = self._state
        count, limit = len(state.sessions), state.turn.limits.sessions_per_orchestration_max
        for operation in list(state.unmatched)[state.recorded_ahead :]:
            match operation.action:
                case CallActivity(session_id=str() as session_id) if session_id not in state.sessions:
                    self.finish = driver.Refused(_NOT_OPEN.format(session_id))
                case OpenSession() if count > limit:
                    self.finish = driver.Refused(_TOO_MANY.format(limit, count - 1))
                case _:
                    pass

    return replaced(
        Change(OrchestrationContext, "_emit_activity", emit),
        Change(OrchestrationContext, "_open", open_unchecked),
        Change(Driver, "poll", poll_and_check),
    )


def _closes_free_no_place() -> Planting:
    """A close counts from the next turn on."""

    def close_later(self: OrchestrationContext, session_id: str) -> None:
        is_recorded = self._state.next_is_recorded
        self._state.emit(CloseSession(session_id=session_id))
        if is_recorded:
            self._state.sessions.close(session_id)

    return replaced(Change(OrchestrationContext, "close_session", close_later))


def _idle_closes_are_left_out() -> Planting:
    """A close of what is not open does nothing at all."""

    def close_open_ones(self: OrchestrationContext, session_id: str) -> None:
        if session_id in self._state.sessions:
            self._state.emit(CloseSession(session_id=session_id))
            self._state.sessions.close(session_id)

    return replaced(Change(OrchestrationContext, "close_session", close_open_ones))


def _refused_calls_are_recorded() -> Planting:
    """The call is on record before it is checked."""

    def emit_first(
        self: OrchestrationContext,
        name: str,
        input: str,
        tag: str | None = None,
        session_id: str | None = None,
    ) -> Any:
        is_recorded = self._state.next_is_recorded
        operation = self._state.emit(CallActivity(name=name, input=input, session_id=session_id, tag=tag))
        if session_id is not None and session_id not in self._state.sessions and not is_recorded:
            self._state.refuse(_NOT_OPEN.format(session_id))
        return operation

    return replaced(Change(OrchestrationContext, "_emit_activity", emit_first))


def _refusals_are_exceptions() -> Planting:
    """A failed check raises an ordinary error where the code called."""

    def refuse(self: TurnState, message: str) -> None:
        raise SessionIdError(message)

    return replaced(Change(TurnState, "refuse", refuse))


def _refused_ids_are_recorded() -> Planting:
    """An id is looked at when it is opened already."""
    open_session = original(OrchestrationContext, "_open")

    def open_then_check(self: OrchestrationContext, session_id: str) -> str:
        self._state.require_running()
        if session_id not in self._state.sessions:
            open_session(self, session_id)
        check_session_id(session_id)
        return session_id

    return replaced(Change(OrchestrationContext, "open_session_with_id", open_then_check))


def _repeated_opens_are_recorded() -> Planting:
    """Every open is recorded, also one of what is open."""
    open_session = original(OrchestrationContext, "_open")

    def open_always(self: OrchestrationContext, session_id: str) -> str:
        self._state.require_running()
        check_session_id(session_id)
        return str(open_session(self, session_id))

    return replaced(Change(OrchestrationContext, "open_session_with_id", open_always))


def _ids_tell_the_time() -> Planting:
    """A generated id contains the time of the turn that asks for it."""

    def open_session(self: OrchestrationContext) -> str:
        self._state.require_running()
        return self._open(f"session-{self._state.turn.now_ms}-{self._state.next_token}")

    return replaced(Change(OrchestrationContext, "open_session", open_session))


def _generated_ids_clash() -> Planting:
    """Nobody looks whether a generated id is in use."""

    def new_id(self: OpenSessions, *, execution_id: int, position: int) -> str:
        return f"session-{execution_id}-{position}"

    return replaced(Change(OpenSessions, "new_id", new_id))


def _executions_share_ids() -> Planting:
    """A generated id is a place in the execution, whichever execution it is."""
    new_id = original(OpenSessions, "new_id")

    def same_in_each(self: OpenSessions, *, execution_id: int, position: int) -> str:
        return str(new_id(self, execution_id=1, position=position))

    return replaced(Change(OpenSessions, "new_id", same_in_each))


def _ids_ignore_case() -> Planting:
    """Whether an id is open is decided without regard to case, blanks around it and normal form."""

    def contains(self: OpenSessions, session_id: str) -> bool:
        return session_id.strip().casefold() in {name.strip().casefold() for name in self._ids}

    return replaced(Change(OpenSessions, "__contains__", contains))


def _session_support_is_assumed() -> Planting:
    """Nobody asks the provider whether it has sessions."""
    return replaced(Change(limit_checks, "_needs_sessions", lambda event: False))


def _checked(
    name: str,
    title: str,
    rows: tuple[str, ...],
    scenario: str,
    planted: Any,
    needs: str = "nothing",
    elsewhere: str | None = None,
) -> Defect:
    """A defect of these calls; the first row is meant to catch it."""
    return Defect(
        name=name,
        title=title,
        where="engine",
        caught_by=rows[0],
        rows=rows,
        scenario=scenario,
        needs=needs,
        planted=planted,
        elsewhere=elsewhere,
    )


DEFECTS: Final = (
    _checked(
        "limit_takes_one_more",
        "The limit is compared with the sessions open after the call",
        ("8.4", "26.3", "26.5", "32.5"),
        "max_sessions_exceeded_fails",
        lambda: _opening(spare=1),
        elsewhere="terminal_cleanup_after_check_failure",
    ),
    _checked(
        "limit_binds_the_past",
        "The limit is applied to recorded opens, too",
        ("26.6",),
        "lowered_limit_does_not_break_replay",
        lambda: _opening(checks_recorded=True),
        "a limit that is lowered",
    ),
    _checked(
        "refused_opens_are_recorded",
        "An open beyond the limit is recorded before the limit is looked at",
        ("8.4", "26.3", "32.5"),
        "max_sessions_exceeded_fails",
        lambda: _opening(records_first=True),
    ),
    _checked(
        "checks_when_the_code_waits",
        "Sessions are checked when the code waits, against what is open then",
        ("26.2", "26.1", "26.3", "26.4"),
        "schedule_then_open_in_one_poll_fails",
        _checks_when_the_code_waits,
    ),
    _checked(
        "closes_free_no_place",
        "A close frees its place in the next turn",
        ("8.5", "8.3", "26.4"),
        "max_sessions_close_then_reopen_within_limit",
        _closes_free_no_place,
    ),
    _checked(
        "idle_closes_are_left_out",
        "A close of a session that is not open is not recorded",
        ("8.1", "26.4"),
        "close_without_open_is_noop",
        _idle_closes_are_left_out,
    ),
    _checked(
        "refused_calls_are_recorded",
        "An activity on a session that is not open is recorded before the check",
        ("26.2", "8.3", "26.4"),
        "schedule_then_open_in_one_poll_fails",
        _refused_calls_are_recorded,
    ),
    _checked(
        "refusals_are_exceptions",
        "A failed session check raises an ordinary error that the code can catch",
        ("26.5",),
        "check_failure_cannot_be_caught",
        _refusals_are_exceptions,
    ),
    _checked(
        "refused_ids_are_recorded",
        "A session id is checked when its open is recorded already",
        ("26.13", "15.11"),
        "invalid_id_consumes_nothing",
        _refused_ids_are_recorded,
    ),
    _checked(
        "repeated_opens_are_recorded",
        "An open of a session that is open is recorded again",
        ("26.14",),
        "noop_open_on_replay",
        _repeated_opens_are_recorded,
    ),
    _checked(
        "ids_tell_the_time",
        "A generated session id contains the time of the turn",
        ("9.1", "9.2", "26.10", "26.13"),
        "session_open_replay_matches",
        _ids_tell_the_time,
        elsewhere="worker_stalls_alone",
    ),
    _checked(
        "generated_ids_clash",
        "A generated session id is not compared with the ids that are open",
        ("26.10",),
        "generated_ids_stable_and_unique_across_executions",
        _generated_ids_clash,
        "an id of the user's in the form of a generated one",
    ),
    _checked(
        "executions_share_ids",
        "A generated session id does not tell the execution",
        ("26.10",),
        "generated_ids_stable_and_unique_across_executions",
        _executions_share_ids,
        "continue-as-new",
    ),
    _checked(
        "ids_ignore_case",
        "Whether a session is open is decided without regard to case and blanks",
        ("8.2", "8.4", "26.11"),
        "session_activity_without_open_fails",
        _ids_ignore_case,
    ),
    _checked(
        "session_support_is_assumed",
        "Nobody asks the provider whether it has sessions",
        ("8.6",),
        "provider_no_session_support_fails",
        _session_support_is_assumed,
        "a provider without sessions",
    ),
)
