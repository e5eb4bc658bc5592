"""Plain functions in threads of their own: what leaves them, those that do not return (RT-6.9, RT-6.14).

Real threads on a real loop: what is waited for is a condition, never a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from holdfast.core.client import Client, Completed, Failed
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime
from holdfast.core.working import plain_threads
from holdfast.core.working.attempt import CancellationToken
from holdfast.core.working.plain_threads import PlainThreads
from holdfast.providers.memory import memory_store
from holdfast.system import SystemClock, SystemIds, provider_clock

PATIENCE = timedelta(seconds=20)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Seen:
    """Keeps the records it is told."""

    def __init__(self) -> None:
        self.records: list[Logged] = []

    def notify(self, event: LocalEvent) -> None:
        if isinstance(event, Logged):
            self.records.append(event)

    def named(self, event: str) -> list[Logged]:
        return [record for record in self.records if record.event == event]


class Host:
    def __init__(self, runtime: Runtime, client: Client, seen: Seen) -> None:
        self.runtime = runtime
        self.client = client
        self.seen = seen

    async def call(self, activity: str, instance: str = "") -> Any:
        name = instance or activity
        await self.client.start_orchestration(name, "call", activity)
        return await self.client.wait_for_orchestration(name, PATIENCE)

    async def until(self, reached: Callable[[], bool]) -> None:
        async def look() -> None:
            while not reached():
                await asyncio.sleep(0.005)

        await asyncio.wait_for(look(), PATIENCE.total_seconds())

    async def stuck(self, instance: str) -> None:
        """Have an activity `block`, and cancel it until its slot has given up on it."""
        before = self.runtime.stuck_threads
        await self.client.start_orchestration(instance, "call", "block")
        await self.until(lambda: len(self.seen.named("Activity started")) > before)
        await self.client.cancel_instance(instance, "enough")
        await self.until(lambda: self.runtime.stuck_threads > before)


@contextlib.asynccontextmanager
async def hosted(registry: Registry, **options: Any) -> AsyncIterator[Host]:
    @registry.orchestration()
    async def call(ctx: Any, activity: str) -> Any:
        return await ctx.schedule_activity(activity, "")

    store = memory_store(provider_clock, SystemIds())
    seen = Seen()
    defaults: dict[str, Any] = {
        "dispatcher_min_poll_interval": timedelta(milliseconds=5),
        "worker_lock_timeout": timedelta(milliseconds=200),
        "activity_cancellation_grace_period": timedelta(milliseconds=10),
    }
    runtime = Runtime(
        store.open(),
        registry,
        RuntimeOptions(**(defaults | options)),
        clock=SystemClock(),
        ids=SystemIds(),
        observer=seen,
    )
    await runtime.start()
    try:
        yield Host(runtime, Client(store.open(), clock=SystemClock()), seen)
    finally:
        await runtime.shutdown(timedelta(milliseconds=50))
        store.close()


class Unshowable(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")


RAISED = [
    StopIteration("none left"),
    StopAsyncIteration("none left"),
    SystemExit(3),
    KeyboardInterrupt("now"),
    GeneratorExit("closed"),
    asyncio.CancelledError("not me"),
    Unshowable(),
    BaseException("bare"),
    ExceptionGroup("two", [ValueError("a"), StopIteration("b")]),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_rt_6_9_whatever_leaves_an_activity_fails_that_attempt(error: BaseException, kind: str) -> None:
    """RT-6.9: in a thread or not; the worker goes on with the next one."""
    registry = Registry()

    def plain(ctx: Any, input: str) -> NoReturn:
        raise error

    async def coroutine(ctx: Any, input: str) -> NoReturn:
        raise error

    registry.add_activity("odd", plain if kind == "plain" else coroutine)
    registry.add_activity("next", lambda ctx, input: "went on")

    async def scenario() -> None:
        async with hosted(registry, worker_concurrency=1) as host:
            failed = await host.call("odd")
            assert isinstance(failed, Failed)
            assert type(error).__name__ in failed.message or str(error) in failed.message
            assert (await host.call("next")).output == "went on"

    asyncio.run(scenario())


def test_rt_6_9_next_on_an_empty_iterator_fails_the_activity() -> None:
    """RT-6.9: the commonest way to meet a StopIteration; on 3.11 no asyncio future takes one."""
    registry = Registry()
    registry.add_activity("first", lambda ctx, input: next(iter(())))

    async def scenario() -> None:
        async with hosted(registry) as host:
            failed = await host.call("first")
            assert isinstance(failed, Failed) and "StopIteration" in failed.message

    asyncio.run(scenario())


def test_rt_6_9_an_exception_raised_into_the_thread_from_outside_fails_the_attempt() -> None:
    """RT-6.9: what libraries for timeouts do; the thread of the next activity is none the worse for it."""
    registry = Registry()
    inside = threading.Event()
    idents: list[int] = []

    @registry.activity()
    def interrupted(ctx: Any, input: str) -> None:
        idents.append(threading.get_ident())
        inside.set()
        while True:
            threading.Event().wait(0.001)

    registry.add_activity("next", lambda ctx, input: "went on")

    async def scenario() -> None:
        async with hosted(registry) as host:
            await host.client.start_orchestration("i", "call", "interrupted")
            await host.until(inside.is_set)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(idents[0]), ctypes.py_object(SystemExit)
            )
            failed = await host.client.wait_for_orchestration("i", PATIENCE)
            assert isinstance(failed, Failed) and "SystemExit" in failed.message
            assert (await host.call("next")).output == "went on"

    asyncio.run(scenario())


def test_rt_6_14_as_many_run_at_once_as_there_are_slots() -> None:
    """RT-6.14: `worker_concurrency=16` runs sixteen, however few processors the machine has."""
    registry = Registry()
    together = threading.Barrier(16, timeout=PATIENCE.total_seconds())

    @registry.activity()
    def meet(ctx: Any, input: str) -> str:
        together.wait()
        return "met"

    async def scenario() -> None:
        async with hosted(registry, worker_concurrency=16, worker_lock_timeout=PATIENCE) as host:
            for number in range(16):
                await host.client.start_orchestration(f"i{number}", "call", "meet")
            for number in range(16):
                status = await host.client.wait_for_orchestration(f"i{number}", PATIENCE)
                assert isinstance(status, Completed) and status.output == "met"

    asyncio.run(scenario())


def test_rt_6_14_those_that_do_not_return_take_nothing_from_others() -> None:
    """RT-6.14: forty of them, more than asyncio's pool ever has; each is counted, logged and replaced."""
    registry = Registry()
    release = threading.Event()
    registry.add_activity("block", lambda ctx, input: release.wait(60))
    registry.add_activity("plain", lambda ctx, input: "done")

    async def scenario() -> None:
        async with hosted(registry, worker_concurrency=40) as host:
            for number in range(40):
                await host.client.start_orchestration(f"b{number}", "call", "block")
            await host.until(lambda: len(host.seen.named("Activity started")) == 40)
            for number in range(40):
                await host.client.cancel_instance(f"b{number}", "enough")
            await host.until(lambda: host.runtime.stuck_threads == 40)
            assert (await host.call("plain")).output == "done"
            told = host.seen.named("Activity does not stop, its thread is replaced")
            assert [record.fields["stuck_threads"] for record in told] == list(range(1, 41))
            assert {record.level for record in told} == {"warning"}
            assert "in <lambda>" in str(told[0].fields["place"])
            release.set()
            await host.until(lambda: host.runtime.stuck_threads == 0)
            assert len(host.seen.named("Activity has stopped after all")) == 40

    asyncio.run(scenario())


