"""EventWriter: gives events their ids and their stamp (RT-1.9, RT-2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, TypeVar

from holdfast.core.contract.events import ActivityCancelRequested, Event
from holdfast.core.engine.matching import EXECUTION_ENDS

E = TypeVar("E", bound=Event)

_event_id = attrgetter("event_id")


class EventWriter:
    """The growing delta of one turn.

    `last_id` is the highest id given or passed over; `pass_over` leaves a gap (RT-4.45).
    """

    def __init__(
        self,
        *,
        instance: str,
        execution_id: int,
        now_ms: int,
        duroxide_version: str,
        baseline: Sequence[Event],
    ) -> None:
        self.delta: list[Event] = []
        self.last_id = max(map(_event_id, baseline), default=0)
        self._instance = instance
        self._execution_id = execution_id
        self._now_ms = now_ms
        self._version = duroxide_version
        self._end: str | None = None

    def append(self, kind: type[E], *, source: int | None = None, **members: Any) -> E:
        """Add the next event. `source` is the schedule id it answers."""
        assert self._end is None or kind is ActivityCancelRequested, (
            f"{kind.__name__} after {self._end}, which ended execution {self._execution_id}"
        )
        assert source is None or 0 < source <= self.last_id, (
            f"{kind.__name__} answers event {source}, the last one so far is {self.last_id}"
        )
        self.last_id += 1
        event = kind(
            event_id=self.last_id,
            source_event_id=source,
            instance_id=self._instance,
            execution_id=self._execution_id,
            timestamp_ms=self._now_ms,
            duroxide_version=self._version,
            **members,
        )
        self.delta.append(event)
        if kind in EXECUTION_ENDS:
            self._end = f"event {self.last_id} ({kind.__name__})"
        return event

    def pass_over(self) -> int:
        """Use up an id without an event (RT-4.44).

        Continue-as-new takes an id like any action; its event is the terminal one, with another (RT-4.45).
        """
        assert self._end is None, f"an id is passed over after {self._end}"
        self.last_id += 1
        return self.last_id
