"""Handler: one run of an activity function, as a task if it is async and in a thread if it is not."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from holdfast.core.client import Client
from holdfast.core.contract.observe import Observer, StopOutcome
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.hosting.crew import unwound
from holdfast.core.program.registry import ActivityHandler
from holdfast.core.working.activity_context import ActivityContext
from holdfast.core.working.attempt import Attempt


class Handler:
    """A running activity function. Its end wakes the attempt; a thread cannot be stopped (RT-6.14)."""

    def __init__(self, attempt: Attempt, future: asyncio.Future[Any]) -> None:
        self._attempt = attempt
        self._future = future
        self._outcome: StopOutcome | None = None
        self._told = False
        future.add_done_callback(self._done)

    @property
    def done(self) -> bool:
        """Whether the function has ended."""
        return self._future.done()

    @property
    def error(self) -> BaseException | None:
        """What it raised. Only once it is done."""
        assert self.done, f"{self._attempt.token} runs, and is asked what it raised"
        if self._future.cancelled():
            return asyncio.CancelledError("the activity cancelled itself")
        return self._future.exception()

    @property
    def result(self) -> object:
        """What it returned. Only once it is done without error."""
        assert self.done, f"{self._attempt.token} runs, and is asked what it returned"
        return self._future.result()

    async def end(self, signalled: bool) -> StopOutcome:
        """How it ended; one that still runs is aborted, and given a moment to unwind."""
        assert self._outcome is None, f"{self._attempt.token} ends, and was {self._outcome} before"
        if self.done:
            outcome: StopOutcome = "failed" if self.error is not None else "completed"
            self._outcome = "discarded" if signalled else outcome
        else:
            self._outcome = "aborted"
            self.abort()
            await unwound(self._future)
        if self.done:
            self._tell()
        return self._outcome  # if it still runs, its end is reported when it comes

    def abort(self) -> None:
        """Cancel the task, if it is one and runs."""
        if isinstance(self._future, asyncio.Task) and not self.done:
            if self._outcome is None:
                self._outcome = "aborted"
            self._future.cancel()

    async def unwound(self) -> bool:
        """Give it a moment to end; returns whether it did."""
        return await unwound(self._future)

    def _done(self, _: asyncio.Future[Any]) -> None:
        if not self._future.cancelled():
            self._future.exception()  # taken note of: nobody else may ask
        if self._outcome is not None:
            self._tell()  # the slot has given up on it
        self._attempt.wake()

    def _tell(self) -> None:
        assert self._outcome is not None, f"{self._attempt.token} has stopped without an outcome"
        if not self._told:
            self._told = True
            self._attempt.stopped(self._outcome)


class Handlers:
    """Starts handlers and knows which still run, also those whose slot has given up on them (SS-9.12)."""

    def __init__(self, client: Client, observer: Observer | None) -> None:
        self._client = client
        self._observer = observer
        self._running: dict[Handler, Attempt] = {}

    def start(self, attempt: Attempt, function: ActivityHandler) -> Handler:
        context = ActivityContext(attempt, self._client, self._observer)
        loop = asyncio.get_running_loop()
        attempt.started()
        future: asyncio.Future[Any]
        if _is_async(function):
            future = loop.create_task(
                _awaited(function, context, attempt.item.input), name=f"activity {attempt.item.name}"
            )
        else:
            future = loop.run_in_executor(None, function, context, attempt.item.input)
        handler = Handler(attempt, future)
        self._running[handler] = attempt
        future.add_done_callback(lambda _: self._running.pop(handler, None))
        return handler

    def unstopped(self) -> frozenset[ScheduledSessionIdentifier]:
        """The sessions for which some handler still runs in this process."""
        return frozenset(key for attempt in self._running.values() if (key := attempt.session) is not None)

    async def abort_all(self) -> None:
        """Cancel what still runs and can be cancelled; threads and tasks that resist are left behind."""
        left = tuple(self._running)
        for handler in left:
            handler.abort()
        for handler in left:
            await handler.unwound()


async def _awaited(function: ActivityHandler, context: ActivityContext, input: str) -> object:
    outcome: Any = function(context, input)
    return await outcome


def _is_async(function: ActivityHandler) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__ is fine
    )
