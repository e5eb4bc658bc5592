"""ProcessClock: what one simulated process knows of time.

Its monotonic clock starts at a different value at every boot, so that code that compares the clocks of two
processes, or takes one for the store's, goes visibly wrong. Its wall clock may be off.
"""

from collections.abc import Callable

from holdfast.core.contract.ids import Micros, Millis
from holdfast.core.contract.watchdog import Watchdog
from holdfast.sim.loop.event_loop import Loop
from holdfast.sim.loop.tasks import Future
from holdfast.sim.loop.virtual_time import EPOCH_MS, VirtualTime

WatchdogFactory = Callable[[Micros, Callable[[str], None]], Watchdog | None]
"""What makes the watchdog of a runtime (`core.contract.watchdog.Watching`)."""


class ProcessClock:
    """The `core.clock.Clock` of one process."""

    __slots__ = ("_loop", "_time", "wall_offset_ms", "watchdog")

    def __init__(self, time: VirtualTime, loop: Loop, watchdog: WatchdogFactory | None = None) -> None:
        self._time = time
        self._loop = loop
        self.wall_offset_ms = 0
        self.watchdog = _unwatched if watchdog is None else watchdog
        assert loop.clock is None, f"{loop} has a clock already"
        loop.clock = self

    def now_ms(self) -> Millis:
        """The wall clock of this process, with its offset."""
        return Millis(EPOCH_MS + self._time.now_us // 1000 + self.wall_offset_ms)

    def monotonic_us(self) -> Micros:
        """The monotonic clock; no jump moves it (SS-24.2)."""
        return Micros(self._time.now_us + self._loop.offset_us)

    async def sleep_until(self, due: Micros) -> None:
        """Wait until `monotonic_us()` has reached `due`; return at once if it has."""
        loop = self._loop
        if due <= self._time.now_us + loop.offset_us:
            return
        future: Future = loop.create_future()
        timer = loop.call_at_us(due, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
        woken_us = self._time.now_us + loop.offset_us
        assert woken_us >= due, f"{loop} was woken at {woken_us} us, it sleeps until {due} us"


def _unwatched(cpu_us: Micros, stuck: Callable[[str], None]) -> None:
    """Outside a world nothing is watched."""


def _wake(future: Future) -> None:
    if not future.done():
        future.set_result(None)
