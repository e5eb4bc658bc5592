"""Defects of engine and dispatcher in what a close or an end does beyond the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.core.contract import events
from holdfast.core.contract.failures import application
from holdfast.core.dispatching import batch_decision as begin
from holdfast.core.dispatching import settlement
from holdfast.core.engine import turn
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.open_sessions import SessionChanges, SessionScan
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect


@defect(
    "orchestration dispatcher",
    "15.7 23.4",
    "open_close_same_turn",
    caught_by="INV-10",
    needs="a turn that opens a session and closes it",
)
class OpenedMeansEverOpened(SessionScan):
    """A turn names every session that it opened, even one that it closed again."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: dict[str, None] = {}

    def read(self, events_read: Iterable[events.Event]) -> None:
        known = tuple(events_read)
        self._opened |= dict.fromkeys(
            event.session_id for event in known if isinstance(event, events.SessionOpened)
        )
        super().read(known)

    def take_changes(self) -> SessionChanges:
        changes = super().take_changes()
        opened, self._opened = tuple(self._opened), {}
        return SessionChanges(opened=opened, closed=changes.closed, ended_activities=changes.ended_activities)


@defect(
    "engine",
    "23.6 23.7 23.9",
    "close_records_cancel_requests_once",
    caught_by="INV-17",
    needs="an activity that has been cancelled before the close",
)
def closes_cancel_everything() -> Changes:
    """A close asks for the cancellation of every activity of the session, finished or not."""

    def cancel_all(self: turn._Turn, arrived_count: int) -> tuple[int, ...]:
        self._scan.read(self._writer.delta[arrived_count:])
        self._changes = self._scan.take_changes()
        for schedule_id in self._changes.ended_activities:
            self._writer.append(
                events.ActivityCancelRequested, source=schedule_id, reason=turn.SESSION_CLOSED
            )
        return self._changes.ended_activities

    yield Change(turn._Turn, "_cancel_closed", cancel_all)


@defect(
    "engine",
    "23.10",
    "await_after_close_never_resolves",
    caught_by="INV-15",
    needs="an activity unfinished at the close",
)
def closes_fail_their_activities() -> Changes:
    """A close fails the activities that it cancels, so that nobody waits for them."""

    def fail_closed(cancel_closed: Original, this: turn._Turn, arrived_count: int) -> object:
        before = len(this._writer.delta)
        closed = cancel_closed(this, arrived_count)
        for event in tuple(this._writer.delta[before:]):
            this._writer.append(
                events.ActivityFailed,
                source=event.source_event_id,
                details=application("the session was closed", kind="ActivityFailed"),
            )
        return closed

    yield around(turn._Turn, "_cancel_closed", fail_closed)


@defect(
    "engine", "23.8", "completion_queued_before_close_is_dropped", needs="a completion that crosses the close"
)
def late_completions_vanish() -> Changes:
    """A completion of a closed session is dropped without a log record."""

    def warn_of_others(warn: Original, this: turn._Turn, event: str, fields: dict[str, object]) -> None:
        if event != "session.late_completion_dropped":
            warn(this, event, fields)

    yield around(turn._Turn, "_warn", warn_of_others)


@defect(
    "orchestration dispatcher",
    "1.2 1.3 1.5 1.7 7.2 15.10 28.7",
    "no_session_closed_events_at_terminal",
    caught_by="28.7",
)
def ends_write_closes() -> Changes:
    """The sessions that an end takes along are closed in history as well."""

    def write_closes(
        write_end: Original,
        writer: EventWriter,
        before: Sequence[events.Event],
        kind: object,
        **members: object,
    ) -> object:
        scan = SessionScan()
        scan.read(before)
        if kind is not events.OrchestrationContinuedAsNew:
            for session_id in scan.open.ids():
                writer.append(events.SessionClosed, session_id=session_id)
        return write_end(writer, before, kind, **members)

    yield around(settlement, "write_end", write_closes)


@defect(
    "orchestration dispatcher",
    "28.8",
    "late_messages_do_not_resurrect",
    caught_by="INV-33",
    needs="a message for an instance that has ended",
)
def ended_instances_run_on() -> Changes:
    """A batch for an instance that has ended gets a turn like any other."""

    def decide_alike(decide: Original, batch: begin._Batch) -> object:
        return batch._resolve() if batch._has_ended else decide(batch)

    yield around(begin._Batch, "decide", decide_alike)
