"""A plain function in the simulator and in production: what it finds, and what becomes of what leaves it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.client import Client
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime
from holdfast.providers.memory import memory_store
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import Deviations
from holdfast.sim.toolkit.world import World
from holdfast.system import SystemClock, SystemIds, provider_clock

Runs = Callable[..., Run]
PATIENCE = timedelta(hours=1)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def raising(error: BaseException) -> Callable[[Any, str], None]:
    def plain(ctx: Any, input: str) -> None:
        raise error

    return plain


def running_loop(ctx: Any, input: str) -> str:
    asyncio.get_running_loop()
    return "there is one"


def a_task(ctx: Any, input: str) -> str:
    return str(asyncio.current_task())


def own_loop_policy(ctx: Any, input: str) -> str:
    return str(asyncio._get_running_loop())


def thread(ctx: Any, input: str) -> list[object]:
    own = threading.current_thread()
    return [own.name, own.daemon, own is threading.main_thread()]


def context(ctx: Any, input: str) -> str:
    before = variable.get()
    variable.set("left behind")
    return before


def coroutine_not_awaited(ctx: Any, input: str) -> str:
    return "told to stop" if ctx.is_cancelled() else "goes on"


def first_match(ctx: Any, input: str) -> str:
    return next(word for word in ["no", "such", "word"] if word.startswith("x"))


PLAIN: dict[str, Callable[[Any, str], Any]] = {
    "running_loop": running_loop,
    "a_task": a_task,
    "own_loop_policy": own_loop_policy,
    "thread": thread,
    "context": context,
    "asked": coroutine_not_awaited,
    "first_match": first_match,
    "stop_async": raising(StopAsyncIteration("none left")),
    "system_exit": raising(SystemExit(3)),
    "keyboard": raising(KeyboardInterrupt()),
    "generator_exit": raising(GeneratorExit()),
    "cancelled": raising(asyncio.CancelledError()),
    "base": raising(BaseException("bare")),
    "timeout": raising(TimeoutError("too long")),
}


def registry() -> Registry:
    registry = Registry()

    @registry.orchestration()
    async def call(ctx: Any, activity: str) -> Any:
        return await ctx.schedule_activity(activity, "")

    for name, function in PLAIN.items():
        registry.add_activity(name, function)
    return registry


async def all_called(client: Client) -> dict[str, tuple[str, str]]:
    """How each of them ends, twice: what one leaves behind, the next must not find."""
    ended: dict[str, tuple[str, str]] = {}
    for name in PLAIN:
        for time in ("first", "second"):
            instance = f"{name} {time}"
            await client.start_orchestration(instance, "call", name)
            status: Any = await client.wait_for_orchestration(instance, PATIENCE)
            ended[instance] = (type(status).__name__, getattr(status, "message", None) or status.output)
    return ended


async def in_production() -> dict[str, tuple[str, str]]:
    store = memory_store(provider_clock, SystemIds())
    options = RuntimeOptions(dispatcher_min_poll_interval=timedelta(milliseconds=5))
    runtime = Runtime(store.open(), registry(), options, clock=SystemClock(), ids=SystemIds())
    await runtime.start()
    try:
        return await all_called(Client(store.open(), clock=SystemClock()))
    finally:
        await runtime.shutdown(timedelta(0))
        store.close()


@pytest.mark.parametrize("drawn", [0, 1, 4], ids=["at once", "told late", "late"])
def test_rt_6_9_a_plain_function_finds_and_ends_the_same_in_both_worlds(run: Runs, drawn: int) -> None:
    """RT-6.9, RT-6.14: its loop, thread and context, and whatever leaves it."""
    found: dict[str, tuple[str, str]] = {}

    async def body(world: World) -> None:
        world.worker("w", registry)
        found.update(await all_called(world.client))

    result = run(body, Deviations({("data", 0): drawn}))
    assert result.error is None and not result.complaints
    assert found == asyncio.run(in_production())
    assert {kind for kind, _ in found.values()} == {"Completed", "Failed"}


def test_rt_6_14_stuck_functions_are_counted_and_limited_in_the_simulator_too(run: Runs) -> None:
    """RT-6.14: an hour in virtual time; meanwhile another worker does what this one does not fetch."""
    stuck: list[int] = []
    did: list[str] = []

    def blocks(process: Process) -> Registry:
        process.blocking_ms = 3_600_000 if process.name == "stuck" else 1
        made = registry()

        @made.activity()
        def work(ctx: Any, input: str) -> None:
            did.append(process.name)

        return made

    async def body(world: World) -> None:
        options = {"worker_concurrency": 1, "max_stuck_threads": 2}
        first = world.worker("stuck", blocks, **options, worker_lock_timeout=timedelta(seconds=10))
        await world.until(lambda: first.runtime is not None)
        runtime = first.runtime
        assert runtime is not None
        for count, instance in enumerate(("a", "b"), 1):
            await world.client.start_orchestration(instance, "call", "work")
            await world.until(lambda: bool(runtime._runner._running))
            await world.client.cancel_instance(instance, "enough")
            await world.until(lambda count=count: runtime.stuck_threads == count)
        await world.client.start_orchestration("c", "call", "work")
        world.worker("other", blocks)
        await world.client.wait_for_orchestration("c", PATIENCE)
        stuck.append(runtime.stuck_threads)
        await asyncio.sleep(2 * 3600)
        stuck.append(runtime.stuck_threads)

    result = run(body)
    assert result.error is None, result.error
    assert stuck == [2, 0]
    assert did == ["other", "stuck", "stuck"], "a thread that nobody waits for acts all the same"


def test_a_blocking_call_of_an_async_function_finds_no_loop_either(run: Runs) -> None:
    found: list[object] = []

    def look() -> None:
        found.append(asyncio._get_running_loop())
        found.append(threading.current_thread().name)

    async def body_of(process: Process) -> None:
        await asyncio.to_thread(look)
        found.append(asyncio.get_running_loop() is process.loop)
        found.append(threading.current_thread() is threading.main_thread())

    async def body(world: World) -> None:
        await world.process("w", body_of).stopped()

    assert run(body).error is None
    assert found == [None, "a blocking call", True, True]
    assert threading.current_thread() is threading.main_thread()


def test_a_blocking_call_that_raises_system_exit_raises_it_where_it_is_awaited(run: Runs) -> None:
    """As on asyncio's loop: not in the midst of whatever else the process does."""
    seen: list[str] = []

    def leave() -> None:
        raise SystemExit(3)

    async def body_of(process: Process) -> None:
        try:
            await asyncio.to_thread(leave)
        except SystemExit as error:
            seen.append(f"exit {error.code}")

    async def body(world: World) -> None:
        await world.process("w", body_of).stopped()

    assert run(body).error is None
    assert seen == ["exit 3"]
