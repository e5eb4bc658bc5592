"""KnownEvents: the events of one execution in order and by kind, read once in a turn and asked many times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from holdfast.core.contract.events import Event

E = TypeVar("E", bound=Event)


class KnownEvents:
    """What is stored, and then what the turn adds: most questions are about few of a long history."""

    __slots__ = ("by_kind", "in_order")

    def __init__(self, stored: Iterable[Event]) -> None:
        self.in_order: list[Event] = []
        self.by_kind: dict[type[Event], list[Any]] = {}
        self.read(stored)

    def __len__(self) -> int:
        return len(self.in_order)

    def read(self, further: Iterable[Event]) -> None:
        """Go on with further events."""
        by_kind, before = self.by_kind, len(self.in_order)
        self.in_order.extend(further)
        for event in self.in_order[before:] if before else self.in_order:
            kind = type(event)
            if kind in by_kind:
                by_kind[kind].append(event)
            else:
                by_kind[kind] = [event]

    def of(self, kind: type[E]) -> Sequence[E]:
        """The events of this kind, in order."""
        return self.by_kind.get(kind, ())

    def holds(self, kinds: Iterable[type[Event]]) -> bool:
        """Whether there is an event of one of these kinds."""
        return not self.by_kind.keys().isdisjoint(kinds)

    def count(self, kinds: Iterable[type[Event]]) -> int:
        """How many events are of one of these kinds, each named once."""
        return sum(len(self.by_kind.get(kind, ())) for kind in kinds)
