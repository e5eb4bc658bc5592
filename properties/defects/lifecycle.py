"""Defects of the plain life of a session: its id, its opening and closing, and what activities see of it."""

from __future__ import annotations

from holdfast.core.contract.provider import Provider
from holdfast.core.engine import open_sessions as core_sessions
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.open_sessions import OpenSessions, SessionScan
from holdfast.core.working.activity_context import ActivityContext
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect
from holdfast.properties.defects.replacements import scheduled_on


@defect("engine", "1.1", "open_session_returns_unique_id")
def ids_lack_their_prefix() -> Changes:
    """A generated session id does not begin with session-."""

    def new_id(self: OpenSessions, *, execution_id: int, position: int) -> str:
        return f"{execution_id}-{position}"

    yield Change(OpenSessions, "new_id", new_id)


@defect("engine", "1.4", "close_session_succeeds")
def closes_answer_with_the_id() -> Changes:
    """close_session returns the id instead of nothing."""

    def close_session(close: Original, context: OrchestrationContext, session_id: str) -> str:
        close(context, session_id)
        return session_id

    yield around(OrchestrationContext, "close_session", close_session)


@defect("engine", "1.6", "close_session_nonexistent_noop", caught_by="INV-10")
def idle_closes_open() -> Changes:
    """A close of an id that is not open makes a row for it."""

    def close_session(close: Original, scan: SessionScan, session_id: str) -> None:
        was_open = session_id in scan.open
        close(scan, session_id)
        if not was_open:
            scan._last_change[session_id] = True

    yield around(SessionScan, "_close", close_session)


@defect("engine", "1.9", "session_events_in_history")
def last_closes_are_left_out() -> Changes:
    """The close of the only open session is not recorded, since the end will see to it."""

    def close_session(close: Original, context: OrchestrationContext, session_id: str) -> None:
        sessions = context._state.sessions
        if len(sessions) == 1 and session_id in sessions:
            return
        close(context, session_id)

    yield around(OrchestrationContext, "close_session", close_session)


@defect("engine", "2.4 2.6", "non_session_activity_unaffected")
def activities_join_the_open_session() -> Changes:
    """An activity without a session is scheduled on the one that is open."""
    yield scheduled_on(
        lambda context, session_id: session_id or next(iter(context._state.sessions.ids()), None)
    )


@defect("worker", "1.8 2.5", "session_id_available_in_activity_context", caught_by="2.5")
def activities_know_no_session() -> Changes:
    """ctx.session_id is None in every activity."""

    def begin(init: Original, context: ActivityContext, *given: object) -> None:
        init(context, *given)
        context.session_id = None

    yield around(ActivityContext, "__init__", begin)


@defect("worker", "2.6", "non_session_activity_has_none_session_id")
def no_session_reads_as_empty() -> Changes:
    """ctx.session_id is an empty text in an activity without a session."""

    def begin(init: Original, context: ActivityContext, *given: object) -> None:
        init(context, *given)
        context.session_id = context.session_id or ""

    yield around(ActivityContext, "__init__", begin)


@defect("engine", "10.3", "multiple_sessions_survive_can")
def latest_sessions_come_first() -> Changes:
    """The carried sessions are listed from the latest opening to the first."""

    def ids(self: OpenSessions) -> tuple[str, ...]:
        return tuple(reversed(self._ids))

    yield Change(OpenSessions, "ids", ids)


@defect("worker", "14.15", "supports_sessions_false_default")
def sessions_are_supported_unasked() -> Changes:
    """A provider that does not say whether it has sessions is taken to have them."""
    yield Change(Provider, "supports_sessions", lambda self: True)


@defect("engine", "15.12", "very_long_session_id_handled")
def lengths_in_characters() -> Changes:
    """The limit of a session id is compared with its characters, not with its bytes."""
    yield Change(core_sessions, "utf8_length", len)
