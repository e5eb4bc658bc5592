"""Stage 1 of a turn: the batch's messages become events, or are dropped (RT-4.5 to RT-4.16)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final

from holdfast.core.contract import events, work_items
from holdfast.core.contract.failures import FailureDetails, nondeterminism
from holdfast.core.contract.work_items import Message, stored_name
from holdfast.core.engine.actions import CallActivity
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.known_events import KnownEvents
from holdfast.core.engine.matching import (
    COMPLETION_OF_EVENT,
    COMPLETION_OF_MESSAGE,
    INSTANCE_ENDS,
    RECORDED_BY,
    ActionKind,
    Completion,
)

_EVENT_ID: Final = attrgetter("event_id")
_SOURCE: Final = attrgetter("source_event_id")

LATE_COMPLETION_DROPPED: Final = "session.late_completion_dropped"
"""The record of SS-22.8, with instance, activity and session id; logged once per message that is dropped."""

Warn = Callable[[str, dict[str, object]], None]
"""Called with an event name and fields for each message that is dropped."""


class Intake:
    """What the baseline says about arrivals, and the events made of them.

    `abort` is the error that ends the turn before its code runs (RT-4.11, RT-4.15, RT-4.17).
    """

    def __init__(
        self,
        *,
        execution_id: int,
        baseline: KnownEvents,
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
        if wanted:
            for scheduled in baseline.of(events.ActivityScheduled):
                if scheduled.event_id in wanted:
                    self._ended[scheduled.event_id] = scheduled.session_id
        self._schedules: dict[int, ActionKind] = {}
        self._answered: set[int] = set()
        for kind, known in baseline.by_kind.items():
            recorded = RECORDED_BY.get(kind)
            if recorded is not None and recorded.completions:
                self._schedules.update(dict.fromkeys(map(_EVENT_ID, known), recorded))
            elif kind in COMPLETION_OF_EVENT:
                self._answered.update(map(_SOURCE, known))
        self._may_cancel = not baseline.holds((*INSTANCE_ENDS, events.OrchestrationCancelRequested))
        unknown = wanted - self._ended.keys()
        assert not unknown, f"activities {sorted(unknown)} ended with their session, and were never scheduled"

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

    def _complete(self, message: Completion) -> None:
        # The order of the questions is that of RT-4.5 to RT-4.10, and each hides those after it. A message
        # for an earlier execution must not be looked up among the ids of this one, where the same number may
        # be another operation; one of a closed incarnation is late, and logged as late, even if it is also a
        # duplicate.
        kind, completion = COMPLETION_OF_MESSAGE[type(message)]
        execution_id, schedule_id = _identity(message)
        scheduled = self._schedules.get(schedule_id)
        if execution_id != self._execution_id:
            self._drop("turn.completion_of_other_execution", message)
        elif kind.action is CallActivity and schedule_id in self._ended:
            self._warn(
                LATE_COMPLETION_DROPPED,
                {"activity_id": schedule_id, "session_id": self._ended[schedule_id]},
            )
        elif schedule_id in self._answered:
            self._drop("turn.duplicate_completion_dropped", message)
        elif scheduled is None:
            self.abort = nondeterminism(f"no matching schedule for {kind.completed} id={schedule_id}")
        elif scheduled is not kind:
            self.abort = nondeterminism(
                f"completion kind mismatch for id={schedule_id}, "
                f"expected '{scheduled.operation}', got '{kind.operation}'"
            )
        else:
            self._answered.add(schedule_id)
            value = getattr(message, completion.member)
            self._writer.append(completion.event, source=schedule_id, **{completion.member: value})
            if completion.member == "details":
                self._failed(value)

    def _failed(self, details: FailureDetails) -> None:
        if details.aborts_parent and self.abort is None:
            self.abort = details

    def _drop(self, what: str, message: Completion) -> None:
        execution_id, schedule_id = _identity(message)
        fields = {
            "kind": stored_name(type(message)),
            "of_execution_id": execution_id,
            "schedule_id": schedule_id,
        }
        self._warn(what, fields)


def _identity(message: Completion) -> tuple[int, int]:
    """Execution and schedule id of what it answers."""
    if isinstance(message, work_items.SubOrchCompleted | work_items.SubOrchFailed):
        return message.parent_execution_id, message.parent_id
    return message.execution_id, message.id
