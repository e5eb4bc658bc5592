"""What a history leaves open: the questions asked when an execution ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from holdfast.core.contract import events
from holdfast.core.contract.events import Event, OrchestrationStarted
from holdfast.core.engine import actions
from holdfast.core.engine.matching import KIND_OF, ActionKind


def in_flight_activities(history: Iterable[Event]) -> list[int]:
    """Schedule ids neither answered nor cancelled, ascending (RT-11.8)."""
    return sorted(_unsettled(history, KIND_OF[actions.CallActivity]))


def outstanding_children(history: Iterable[Event]) -> list[tuple[int, str]]:
    """Schedule id and recorded name of each child neither answered nor cancelled (RT-9.12)."""
    return [
        (schedule_id, event.instance)
        for schedule_id, event in _unsettled(history, KIND_OF[actions.StartSubOrchestration]).items()
        if isinstance(event, events.SubOrchestrationScheduled)
    ]


def unmet_waits(history: Sequence[Event]) -> list[int]:
    """External waits without an arrival and without a cancel request, in order (RT-5.26).

    An event goes to a wait that stands before it in history, or is lost (RT-8.3).
    """
    cancelled = _given_up(history, KIND_OF[actions.WaitExternal])
    waiting: dict[str, list[int]] = {}
    for event in history:
        if isinstance(event, events.ExternalSubscribed) and event.event_id not in cancelled:
            waiting.setdefault(event.name, []).append(event.event_id)
        elif isinstance(event, events.ExternalEvent) and waiting.get(event.name):
            waiting[event.name].pop(0)
    return sorted(schedule_id for ids in waiting.values() for schedule_id in ids)


def unmet_dequeues(history: Sequence[Event]) -> list[int]:
    """Dequeues without a message and without a cancel request, in order (RT-5.26).

    A message is kept until a dequeue takes it, whichever of the two came first (RT-8.13).
    """
    cancelled = _given_up(history, KIND_OF[actions.DequeueEvent])
    arrived = Counter(event.name for event in history if isinstance(event, events.QueueEvent))
    unmet: list[int] = []
    for event in history:
        if isinstance(event, events.QueueSubscribed) and event.event_id not in cancelled:
            if arrived[event.name] > 0:
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


def _unsettled(history: Iterable[Event], kind: ActionKind) -> dict[int, Event]:
    """What is scheduled and neither answered nor given up, by schedule id in order."""
    settling = kind.settled_by
    unsettled: dict[int, Event] = {}
    for event in history:
        if type(event) is kind.event:
            unsettled[event.event_id] = event
        elif isinstance(event, settling) and event.source_event_id is not None:
            unsettled.pop(event.source_event_id, None)
    return unsettled


def _given_up(history: Iterable[Event], kind: ActionKind) -> set[int | None]:
    return {event.source_event_id for event in history if type(event) is kind.breadcrumb}
