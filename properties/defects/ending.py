"""Defects of engine and dispatcher in what a close or an end does beyond the store."""

from __future__ import annotations

from typing import Any, Final

from holdfast.core.contract import events
from holdfast.core.contract.failures import application
from holdfast.core.dispatching import batch_decision as begin
from holdfast.core.dispatching import settlement
from holdfast.core.dispatching.batch_decision import Beginning
from holdfast.core.engine import turn
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.open_sessions import SessionChanges, SessionScan
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced


class _ForgetsCloses(SessionScan):
    """What a turn has opened it names, whatever it did afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: dict[str, None] = {}

    def read(self, events_read: Any) -> None:
        known = tuple(events_read)
        self._opened |= dict.fromkeys(
            event.session_id for event in known if isinstance(event, events.SessionOpened)
        )
        super().read(known)

    def take_changes(self) -> SessionChanges:
        changes = super().take_changes()
        opened, self._opened = tuple(self._opened), {}
        return SessionChanges(opened=opened, closed=changes.closed, ended_activities=changes.ended_activities)


def _closes_cancel_everything() -> Planting:
    """A close asks for the cancellation of every activity of the session, finished or not."""

    def cancel_all(self: turn._Turn, arrived_count: int) -> tuple[int, ...]:
        self._scan.read(self._writer.delta[arrived_count:])
        self._changes = self._scan.take_changes()
        for schedule_id in self._changes.ended_activities:
            self._writer.append(
                events.ActivityCancelRequested, source=schedule_id, reason=turn.SESSION_CLOSED
            )
        return self._changes.ended_activities

    return replaced(Change(turn._Turn, "_cancel_closed", cancel_all))


def _closes_fail_their_activities() -> Planting:
    """Whoever awaits an activity of a closed session gets an error instead of nothing."""
    cancel_closed = original(turn._Turn, "_cancel_closed")

    def fail_closed(self: turn._Turn, arrived_count: int) -> tuple[int, ...]:
        before = len(self._writer.delta)
        closed: tuple[int, ...] = cancel_closed(self, arrived_count)
        for event in tuple(self._writer.delta[before:]):
            self._writer.append(
                events.ActivityFailed,
                source=event.source_event_id,
                details=application("the session was closed", kind="ActivityFailed"),
            )
        return closed

    return replaced(Change(turn._Turn, "_cancel_closed", fail_closed))


def _silent_drops() -> Planting:
    """A late completion is dropped, and nobody is told."""
    warn = original(turn._Turn, "_warn")

    def warn_of_others(self: turn._Turn, event: str, fields: dict[str, object]) -> None:
        if event != "session.late_completion_dropped":
            warn(self, event, fields)

    return replaced(Change(turn._Turn, "_warn", warn_of_others))


def _ends_write_closes() -> Planting:
    """The sessions that an end closes are closed in history as well."""
    write_end = original(settlement, "write_end")

    def write_closes(writer: EventWriter, before: Any, kind: Any, **members: Any) -> Any:
        scan = SessionScan()
        scan.read(before)
        if kind is not events.OrchestrationContinuedAsNew:
            for session_id in scan.open.ids():
                writer.append(events.SessionClosed, session_id=session_id)
        return write_end(writer, before, kind, **members)

    return replaced(Change(settlement, "write_end", write_closes))


def _ended_instances_run_on() -> Planting:
    """A batch for an instance that has ended gets its turn like any other."""
    decide = original(begin._Batch, "decide")

    def decide_alike(self: begin._Batch) -> Beginning:
        if self._has_ended:
            return self._resolve()
        beginning: Beginning = decide(self)
        return beginning

    return replaced(Change(begin._Batch, "decide", decide_alike))


DEFECTS: Final = (
    Defect(
        name="opened_means_ever_opened",
        title="A turn names every session that it opened, also one that it closed again",
        where="orchestration dispatcher",
        caught_by="INV-10",
        rows=("15.7", "23.4"),
        scenario="open_close_same_turn",
        needs="a turn that opens a session and closes it",
        planted=lambda: replaced(Change(turn, "SessionScan", _ForgetsCloses)),
    ),
    Defect(
        name="closes_cancel_everything",
        title="A close asks for the cancellation of every activity of the session, finished or not",
        where="engine",
        caught_by="INV-17",
        rows=("23.6", "23.7", "23.9"),
        scenario="close_records_cancel_requests_once",
        needs="an activity that has been cancelled before the close",
        planted=_closes_cancel_everything,
    ),
    Defect(
        name="closes_fail_their_activities",
        title="A close fails the activities that it cancels, so that nobody waits for them",
        where="engine",
        caught_by="INV-15",
        rows=("23.10",),
        scenario="await_after_close_never_resolves",
        needs="an activity unfinished at the close",
        planted=_closes_fail_their_activities,
    ),
    Defect(
        name="late_completions_vanish",
        title="A completion of a closed session is dropped without a log record",
        where="engine",
        caught_by="23.8",
        rows=("23.8",),
        scenario="completion_queued_before_close_is_dropped",
        needs="a completion that crosses the close",
        planted=_silent_drops,
    ),
    Defect(
        name="ends_write_closes",
        title="The sessions that an end takes along are closed in history as well",
        where="orchestration dispatcher",
        caught_by="28.7",
        rows=("1.2", "1.3", "1.5", "1.7", "7.2", "15.10", "28.7"),
        scenario="no_session_closed_events_at_terminal",
        needs="nothing",
        planted=_ends_write_closes,
    ),
    Defect(
        name="ended_instances_run_on",
        title="A batch for an instance that has ended gets a turn like any other",
        where="orchestration dispatcher",
        caught_by="INV-33",
        rows=("28.8",),
        scenario="late_messages_do_not_resurrect",
        needs="a message for an instance that has ended",
        planted=_ended_instances_run_on,
    ),
)