def test_rt_6_14_with_too_many_of_them_the_worker_fetches_no_more_and_says_so() -> None:
    """RT-6.14: `max_stuck_threads`; it fetches again when one returns."""
    registry = Registry()
    release = threading.Event()
    registry.add_activity("block", lambda ctx, input: release.wait(60))
    registry.add_activity("plain", lambda ctx, input: "done")

    async def scenario() -> None:
        options: dict[str, Any] = {"worker_concurrency": 1, "max_stuck_threads": 2}
        async with hosted(registry, **options) as host:
            await host.stuck("b1")
            assert (await host.call("plain")).output == "done"
            assert not host.seen.named("Too many activities do not stop, fetching none until one returns")
            await host.client.start_orchestration("b2", "call", "block")
            await host.until(lambda: len(host.seen.named("Activity started")) == 3)
            await host.client.cancel_instance("b2", "enough")
            await host.until(lambda: host.runtime.stuck_threads == 2)
            (told,) = host.seen.named("Too many activities do not stop, fetching none until one returns")
            assert (told.level, told.fields["max_stuck_threads"]) == ("error", 2)
            await host.client.start_orchestration("late", "call", "plain")
            await host.until(lambda: host.runtime.stuck_threads == 2)
            assert len(host.seen.named("Activity started")) == 3, "nothing is fetched"
            release.set()
            status = await host.client.wait_for_orchestration("late", PATIENCE)
            assert isinstance(status, Completed)
            assert host.seen.named("Activities return, fetching again")

    asyncio.run(scenario())


def test_rt_6_14_a_worker_that_fetches_no_more_shuts_down_all_the_same() -> None:
    """RT-6.14, RT-21.6."""
    registry = Registry()
    release = threading.Event()
    registry.add_activity("block", lambda ctx, input: release.wait(60))

    async def scenario() -> None:
        async with hosted(registry, worker_concurrency=1, max_stuck_threads=1) as host:
            await host.stuck("b")
            await asyncio.wait_for(host.runtime.shutdown(timedelta(milliseconds=50)), 20)
        release.set()

    asyncio.run(scenario())


