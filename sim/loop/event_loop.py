"""Loop: the event loop of one simulated process. Its time is virtual, its next pass is the world's decision.

asyncio's own classes run on it unmodified: tasks, futures, locks, queues, `TaskGroup`, `timeout`. It never
waits: `run_until_waiting` delivers something (an answer, a due timer, a call from outside) and runs the
process until it is waiting again. That is one pass of the loop.

                               the world's choice
                                      |
    run_until_waiting([a, b])    a, b --> [ a  b ]                        ready, first in, first out
                                          run a: it wakes task t  [ b  t ]
                                          run b: it starts task u [ t  u ]
                                          run t, run u, ...       [ ]     the process waits: the pass is over

    call_at(...)    heap by due time         left alone by a pass, even if due: the world asks `next_due_us`
                                             and hands the timer to a later pass, as a choice like others

Within a pass there is nothing to choose: the order is asyncio's own, and code that works by it (a lock is
fair, a task started first runs first) works here. Whether a timer that is due fires in a pass of its own, or
with others, or after an answer that came later, asyncio leaves open: that is the world's choice.

The queue holds plain tuples, and a pass neither selects nor looks at timers: that, and handing out a real
handle only to callers that can cancel it, is what makes a task switch cheaper than stock asyncio's.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from asyncio import _set_running_loop
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, Final, NoReturn, TypeVarTuple

from holdfast.sim.errors import Fenced, ForeignLoop, NeverWaits
from holdfast.sim.loop.refusals import RefusingLoop
from holdfast.sim.loop.tasks import CallHandle, Future, SharedContextHandle, Task, Timer
from holdfast.sim.loop.timers import Timers
from holdfast.sim.loop.virtual_time import VirtualTime

_Ts = TypeVarTuple("_Ts")

_CALLBACKS_MAX: Final = 200_000
"""Callbacks of one pass after which the process is taken for one that never waits."""

_TASKS_SWEPT_AT: Final = 64

_UNCANCELLABLE: Final = SharedContextHandle()

Callback = tuple[Callable[..., object], tuple[object, ...]]
"""A function and its arguments: what a pass delivers."""

Blocking = Callable[[Callable[..., object], tuple[object, ...]], Future]
"""Runs a blocking function of a process: how long it takes is the tape's decision."""


