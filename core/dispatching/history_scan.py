"""What a history leaves open: the questions asked when an execution ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.core.contract import events
from holdfast.core.contract.events import Event, OrchestrationStarted


def in_flight_activities(history: Iterable[Event]) -> list[int]:
    """Schedule ids neither answered nor cancelled, ascending (RT-11.8)."""
    open_ids: dict[int | None, None] = {}
    for event in history:
        if isinstance(event, events.ActivityScheduled):
            open_ids[event.event_id] = None
        elif isinstance(
            event, events.ActivityCompleted | events.ActivityFailed | events.ActivityCancelRequested
        ):
            open_ids.pop(event.source_event_id, None)
    return sorted(schedule_id for schedule_id in open_ids if schedule_id is not None)


def outstanding_children(history: Iterable[Event]) -> list[tuple[int, str]]:
    """Schedule id and recorded name of each child neither answered nor cancelled (RT-9.12)."""
    children: dict[int | None, str] = {}
    for event in history:
        if isinstance(event, events.SubOrchestrationScheduled):
            children[event.event_id] = event.instance
        elif isinstance(
            event,
            events.SubOrchestrationCompleted
            | events.SubOrchestrationFailed
            | events.SubOrchestrationCancelRequested,
        ):
            children.pop(event.source_event_id, None)
    return [(schedule_id, child) for schedule_id, child in children.items() if schedule_id is not None]


def unmet_waits(history: Sequence[Event]) -> list[int]:
    """External waits without an arrival and without a cancel request, in order (RT-5.26)."""
    cancelled = _cancelled(history, events.ExternalSubscribedCancelled)
    waiting: dict[str, list[int]] = {}
    for event in history:
        if isinstance(event, events.ExternalSubscribed) and event.event_id not in cancelled:
            waiting.setdefault(event.name, []).append(event.event_id)
        elif isinstance(event, events.ExternalEvent) and waiting.get(event.name):
            waiting[event.name].pop(0)
    return sorted(schedule_id for ids in waiting.values() for schedule_id in ids)


def unmet_dequeues(history: Sequence[Event]) -> list[int]:
    """Dequeues without a message and without a cancel request, in order (RT-5.26)."""
    cancelled = _cancelled(history, events.QueueSubscribedCancelled)
    arrived: dict[str, int] = {}
    for event in history:
        if isinstance(event, events.QueueEvent):
            arrived[event.name] = arrived.get(event.name, 0) + 1
    unmet: list[int] = []
    for event in history:
        if isinstance(event, events.QueueSubscribed) and event.event_id not in cancelled:
            if arrived.get(event.name, 0) > 0:
                arrived[event.name] -= 1
            else:
                unmet.append(event.event_id)
    return unmet


def full_child_id(parent: str, child: str) -> str:
    """The instance id of a child from its recorded name (RT-1.14)."""
    return f"{parent}::{child}" if child.startswith("sub::") else child


def started_of(history: Sequence[Event]) -> OrchestrationStarted | None:
    """The OrchestrationStarted of an execution, None if the history does not begin with one."""
    first = history[0] if history else None
    return first if isinstance(first, OrchestrationStarted) else None


def _cancelled(
    history: Iterable[Event],
    kind: type[events.ExternalSubscribedCancelled] | type[events.QueueSubscribedCancelled],
) -> set[int | None]:
    return {event.source_event_id for event in history if isinstance(event, kind)}
