"""Stage 1 of a turn: the batch's messages become events, or are dropped (RT-4.5 to RT-4.16)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from holdfast.core.contract import events, work_items
from holdfast.core.contract.events import Event
from holdfast.core.contract.failures import FailureDetails, nondeterminism
from holdfast.core.contract.work_items import Message, stored_name
from holdfast.core.engine.event_writer import EventWriter

_SCHEDULES: dict[type[Event], str] = {
    events.ActivityScheduled: "activity",
    events.TimerCreated: "timer",
    events.SubOrchestrationScheduled: "suborchestration",
}
LATE_COMPLETION_DROPPED: Final = "session.late_completion_dropped"
"""The record of SS-22.8, with instance, activity and session id; told once per message that is gone."""

_NO_SCHEDULE = {
    "activity": "no matching schedule for completion id=",
    "timer": "no matching schedule for timer id=",
    "suborchestration": "no matching schedule for sub-orchestration id=",
}
_COMPLETIONS = (
    events.ActivityCompleted,
    events.ActivityFailed,
    events.TimerFired,
    events.SubOrchestrationCompleted,
    events.SubOrchestrationFailed,
)

Warn = Callable[[str, dict[str, object]], None]
"""Called with an event name and fields for each message that is dropped."""

_Completion = (
    work_items.ActivityCompletedMessage
    | work_items.ActivityFailedMessage
    | work_items.TimerFiredMessage
    | work_items.SubOrchCompleted
    | work_items.SubOrchFailed
)


class Intake:
    """What the baseline says about arrivals, and the events made of them.

    `abort` is the error that ends the turn before its code runs (RT-4.11, RT-4.15, RT-4.17).
    """

    def __init__(
        self,
        *,
        execution_id: int,
        baseline: Sequence[Event],
        ended: Iterable[int],
        writer: EventWriter,
        warn: Warn,
    ) -> None:
        self.abort: FailureDetails | None = None
        self._execution_id = execution_id
        self._writer = writer
        self._warn = warn
        wanted = frozenset(ended)
        self._ended: dict[int, str | None] = {}  # activities whose incarnation is closed, with their session
        self._schedules: dict[int, str] = {}
        self._answered: set[int] = set()
        self._may_cancel = True
        for event in baseline:
            kind = _SCHEDULES.get(type(event))
            if kind is not None:
                self._schedules[event.event_id] = kind
                if isinstance(event, events.ActivityScheduled) and event.event_id in wanted:
                    self._ended[event.event_id] = event.session_id
            elif isinstance(event, _COMPLETIONS) and event.source_event_id is not None:
                self._answered.add(event.source_event_id)
            elif isinstance(
                event,
                events.OrchestrationCompleted
                | events.OrchestrationFailed
                | events.OrchestrationCancelRequested,
            ):
                self._may_cancel = False

    def accept(self, message: Message) -> None:
        """Record one message, or drop it."""
        match message:
            case work_items.ExternalRaised():
                self._writer.append(events.ExternalEvent, name=message.name, data=message.data)
            case work_items.QueueMessage():
                self._writer.append(events.QueueEvent, name=message.name, data=message.data)
            case work_items.CancelInstance():
                if self._may_cancel:  # the first reason wins (RT-4.14)
                    self._may_cancel = False
                    self._writer.append(events.OrchestrationCancelRequested, reason=message.reason)
            case work_items.StartOrchestration() | work_items.ContinueAsNewMessage():
                self._warn("turn.start_ignored", {"kind": stored_name(type(message))})
            case _:
                self._complete(message)

    def _complete(self, message: _Completion) -> None:
        kind, execution_id, schedule_id = _identity(message)
        if execution_id != self._execution_id:
            self._drop("turn.completion_of_other_execution", message)
        elif kind == "activity" and schedule_id in self._ended:
            self._warn(
                LATE_COMPLETION_DROPPED,
                {"activity_id": schedule_id, "session_id": self._ended[schedule_id]},
            )
        elif schedule_id in self._answered:
            self._drop("turn.duplicate_completion_dropped", message)
        elif schedule_id not in self._schedules:
            self.abort = nondeterminism(f"{_NO_SCHEDULE[kind]}{schedule_id}")
        elif self._schedules[schedule_id] != kind:
            expected = self._schedules[schedule_id]
            self.abort = nondeterminism(
                f"completion kind mismatch for id={schedule_id}, expected '{expected}', got '{kind}'"
            )
        else:
            self._answered.add(schedule_id)
            self._record(message, schedule_id)

    def _record(self, message: _Completion, schedule_id: int) -> None:
        append = self._writer.append
        match message:
            case work_items.ActivityCompletedMessage():
                append(events.ActivityCompleted, source=schedule_id, result=message.result)
            case work_items.TimerFiredMessage():
                append(events.TimerFired, source=schedule_id, fire_at_ms=message.fire_at_ms)
            case work_items.SubOrchCompleted():
                append(events.SubOrchestrationCompleted, source=schedule_id, result=message.result)
            case work_items.ActivityFailedMessage():
                append(events.ActivityFailed, source=schedule_id, details=message.details)
                self._failed(message.details)
            case work_items.SubOrchFailed():
                append(events.SubOrchestrationFailed, source=schedule_id, details=message.details)
                self._failed(message.details)

    def _failed(self, details: FailureDetails) -> None:
        if details.aborts_parent and self.abort is None:
            self.abort = details

    def _drop(self, what: str, message: _Completion) -> None:
        _, execution_id, schedule_id = _identity(message)
        fields = {
            "kind": stored_name(type(message)),
            "of_execution_id": execution_id,
            "schedule_id": schedule_id,
        }
        self._warn(what, fields)


def _identity(message: _Completion) -> tuple[str, int, int]:
    """Kind of the schedule it answers, execution and schedule id."""
    match message:
        case work_items.ActivityCompletedMessage() | work_items.ActivityFailedMessage():
            return "activity", message.execution_id, message.id
        case work_items.TimerFiredMessage():
            return "timer", message.execution_id, message.id
        case work_items.SubOrchCompleted() | work_items.SubOrchFailed():
            return "suborchestration", message.parent_execution_id, message.parent_id
