"""Handler: one run of an activity function, as a task if it is async and in a thread if it is not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from holdfast.core.client import Client
from holdfast.core.contract.observe import Observer, StopOutcome
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.contract.user_texts import is_interrupt
from holdfast.core.hosting.crew import unwound
from holdfast.core.hosting.log import Log
from holdfast.core.program.registry import ActivityHandler
from holdfast.core.working.activity_context import ActivityContext
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.plain_threads import HandlerEnd, PlainCall, PlainThreads


class NoThread(Exception):
    """The machine has no thread left for a plain function; the item is given back."""


class Handler:
    """A running activity function. Its end wakes the attempt; a thread cannot be stopped (RT-6.14)."""

    def __init__(
        self, attempt: Attempt, future: asyncio.Future[HandlerEnd], call: PlainCall | None = None
    ) -> None:
        self.attempt = attempt
        self.call = call
        """The call that a thread runs, None for an async function."""
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
        assert self.done, f"{self.attempt.token} runs, and is asked what it raised"
        if self._future.cancelled():
            return asyncio.CancelledError("the activity cancelled itself")
        return self._future.exception() or self._future.result().error

    @property
    def result(self) -> object:
        """What it returned. Only once it is done without error."""
        assert self.done, f"{self.attempt.token} runs, and is asked what it returned"
        return self._future.result().result

    async def end(self, signalled: bool) -> StopOutcome:
        """How it ended; one that still runs is aborted, and given a moment to unwind."""
        assert self._outcome is None, f"{self.attempt.token} ends, and was {self._outcome} before"
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

    def when_done(self, tell: Callable[[], object]) -> None:
        """Call this once it has ended."""
        self._future.add_done_callback(lambda _: tell())

    async def unwound(self) -> bool:
        """Give it a moment to end; returns whether it did."""
        return await unwound(self._future)

    def _done(self, _: asyncio.Future[Any]) -> None:
        if not self._future.cancelled():
            self._future.exception()  # taken note of: nobody else may ask
        if self._outcome is not None:
            self._tell()  # the slot has given up on it
        self.attempt.wake()

    def _tell(self) -> None:
        assert self._outcome is not None, f"{self.attempt.token} has stopped without an outcome"
        if not self._told:
            self._told = True
            self.attempt.stopped(self._outcome)


class Handlers:
    """Starts handlers and knows which still run, also those whose slot has given up on them (SS-9.12).

    A plain function that was given up on goes on in its thread, and nothing can stop it (RT-6.14): it is
    counted and logged. `stuck_max` of them, if that is given, and the worker is to fetch no more.
    """

    def __init__(self, client: Client, observer: Observer | None, *, stuck_max: int | None = None) -> None:
        self._client = client
        self._observer = observer
        self._log = Log(observer, "runtime.worker")
        self._stuck_max = stuck_max
        self._threads = PlainThreads()
        self._running: dict[Handler, Attempt] = {}
        self._stuck: dict[Handler, None] = {}
        self._room = asyncio.Event()

    @property
    def stuck_count(self) -> int:
        """How many plain functions were given up on and still run."""
        return len(self._stuck)

    @property
    def has_room(self) -> bool:
        """Whether another activity may be fetched."""
        return self._stuck_max is None or len(self._stuck) < self._stuck_max

    async def room(self) -> None:
        """Return once another activity may be fetched."""
        while not self.has_room:
            assert self._stuck, f"no room with no activity stuck; {self._stuck_max} may be"
            self._room.clear()
            await self._room.wait()

    def start(self, attempt: Attempt, function: ActivityHandler) -> Handler:
        """Start one. Raises NoThread if it needs a thread and there is none."""
        context = ActivityContext(attempt, self._client, self._observer)
        loop = asyncio.get_running_loop()
        attempt.started()
        call: PlainCall | None = None
        future: asyncio.Future[HandlerEnd]
        if _is_async(function):
            ended = _ended(_awaited(function, context, attempt.item.input))
            future = loop.create_task(ended, name=f"activity {attempt.item.name}")
        else:
            call = PlainCall(f"activity {attempt.item.name}", partial(function, context, attempt.item.input))
            try:
                future = loop.run_in_executor(self._threads, call)
            except RuntimeError as error:
                raise NoThread(f"no thread for activity '{attempt.item.name}': {error}") from error
        handler = Handler(attempt, future, call)
        self._running[handler] = attempt
        future.add_done_callback(lambda _: self._running.pop(handler, None))
        return handler

    def give_up(self, handler: Handler) -> None:
        """Its slot goes on without it, though it still runs."""
        assert not handler.done, f"{handler.attempt.token} is given up on, and has ended"
        named = handler.attempt.named()
        if handler.call is None:
            self._log.warning("Activity does not stop, going on without it", **named)
            return
        assert handler not in self._stuck, f"{handler.attempt.token} is given up on twice"
        assert handler in self._running, f"{handler.attempt.token} is given up on, and never ran"
        self._stuck[handler] = None
        handler.when_done(lambda: self._returned(handler))
        self._log.warning(
            "Activity does not stop, its thread is replaced",
            **named,
            stuck_threads=len(self._stuck),
            place=handler.call.place(),
        )
        if not self.has_room:
            self._log.error(
                "Too many activities do not stop, fetching none until one returns",
                worker_id=handler.attempt.worker_id,
                stuck_threads=len(self._stuck),
                max_stuck_threads=self._stuck_max,
            )

    def _returned(self, handler: Handler) -> None:
        assert handler.done, f"{handler.attempt.token} has returned, and still runs"
        assert handler in self._stuck, f"{handler.attempt.token} has returned, and nobody had given up on it"
        had_room = self.has_room
        del self._stuck[handler]
        self._log.info(
            "Activity has stopped after all", **handler.attempt.named(), stuck_threads=len(self._stuck)
        )
        if self.has_room and not had_room:
            self._log.info(
                "Activities return, fetching again",
                worker_id=handler.attempt.worker_id,
                stuck_threads=len(self._stuck),
            )
            self._room.set()

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
        self._threads.shutdown(wait=False)


async def _ended(running: Awaitable[object]) -> HandlerEnd:
    try:
        return HandlerEnd(result=await running)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return HandlerEnd(error=error)


async def _awaited(function: ActivityHandler, context: ActivityContext, input: str) -> object:
    outcome: Any = function(context, input)
    return await outcome


def _is_async(function: ActivityHandler) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__ is fine
    )
