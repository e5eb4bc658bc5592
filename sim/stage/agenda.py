"""Agenda: actions due at a later time: the end of a stall, a late answer, the end of a poll."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.steps import Request


class Agenda:
    """Actions in the order of their due time, and those due at the same time in the order they were put.

    An action put with a request is void once that request has its answer: the poll of a fetch that found
    something never ends. So is one whose request was given another deadline. Void ones stay where they are
    until their turn comes, but they let no time pass.
    """

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._entries: list[tuple[int, int, Callable[[], None], Request | None]] = []
        self._count = 0

    def put(self, at_us: int, action: Callable[[], None], request: Request | None = None) -> None:
        """Do this at `at_us`; with a request, only if it has no answer by then."""
        now_us = self._time.now_us
        assert at_us >= now_us, f"{action!r} is put off until {at_us} us, but it is already {now_us} us"
        self._count += 1
        heappush(self._entries, (at_us, self._count, action, request))

    def next_us(self) -> int | None:
        """When the next one is due; None if none ever is."""
        entries = self._entries
        while entries and _is_void(entries[0][0], entries[0][3]):
            heappop(entries)
        return entries[0][0] if entries else None

    def next_other_us(self) -> int | None:
        """When the next one without a request is due; None if none ever is."""
        return min((at_us for at_us, _, _, request in self._entries if request is None), default=None)

    def do_what_is_due(self) -> None:
        """Do everything that is due, including what this adds to the agenda for now."""
        entries, now_us = self._entries, self._time.now_us
        while entries and entries[0][0] <= now_us:
            at_us, _, action, request = heappop(entries)
            if not _is_void(at_us, request):
                assert at_us == now_us, f"{action!r} was due at {at_us} us, it is done at {now_us} us"
                action()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def _is_void(at_us: int, request: Request | None) -> bool:
    return request is not None and (request.settled or request.future.done() or request.deadline_us != at_us)
