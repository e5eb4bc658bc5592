"""Moments: when, on the store's clock, a lock or a delay ends, and for whose fetches that may matter.

Time asks at every advance which of them comes next, so they are kept in a heap. An entry of the heap counts
while it is the latest that was said of its key; the others are dropped when they are met.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from operator import itemgetter
from typing import Final, Generic, TypeVar

_Q = TypeVar("_Q")

MomentKey = tuple[str, ...]
"""What ends at a moment: an item's or a turn's lock, a session, a delay."""

_STALE_MIN: Final = 64


class Moments(Generic[_Q]):
    """One moment for each key. Those that pass together are told as the keys were first set."""

    __slots__ = ("_count", "_heap", "_of")

    def __init__(self) -> None:
        self._of: dict[MomentKey, tuple[int, int, _Q]] = {}
        self._heap: list[tuple[int, int, MomentKey]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def get_ms(self, key: MomentKey) -> int | None:
        """The moment of a key; None if it has none."""
        entry = self._of.get(key)
        return None if entry is None else entry[0]

    def put(self, key: MomentKey, at_ms: int, queues: _Q) -> None:
        """The moment of this key from now on."""
        before = self._of.get(key)
        if before is None:
            self._count += 1
        number = self._count if before is None else before[1]
        self._of[key] = (at_ms, number, queues)
        if before is None or before[0] != at_ms:
            heappush(self._heap, (at_ms, number, key))
            if len(self._heap) > _STALE_MIN + 2 * len(self._of):
                self._heap = [(at, number, key) for key, (at, number, _) in self._of.items()]
                heapify(self._heap)

    def drop(self, key: MomentKey) -> None:
        """This key has no moment any more."""
        self._of.pop(key, None)

    def next_ms(self) -> int | None:
        """The first of them; None if there is none."""
        heap, of = self._heap, self._of
        while heap:
            at, number, key = heap[0]
            entry = of.get(key)
            if entry is not None and entry[0] == at and entry[1] == number:
                return at
            heappop(heap)
        assert not of, f"{len(of)} moments are still to come, and none of them would be met"
        return None

    def take_passed(self, now_ms: int) -> list[tuple[MomentKey, int, _Q]]:
        """Take those that have come."""
        passed: list[tuple[int, MomentKey, int, _Q]] = []
        while (next_ms := self.next_ms()) is not None and next_ms <= now_ms:
            key = heappop(self._heap)[2]
            at, number, queues = self._of.pop(key)
            assert at == next_ms, f"the moment of {key} is {at} ms, it passes as one at {next_ms} ms"
            passed.append((number, key, at, queues))
        passed.sort(key=itemgetter(0))
        return [(key, at, queues) for _, key, at, queues in passed]