def test_a_plain_function_finds_its_name_its_context_and_no_loop() -> None:
    """What `asyncio.to_thread` gives: a copy of the context variables, no running loop, another thread."""
    registry = Registry()

    @registry.activity()
    def look(ctx: Any, input: str) -> list[object]:
        try:
            asyncio.get_running_loop()
        except RuntimeError as error:
            found = str(error)
        variable_then = variable.get()
        variable.set("changed inside")
        thread = threading.current_thread()
        return [found, variable_then, thread.name, thread is threading.main_thread(), thread.daemon]

    async def scenario() -> None:
        variable.set("set outside")
        async with hosted(registry) as host:
            for instance in ("first", "second"):
                status = await host.call("look", instance)
                assert status.output == '["no running event loop","set outside","activity look",false,true]'
        assert variable.get() == "set outside"

    asyncio.run(scenario())


def test_a_machine_without_threads_gives_the_item_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the function's fault: the attempt is logged and delivered again."""
    registry = Registry()
    registry.add_activity("plain", lambda ctx, input: "done")
    refusals = 2

    class Scarce(threading.Thread):
        def start(self) -> None:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise RuntimeError("can't start new thread")
            super().start()

    async def scenario() -> None:
        async with hosted(registry) as host:
            monkeypatch.setattr(threading, "Thread", Scarce)
            assert (await host.call("plain")).output == "done"
            assert len(host.seen.named("No thread for the activity, abandoning")) == 2

    asyncio.run(scenario())


# --- the threads themselves ------------------------------------------------------------------------------


def test_a_thread_that_is_idle_is_used_again_and_ends_with_the_others() -> None:
    threads = PlainThreads()
    first = threads.submit(threading.current_thread).result(20)
    while not threads._idle:
        first.join(0.001)
    second = threads.submit(threading.current_thread).result(20)
    assert first is second
    threads.shutdown()
    first.join(20)
    assert not first.is_alive()


def test_a_thread_that_has_had_nothing_to_do_for_a_while_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_threads, "_IDLE_SECONDS", 0.001)
    threads = PlainThreads()
    thread = threads.submit(threading.current_thread).result(20)
    thread.join(20)
    assert not thread.is_alive() and not threads._idle
    assert threads.submit(threading.current_thread).result(20) is not thread


def test_a_call_that_raises_what_no_future_takes_is_still_answered() -> None:
    """Nothing that the runtime submits raises; were it to, nobody would wait for ever."""
    threads = PlainThreads()
    future: Future[None] = threads.submit(next, iter(()))
    assert "ended by StopIteration" in str(future.exception(20))


def test_an_exception_raised_into_an_idle_thread_does_not_end_it() -> None:
    threads = PlainThreads()
    thread = threads.submit(threading.current_thread).result(20)
    while not threads._idle:
        thread.join(0.001)
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    assert threads.submit(threading.current_thread).result(20) is thread


# --- the token -------------------------------------------------------------------------------------------


def test_ss_2_9_a_token_is_awaited_on_a_loop_of_another_thread() -> None:
    """SS-2.9: a plain function may run a loop of its own and wait there for its signal."""
    registry = Registry()

    @registry.activity()
    def waits(ctx: Any, input: str) -> str:
        async def both() -> None:
            await asyncio.gather(ctx.cancelled(), ctx.token.wait())

        asyncio.run(both())
        return "told"

    async def scenario() -> None:
        async with hosted(registry, activity_cancellation_grace_period=PATIENCE) as host:
            await host.client.start_orchestration("i", "call", "waits")
            await host.until(lambda: bool(host.seen.named("Activity started")))
            await host.client.cancel_instance("i", "enough")
            await host.until(lambda: bool(host.seen.named("Activity cancelled")))
            assert host.runtime.stuck_threads == 0
            assert not host.seen.named("Activity does not stop, its thread is replaced")

    asyncio.run(scenario())


def test_ss_2_9_a_token_whose_waiter_is_gone_fires_all_the_same() -> None:
    """SS-2.9: cancelled here, on a loop that is closed there; and it stays fired."""
    token = CancellationToken()

    async def given_up() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(token.wait(), 0)

    asyncio.run(given_up())
    left = asyncio.new_event_loop()
    left_behind = left.create_task(token.wait())
    left.run_until_complete(asyncio.sleep(0))
    left.close()
    token._fire()
    asyncio.run(token.wait())
    assert token.is_cancelled()
    assert not hasattr(token, "fire"), "user code holds the token too"
    left_behind.get_coro().close()
    left_behind._log_destroy_pending = False  # type: ignore[attr-defined]
