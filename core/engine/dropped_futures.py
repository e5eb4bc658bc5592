"""Dropped futures become cancel requests, and must agree with the recorded ones (RT-4.55 to RT-4.65)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from holdfast.core.contract import events
from holdfast.core.contract.events import Event
from holdfast.core.engine import actions
from holdfast.core.engine.actions import Action, Operation
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.matching import Nondeterminism
from holdfast.core.engine.turn_values import DroppedChild

DROPPED: Final = "dropped_future"
"""The reason written for them (RT-2.15)."""


class _Kind(NamedTuple):
    name: str  # as in the message of RT-4.62
    action: type[Action]
    schedule: type[Event]
    request: type[
        events.ActivityCancelRequested
        | events.SubOrchestrationCancelRequested
        | events.ExternalSubscribedCancelled
        | events.QueueSubscribedCancelled
    ]


_KINDS: Final = (  # in the order of RT-4.60
    _Kind("activities", actions.CallActivity, events.ActivityScheduled, events.ActivityCancelRequested),
    _Kind(
        "sub-orchestrations",
        actions.StartSubOrchestration,
        events.SubOrchestrationScheduled,
        events.SubOrchestrationCancelRequested,
    ),
    _Kind(
        "external waits",
        actions.WaitExternal,
        events.ExternalSubscribed,
        events.ExternalSubscribedCancelled,
    ),
    _Kind("persistent waits", actions.DequeueEvent, events.QueueSubscribed, events.QueueSubscribedCancelled),
)


class Drops(NamedTuple):
    """What newly dropped futures cancel outside of history."""

    activities: tuple[int, ...]
    children: tuple[DroppedChild, ...]


def collect_drops(
    operations: Iterable[Operation],
    *,
    persisted: Sequence[Event],
    history: Sequence[Event],
    writer: EventWriter,
) -> Drops:
    """Write the cancel requests that are not in `history` yet, and say what they cancel.

    `history` is everything known, the persisted events first. Raises Nondeterminism if the code no longer
    drops what it has dropped before (RT-4.62); drops it has not made before are legal (RT-4.63).
    """
    dropped = [
        operation for operation in operations if operation.dropped and operation.schedule_id is not None
    ]
    for kind in _KINDS:
        _check_consistency(kind, dropped, persisted)
    new: dict[str, list[Operation]] = {}
    for kind in _KINDS:
        requested = {event.source_event_id for event in history if isinstance(event, kind.request)}
        fresh = [
            operation
            for operation in dropped
            if isinstance(operation.action, kind.action) and operation.schedule_id not in requested
        ]
        new[kind.name] = sorted(fresh, key=_schedule_id)
        for operation in new[kind.name]:
            writer.append(kind.request, source=operation.schedule_id, reason=DROPPED)
    return Drops(
        activities=tuple(_schedule_id(operation) for operation in new["activities"]),
        children=tuple(
            DroppedChild(_schedule_id(operation), operation.action.instance)
            for operation in new["sub-orchestrations"]
            if isinstance(operation.action, actions.StartSubOrchestration)
        ),
    )


def _check_consistency(kind: _Kind, dropped: list[Operation], persisted: Sequence[Event]) -> None:
    recorded = {
        event.source_event_id
        for event in persisted
        if isinstance(event, kind.request) and event.reason == DROPPED
    }
    if not recorded:
        return
    scheduled = {event.event_id for event in persisted if isinstance(event, kind.schedule)}
    now = {
        operation.schedule_id
        for operation in dropped
        if isinstance(operation.action, kind.action) and operation.schedule_id in scheduled
    }
    if not recorded <= now:
        raise Nondeterminism(
            f"cancellation mismatch ({kind.name}): recorded as dropped {_listed(recorded)}, "
            f"dropped by the code {_listed(now)}"
        )


def _schedule_id(operation: Operation) -> int:
    assert operation.schedule_id is not None
    return operation.schedule_id


def _listed(ids: AbstractSet[int | None]) -> str:
    return str(sorted(schedule_id for schedule_id in ids if schedule_id is not None))
