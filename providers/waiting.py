"""Long polling for any provider: a fetch that finds nothing waits until there may be something (PV-23).

A waiting fetch holds nothing. Fetches that ask the same are of one kind and move together: a change of their
queue wakes the oldest, and the next one once that has found something; a new fetch waits at once if one of
its kind waits and nothing has changed since that one looked. So a change costs one look per kind, not one per
slot.

No wake-up can be lost between looking and waiting (PV-23.7): changes are counted, and a fetch looks again
instead of waiting if the count is not what it was before its look. Fetches may belong to different loops and
threads (PV-29.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal, TypeVar

from holdfast.core.contract.clock import ProviderClock
from holdfast.core.contract.ids import Millis
from holdfast.providers.arguments import deadline

TURNS: Final = 1
WORK: Final = 2
BOTH: Final = TURNS | WORK
"""Where something may have become eligible: combined with `|`, and 0 is nowhere."""

Queue = Literal[1, 2]

LONGEST_MS: Final = 1_000
"""A waiting fetch looks again after this long whatever happens: the store's clock may have jumped."""

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """How the oldest waiting fetch of a kind notices what other processes have changed: `look` then wakes."""

    every_ms: int
    look: Callable[[], Awaitable[None]]


class Waiting:
    """One fetch that waits, or is about to look."""

    __slots__ = ("future", "woken")

    def __init__(self) -> None:
        self.future: asyncio.Future[None] | None = None  # while it waits
        self.woken = False  # it looks for its kind, and has not said yet what it found


class FetchKind:
    """The fetches of one store that ask the same."""

    __slots__ = ("awake", "due", "members", "parked", "queue", "seen")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.members = 0
        self.parked: list[Waiting] = []  # oldest first
        self.awake = False  # one of them is woken
        self.seen = -1  # the count of changes before the last look that found nothing
        self.due = 0  # the next time, on the store's clock, at which time alone may bring something


class Waiters:
    """The fetches of one store that wait in this process."""

    def __init__(self) -> None:
        self._lock = Lock()  # held for a few operations on the tables below, never across an await
        self._kinds: dict[Hashable, FetchKind] = {}
        self._changes: dict[int, int] = {TURNS: 0, WORK: 0}

    def wake(self, queues: int) -> None:
        """Something may have become eligible there. Safe to call from any thread."""
        with self._lock:
            for queue in self._changes:
                if queue & queues:
                    self._changes[queue] += 1
            for kind in self._kinds.values():
                if kind.queue & queues and not kind.awake:
                    _wake_next(kind)

    def wake_all(self) -> None:
        """Let every fetch look at once: the store or one of its providers is closed."""
        with self._lock:
            for queue in self._changes:
                self._changes[queue] += 1
            for kind in self._kinds.values():
                while kind.parked:
                    _wake_next(kind)

    async def poll(
        self,
        queue: Queue,
        asked: Hashable,
        poll_timeout: Millis,
        clock: ProviderClock,
        look: Callable[[], Awaitable[tuple[_Found | None, int]]],
        elsewhere: Elsewhere | None = None,
    ) -> _Found | None:
        """Look; while there is nothing, wait and look again, up to `poll_timeout`.

        `asked` is what makes two fetches of one kind; `look` answers what it found, or None and the next time
        at which time alone may bring something.
        """
        give_up_at = deadline(clock(), poll_timeout)
        kind, me = self._join(queue, asked), Waiting()
        found: _Found | None = None
        try:
            if self._waits_at_once(kind, me, clock()):
                await self._wait(kind, me, clock, give_up_at, elsewhere)
            while True:
                seen = self._changes[queue]
                found, due = await look()
                if found is not None or clock() >= give_up_at:
                    return found
                if self._park(kind, me, seen, due):
                    await self._wait(kind, me, clock, give_up_at, elsewhere)
        finally:
            self._leave(asked, kind, me)

    def _join(self, queue: Queue, asked: Hashable) -> FetchKind:
        with self._lock:
            kind = self._kinds.get(asked)
            if kind is None:
                kind = self._kinds[asked] = FetchKind(queue)
            assert kind.queue == queue, f"fetches of two queues ask the same: {asked}"
            kind.members += 1
            return kind

    def _leave(self, asked: Hashable, kind: FetchKind, me: Waiting) -> None:
        """If it looked for the others of its kind, or kept the time for them, now the next one does."""
        with self._lock:
            waited = me in kind.parked
            if waited:
                kind.parked.remove(me)
            if me.woken:
                me.woken = kind.awake = False
                waited = True
            if waited and not kind.awake:
                _wake_next(kind)
            kind.members -= 1
            assert kind.members >= len(kind.parked), f"{kind.members} fetches ask {asked}, more of them wait"
            if not kind.members:
                del self._kinds[asked]

    def _waits_at_once(self, kind: FetchKind, me: Waiting, now: int) -> bool:
        """Park a new fetch if one of its kind waits and has looked in vain since the last change."""
        with self._lock:
            known = bool(kind.parked) and not kind.awake
            if not known or kind.seen != self._changes[kind.queue] or now >= kind.due:
                return False
            kind.parked.append(me)
            return True

    def _park(self, kind: FetchKind, me: Waiting, seen: int, due: int) -> bool:
        """After a look that found nothing: False if something has changed since it began."""
        with self._lock:
            if self._changes[kind.queue] != seen:
                return False
            kind.seen, kind.due = seen, due
            if me.woken:
                me.woken = kind.awake = False
                kind.parked.insert(0, me)
            else:
                kind.parked.append(me)
            return True

    async def _wait(
        self, kind: FetchKind, me: Waiting, clock: ProviderClock, give_up_at: int, elsewhere: Elsewhere | None
    ) -> None:
        """Until this one is to look: it is woken, or time has brought something or run out."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            me.future = loop.create_future()
            with self._lock:
                if me not in kind.parked:  # woken before there was anything to wake
                    return
                watches = elsewhere is not None and kind.parked[0] is me
            longest_ms = elsewhere.every_ms if elsewhere is not None and watches else LONGEST_MS
            pause_ms = max(min(min(kind.due, give_up_at) - clock(), longest_ms), 1)
            timer = loop.call_later(pause_ms / 1_000, _settle, me.future)
            try:
                await me.future
            finally:
                timer.cancel()
            overdue = (loop.time() - began) * 1_000 >= LONGEST_MS or clock() >= give_up_at
            with self._lock:
                if me not in kind.parked:
                    return
                if overdue or (clock() >= kind.due and not kind.awake):
                    kind.parked.remove(me)
                    if not kind.awake:
                        me.woken = kind.awake = True
                    return
            if elsewhere is not None and watches:
                await elsewhere.look()


def _wake_next(kind: FetchKind) -> None:
    """Let the oldest that waits look; those whose loop is closed do not wait any more."""
    while kind.parked:
        me = kind.parked.pop(0)
        future = me.future
        try:
            if future is not None:
                loop = future.get_loop()
                if loop is _running_loop():
                    _settle(future)
                else:
                    loop.call_soon_threadsafe(_settle, future)
        except RuntimeError:
            continue
        me.woken = kind.awake = True
        return


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
