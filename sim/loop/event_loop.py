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
import math
import sys
from asyncio import _set_running_loop
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from types import FrameType
from typing import Any, Final, NoReturn, Protocol, TypeVarTuple
from weakref import ref

from holdfast.core.contract.user_texts import line_of
from holdfast.sim.errors import Fenced, ForeignLoop, NeverWaits
from holdfast.sim.loop import guards
from holdfast.sim.loop.asyncgens import AsyncGenerators
from holdfast.sim.loop.complaints import ComplainingLoop, raised_in, shown, text_of
from holdfast.sim.loop.tasks import BUILTIN, STEP, CallHandle, Future, SharedHandle, Task, Timer
from holdfast.sim.loop.timers import Timers
from holdfast.sim.loop.virtual_time import EPOCH_MS, VirtualTime, first_us

_Ts = TypeVarTuple("_Ts")

_CALLBACKS_MAX: Final = 200_000
"""Callbacks of one pass after which the process is taken for one that never waits."""

_SWEPT_AT: Final = 64

_UNSEEN: Final = SharedHandle()

Callback = tuple[Callable[..., object], tuple[object, ...]]
"""A function and its arguments: what a pass delivers."""

LostFailure = tuple[ref[Future] | ref[Task], str]
"""A failed future whose exception nobody has retrieved, and the complaint if nobody ever can."""

Blocking = Callable[[Callable[..., object], tuple[object, ...]], tuple[Future, int]]
"""Runs a blocking function of a process, and tells until when by its clock: that is the tape's decision."""


class WallClock(Protocol):
    """The clock of a process, whose wall time may be off."""

    wall_offset_ms: int


