"""The thread that a connection's calls run on, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

_forks: list[None] = []
"""One entry for each fork between the first process and this one."""

os.register_at_fork(after_in_child=lambda: _forks.append(None))


class OneThread(Executor):
    """An executor of one thread, which is created when the first call is submitted.

    Handed to `loop.run_in_executor`: asyncio's loop submits to it; a simulated loop runs the call inline and
    never does, so that a schedule creates no executor. Submitted calls run in their order, one at a time; a
    brief one may be run at once by whoever makes it, if no other is running.
    """

    def __init__(self) -> None:
        # At most one entry. A dict, because setdefault settles who is first without a lock of ours; whoever
        # comes second drops an executor that has not started a thread yet.
        self._made: dict[str, ThreadPoolExecutor] = {}
        self._forks = len(_forks)
        self._turn = Lock()  # held by the call that runs, on whatever thread

    @property
    def is_elsewhere(self) -> bool:
        """Whether this process was forked from the one with the thread: what is submitted here never runs."""
        return self._forks != len(_forks)

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Queue a call. Raises RuntimeError after `shutdown`."""
        executor = self._made.get("executor")
        if executor is None:
            executor = self._made.setdefault("executor", ThreadPoolExecutor(1, "holdfast-sqlite"))
        return executor.submit(self._in_turn, fn, *args, **kwargs)

    def _in_turn(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._turn:
            return fn(*args, **kwargs)

    def begin_now(self) -> bool:
        """Whether no call runs, so that the caller may run one here, at once; it must then say `end_now`."""
        return self._turn.acquire(blocking=False)

    def end_now(self) -> None:
        """The call of `begin_now` is over."""
        self._turn.release()

    def call(self, fn: Callable[[], _R]) -> _R:
        """Run between two queued calls and wait for the answer; inline if none was ever queued."""
        return self.submit(fn).result() if self._made else self._in_turn(fn)

    def when_idle(self) -> Future[None]:
        """Done once every queued call has ended."""
        if self._made:
            return self.submit(lambda: None)
        idle: Future[None] = Future()
        idle.set_result(None)
        return idle

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let queued calls run, then end the thread, if there is one."""
        for executor in self._made.values():
            executor.shutdown(wait, cancel_futures=cancel_futures)

    def __reduce__(self) -> Any:
        raise TypeError("a thread cannot be pickled: open the store again in the other process")