class Loop(RefusingLoop):
    """An asyncio event loop for one simulated process.

    `offset_us` is where its monotonic clock stood at virtual time 0. `resting` is what counts as the running
    loop between its passes: the store's, for the calls that commit there. `complaints` are what asyncio would
    have logged: exceptions nobody retrieved, callbacks that raised.
    """

    # asyncio asks at every new future: a C callable that answers False costs least
    get_debug: Any = bool

    def __init__(
        self, name: str, time: VirtualTime, *, offset_us: int = 0, resting: Loop | None = None
    ) -> None:
        assert offset_us >= 0, f"the monotonic clock of {name} starts at {offset_us} us"
        self.name = name
        self._resting = resting
        self.offset_us = offset_us
        self.numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.blocking: Blocking | None = None
        self._time = time
        self._ready: deque[tuple[Callable[..., object], tuple[object, ...], Context]] = deque()
        self._timers = Timers()
        self._tasks: list[Task] = []
        self._sweep_at = _TASKS_SWEPT_AT
        self._dead = False
        self._factory: Any = None
        self._call_soon = self._make_call_soon()
        # swapped at each pass: outside its own passes nobody may schedule anything here
        self.call_soon: Any = self._foreign_call_soon

    def __repr__(self) -> str:
        return f"<Loop of {self.name}>"

    # --- what the world does --------------------------------------------------------------------------

    def run_until_waiting(self, callbacks: Sequence[Callback]) -> None:
        """Call these in order, and run the process until it is waiting again: one pass of the loop.

        Raises NeverWaits if it does not come to that; KeyboardInterrupt and SystemExit pass through.
        """
        assert not self._dead, f"a pass of {self}, whose process is dead"
        assert callbacks, f"a pass of {self} that delivers nothing"
        assert self.call_soon is not self._call_soon, f"a pass of {self} within its own pass"
        ready = self._ready
        popleft = ready.popleft
        for callback, arguments in callbacks:
            ready.append((callback, arguments, copy_context()))
        self.call_soon = self._call_soon
        _set_running_loop(self)
        try:
            while ready:  # once, and once more after each callback that raised
                try:
                    for _ in itertools.repeat(None, _CALLBACKS_MAX):
                        if not ready:
                            return
                        callback, arguments, context = popleft()
                        context.run(callback, *arguments)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler(
                        {"message": f"exception in callback {callback!r}", "exception": error}
                    )
                else:
                    raise NeverWaits(
                        f"process {self.name} ran {_CALLBACKS_MAX} callbacks without waiting for anything;"
                        " look for a loop around asyncio.sleep(0) or a future that is already done"
                    )
        finally:
            _set_running_loop(self._resting)
            self.call_soon = self._foreign_call_soon

    def next_due_us(self) -> int | None:
        """Virtual time at which the next timer is due, None if there is none."""
        due_us = self._timers.next_us()
        return None if due_us is None else due_us - self.offset_us

    def count_due(self) -> int:
        """How many timers are due now."""
        return self._timers.count_due(self._time.now_us + self.offset_us)

    def pop_due(self) -> Timer:
        """Take the timer that `next_due_us` told about, which must be due."""
        timer = self._timers.pop_due(self._time.now_us + self.offset_us)
        assert timer is not None, f"no timer of {self} is due, yet one is to fire"
        return timer

    def kill(self) -> None:
        """Cut the loop off: from here on it refuses everything, for good."""
        assert not self._dead, f"{self} is cut off twice"
        self._dead = True
        self._call_soon = self._fenced
        self.call_soon = self._fenced
        self._ready.clear()
        self._timers.clear()

    def unfinished(self) -> list[Task]:
        """The tasks that are not done, oldest first."""
        return [task for task in self._tasks if not task.done()]

    def forget(self) -> None:
        """Let go of all tasks."""
        assert self._dead, f"{self} is to forget its tasks, but its process is alive"
        assert not self._ready, f"{self} has callbacks, made after its process was dead: {self._ready}"
        assert not self._timers, f"{self} has {len(self._timers)} timers, made after its process was dead"
        self._tasks.clear()
        self.blocking = None

    # --- scheduling -----------------------------------------------------------------------------------

    def _make_call_soon(self) -> Callable[..., CallHandle | SharedContextHandle]:
        append = self._ready.append

        def call_soon(
            callback: Callable[..., object], *args: object, context: Context | None = None
        ) -> CallHandle | SharedContextHandle:
            if context is None:
                handle = CallHandle(callback, args)
                append((handle.run, (), copy_context()))
                return handle
            append((callback, args, context))
            return _UNCANCELLABLE

        return call_soon

    def _foreign_call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> NoReturn:
        running = asyncio._get_running_loop()
        culprit = running.name if isinstance(running, Loop) else "code outside every process"
        message = (
            f"{culprit} scheduled {callback!r} on the loop of {self.name}: an event, lock, queue or future is"
            " shared between processes; make it inside the boot function, and talk through the provider"
        )
        self.complaints.append(message)
        raise ForeignLoop(message)

    def _fenced(self, *args: object, **kwargs: object) -> NoReturn:
        raise Fenced(f"process {self.name} has crashed")

    # a Timer does what asyncio's TimerHandle does, without being one
    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Timer:
        """A timer, `delay` seconds from now, to the microsecond."""
        due_us = self._time.now_us + self.offset_us + round(delay * 1_000_000)
        return self.call_at_us(due_us, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Timer:
        """A timer at a given `loop.time()`."""
        return self.call_at_us(round(when * 1_000_000), callback, *args, context=context)

    def call_at_us(
        self, due_us: int, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Timer:
        """A timer by the process's monotonic clock; even one already due waits for a step."""
        if self._dead:
            self._fenced()
        now_us = self._time.now_us + self.offset_us
        timer = Timer(max(due_us, now_us), callback, args, copy_context() if context is None else context)
        self._timers.put(timer, next(self.numbers))
        return timer

    def time(self) -> float:
        """The monotonic clock of the process in seconds."""
        return (self._time.now_us + self.offset_us) / 1_000_000

    # --- tasks and futures ----------------------------------------------------------------------------

    def create_future(self) -> Future:
        """A future of this loop."""
        if self._dead:
            self._fenced()
        return Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **options: object
    ) -> Task:
        """A task of this loop; unnamed ones take the name of their coroutine."""
        if self._dead:
            coro.close()
            self._fenced()
        if self._factory is not None:
            made: Task = self._factory(self, coro, name=name, context=context)
            return made
        task = Task(coro, loop=self, name=name or getattr(coro, "__qualname__", "task"), context=context)
        tasks = self._tasks
        tasks.append(task)
        if len(tasks) > self._sweep_at:
            self._tasks = tasks = [kept for kept in tasks if not kept.done()]
            self._sweep_at = max(_TASKS_SWEPT_AT, 2 * len(tasks))
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Use the process's own factory; its tasks are neither kept through a crash nor ordered."""
        self._factory = factory

    def get_task_factory(self) -> Any:
        """The factory set, if any."""
        return self._factory

    # --- blocking work --------------------------------------------------------------------------------

    def run_in_executor(self, executor: object, func: Callable[[*_Ts], object], *args: *_Ts) -> Future:
        """Run a blocking function inline: on the store's loop at once, in a process as the tape decides."""
        if self._dead:
            self._fenced()
        if self.blocking is not None:
            return self.blocking(func, args)
        future = Future(loop=self)
        try:
            result = func(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def set_default_executor(self, executor: object) -> None:
        """Accepted and ignored: there are no threads."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to shut down."""

    async def shutdown_asyncgens(self) -> None:
        """Nothing to shut down."""

    # --- the rest of the interface --------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether this loop's process is running."""
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Whether its process has crashed or ended."""
        return self._dead

    def close(self) -> None:
        """Accepted and ignored: a loop ends with its process."""

    def set_debug(self, enabled: bool) -> None:
        """Accepted and ignored."""

    def call_exception_handler(self, context: Mapping[str, object]) -> None:
        """Record the complaint, unless the loop is dead."""
        if self._dead:
            return
        error = context.get("exception")
        self.complaints.append(
            f"{self.name}: {context.get('message')}" + (f": {error!r}" if error is not None else "")
        )

    def default_exception_handler(self, context: Mapping[str, object]) -> None:
        self.call_exception_handler(context)

    def set_exception_handler(self, handler: object) -> None:
        """Accepted and ignored: complaints are collected."""

    def get_exception_handler(self) -> None:
        """None: complaints are collected."""


@contextmanager
def asyncgen_hooks() -> Iterator[None]:
    """Within this block an async generator dropped half-way is closed by a task of the loop that is running.

    As on asyncio's own loop. One dropped outside every pass belongs to a dead process: nothing of it runs.
    """
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(finalizer=_close_asyncgen)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*before)


def _close_asyncgen(generator: AsyncGenerator[Any, Any]) -> None:
    loop = asyncio._get_running_loop()
    if isinstance(loop, Loop) and not loop.is_closed():
        loop.create_task(generator.aclose(), name="aclose")