class Loop(ComplainingLoop):
    """An asyncio event loop for one simulated process.

    `offset_us` is where its monotonic clock stood at virtual time 0. `resting` is what counts as the running
    loop between its passes: the store's, for the calls that commit there.
    """

    # asyncio asks at every new future: a C callable that answers False costs least
    get_debug: Any = bool

    def __init__(
        self, name: str, time: VirtualTime, *, offset_us: int = 0, resting: Loop | None = None
    ) -> None:
        assert offset_us >= 0, f"the monotonic clock of {name} starts at {offset_us} us"
        super().__init__(name)
        self._resting = resting
        self.offset_us = offset_us
        self.numbers = itertools.count(1)
        self.blocking: Blocking | None = None
        self.generators = AsyncGenerators()
        self._threads_until_us = 0
        self.clock: WallClock | None = None
        self._time = time
        self._ready: deque[tuple[Callable[..., object], tuple[object, ...], Context]] = deque()
        self._timers = Timers()
        self._tasks: list[ref[Task]] = []
        self._standing: list[Task] = []
        self._failed: list[ref[Future]] = []
        self._sweep_at = self._failed_at = _SWEPT_AT
        self._shown = 0.0
        self._factory: Any = None
        self._factory_set: Any = None
        self._names = itertools.count(1)
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
                            callback, arguments = id, ()  # what only they have held may have more to do
                            if not ready:
                                return
                        callback, arguments, context = popleft()
                        context.run(callback, *arguments)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler(raised_in(callback, arguments, error))
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
        if timer.shows > self._shown:
            self._shown = timer.shows
        return timer

    def kill(self) -> None:
        """Cut the loop off: from here on it refuses everything, for good."""
        assert not self._dead, f"{self} is cut off twice"
        self._standing = self.unfinished()
        self._dead = True
        self._call_soon = self._fenced
        self.call_soon = self._fenced
        self._ready.clear()
        self._timers.clear()

    def unfinished(self) -> list[Task]:
        """The tasks that are not done, oldest first."""
        return self._standing or [task for known in self._tasks if (task := known()) and not task.done()]

    @property
    def passing(self) -> bool:
        """Whether its process is in a pass, and may schedule something."""
        return self.call_soon is self._call_soon

    @property
    def at_work(self) -> bool:
        """Whether something is left to cancel, close or wait for before its process can end."""
        if self.unfinished() or self.generators.open():
            return True
        return self._threads_until_us > self.reading_us("monotonic")

    def unheard(self) -> list[LostFailure]:
        """Tasks, then futures, whose exceptions nobody has retrieved, oldest first, with the complaint."""
        assert not self._dead, f"{self} is asked who was heard, but its process is dead"
        found: list[LostFailure] = []
        for kind, known in (("Task", self._tasks), ("Future", self._failed)):
            for one in known:
                future = one()
                if future is not None and future.done() and getattr(future, "_log_traceback", False):
                    error = future._exception  # to ask for it would be to retrieve it
                    context = {"message": f"{kind} exception was never retrieved", "future": future}
                    found.append((one, f"{self.name}: {text_of({**context, 'exception': error})}"))
        return found

    def note_failed(self, future: Future) -> None:
        """Remember a future that has failed, as long as it lives: somebody should retrieve its exception."""
        assert future.done(), f"{future!r} has failed, but it is not done"
        self._failed.append(ref(future))
        if len(self._failed) > self._failed_at:
            self._failed = [known for known in self._failed if known() is not None]
            self._failed_at = max(_SWEPT_AT, 2 * len(self._failed))

    def forget(self) -> None:
        """Let go of all tasks."""
        assert self._dead, f"{self} is to forget its tasks, but its process is alive"
        assert not self._ready, f"{self} has callbacks, made after its process was dead: {self._ready}"
        assert not self._timers, f"{self} has {len(self._timers)} timers, made after its process was dead"
        self._tasks.clear()
        self._standing.clear()
        self._failed.clear()
        self.blocking = None

    # --- scheduling -----------------------------------------------------------------------------------

    def _make_call_soon(self) -> Callable[..., CallHandle | SharedHandle]:
        append = self._ready.append

        def call_soon(
            callback: Callable[..., object], *args: object, context: Context | None = None
        ) -> CallHandle | SharedHandle:
            if context is None:
                context = copy_context()
            else:
                kind: Any = type(callback)
                # a task schedules its own steps, drops the handle, and never cancels one
                if kind is STEP or (kind is BUILTIN and type(callback.__self__) is Task):  # type: ignore[attr-defined]
                    append((callback, args, context))
                    return _UNSEEN
            handle = CallHandle(callback, args, self, context)
            append((handle.run, (), context))
            return handle

        return call_soon

    def _foreign_call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> NoReturn:
        running = asyncio._get_running_loop()
        culprit = running.name if isinstance(running, Loop) else "code outside every process"
        shared, place = _what_is_shared()
        raise guards.refusal(
            ForeignLoop,
            f"{culprit} scheduled {shown(callback)} on the loop of {self.name}{place}: {shared} is shared"
            " between processes; make it inside the boot function, and talk through the provider",
        )

    def _fenced(self, *args: object, **kwargs: object) -> NoReturn:
        raise Fenced(f"process {self.name} has crashed")

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Timer:
        """A timer, `delay` seconds from now."""
        if delay is None:
            raise TypeError("delay must not be None")
        before = self.time()
        if not 0 < delay < math.inf:
            return self.call_at(before + delay, callback, *args, context=context)
        due_us = self._time.now_us + self.offset_us + max(first_us(delay), 1)
        timer = self.call_at_us(due_us, callback, *args, context=context)
        timer._when = timer.shows = before + delay
        assert timer.shows >= before, f"a timer {delay} s from {before} s would show {timer.shows} s"
        while timer.shows - before < delay:
            timer.shows = math.nextafter(timer.shows, math.inf)
        return timer

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Timer:
        """A timer at a given `loop.time()`; never one whose time has not come by the clock as code reads it.

        Code that looks at the clock when it is woken too early waits for the same time again, and for ever.
        """
        if when is None:
            raise TypeError("when cannot be None")
        now_us = self._time.now_us + self.offset_us
        if when == math.inf and not self._dead:
            timer = Timer(now_us, callback, args, copy_context() if context is None else context)
        elif when > self.time():
            timer = self.call_at_us(max(first_us(when), now_us + 1), callback, *args, context=context)
            timer.shows = when
        else:  # long past, or not a number
            timer = self.call_at_us(now_us, callback, *args, context=context)
        timer._when = when
        return timer

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
        """The monotonic clock of the process in seconds; no less than a timer that has fired was set to."""
        now = (self._time.now_us + self.offset_us) / 1_000_000
        return now if now >= self._shown else self._shown

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
        factory = self._factory
        if factory is None:
            task = Task(coro, loop=self, name=name or f"Task-{next(self._names)}", context=context, **options)
        elif sys.version_info >= (3, 13, 3):
            task = factory(self, coro, name=name, context=context, **options)
        else:
            task = factory(self, coro) if context is None else factory(self, coro, context=context)
            if name is not None and hasattr(task, "set_name"):
                task.set_name(name)
        tasks = self._tasks
        tasks.append(ref(task))
        if len(tasks) > self._sweep_at:
            self._tasks = tasks = [known for known in tasks if (one := known()) and _still_matters(one)]
            self._sweep_at = max(_SWEPT_AT, 2 * len(tasks))
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Use the process's own factory; sets of its tasks have no fixed order, unless they are tasks of
        `asyncio.eager_task_factory`."""
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._factory_set = self._factory = factory
        if factory is not None and factory is getattr(asyncio, "eager_task_factory", None):
            self._factory = asyncio.create_eager_task_factory(Task)  # type: ignore[attr-defined]

    def get_task_factory(self) -> Any:
        """The factory set, if any."""
        return self._factory_set

    # --- blocking work --------------------------------------------------------------------------------

    def run_in_executor(self, executor: object, func: Callable[[*_Ts], object], *args: *_Ts) -> Future:
        """Run a blocking function inline: on the store's loop at once, in a process as the tape decides."""
        if self._dead:
            self._fenced()
        if self.blocking is not None:
            answer, due_us = self.blocking(func, args)
            if executor is None:  # its threads are waited for when the process ends
                self._threads_until_us = max(self._threads_until_us, due_us)
            return answer
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
        """Checked and ignored: there are no threads."""
        if not isinstance(executor, ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until every call of it has come back, or for `timeout` seconds."""
        until_us = self._threads_until_us
        if timeout is not None:
            until_us = min(until_us, self.reading_us("monotonic") + first_us(timeout))
        if until_us > self.reading_us("monotonic"):
            over = self.create_future()
            self.call_at_us(until_us, over.set_result, None)
            await over

    async def shutdown_asyncgens(self) -> None:
        """Close what is left of the async generators of the process."""
        await self.generators.close(self)

    # --- the rest of the interface --------------------------------------------------------------------

    def reading_us(self, clock: str) -> int:
        """What a clock of the process shows to code that may read one: `wall` or `monotonic`."""
        if clock == "monotonic":
            return self._time.now_us + self.offset_us
        assert clock == "wall", f"{self} has no {clock} clock"
        offset_ms = 0 if self.clock is None else self.clock.wall_offset_ms
        return EPOCH_MS * 1000 + self._time.now_us + offset_ms * 1000

    def is_running(self) -> bool:
        """Whether this loop's process is running."""
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Whether its process has crashed or ended."""
        return self._dead

    def close(self) -> None:
        """Refused while it runs, and no longer needed later: a loop ends with its process."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")

    def set_debug(self, enabled: bool) -> None:
        """As asyncio's: futures remember where they were made."""
        self.get_debug = _yes if enabled else bool


def _yes() -> bool:
    return True


def _still_matters(task: Task) -> bool:
    return not task.done() or getattr(task, "_log_traceback", False)


def _what_is_shared() -> tuple[str, str]:
    """The lock, queue or event of asyncio that the caller has woken, as far as the stack tells, and where."""
    shared = "an event, lock, queue or future"
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("asyncio."):
        owner = frame.f_locals.get("self")
        if owner is not None and type(owner).__module__.startswith("asyncio."):
            shared = shown(owner)
        frame = frame.f_back
    if frame is None:
        return shared, ""
    return shared, f" ({line_of(frame.f_code, frame.f_lineno)})"
