"""Dropped futures become cancel requests, and must agree with the recorded ones (RT-4.55 to RT-4.65)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from holdfast.core.contract.events import Event
from holdfast.core.engine import actions
from holdfast.core.engine.actions import Operation
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.known_events import KnownEvents
from holdfast.core.engine.matching import DROPPABLE, ActionKind, Breadcrumb, Nondeterminism
from holdfast.core.engine.turn_values import DroppedChild

DROPPED: Final = "dropped_future"
"""The reason written for them (RT-2.15)."""


class Drops(NamedTuple):
    """What newly dropped futures cancel outside of history."""

    activities: tuple[int, ...]
    children: tuple[DroppedChild, ...]


def collect_drops(
    operations: Iterable[Operation],
    *,
    known: KnownEvents,
    persisted_length: int,
    writer: EventWriter,
) -> Drops:
    """Write the cancel requests that are not known yet, and say what they cancel.

    The persisted events are the first of those known. Raises Nondeterminism if the code no longer drops what
    it dropped before (RT-4.62); new drops are legal (RT-4.63).
    """
    dropped = [
        operation for operation in operations if operation.dropped and operation.schedule_id is not None
    ]
    assert persisted_length <= len(known), f"{persisted_length} events are stored, {len(known)} known"
    for operation in dropped:
        assert not operation.observed, f"{operation.action!r} was dropped after its value had been observed"
    for kind, breadcrumb in DROPPABLE:
        if known.of(breadcrumb):
            persisted = known.in_order[:persisted_length]
            _check_consistency(kind, breadcrumb, dropped, persisted)
    activities: list[int] = []
    children: list[DroppedChild] = []
    for kind, breadcrumb in DROPPABLE:
        requested = {event.source_event_id for event in known.of(breadcrumb)}
        fresh = [
            operation
            for operation in dropped
            if type(operation.action) is kind.action and operation.schedule_id not in requested
        ]
        for operation in sorted(fresh, key=_schedule_id):
            schedule_id = _schedule_id(operation)
            writer.append(breadcrumb, source=schedule_id, reason=DROPPED)
            match operation.action:  # the others are given up in history alone
                case actions.CallActivity():
                    activities.append(schedule_id)
                case actions.StartSubOrchestration(instance=child):
                    children.append(DroppedChild(schedule_id, child))
    return Drops(tuple(activities), tuple(children))


def _check_consistency(
    kind: ActionKind, breadcrumb: type[Breadcrumb], dropped: list[Operation], persisted: Sequence[Event]
) -> None:
    recorded = {
        event.source_event_id
        for event in persisted
        if isinstance(event, breadcrumb) and event.reason == DROPPED
    }
    if not recorded:
        return
    scheduled = {event.event_id for event in persisted if type(event) is kind.event}
    now = {
        operation.schedule_id
        for operation in dropped
        if type(operation.action) is kind.action and operation.schedule_id in scheduled
    }
    if not recorded <= now:
        raise Nondeterminism(
            f"cancellation mismatch ({kind.operations}): recorded as dropped {_listed(recorded)}, "
            f"dropped by the code {_listed(now)}"
        )


def _schedule_id(operation: Operation) -> int:
    assert operation.schedule_id is not None, f"{operation.action!r} is given up, and has no event"
    return operation.schedule_id


def _listed(ids: AbstractSet[int | None]) -> str:
    return str(sorted(schedule_id for schedule_id in ids if schedule_id is not None))
