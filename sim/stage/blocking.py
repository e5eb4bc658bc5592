"""Blocking calls of a process: how long they take, and when within that they act, is the tape's decision.

A plain-function activity goes through `loop.run_in_executor`. In production that is a thread that finishes
whatever becomes of its caller; here it takes no time, or longer than something that matters (a renewal
interval, a lock), and has its effect at the start or at the end of that (design idea 1). A scenario may set
the time instead: `Process.blocking_ms`.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.sim.loop.tasks import Future
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import settle_future


def run_blocking(
    process: Process,
    time: VirtualTime,
    known_delays_ms: Callable[[], tuple[int, ...]],
    function: Callable[..., object],
    arguments: tuple[object, ...],
) -> Future:
    """Run a function of a process as if in a thread; the future is settled when the drawn time is over."""
    delays_ms: tuple[int, ...]
    if process.blocking_ms is not None:
        delays_ms, drawn = (process.blocking_ms,), 2  # it acts at the end, like what takes that long
    else:
        delays_ms = known_delays_ms()
        assert delays_ms, "there is no duration for a blocking call to take"
        drawn = process.draw("blocking call", 1 + 2 * len(delays_ms))
    future = Future(loop=process.loop)
    outcome = _Outcome(function, arguments)
    if not drawn:
        outcome.tell(future)
        return future
    acts_late, index = divmod(drawn - 1, len(delays_ms))
    assert acts_late in (0, 1), f"{drawn} is no time for a blocking call, there are {len(delays_ms)} delays"
    if not acts_late:
        outcome.happen()
    due_us = time.now_us + process.loop.offset_us + delays_ms[index] * 1000
    process.loop.call_at_us(due_us, outcome.tell, future)
    return future


class _Outcome:
    """What a blocking function did, once it has happened."""

    __slots__ = ("_arguments", "_error", "_function", "_happened", "_result")

    def __init__(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._happened = False
        self._result: object = None
        self._error: BaseException | None = None

    def happen(self) -> None:
        self._happened = True
        try:
            self._result = self._function(*self._arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._error = error

    def tell(self, future: Future) -> None:
        """Let it happen if it has not; nobody may listen any more, as with a real thread."""
        if not self._happened:
            self.happen()
        settle_future(future, self._result, self._error)
