"""Instances as their histories have them: open sessions, incarnations, activities (sessions.md 27a)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast.core.contract import events
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.failures import FailureDetails

SessionKey = tuple[str, str]
"""Instance id and session id: the key of a session (SS-3.1)."""


class Incarnation:
    """The stretch between one opening of a session id and its next closing.

    `ended_at` is the position of the commit that ended it; `closed` whether a `SessionClosed` did.
    """

    __slots__ = ("activities", "closed", "ended_at", "key", "number", "opened_at")

    def __init__(self, key: SessionKey, number: int, opened_at: int) -> None:
        self.key = key
        self.number = number
        self.opened_at = opened_at
        self.ended_at: int | None = None
        self.closed = False
        self.activities: list[Activity] = []

    def end(self, position: int, *, closed: bool = False) -> None:
        """It is open no longer: a `SessionClosed` closed it, or its instance or execution left it behind."""
        assert self.ended_at is None, (
            f"incarnation {self.number} of {'/'.join(self.key)} ended at commit {self.ended_at}, "
            f"and again at {position}"
        )
        self.ended_at = position
        self.closed = closed


class Activity:
    """A scheduled activity and what its execution's history says of it."""

    __slots__ = (
        "activity_id",
        "cancel_requests",
        "completions",
        "execution_id",
        "incarnation",
        "late_completions",
        "session_id",
    )

    def __init__(
        self, execution_id: int, activity_id: int, session_id: str | None, incarnation: Incarnation | None
    ) -> None:
        self.execution_id = execution_id
        self.activity_id = activity_id
        self.session_id = session_id
        self.incarnation = incarnation
        self.completions = 0
        self.late_completions = 0  # recorded after the SessionClosed of its incarnation
        self.cancel_requests = 0


class Instance:
    """One instance, from its histories alone. `open` maps session id to incarnation, in opening order."""

    __slots__ = (
        "activities",
        "cancel_requested",
        "continued",
        "direct",
        "ended_at",
        "event_counts",
        "execution_id",
        "id",
        "incarnation_counts",
        "last_events",
        "lock_token",
        "lock_until",
        "open",
        "parent",
        "started",
        "status",
    )

    def __init__(self, id: str) -> None:
        self.id = id
        self.parent: str | None = None
        self.execution_id = 0
        self.status: str | None = None
        self.started = False
        self.direct = False  # something was stored for it outside its turns
        self.continued = False  # the latest execution ended in continue-as-new
        self.cancel_requested = False
        self.ended_at: int | None = None
        self.open: dict[str, Incarnation] = {}
        self.incarnation_counts: dict[str, int] = {}
        self.activities: dict[tuple[int, int], Activity] = {}
        self.event_counts: dict[int, int] = {}
        self.last_events: dict[int, StoredEvent] = {}
        self.lock_token: str | None = None
        self.lock_until = 0

    @property
    def runtime_operated(self) -> bool:
        """Whether all of it came through its own turns (sessions.md 27a)."""
        return self.started and not self.direct


class Delta:
    """What one acknowledged delta did to an instance, in the order of its events."""

    __slots__ = (
        "cancelled",
        "closed",
        "completed",
        "execution_id",
        "failure",
        "idle_closes",
        "instance",
        "opened",
        "position",
    )

    def __init__(self, instance: Instance, execution_id: int, position: int) -> None:
        self.instance = instance
        self.execution_id = execution_id
        self.position = position
        self.opened: list[Incarnation] = []
        self.closed: list[Incarnation] = []
        self.completed: list[Activity] = []
        self.cancelled: list[Activity] = []
        self.idle_closes = 0  # of ids that were not open
        self.failure: FailureDetails | None = None

    def read(self, delta: Sequence[StoredEvent]) -> None:
        """Apply the events, in order."""
        for event in delta:
            read = _READ.get(type(event))
            if read is not None:
                read(self, event)
        if delta:
            instance = self.instance
            counts = instance.event_counts
            counts[self.execution_id] = counts.get(self.execution_id, 0) + len(delta)
            instance.last_events[self.execution_id] = delta[-1]

    def _carry(self, carried: Sequence[str]) -> None:
        """The open set is this list now: what it leaves out has ended, what it adds is new."""
        instance = self.instance
        if tuple(instance.open) == tuple(carried):
            return
        before = instance.open
        instance.open = {}
        for session_id in carried:
            known = before.pop(session_id, None)
            instance.open[session_id] = self._incarnation(session_id) if known is None else known
        for left_out in before.values():
            left_out.end(self.position)

    def _incarnation(self, session_id: str) -> Incarnation:
        counts = self.instance.incarnation_counts
        number = counts[session_id] = counts.get(session_id, 0) + 1
        return Incarnation((self.instance.id, session_id), number, self.position)

    def _started(self, event: events.OrchestrationStarted) -> None:
        instance = self.instance
        instance.started = True
        instance.continued = False
        instance.execution_id = self.execution_id
        instance.parent = event.parent_instance
        self._carry(event.open_sessions)

    def _continued(self, event: events.OrchestrationContinuedAsNew) -> None:
        self.instance.continued = True
        self._carry(event.open_sessions)

    def _cancel_requested(self, event: events.OrchestrationCancelRequested) -> None:
        self.instance.cancel_requested = True

    def _failed(self, event: events.OrchestrationFailed) -> None:
        self.failure = event.details

    def _opened(self, event: events.SessionOpened) -> None:
        if event.session_id not in self.instance.open:
            incarnation = self._incarnation(event.session_id)
            self.instance.open[event.session_id] = incarnation
            self.opened.append(incarnation)

    def _closed(self, event: events.SessionClosed) -> None:
        incarnation = self.instance.open.pop(event.session_id, None)
        if incarnation is None:
            self.idle_closes += 1
            return
        incarnation.end(self.position, closed=True)
        self.closed.append(incarnation)

    def _scheduled(self, event: events.ActivityScheduled) -> None:
        session_id = event.session_id
        incarnation = None if session_id is None else self.instance.open.get(session_id)
        activity = Activity(self.execution_id, event.event_id, session_id, incarnation)
        self.instance.activities[self.execution_id, event.event_id] = activity
        if incarnation is not None:
            incarnation.activities.append(activity)

    def _completed(self, event: events.ActivityCompleted | events.ActivityFailed) -> None:
        activity = self._answered(event)
        if activity is not None:
            activity.completions += 1
            if activity.incarnation is not None and activity.incarnation.closed:
                activity.late_completions += 1
            self.completed.append(activity)

    def _given_up(self, event: events.ActivityCancelRequested) -> None:
        activity = self._answered(event)
        if activity is not None:
            activity.cancel_requests += 1
            self.cancelled.append(activity)

    def _answered(self, event: events.Event) -> Activity | None:
        source = event.source_event_id
        return None if source is None else self.instance.activities.get((self.execution_id, source))


_READ: Final[dict[type, Callable[[Delta, Any], None]]] = {
    events.OrchestrationStarted: Delta._started,
    events.OrchestrationContinuedAsNew: Delta._continued,
    events.OrchestrationCancelRequested: Delta._cancel_requested,
    events.OrchestrationFailed: Delta._failed,
    events.SessionOpened: Delta._opened,
    events.SessionClosed: Delta._closed,
    events.ActivityScheduled: Delta._scheduled,
    events.ActivityCompleted: Delta._completed,
    events.ActivityFailed: Delta._completed,
    events.ActivityCancelRequested: Delta._given_up,
}
