"""Whatever the code swallows or keeps retrying, its turn ends (RT-4.56, SS-16.5)."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from tests.core.bench import Bench

from holdfast.core.engine.context import OrchestrationContext

Ctx = OrchestrationContext
Code = Callable[[Ctx], Awaitable[object]]

SECOND = timedelta(seconds=1)


def bench_of(code: Code) -> Bench:
    async def run(ctx: Ctx, input: str) -> object:
        return await code(ctx)

    return Bench(run)


@pytest.fixture(autouse=True)
def nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No coroutine is left to the collector, which would run it at some other time and complain."""
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    yield
    gc.collect()
    assert not [str(unraisable.exc_value) for unraisable in heard]


# --- code that starts anew while it is torn down ------------------------------------------------------------


async def retries(ctx: Ctx) -> str:
    while True:
        try:
            return await ctx.schedule_activity("a")
        except:  # noqa: E722
            pass


async def retries_with_a_pause(ctx: Ctx) -> str:
    while True:
        try:
            return await ctx.schedule_activity("a")
        except BaseException:
            with suppress(BaseException):
                await ctx.schedule_timer(SECOND)


async def retries_in_a_helper(ctx: Ctx) -> str:
    async def attempt() -> str:
        while True:
            with suppress(BaseException):
                return await ctx.schedule_activity("a")

    while True:
        with suppress(BaseException):
            return await attempt()


async def retries_a_select(ctx: Ctx) -> str:
    while True:
        with suppress(BaseException):
            _, value = await ctx.select(ctx.schedule_activity("a"), ctx.schedule_wait("w"))
            return str(value)


async def retries_a_join(ctx: Ctx) -> str:
    while True:
        with suppress(BaseException):
            (value,) = await ctx.join(ctx.schedule_activity("a"))
            return str(value)


async def reads_from_a_generator(ctx: Ctx) -> str:
    async def answers() -> AsyncIterator[str]:
        while True:
            with suppress(BaseException):
                yield await ctx.schedule_activity("a")

    async for answer in answers():
        return answer
    return "no answer"


async def cleans_up_for_ever(ctx: Ctx) -> str:
    try:
        return await ctx.schedule_activity("a")
    finally:
        while "done" not in (ctx.get_kv_value("k") or ""):
            with suppress(BaseException):
                await ctx.schedule_activity("cleanup")
                ctx.set_kv_value("k", "done")


RETRYING = [
    retries,
    retries_with_a_pause,
    retries_in_a_helper,
    retries_a_select,
    retries_a_join,
    reads_from_a_generator,
]


@pytest.mark.parametrize("code", RETRYING)
def test_a_loop_that_swallows_everything_completes_when_its_activity_does(code: Code) -> None:
    """RT-4.56 (r05): legal Python, and a GeneratorExit is none of the code's business."""
    bench = bench_of(code)
    bench.start()
    before = bench.trace
    assert before.startswith("1:Started 2:ActivityScheduled")
    bench.turn(bench.queued("nobody reads"))
    assert bench.trace == f"{before} {len(bench.history)}:ExternalEventPersistent"
    bench.turn(bench.done(2, "answer"))
    assert bench.output == "answer"


@pytest.mark.parametrize("code", [*RETRYING, cleans_up_for_ever])
def test_what_the_code_asks_for_while_it_is_torn_down_is_nowhere(code: Code) -> None:
    """RT-4.56: neither in the history nor in the log, in any turn."""

    async def traces(ctx: Ctx) -> object:
        try:
            return await code(ctx)
        finally:
            ctx.trace_info("on the way out")

    bench = bench_of(traces)
    for _ in range(3):
        commit = bench.start() if not bench.history else bench.turn(bench.queued("q"))
        assert not [record for record in commit.log if record.event == "orchestration.trace"]
    assert bench.trace.count("Scheduled") == 1
    assert "KeyValue" not in bench.trace and "Timer" not in bench.trace


def test_blocks_that_wait_while_they_are_closed_are_closed_one_by_one() -> None:
    reached: list[str] = []

    async def code(ctx: Ctx) -> None:
        try:
            try:
                await ctx.schedule_activity("a")
            finally:
                reached.append("inner")
                await ctx.schedule_activity("b")
        finally:
            reached.append("outer")
            await ctx.schedule_activity("c")

    bench = bench_of(code)
    bench.start()
    assert reached == ["inner", "outer"]
    assert bench.trace == "1:Started 2:ActivityScheduled"


# --- code that starts anew after a refusal ------------------------------------------------------------------


async def on_a_closed_session(ctx: Ctx) -> object:
    return await ctx.schedule_activity_on_session("a", "", "never opened")


async def selects_nothing(ctx: Ctx) -> object:
    return await ctx.select()


async def joins_a_text(ctx: Ctx) -> object:
    return await ctx.join("text")  # type: ignore[arg-type]


async def sleeps(ctx: Ctx) -> object:
    return await asyncio.sleep(1)


async def gathers(ctx: Ctx) -> object:
    return await asyncio.gather(ctx.schedule_activity("a"), on_a_closed_session(ctx))


async def limits(ctx: Ctx) -> object:
    async with asyncio.timeout(1):
        return await ctx.schedule_activity("a")


async def rests(ctx: Ctx) -> object:
    return await asyncio.sleep(0)


async def awaits_what_was_dropped(ctx: Ctx) -> object:
    future = ctx.schedule_activity("a")
    future.cancel()
    while True:
        with suppress(BaseException):
            return await future


REFUSED = {
    on_a_closed_session: "'never opened' which is not open",
    selects_nothing: "select needs at least one",
    joins_a_text: "not str",
    sleeps: "sleep",
    gathers: "gather",
    limits: "timeout(1)",
    rests: "sleep(0)",
    awaits_what_was_dropped: "was dropped",
}


@pytest.mark.parametrize("code", REFUSED, ids=lambda code: code.__name__)
def test_a_loop_that_swallows_its_refusal_ends_with_it(code: Code) -> None:
    """SS-16.5, RT-4.56, RT-4.70: the first reason is told."""

    async def again(ctx: Ctx) -> object:
        while True:
            try:
                return await code(ctx)
            except BaseException:
                ctx.trace_info("once more")

    bench = bench_of(again)
    commit = bench.start()
    assert REFUSED[code] in bench.output
    assert commit.outcome == "Failed"
    assert not [record for record in commit.log if record.event == "orchestration.trace"]


def test_after_a_refusal_every_call_returns_and_does_nothing() -> None:
    """SS-16.5: code that has swallowed the refusal goes on to its next await, and no further."""
    reached: list[str] = []

    async def code(ctx: Ctx) -> str:
        with suppress(BaseException):
            ctx.select()
        ctx.set_custom_status("s")
        ctx.set_kv_value("k", "v")
        ctx.start_orchestration("Root", "sub::reserved")
        session_id = ctx.open_session()
        ctx.schedule_activity_on_session("a", "", session_id).with_tag("gpu").cancel()
        ctx.schedule_sub_orchestration("C", instance_id="sub::1")
        ctx.close_session(ctx.open_session_with_id("s"))
        ctx.continue_as_new("again")
        reached.append("await")
        await ctx.join()
        reached.append("beyond")
        return ""

    bench = bench_of(code)
    commit = bench.start()
    assert reached == ["await"]
    assert bench.trace == "1:Started 2:Failed"
    assert (commit.worker_items, commit.orchestrator_items) == ((), ())
    assert "select needs at least one future" in bench.output
