"""Orchestration code runs out of reach of the worker's loop and of what others have left behind (RT-4.71)."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import gc
import logging
import threading
from asyncio import get_running_loop as asked_for_early
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.core.bench import Bench

from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.seclusion import NoLoop

Ctx = OrchestrationContext
Code = Callable[[Ctx], Awaitable[object]]

TENANT = contextvars.ContextVar("tenant", default="nobody")
SHARED_QUEUE: asyncio.Queue[str] = asyncio.Queue()
SHARED_EVENT = asyncio.Event()


def orchestration(code: Code) -> Callable[[Ctx, str], Awaitable[object]]:
    async def run(ctx: Ctx, input: str) -> object:
        return await code(ctx)

    return run


async def in_a_worker(code: Code) -> Bench:
    """One turn, run from a task of a running loop, as a dispatcher does it; the loop must be as before."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    bench = Bench(orchestration(code))
    bench.start()
    assert asyncio.get_running_loop() is loop
    assert asyncio.current_task() is task and task is not None
    assert asyncio.all_tasks() == {task}, "a task was left behind in the worker's loop"
    await asyncio.sleep(0)
    return bench


def output_of(code: Code) -> str:
    output = asyncio.run(in_a_worker(code)).last.metadata.output
    assert output is not None
    return output


# --- what asyncio offers ------------------------------------------------------------------------------------


async def helper(ctx: Ctx) -> None:
    await ctx.schedule_activity("helped")


async def with_timeout(ctx: Ctx) -> None:
    async with asyncio.timeout(0.2):
        await ctx.schedule_wait("never raised")


async def in_a_group(ctx: Ctx) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(helper(ctx))


async def with_runner(ctx: Ctx) -> None:
    with asyncio.Runner() as runner:
        runner.run(helper(ctx))


async def calls(function: Callable[..., object], *arguments: object) -> None:
    function(*arguments)


