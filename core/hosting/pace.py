"""Pace: how fast one slot asks for work, so that an empty or failing store is never asked in a hot loop."""

from __future__ import annotations

import asyncio

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.hosting.backoff import FETCH_REFUSED_PAUSE, fetch_pause
from holdfast.core.hosting.options import in_micros


class Pace:
    """The waiting of one slot between fetches (RT-5.2, RT-5.3, RT-6.1)."""

    __slots__ = ("_began", "_clock", "_failure_count", "_min_poll")

    def __init__(self, clock: Clock, min_poll: Micros) -> None:
        self._clock = clock
        self._min_poll = min_poll
        self._began: Micros | None = None
        self._failure_count = 0

    def begin(self) -> None:
        self._began = self._clock.monotonic_us()

    def found(self) -> None:
        """It brought work: the next one follows at once."""
        self._failure_count = 0

    async def nothing(self) -> None:
        """It brought nothing: a cycle takes at least the minimum poll interval."""
        assert self._began is not None, "a fetch has brought nothing, and never began"
        self._failure_count = 0
        due = Micros(self._began + self._min_poll)
        if self._clock.monotonic_us() < due:
            await self._clock.sleep_until(due)
        else:
            await asyncio.sleep(0)

    async def failed(self, error: ProviderError) -> None:
        """It failed: wait longer after each retryable error in a row."""
        if error.retryable:
            self._failure_count += 1
            pause = fetch_pause(self._failure_count)
        else:
            self._failure_count = 0
            pause = FETCH_REFUSED_PAUSE
        await self._clock.sleep_until(Micros(self._clock.monotonic_us() + in_micros(pause)))
