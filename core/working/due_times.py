"""DueTimes: when each of many things is due next, and which are due by now, without looking at the others."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from holdfast.core.contract.ids import Micros

_T = TypeVar("_T", bound=Hashable)


class DueTimes(Generic[_T]):
    """One due time for each thing that has one.

    A heap that forgets lazily: an entry whose time is no longer its thing's stays where it is until it comes
    up. So a change costs the logarithm of the number of things, and asking for the earliest costs nothing.
    """

    __slots__ = ("_at", "_entries", "_numbers")

    def __init__(self) -> None:
        self._at: dict[_T, Micros] = {}
        self._entries: list[tuple[Micros, int, _T]] = []
        self._numbers = count()  # two things due at one time are never compared

    def put(self, thing: _T, at: Micros | None) -> None:
        """It is due at that time, and at no other; None: it is not due at all."""
        if self._at.get(thing) == at:
            return
        if at is None:
            del self._at[thing]
            return
        self._at[thing] = at
        heappush(self._entries, (at, next(self._numbers), thing))

    def earliest(self) -> Micros | None:
        """The first of all due times."""
        entries = self._entries
        while entries:
            at, _, thing = entries[0]
            if self._at.get(thing) == at:
                return at
            heappop(entries)
        assert not self._at, f"{self._at} are due, and no entry says so"
        return None

    def due(self, by: Micros) -> list[_T]:
        """What is due by then, in any order. It stays due until it is put anew."""
        found: dict[_T, None] = {}
        taken = []
        while self._entries and self._entries[0][0] <= by:
            entry = heappop(self._entries)
            at, _, thing = entry
            if thing not in found and self._at.get(thing) == at:
                found[thing] = None
                taken.append(entry)
        for entry in taken:
            heappush(self._entries, entry)
        return [*found]
