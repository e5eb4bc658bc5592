"""Defects of the plain life of a session: its id, its opening and closing, and what activities see of it."""

from __future__ import annotations

from typing import Any, Final

from holdfast.core.contract.provider import Provider
from holdfast.core.engine import open_sessions as core_sessions
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.open_sessions import OpenSessions, SessionScan
from holdfast.core.working.activity_context import ActivityContext
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.properties.defects.replacements import scheduled_on


def _ids_lack_their_prefix() -> Planting:
    """A generated id is made of the two numbers alone."""

    def new_id(self: OpenSessions, *, execution_id: int, position: int) -> str:
        return f"{execution_id}-{position}"

    return replaced(Change(OpenSessions, "new_id", new_id))


def _closes_answer_with_the_id() -> Planting:
    """A close returns what it closed, as an open returns what it opened."""
    close = original(OrchestrationContext, "close_session")

    def close_session(self: OrchestrationContext, session_id: str) -> str:
        close(self, session_id)
        return session_id

    return replaced(Change(OrchestrationContext, "close_session", close_session))


def _idle_closes_open() -> Planting:
    """A close of what is not open ends up in the list of what the turn opened."""
    close = original(SessionScan, "_close")

    def close_session(self: SessionScan, session_id: str) -> None:
        was_open = session_id in self.open
        close(self, session_id)
        if not was_open:
            self._last_change[session_id] = True

    return replaced(Change(SessionScan, "_close", close_session))


def _last_closes_are_left_out() -> Planting:
    """The close of the only open session is left to the end of the instance."""
    close = original(OrchestrationContext, "close_session")

    def close_session(self: OrchestrationContext, session_id: str) -> None:
        sessions = self._state.sessions
        if len(sessions) == 1 and session_id in sessions:
            return
        close(self, session_id)

    return replaced(Change(OrchestrationContext, "close_session", close_session))


def _activities_join_the_open_session() -> Planting:
    """An activity without a session goes to the one that is open, since its worker is warm anyway."""
    return scheduled_on(
        lambda context, session_id: session_id or next(iter(context._state.sessions.ids()), None)
    )


def _contexts() -> Any:
    return original(ActivityContext, "__init__")


def _activities_know_no_session() -> Planting:
    """The session of an item is not handed on to its activity."""
    init = _contexts()

    def begin(self: ActivityContext, *given: Any) -> None:
        init(self, *given)
        self.session_id = None

    return replaced(Change(ActivityContext, "__init__", begin))


def _no_session_reads_as_empty() -> Planting:
    """An activity without a session sees an empty id."""
    init = _contexts()

    def begin(self: ActivityContext, *given: Any) -> None:
        init(self, *given)
        self.session_id = self.session_id or ""

    return replaced(Change(ActivityContext, "__init__", begin))


def _latest_sessions_come_first() -> Planting:
    """What is carried over is listed from the latest opening to the first."""

    def ids(self: OpenSessions) -> tuple[str, ...]:
        return tuple(reversed(self._ids))

    return replaced(Change(OpenSessions, "ids", ids))


def _sessions_are_supported_unasked() -> Planting:
    """A provider that says nothing of sessions is taken to have them."""
    return replaced(Change(Provider, "supports_sessions", lambda self: True))


def _lengths_in_characters() -> Planting:
    """The length of a session id is what len says, not its bytes."""
    return replaced(Change(core_sessions, "utf8_length", len))


def _defect(
    name: str, title: str, caught_by: str, rows: tuple[str, ...], scenario: str, planted: Any, where: Any
) -> Defect:
    return Defect(
        name=name,
        title=title,
        where=where,
        caught_by=caught_by,
        rows=rows,
        scenario=scenario,
        needs="nothing",
        planted=planted,
    )


DEFECTS: Final = (
    _defect(
        "ids_lack_their_prefix",
        "A generated session id does not begin with session-",
        "1.1",
        ("1.1",),
        "open_session_returns_unique_id",
        _ids_lack_their_prefix,
        "engine",
    ),
    _defect(
        "closes_answer_with_the_id",
        "close_session returns the id instead of nothing",
        "1.4",
        ("1.4",),
        "close_session_succeeds",
        _closes_answer_with_the_id,
        "engine",
    ),
    _defect(
        "idle_closes_open",
        "A close of an id that is not open makes a row for it",
        "INV-10",
        ("1.6",),
        "close_session_nonexistent_noop",
        _idle_closes_open,
        "engine",
    ),
    _defect(
        "last_closes_are_left_out",
        "The close of the only open session is not recorded, since the end will see to it",
        "1.9",
        ("1.9",),
        "session_events_in_history",
        _last_closes_are_left_out,
        "engine",
    ),
    _defect(
        "activities_join_the_open_session",
        "An activity without a session is scheduled on the one that is open",
        "2.4",
        ("2.4", "2.6"),
        "non_session_activity_unaffected",
        _activities_join_the_open_session,
        "engine",
    ),
    _defect(
        "activities_know_no_session",
        "ctx.session_id is None in every activity",
        "2.5",
        ("1.8", "2.5"),
        "session_id_available_in_activity_context",
        _activities_know_no_session,
        "worker",
    ),
    _defect(
        "no_session_reads_as_empty",
        "ctx.session_id is an empty text in an activity without a session",
        "2.6",
        ("2.6",),
        "non_session_activity_has_none_session_id",
        _no_session_reads_as_empty,
        "worker",
    ),
    _defect(
        "latest_sessions_come_first",
        "The carried sessions are listed from the latest opening to the first",
        "10.3",
        ("10.3",),
        "multiple_sessions_survive_can",
        _latest_sessions_come_first,
        "engine",
    ),
    _defect(
        "sessions_are_supported_unasked",
        "A provider that does not say whether it has sessions is taken to have them",
        "14.15",
        ("14.15",),
        "supports_sessions_false_default",
        _sessions_are_supported_unasked,
        "worker",
    ),
    _defect(
        "lengths_in_characters",
        "The limit of a session id is compared with its characters, not with its bytes",
        "15.12",
        ("15.12",),
        "very_long_session_id_handled",
        _lengths_in_characters,
        "engine",
    ),
)
