"""Timers of a loop: those to come, and those whose time has come, which fire one by one as the world chooses.

How many are due is asked at every firing, so it is counted as time goes on and as timers are cancelled: a
firing costs the same however many are pending, and however many are due with it.
"""

from __future__ import annotations

import heapq
from collections import deque

from holdfast.sim.loop.tasks import Timer


class Timers:
    """In the order of their due times, and those of one time in the order in which they were made.

    Whatever is due moves from the heap to the end of a queue before anything is asked about it; what is still
    to come is due later than all of that. Cancelled ones stay where they are until they are met.
    """

    __slots__ = ("_due", "_due_count", "_to_come")

    def __init__(self) -> None:
        self._to_come: list[tuple[int, int, Timer]] = []
        self._due: deque[Timer] = deque()
        self._due_count = 0

    def __len__(self) -> int:
        return len(self._to_come) + len(self._due)

    def put(self, timer: Timer, number: int) -> None:
        """Add a timer; `number` grows from one to the next."""
        assert timer.callback is not None, f"a timer due at {timer.due_us} us is cancelled before it is kept"
        heapq.heappush(self._to_come, (timer.due_us, number, timer))

    def next_us(self) -> int | None:
        """When the next one is due or has been; None if there is none."""
        due, to_come = self._due, self._to_come
        while due and due[0].callback is None:
            due.popleft()
        if due:
            return due[0].due_us
        while to_come and to_come[0][2].callback is None:
            heapq.heappop(to_come)
        return to_come[0][0] if to_come else None

    def count_due(self, now_us: int) -> int:
        """How many are due now."""
        to_come = self._to_come
        while to_come and to_come[0][0] <= now_us:
            timer = heapq.heappop(to_come)[2]
            if timer.callback is not None:
                timer.cancelled_while_due = self._one_less
                self._due.append(timer)
                self._due_count += 1
        assert 0 <= self._due_count <= len(self._due), f"{self._due_count} of {len(self._due)} timers are due"
        return self._due_count

    def pop_due(self, now_us: int) -> Timer | None:
        """Take the first of those that are due now; None if none is."""
        if not self.count_due(now_us):
            return None
        timer = self._due.popleft()
        while timer.callback is None:
            timer = self._due.popleft()
        timer.cancelled_while_due = None
        self._due_count -= 1
        assert timer.due_us <= now_us, f"a timer fires at {now_us} us, it is due at {timer.due_us} us"
        return timer

    def _one_less(self) -> None:
        assert self._due_count, "a timer is cancelled while due, but none is due"
        self._due_count -= 1

    def clear(self) -> None:
        """Forget all of them."""
        for timer in self._due:
            timer.cancelled_while_due = None
        self._to_come.clear()
        self._due.clear()
        self._due_count = 0
