"""Crew: the asyncio tasks a runtime has started, so that none is forgotten and none fails unnoticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

_T = TypeVar("_T")

_UNWINDING_PASSES: Final = 8
"""Loop passes a cancelled task is given to unwind when there is no time to wait."""


class Crew:
    """Starts tasks, keeps them until they end, and tells `on_failure` of an exception nobody awaits.

    Tasks are kept in order of creation: cancelling them in another order each time would not be repeatable.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[object], None] = {}
        self._cancelled = False

    def start(self, coroutine: Coroutine[object, None, _T], *, name: str) -> asyncio.Task[_T]:
        """Run it as a task of the running loop."""
        assert not self._cancelled, f"task {name!r} is started in a crew that was cancelled"
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        assert task in self._tasks, (
            f"task {task.get_name()!r} ends, and is none of {len(self._tasks)} that run"
        )
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def idle(self) -> None:
        """Wait until every task has ended, those included that are started meanwhile."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def cancel(self) -> None:
        """Cancel every task and wait for all of them; they must not resist or start others."""
        assert not self._cancelled, "a crew is cancelled for the second time"
        self._cancelled = True
        for task in tuple(self._tasks):
            task.cancel()
        await self.idle()


async def unwound(future: asyncio.Future[_T]) -> bool:
    """Give a cancelled future a few passes of the loop to end; returns whether it did."""
    for _ in range(_UNWINDING_PASSES):
        if future.done():
            return True
        await asyncio.sleep(0)
    return future.done()
