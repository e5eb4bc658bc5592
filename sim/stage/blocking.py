"""Blocking calls of a process: the tape decides how long they take, and when within that time they act.

A plain-function activity goes through `loop.run_in_executor`. In production that is a thread, which finishes
whatever happens to its caller; here it takes no time, or longer than something that matters (a renewal
interval, a lock), and has its effect at the start or the end of that time. A scenario may set
the time instead: `Process.blocking_ms`.

It runs on the thread that simulates, and finds there what it would find in a thread of its own: no running
loop, and a current thread that is not the main one. What a `threading.local` holds is left over from whoever
ran before, as in a thread that is used again. Real time it has none: it cannot wait for another thread.
"""

from __future__ import annotations

import threading
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.sim.loop.tasks import Future
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import settle_future

_UNNAMED: Final = "a blocking call"

_STAND_IN: Final = threading.Thread(name=_UNNAMED, daemon=True)
"""What `threading.current_thread()` answers in a blocking call. Never started: there is one thread."""

_threads: Final[dict[int, threading.Thread]] = threading._active  # type: ignore[attr-defined]


def run_blocking(
    process: Process,
    time: VirtualTime,
    known_delays_ms: Callable[[], tuple[int, ...]],
    function: Callable[..., object],
    arguments: tuple[object, ...],
) -> tuple[Future, int]:
    """Run a function of a process as if in a thread; the future is settled when the drawn time is over.

    Says as well when that is, by the process's monotonic clock.
    """
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
        return future, 0
    acts_late, index = divmod(drawn - 1, len(delays_ms))
    assert acts_late in (0, 1), f"{drawn} is no time for a blocking call, there are {len(delays_ms)} delays"
    if not acts_late:
        outcome.happen()
    due_us = time.now_us + process.loop.offset_us + delays_ms[index] * 1000
    process.loop.call_at_us(due_us, outcome.tell, future)
    return future, due_us


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
        assert not self._happened, f"{self._function!r} is called for the second time"
        self._happened = True
        try:
            with _as_in_a_thread():
                self._result = self._function(*self._arguments)
        except KeyboardInterrupt:  # of whoever watches the run: a thread of its own would not get it
            raise
        except BaseException as error:
            self._error = error

    def tell(self, future: Future) -> None:
        """Run it if it has not run yet, and answer. As with a real thread, the caller may no longer be
        listening."""
        if not self._happened:
            self.happen()
        assert self._happened, f"{self._function!r} is answered for, and was never called"
        try:
            settle_future(future, self._result, self._error)
        except TypeError as refused:
            # Python 3.11 sets no StopIteration on a future. asyncio logs that, and nobody is ever answered.
            message = "a blocking call raised StopIteration: whoever awaits it waits for ever"
            future.get_loop().call_exception_handler({"message": message, "exception": refused})


@contextmanager
def _as_in_a_thread() -> Iterator[None]:
    """Within this block no loop is running, and the current thread is another than the main one."""
    loop = _get_running_loop()
    number = threading.get_ident()
    thread = _threads.get(number)
    assert thread is not _STAND_IN, "a blocking call is run within a blocking call: there is one thread"
    _set_running_loop(None)
    _threads[number] = _STAND_IN
    _STAND_IN.name = _UNNAMED  # an activity gives its own
    try:
        yield
    finally:
        _set_running_loop(loop)
        if thread is None:
            del _threads[number]
        else:
            _threads[number] = thread