USES: dict[str, tuple[Code, str, str]] = {
    "timeout": (with_timeout, "asyncio.timeout(0.2)", "ctx.schedule_timer"),
    "sleep": (lambda ctx: asyncio.sleep(1), "asyncio.tasks.sleep in code(ctx)", "ctx.schedule_timer"),
    "wait_for": (
        lambda ctx: asyncio.wait_for(helper(ctx), 1),
        "asyncio.tasks.wait_for in code(ctx)",
        "ctx.select",
    ),
    "create_task": (
        lambda ctx: asyncio.create_task(helper(ctx)),
        "asyncio.create_task(helper(ctx))",
        "ctx.join",
    ),
    "ensure_future": (lambda ctx: asyncio.ensure_future(helper(ctx)), "asyncio.ensure_future", "ctx.join"),
    "gather": (
        lambda ctx: asyncio.gather(ctx.schedule_activity("a"), helper(ctx)),
        "asyncio.gather(ctx.schedule_activity",
        "ctx.join",
    ),
    "wait": (
        lambda ctx: asyncio.wait([ctx.schedule_activity("a")]),
        "asyncio.tasks.wait in code(ctx)",
        "ctx.join",
    ),  # type: ignore[list-item, type-var]
    "shield": (lambda ctx: asyncio.shield(ctx.schedule_activity("a")), "asyncio.shield(", "ctx.join"),
    "TaskGroup": (in_a_group, "asyncio.TaskGroup()", "ctx.join"),
    "current_task": (
        lambda ctx: calls(asyncio.current_task),
        "current_task in function(*arguments)",
        "ctx.join",
    ),
    "all_tasks": (
        lambda ctx: calls(asyncio.all_tasks),
        "asyncio.tasks.all_tasks in function(*arguments)",
        "ctx.join",
    ),
    "get_running_loop": (
        lambda ctx: calls(asyncio.get_running_loop),
        "get_running_loop in function(*arguments)",
        "ctx.select",
    ),
    "get_event_loop": (
        lambda ctx: calls(asyncio.get_event_loop),
        "get_event_loop in function(*arguments)",
        "ctx.select",
    ),
    "new_event_loop": (
        lambda ctx: calls(asyncio.new_event_loop),
        "new_event_loop in function(*arguments)",
        "ctx.select",
    ),
    "call_later": (
        lambda ctx: calls(asked_for_early().call_later, 1, print),
        "asked_for_early().call_later",
        "timer",
    ),
    "create_future": (
        lambda ctx: asked_for_early().create_future(),
        "asked_for_early().create_future",
        "ctx.schedule_wait",
    ),
    "run": (
        lambda ctx: calls(asyncio.run, helper(ctx)),
        "asyncio.runners.run in function(*arguments)",
        "await",
    ),
    "Runner": (with_runner, "asyncio.Runner()", "await"),
    "to_thread": (lambda ctx: asyncio.to_thread(print), "asyncio.threads.to_thread in code(ctx)", "activity"),
    "Queue.get": (
        lambda ctx: SHARED_QUEUE.get(),
        "asyncio.queues.Queue.get in code(ctx)",
        "ctx.dequeue_event",
    ),
    "Event.wait": (
        lambda ctx: SHARED_EVENT.wait(),
        "asyncio.locks.Event.wait in code(ctx)",
        "ctx.schedule_wait",
    ),
    "Future": (lambda ctx: calls(asyncio.Future), "get_debug in function(*arguments)", "ctx.schedule_wait"),
    "open_connection": (
        lambda ctx: asyncio.open_connection("localhost", 1),
        "asyncio.streams.open_connection in code(ctx)",
        "activity",
    ),
    "subprocess": (
        lambda ctx: asyncio.create_subprocess_exec("true"),
        "asyncio.subprocess.create_subprocess_exec in code(ctx)",
        "activity",
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.filterwarnings("error")
def test_whatever_is_asked_of_asyncio_is_refused_by_name_with_what_to_use(use: str) -> None:
    """RT-4.71, RT-4.70: and the loop of the worker is as it was (r10)."""
    code, shown, instead = USES[use]
    output = output_of(code)
    assert output.startswith("orchestration panicked: orchestration 'Code' called "), output
    assert shown in output
    assert "(test_seclusion.py:" in output and "but no event loop runs it" in output
    assert instead in output.rpartition("runs it;")[2]


@pytest.mark.parametrize("use", USES)
def test_a_refusal_that_is_swallowed_counts_all_the_same(use: str) -> None:
    """RT-4.71, SS-16.5."""
    code, shown, _ = USES[use]

    async def swallows(ctx: Ctx) -> str:
        try:
            await code(ctx)
        except BaseException:
            ctx.schedule_activity("after")
        return "as if nothing had been"

    bench = asyncio.run(in_a_worker(swallows))
    assert bench.trace == "1:Started 2:Failed"
    assert shown in (bench.last.metadata.output or "")


def test_what_is_awaited_besides_the_contexts_calls_is_named_without_an_address() -> None:
    """RT-4.70: the text is stored, and the same in every process."""

    class Own:
        def __await__(self) -> Any:
            yield self

    async def rests(ctx: Ctx) -> None:
        await asyncio.sleep(0)

    async def waits(ctx: Ctx) -> None:
        await Own()

    assert "awaited None at asyncio.sleep(0) (test_seclusion.py:" in output_of(rests)
    assert " at yield self (test_seclusion.py:" in output_of(waits)
    assert " at 0x" not in output_of(waits)


def test_a_logger_that_looks_for_the_current_task_is_told_that_there_is_none() -> None:
    """`logging` of Python 3.12 and later asks for it at every record."""

    async def code(ctx: Ctx) -> str:
        exec(
            compile("asyncio.current_task()", "handlers.py", "exec"),
            {"asyncio": asyncio, "__name__": "logging"},
        )
        return ""

    async def logs(ctx: Ctx) -> str:
        logging.getLogger("holdfast.tests").warning("one line")
        return "logged"

    assert (
        output_of(code) == "RuntimeError: no running event loop" or output_of(code) == "no running event loop"
    )
    assert output_of(logs) == "logged"


def test_a_destructor_that_asks_for_the_loop_does_not_end_the_turn() -> None:
    class Client:
        def __del__(self) -> None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                closed.append(self)

    closed: list[Client] = []

    async def code(ctx: Ctx) -> str:
        Client()
        return "done"

    assert output_of(code) == "done"
    assert closed


def test_without_a_loop_the_turn_is_the_same() -> None:
    """The engine is called from plain code in tests."""
    bench = Bench(orchestration(with_timeout))
    bench.start()
    assert "asyncio.timeout(0.2)" in (bench.output or "")
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_other_threads_run_their_loops_meanwhile() -> None:
    async def code(ctx: Ctx) -> str:
        thread = threading.Thread(target=lambda: heard.append(asyncio.run(elsewhere())))
        thread.start()
        thread.join()
        return "done"

    async def elsewhere() -> bool:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return asyncio.current_task() in asyncio.all_tasks()

    heard: list[bool] = []
    assert output_of(code) == "done"
    assert heard == [True]


def test_a_loop_kept_beyond_the_turn_is_none() -> None:
    kept: list[Any] = []

    async def code(ctx: Ctx) -> str:
        kept.append(asked_for_early())
        return ""

    output_of(code)
    assert isinstance(kept[0], NoLoop)
    with pytest.raises(RuntimeError, match="no running event loop"):
        kept[0].call_soon(print)


# --- what others have left behind ---------------------------------------------------------------------------


async def tenants(ctx: Ctx) -> list[str]:
    seen = [TENANT.get()]
    TENANT.set("tenant of one turn")
    await ctx.schedule_activity("a")
    seen.append(TENANT.get())
    return seen


def test_each_replay_has_a_context_of_its_own() -> None:
    """RT-4.71: within a replay it is one context, from the first instruction to the last (r08)."""

    def run() -> list[str]:
        outputs = []
        for _ in range(2):
            bench = Bench(orchestration(tenants))
            bench.start()
            bench.turn(bench.done(2))
            outputs.append(bench.output)
        assert TENANT.get() == "the worker's"
        return outputs

    TENANT.set("the worker's")
    assert contextvars.copy_context().run(run) == ['["nobody","tenant of one turn"]'] * 2


def test_the_precision_of_decimals_is_not_handed_on() -> None:
    """The value of a context variable that changes in place: a copy of the worker's context shares it."""

    async def code(ctx: Ctx) -> str:
        before = decimal.getcontext().prec
        decimal.getcontext().prec = 3
        return f"{before} {decimal.Decimal(1) / 3}"

    with decimal.localcontext() as ours:
        ours.prec = 7
        assert [output_of(code), output_of(code)] == ["28 0.333"] * 2
        assert decimal.getcontext().prec == 7


def test_an_async_generator_left_half_way_is_finished_by_no_loop() -> None:
    """RT-4.57: neither the worker's loop, which would run its end in a task of its own, nor the collector."""
    ended: list[str] = []

    async def code(ctx: Ctx) -> str:
        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                ended.append("ended")
                ctx.schedule_activity("asked for by the collector")

        async for _ in numbers():
            break
        await ctx.schedule_activity("a")
        return ""

    bench = asyncio.run(in_a_worker(code))
    gc.collect()
    assert bench.trace == "1:Started 2:ActivityScheduled"
    assert not ended
