"""How an execution ends, whatever ended it: last events, messages to parent and children, metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.contract import events
from holdfast.core.contract.events import Event, OrchestrationStarted
from holdfast.core.contract.failures import FailureDetails
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import (
    ExecutionMetadata,
    ExecutionStatus,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
    Version,
)
from holdfast.core.contract.work_items import CancelInstance, Message
from holdfast.core.dispatching.execution_figures import execution_figures
from holdfast.core.dispatching.history_scan import (
    full_child_id,
    in_flight_activities,
    outstanding_children,
    started_of,
    unmet_dequeues,
    unmet_waits,
)
from holdfast.core.dispatching.parent_link import parent_of
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.core.engine.event_writer import E, EventWriter
from holdfast.core.engine.matching import EXECUTION_ENDS
from holdfast.core.engine.open_sessions import SessionScan
from holdfast.core.program.registry import parse_version

PARENT_CANCELED: Final = "parent canceled"
"""Reason given to children still running when their parent ends (RT-5.24)."""

_TERMINAL_WAIT: Final = "orchestration_terminal"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedFailure:
    """A running execution failed by the runtime and not by its code: poison, or a failed acknowledgement.

    `recorded` are events of this acknowledgement before the end, such as an OrchestrationStarted.
    """

    instance: str
    execution_id: int
    persisted: Sequence[Event]
    recorded: Sequence[Event]
    details: FailureDetails
    now_ms: int
    duroxide_version: str
    pin_version: bool
    parent_execution_id: int | None = None
    notices: Sequence[Message] = ()

    def __post_init__(self) -> None:
        stored_id = max((event.event_id for event in self.persisted), default=0)
        for event in self.recorded:
            assert stored_id < event.event_id, f"{event!r} is new, the stored ones go up to {stored_id}"


def fail_execution(failure: ForcedFailure) -> TurnCommit:
    """The acknowledgement of such an end (RT-5.35 to RT-5.37, RT-9.15, RT-11.12, SS-18.2, SS-18.5)."""
    before = [*failure.persisted, *failure.recorded]
    writer = EventWriter(
        instance=failure.instance,
        execution_id=failure.execution_id,
        now_ms=failure.now_ms,
        duroxide_version=failure.duroxide_version,
        baseline=before,
    )
    activities = write_end(writer, before, events.OrchestrationFailed, details=failure.details)
    items: list[Message] = [*failure.notices, *cancel_children(failure.instance, failure.persisted)]
    parent = parent_of(started_of(before))
    if parent is not None:
        items.append(parent.failed(failure.details, current_execution_id=failure.parent_execution_id))
    scan = SessionScan()
    scan.read(before)
    started = next((event for event in failure.recorded if isinstance(event, OrchestrationStarted)), None)
    return TurnCommit(
        execution_id=failure.execution_id,
        history_delta=(*failure.recorded, *writer.delta),
        worker_items=(),
        orchestrator_items=tuple(items),
        metadata=metadata(
            started,
            pin_version=failure.pin_version,
            status="Failed",
            output=failure.details.display(),
            cancelled_sessions=session_identifiers(failure.instance, scan.open.ids()),
        ),
        cancelled_activities=activity_identifiers(failure.instance, failure.execution_id, activities),
        outcome="Failed",
        failure=failure.details,
        open_sessions=scan.open.ids(),
        log_committed=(
            failed_record(failure.instance, failure.execution_id, failure.details, (*before, *writer.delta)),
        ),
    )


def write_end(writer: EventWriter, before: Sequence[Event], kind: type[E], **members: Any) -> list[int]:
    """Breadcrumbs of unmet waits, the terminal event, then a cancel request for each activity in flight.

    `before` is everything recorded before. Returns the activities, ascending (RT-5.26, RT-11.8, RT-11.9).
    """
    # The cancel requests come after the end because they follow from it: the history up to the terminal event
    # shows what was in flight then. They are the only events that may.
    assert kind in EXECUTION_ENDS, f"{kind.__name__} ends no execution"
    for event in before:
        assert type(event) not in EXECUTION_ENDS, f"{kind.__name__} is to follow {event!r}"
    for schedule_id in unmet_waits(before):
        writer.append(events.ExternalSubscribedCancelled, source=schedule_id, reason=_TERMINAL_WAIT)
    for schedule_id in unmet_dequeues(before):
        writer.append(events.QueueSubscribedCancelled, source=schedule_id, reason=_TERMINAL_WAIT)
    writer.append(kind, **members)
    activities = in_flight_activities(before)
    for schedule_id in activities:
        writer.append(events.ActivityCancelRequested, source=schedule_id, reason=_ACTIVITY_REASON[kind])
    return activities


_ACTIVITY_REASON: Final[dict[type[Event], str]] = {
    events.OrchestrationCompleted: "orchestration_terminal_completed",
    events.OrchestrationFailed: "orchestration_terminal_failed",
    events.OrchestrationContinuedAsNew: "orchestration_terminal_continued_as_new",
}


def cancel_children(instance: str, history: Iterable[Event]) -> list[CancelInstance]:
    """To each child that the history leaves outstanding (RT-9.12, RT-9.15).

    Children scheduled by the ending turn itself are never started, so they must not be in it (RT-5.27).
    """
    return [
        CancelInstance(instance=full_child_id(instance, child), reason=PARENT_CANCELED)
        for _, child in outstanding_children(history)
    ]


def metadata(
    started: OrchestrationStarted | None,
    *,
    pin_version: bool = True,
    status: ExecutionStatus | None = None,
    output: str | None = None,
    opened_sessions: tuple[ScheduledSessionIdentifier, ...] = (),
    cancelled_sessions: tuple[ScheduledSessionIdentifier, ...] = (),
) -> ExecutionMetadata:
    """What the provider stores beside history; `started` only if this acknowledgement stores it (RT-5.30)."""
    assert (status is None) == (output is None), f"status {status}, output {output!r}"
    pinned: Version | None = None
    if started is not None and pin_version:
        pinned = parse_version(started.duroxide_version)
    return ExecutionMetadata(
        status=status,
        output=output,
        orchestration_name=None if started is None else started.name,
        orchestration_version=None if started is None else started.version,
        parent_instance_id=None if started is None else started.parent_instance,
        pinned_duroxide_version=pinned,
        opened_sessions=opened_sessions,
        cancelled_sessions=cancelled_sessions,
    )


def activity_identifiers(
    instance: str, execution_id: int, schedule_ids: Iterable[int]
) -> tuple[ScheduledActivityIdentifier, ...]:
    """Identities without repetitions, in the order given (RT-11.11)."""
    distinct = dict.fromkeys(schedule_ids)
    assert all(each > 0 for each in distinct), f"{list(distinct)} are cancelled; the first event is 1"
    return tuple(ScheduledActivityIdentifier(instance, execution_id, each) for each in distinct)


def session_identifiers(instance: str, session_ids: Iterable[str]) -> tuple[ScheduledSessionIdentifier, ...]:
    """Identities without repetitions, in the order given (SS-15.1)."""
    return tuple(ScheduledSessionIdentifier(instance, each) for each in dict.fromkeys(session_ids))


def failed_record(
    instance: str, execution_id: int, details: FailureDetails, history: Sequence[Event], traceback: str = ""
) -> Logged:
    """The log record of a failed execution (RT-23.4, RT-23.5), with the traceback of its code."""
    fields: dict[str, object] = {
        **_identity_fields(instance, execution_id, history),
        **execution_figures(history),
        "error": details.display(),
        "error_category": _category(details),
    }
    if traceback:
        fields["traceback"] = traceback
    if details.application is not None:
        return Logged(
            "Orchestration failed (application error)", "warning", {**fields, "error_type": "application"}
        )
    if details.infrastructure is not None or details.configuration is not None:
        category = "infrastructure" if details.infrastructure is not None else "configuration"
        return Logged("Orchestration failed", "error", {**fields, "error_type": category})
    return Logged("Orchestration failed (unknown error type)", "error", {**fields, "error_type": "poison"})


def _category(details: FailureDetails) -> str:
    """What a failure is about, within its type: the kind, or the operation of the store."""
    if details.application is not None:
        kind = details.application.kind
        return kind if isinstance(kind, str) else "Cancelled"
    if details.infrastructure is not None:
        return details.infrastructure.operation
    return "configuration" if details.configuration is not None else "poison"


def lifecycle_record(what: str, instance: str, execution_id: int, history: Sequence[Event]) -> Logged:
    """The log record of an execution that began, or ended well (RT-23.4)."""
    return Logged(what, "debug", _identity_fields(instance, execution_id, history))


def _identity_fields(instance: str, execution_id: int, history: Sequence[Event]) -> dict[str, object]:
    started = started_of(history)
    return {
        "instance_id": instance,
        "execution_id": execution_id,
        "orchestration_name": "" if started is None else started.name,
        "orchestration_version": "" if started is None else started.version,
        "history_events": len(history),
    }
