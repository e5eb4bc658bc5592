"""Long polling: a fetch that finds nothing waits until something may have changed (PV-23).

A waiting fetch holds nothing. It is woken by every call that changes the store and by the next time at which
a row becomes visible or a lock runs out, and then looks again; so no wake-up can be lost between looking and
waiting (PV-23.7). Waiters may belong to different loops and threads (PV-29.4).
"""

from __future__ import annotations

import asyncio
from typing import Final

from holdfast.core.contract.ids import INT63_MAX, Millis
from holdfast.providers.memory.tables import Tables

LONGEST_MS: Final = 1_000
"""A waiter looks again after this long whatever happens: the store's clock may have jumped."""


class Waiters:
    """The fetches of one store that wait."""

    def __init__(self) -> None:
        self._futures: dict[asyncio.Future[None], None] = {}

    def wake_all(self) -> None:
        """Something changed. Safe to call from any thread."""
        if not self._futures:
            return
        for future in tuple(self._futures):
            try:
                future.get_loop().call_soon_threadsafe(_settle, future)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                self._futures.pop(future, None)

    def join(self) -> asyncio.Future[None]:
        """A place among the waiters, to be taken before the last look."""
        future = asyncio.get_running_loop().create_future()
        self._futures[future] = None
        return future

    def leave(self, future: asyncio.Future[None]) -> None:
        """Wait no longer."""
        self._futures.pop(future, None)
        future.cancel()

    async def wait(self, future: asyncio.Future[None], longest_ms: int) -> None:
        """Until woken, or until that long has passed on the loop's clock."""
        await asyncio.wait([future], timeout=min(longest_ms, LONGEST_MS) / 1_000)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def next_change(tables: Tables, now: Millis) -> int:
    """The next time at which a row becomes visible or a lock runs out (PV-23.6); far off if none does."""
    due = INT63_MAX
    message = tables.messages.next_visible_after(now)
    if message is not None:
        due = min(due, message)
    for lock in tables.locks.values():
        if lock.locked_until > now:
            due = min(due, lock.locked_until)
    for until in tables.held_until.values():
        if until > now:
            due = min(due, until)
    for row in tables.work.by_seq.values():
        for time in (row.visible_from, row.locked_until):
            if time > now:
                due = min(due, time)
    for sessions in tables.sessions.values():
        for session in sessions.values():
            if session.locked_until is not None and session.locked_until > now:
                due = min(due, session.locked_until)
    return due
