"""Blocking calls of a process: the tape decides how long they take, and when within that time they act.

A plain-function activity goes through `loop.run_in_executor`. In production that is a thread, which finishes
whatever happens to its caller; here it takes no time, or longer than something that matters (a renewal
interval, a lock), and has its effect at the start or the end of that time. A scenario may set
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
        delays_ms, drawn = (process.blocking_ms,), 2  # it acts at the end of that time
    else:
        delays_ms = known_delays_ms()
        assert delays_ms, "no durations are known for a blocking call"
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
    """The outcome of a blocking function, once it has run."""

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
        """Run it if it has not run yet, and answer. As with a real thread, the caller may no longer be
        listening."""
        if not self._happened:
            self.happen()
        settle_future(future, self._result, self._error)
