"""Open sessions: the set in program order, and what a history says about it (SS-5, SS-6, SS-16).

An *incarnation* is the stretch from one opening of a session id to its next closing. An activity belongs to
the incarnation that is open where it is scheduled, and ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from holdfast.core.contract.errors import SessionIdError
from holdfast.core.contract.events import (
    ActivityScheduled,
    Event,
    OrchestrationStarted,
    SessionClosed,
    SessionOpened,
)
from holdfast.core.contract.user_texts import class_name
from holdfast.core.engine.known_events import KnownEvents
from holdfast.core.program.limits import SESSION_ID_BYTES_MAX, utf8_length

_session_of = attrgetter("session_id")


class OpenSessions:
    """The ids open at one place in program order, in opening order (SS-16.1, SS-17.1)."""

    def __init__(self, carried: Iterable[str] = ()) -> None:
        self._ids = dict.fromkeys(carried)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def open(self, session_id: str) -> None:
        """Add an id at the end; one already open keeps its place."""
        self._ids[session_id] = None

    def close(self, session_id: str) -> bool:
        """Remove an id; returns whether it was open (SS-6.2)."""
        if session_id in self._ids:
            del self._ids[session_id]
            return True
        return False

    def ids(self) -> tuple[str, ...]:
        """All open ids in opening order."""
        return tuple(self._ids)

    def new_id(self, *, execution_id: int, position: int) -> str:
        """A generated id: the execution, and the position of the call among its scheduling calls.

        Two positions never share an id, whatever was open: on a clash a part is added that no position yields
        (SS-3.4, SS-3.5).
        """
        assert position > 0, f"call {position} of execution {execution_id} opens a session; the first is 1"
        plain = f"session-{execution_id}-{position}"
        candidate = plain
        clashes = 0
        while candidate in self._ids:
            clashes += 1
            candidate = f"{plain}.{clashes}"
        return candidate


def check_session_id(session_id: str) -> str:
    """The id as a plain text. Raises SessionIdError for one that cannot be opened (SS-3.7 to SS-3.9)."""
    if not issubclass(type(session_id), str):
        raise SessionIdError(f"session_id must be a str, it is a {class_name(type(session_id))}")
    session_id = str.__str__(session_id)
    if not session_id:
        raise SessionIdError("session_id must not be empty")
    length = utf8_length(session_id)
    if length > SESSION_ID_BYTES_MAX:
        raise SessionIdError(f"session_id exceeds maximum length of {SESSION_ID_BYTES_MAX} (got {length})")
    try:
        session_id.encode()
    except UnicodeEncodeError as error:
        raise SessionIdError(f"session_id is not valid UTF-8 text: {error}") from None
    return session_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanges:
    """What a stretch of history did to the sessions (SS-15.1)."""

    opened: tuple[str, ...]
    closed: tuple[str, ...]
    ended_activities: tuple[int, ...]
    """Schedule ids of the activities whose incarnation a close in this stretch ended, ascending."""


class SessionScan:
    """Reads events in order and keeps the open set and the activities of each open incarnation."""

    def __init__(self) -> None:
        self.open = OpenSessions()
        self._activities: dict[str, list[int]] = {}
        self._ended: list[int] = []
        self._last_change: dict[str, bool] = {}  # id -> its last effective change in this stretch is an open
        self._closed: dict[str, None] = {}

    def read_known(self, known: KnownEvents) -> None:
        """The same for a whole history; most have nothing to do with sessions."""
        for started in known.of(OrchestrationStarted):
            self.open = OpenSessions(started.open_sessions)
        changed = len(known.of(SessionOpened)) + len(known.of(SessionClosed))
        if changed or any(map(_session_of, known.of(ActivityScheduled))):
            self.read(known.in_order)

    def read(self, events: Iterable[Event]) -> None:
        """Go on with further events."""
        for event in events:
            if isinstance(event, ActivityScheduled):
                if event.session_id is not None:
                    self._activities.setdefault(event.session_id, []).append(event.event_id)
            elif isinstance(event, SessionOpened):
                self.open.open(event.session_id)
                self._last_change[event.session_id] = True
            elif isinstance(event, SessionClosed):
                self._close(event.session_id)
            elif isinstance(event, OrchestrationStarted):
                self.open = OpenSessions(event.open_sessions)

    def take_changes(self) -> SessionChanges:
        """What happened since the last call; a new stretch begins."""
        changes = SessionChanges(
            opened=tuple(session_id for session_id, is_open in self._last_change.items() if is_open),
            closed=tuple(self._closed),
            ended_activities=tuple(sorted(self._ended)),
        )
        self._ended, self._last_change, self._closed = [], {}, {}
        return changes

    def _close(self, session_id: str) -> None:
        if self.open.close(session_id):
            self._last_change[session_id] = False
            self._closed[session_id] = None
        self._ended.extend(self._activities.pop(session_id, ()))
