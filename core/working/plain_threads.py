"""Threads for plain-function activities: one for each that runs, so that none waits for another (RT-6.14).

Not asyncio's shared pool, which is small: a few activities that do not return would take it from everybody.
Nor `ThreadPoolExecutor`, whose threads the interpreter joins at its exit: a thread that does not return would
keep a process alive that was told to end. These are daemon threads, which nobody waits for.

    submit ──▶ an idle thread, or a new one ──▶ runs the call ──▶ settles its future ──▶ idle, for a while
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from types import CodeType
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from holdfast.core.contract.user_texts import is_interrupt

_P = ParamSpec("_P")
_R = TypeVar("_R")

_IDLE_SECONDS: Final = 10.0
"""How long a thread that has nothing to do is kept: starting one costs more than waking one."""

_SHOWN_FRAMES: Final = 6


class HandlerEnd(NamedTuple):
    """What a function returned, or what it raised.

    A value, so that the future it comes through has no exception: some cannot be set on a future
    (StopIteration), some end the loop that finds them in a task (SystemExit). RT-6.9 makes no difference.
    """

    result: object = None
    error: BaseException | None = None


class PlainCall:
    """One call of a plain function: in a thread, or wherever the loop's `run_in_executor` runs it.

    The function finds the context variables of the task that started it, as with `asyncio.to_thread`, no
    running loop, and its own name on the thread.
    """

    __slots__ = ("_call", "_context", "_name", "_thread_id")

    def __init__(self, name: str, call: Callable[[], object]) -> None:
        self._call = call
        self._name = name
        self._context = copy_context()
        self._thread_id: int | None = None

    def __call__(self) -> HandlerEnd:
        assert self._thread_id is None, f"{self._name} is called while it runs"
        try:
            self._thread_id = threading.get_ident()
            threading.current_thread().name = self._name
            return HandlerEnd(result=self._context.run(self._call))
        except BaseException as error:
            if is_interrupt(error):  # of the person at the terminal, where there is but one thread
                raise
            return HandlerEnd(error=error)
        finally:
            self._thread_id = None

    def place(self) -> str | None:
        """Where the function is now; None unless a thread runs it."""
        thread_id = self._thread_id
        return None if thread_id is None else _shown_stack(thread_id, PlainCall.__call__.__code__)


class PlainThreads(Executor):
    """An executor that never queues: whoever submits gets a thread at once.

    Handed to `loop.run_in_executor`: asyncio's loop submits to it; a simulated loop never does, it runs the
    call inline when its tape says so.
    """

    def __init__(self) -> None:
        self._idle: deque[_ActivityThread] = deque()  # its operations are atomic; threads put themselves back
        self._numbers = itertools.count(1)
        self._over = False

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Run it now. Raises RuntimeError if the machine has no thread left to give."""
        assert not self._over, f"{fn!r} is submitted to threads that were told to end"
        future: Future[_R] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can take it back
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = _ActivityThread(next(self._numbers), self._idle)
        thread.take(_Call(future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the idle threads now, the others when they return; waits for none."""
        self._over = True
        while self._idle:
            self._idle.pop().end()


class _Call:
    """What one thread is to do. `began` says that it must not be begun again."""

    __slots__ = ("began", "future", "run")

    def __init__(self, future: Future[Any], run: Callable[[], Any]) -> None:
        self.future = future
        self.run = run
        self.began = False


class _ActivityThread:
    """One thread and what it was last given.

    Other threads can raise exceptions in this one (libraries for timeouts do), also too late, when the
    function has returned. Wherever that happens, the thread lives on, the function runs once, and its future
    is settled.
    """

    def __init__(self, number: int, idle: deque[_ActivityThread]) -> None:
        self._idle = idle
        self._call: _Call | None = None
        self._over = False
        self._woken: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._run, name=f"holdfast activity thread {number}", daemon=True).start()

    def take(self, call: _Call) -> None:
        assert self._call is None, "a thread is given a second call while it has one"
        self._call = call
        self._woken.put(None)

    def end(self) -> None:
        self._over = True
        self._woken.put(None)

    def _run(self) -> None:
        while not (self._over and self._call is None):
            try:
                call = self._call
                if call is not None:
                    self._carry_out(call)
                    self._call = None
                    self._idle.append(self)
                else:
                    self._woken.get(timeout=_IDLE_SECONDS)
            except Empty:
                try:
                    self._idle.remove(self)
                except ValueError:
                    continue  # it was chosen just now
                return
            except BaseException:
                continue  # raised in here by another thread

    def _carry_out(self, call: _Call) -> None:
        assert call is self._call, f"a thread carries out {call.run}, and was given {self._call}"
        if call.future.done():
            return
        if call.began:
            call.future.set_exception(RuntimeError("the thread was interrupted after the function had ended"))
            return
        call.began = True
        try:
            result = call.run()
        except BaseException as error:  # StopIteration among them, which no future takes
            text = f"the thread was ended by {type(error).__name__}"
            call.future.set_exception(RuntimeError(text))
        else:
            call.future.set_result(result)


def _shown_stack(thread_id: int, within: CodeType) -> str | None:
    """Where a thread is, outermost call first, within a call of that code; None if it runs something else."""
    frame = sys._current_frames().get(thread_id)
    places: list[str] = []
    while frame is not None and frame.f_code is not within:
        file = frame.f_code.co_filename.rsplit("/", 1)[-1]
        places.append(f"{file}:{frame.f_lineno} in {frame.f_code.co_name}")
        frame = frame.f_back
    return None if frame is None else " > ".join(reversed(places[-_SHOWN_FRAMES:]))
