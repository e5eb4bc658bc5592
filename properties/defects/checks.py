"""Defects of the calls about sessions: what is checked, when, and what a refusal leaves behind."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.errors import SessionIdError
from holdfast.core.dispatching import limit_checks
from holdfast.core.engine import driver
from holdfast.core.engine.actions import CallActivity, CloseSession, OpenSession
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.driver import Driver
from holdfast.core.engine.open_sessions import OpenSessions, check_session_id
from holdfast.core.engine.turn_state import TurnState
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, original
from holdfast.properties.defects.replacements import activities_emitted

_NOT_OPEN: Final = "schedule_activity_on_session called for session '{}' which is not open"
_TOO_MANY: Final = "max sessions per orchestration exceeded (limit: {}, open: {})"


def _opening(*, spare: int = 0, checks_recorded: bool = False, records_first: bool = False) -> Change:
    """Another body of the call behind both opens."""

    def open_otherwise(self: OrchestrationContext, session_id: str) -> str:
        state = self._state
        limit, count = state.turn_input.limits.sessions_per_orchestration_max, len(state.sessions)
        may_refuse = checks_recorded or not state.next_is_recorded
        if records_first:
            state.emit(OpenSession(session_id=session_id))
        if count >= limit + spare and may_refuse:
            state.refuse(_TOO_MANY.format(limit, count))
        if not records_first:
            state.emit(OpenSession(session_id=session_id))
        state.sessions.open(session_id)
        return session_id

    return Change(OrchestrationContext, "_open", open_otherwise)


@defect(
    "engine",
    "8.4 26.3 26.5 32.5",
    "max_sessions_exceeded_fails",
    elsewhere="terminal_cleanup_after_check_failure",
)
def limit_takes_one_more() -> Changes:
    """The limit is compared with the sessions open after the call."""
    yield _opening(spare=1)


@defect("engine", "26.6", "lowered_limit_does_not_break_replay", needs="a limit that is lowered")
def limit_binds_the_past() -> Changes:
    """The limit is applied to recorded opens, too."""
    yield _opening(checks_recorded=True)


@defect("engine", "8.4 26.3 32.5", "max_sessions_exceeded_fails")
def refused_opens_are_recorded() -> Changes:
    """An open beyond the limit is recorded before the limit is looked at."""
    yield _opening(records_first=True)


@defect("engine", "26.2 26.1 26.3 26.4", "schedule_then_open_in_one_poll_fails")
def checks_when_the_code_waits() -> Changes:
    """Sessions are checked when the code waits, against what is open then."""

    def open_unchecked(self: OrchestrationContext, session_id: str) -> str:
        self._state.emit(OpenSession(session_id=session_id))
        self._state.sessions.open(session_id)
        return session_id

    def poll_and_check(poll: Original, this: Driver) -> None:
        poll(this)
        state = this._state
        count, limit = len(state.sessions), state.turn_input.limits.sessions_per_orchestration_max
        for operation in list(state.unmatched)[state.recorded_ahead :]:
            match operation.action:
                case CallActivity(session_id=str() as session_id) if session_id not in state.sessions:
                    this.finish = driver.Refused(_NOT_OPEN.format(session_id))
                case OpenSession() if count > limit:
                    this.finish = driver.Refused(_TOO_MANY.format(limit, count - 1))
                case _:
                    pass

    yield activities_emitted(lambda context, call: context._state.emit(call))
    yield Change(OrchestrationContext, "_open", open_unchecked)
    yield around(Driver, "poll", poll_and_check)


@defect("engine", "8.5 8.3 26.4", "max_sessions_close_then_reopen_within_limit")
def closes_free_no_place() -> Changes:
    """A close frees its place in the next turn."""

    def close_later(self: OrchestrationContext, session_id: str) -> None:
        is_recorded = self._state.next_is_recorded
        self._state.emit(CloseSession(session_id=session_id))
        if is_recorded:
            self._state.sessions.close(session_id)

    yield Change(OrchestrationContext, "close_session", close_later)


@defect("engine", "8.1 26.4", "close_without_open_is_noop")
def idle_closes_are_left_out() -> Changes:
    """A close of a session that is not open is not recorded."""

    def close_open_ones(self: OrchestrationContext, session_id: str) -> None:
        if session_id in self._state.sessions:
            self._state.emit(CloseSession(session_id=session_id))
            self._state.sessions.close(session_id)

    yield Change(OrchestrationContext, "close_session", close_open_ones)


@defect("engine", "26.2 8.3 26.4", "schedule_then_open_in_one_poll_fails")
def refused_calls_are_recorded() -> Changes:
    """An activity on a session that is not open is recorded before the check."""

    def emit_first(context: OrchestrationContext, call: CallActivity) -> object:
        state = context._state
        is_recorded = state.next_is_recorded
        operation = state.emit(call)
        if call.session_id is not None and call.session_id not in state.sessions and not is_recorded:
            state.refuse(_NOT_OPEN.format(call.session_id))
        return operation

    yield activities_emitted(emit_first)


@defect("engine", "26.5", "check_failure_cannot_be_caught")
def refusals_are_exceptions() -> Changes:
    """A failed session check raises an ordinary error that the code can catch."""

    def refuse(self: TurnState, message: str) -> None:
        raise SessionIdError(message)

    yield Change(TurnState, "refuse", refuse)


@defect("engine", "26.13 15.11", "invalid_id_consumes_nothing")
def refused_ids_are_recorded() -> Changes:
    """A session id is checked only after its open has been recorded."""
    open_session = original(OrchestrationContext, "_open")

    def open_then_check(self: OrchestrationContext, session_id: str) -> str:
        if session_id not in self._state.sessions:
            open_session(self, session_id)
        check_session_id(session_id)
        return session_id

    yield Change(OrchestrationContext, "open_session_with_id", open_then_check)


@defect("engine", "26.14", "noop_open_on_replay")
def repeated_opens_are_recorded() -> Changes:
    """An open of a session that is open is recorded again."""
    open_session = original(OrchestrationContext, "_open")

    def open_always(self: OrchestrationContext, session_id: str) -> str:
        check_session_id(session_id)
        return str(open_session(self, session_id))

    yield Change(OrchestrationContext, "open_session_with_id", open_always)


@defect("engine", "9.1 9.2 26.10 26.13", "session_open_replay_matches", elsewhere="worker_stalls_alone")
def ids_tell_the_time() -> Changes:
    """A generated session id contains the time of the turn."""

    def open_session(self: OrchestrationContext) -> str:
        return self._open(f"session-{self._state.turn_input.now_ms}-{self._state.next_token}")

    yield Change(OrchestrationContext, "open_session", open_session)


@defect(
    "engine",
    "26.10",
    "generated_ids_stable_and_unique_across_executions",
    needs="an id of the user's in the form of a generated one",
)
def generated_ids_clash() -> Changes:
    """A generated session id is not compared with the ids that are open."""

    def new_id(self: OpenSessions, *, execution_id: int, position: int) -> str:
        return f"session-{execution_id}-{position}"

    yield Change(OpenSessions, "new_id", new_id)


@defect("engine", "26.10", "generated_ids_stable_and_unique_across_executions", needs="continue-as-new")
def executions_share_ids() -> Changes:
    """A generated session id does not tell the execution."""

    def same_in_each(new_id: Original, sessions: OpenSessions, *, execution_id: int, position: int) -> str:
        return str(new_id(sessions, execution_id=1, position=position))

    yield around(OpenSessions, "new_id", same_in_each)


@defect("engine", "8.2 8.4 26.11", "session_activity_without_open_fails")
def ids_ignore_case() -> Changes:
    """Whether a session is open is decided without regard to case and blanks."""

    def contains(self: OpenSessions, session_id: str) -> bool:
        return session_id.strip().casefold() in {name.strip().casefold() for name in self._ids}

    yield Change(OpenSessions, "__contains__", contains)


@defect("engine", "8.6", "provider_no_session_support_fails", needs="a provider without sessions")
def session_support_is_assumed() -> Changes:
    """Nobody asks the provider whether it has sessions."""
    yield Change(limit_checks, "_needs_sessions", lambda event: False)
