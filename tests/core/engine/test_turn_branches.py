"""Select and join take coroutines of the orchestration, retries among them (RT-12.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.core.bench import Bench

from holdfast.core.contract.errors import ActivityError
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.program.retry import FixedBackoff, NoBackoff, RetryPolicy

Ctx = OrchestrationContext
Code = Callable[[Ctx], Awaitable[object]]

SECOND = timedelta(seconds=1)
POLICY = RetryPolicy(max_attempts=2, backoff=FixedBackoff(SECOND))


def started(code: Code) -> Bench:
    async def run(ctx: Ctx, input: str) -> object:
        return await code(ctx)

    bench = Bench(run)
    bench.start()
    return bench


async def two_steps(ctx: Ctx, name: str) -> str:
    first = await ctx.schedule_activity(f"{name}1")
    return first + await ctx.schedule_activity(f"{name}2")


# --- both go on ---------------------------------------------------------------------------------------------


def test_branches_of_a_join_go_on_independently() -> None:
    async def code(ctx: Ctx) -> object:
        return await ctx.join(two_steps(ctx, "a"), ctx.schedule_activity("plain"), two_steps(ctx, "b"))

    bench = started(code)
    assert bench.trace == "1:Started 2:ActivityScheduled 3:ActivityScheduled 4:ActivityScheduled"
    names = [item.name for item in bench.last.worker_items]
    assert names == ["plain", "a1", "b1"], "a coroutine begins when it is given to the join"
    bench.turn(bench.done(4, "B"))
    bench.turn(bench.done(3, "A"), bench.done(2, "plain"))
    assert [item.name for item in bench.last.worker_items] == ["a2"]
    bench.turn(bench.done(6, "b"), bench.done(9, "a"))
    assert bench.output == '["Aa","plain","Bb"]'


def test_retries_are_joined_and_raced() -> None:
    """RT-12.4: each branch has its attempts and its pauses."""

    async def code(ctx: Ctx) -> object:
        both = await ctx.join(
            ctx.schedule_activity_with_retry("A", policy=POLICY),
            ctx.schedule_activity_with_retry("B", policy=POLICY),
        )
        winner, value = await ctx.select(
            ctx.schedule_activity_with_retry("C", policy=RetryPolicy(backoff=NoBackoff())),
            ctx.schedule_timer(SECOND),
        )
        return [*map(str, both), winner, value]

    bench = started(code)
    bench.turn(bench.broke(2, "first"), bench.done(3, "B"))
    bench.turn(bench.fired(6))
    bench.turn(bench.broke(8, "again"))
    bench.turn(bench.broke(11, "C fails"))
    bench.turn(bench.done(13, "C"))
    assert bench.output == '["again","B",0,"C"]' or bench.output.endswith('"B",0,"C"]')


def test_a_losing_branch_is_closed_and_what_it_holds_is_dropped_in_order() -> None:
    """RT-4.55, RT-4.60: also what it left running, but not a future that others gave it."""
    closed: list[str] = []

    async def slow(ctx: Ctx, given: Awaitable[str]) -> None:
        ctx.schedule_activity("left running")
        try:
            await ctx.join(ctx.schedule_activity("x"), ctx.schedule_sub_orchestration("C"), given)
        finally:
            closed.append("slow")
            ctx.schedule_activity("cleanup")
            ctx.set_kv_value("k", "cleanup")
            ctx.set_custom_status("cleanup")
            ctx.close_session("s")

    async def code(ctx: Ctx) -> object:
        ctx.open_session_with_id("s")
        given = ctx.schedule_activity("given")
        winner, _ = await ctx.select(slow(ctx, given), ctx.schedule_timer(SECOND))
        return [winner, await given, ctx.get_kv_value("k"), ctx.get_custom_status()]

    bench = started(code)
    before = bench.trace
    assert before.endswith("6:ActivityScheduled 7:SubOrchestrationScheduled")
    closed.clear()
    bench.turn(bench.fired(4))
    assert bench.trace == before + (
        " 8:TimerFired(4) 9:ActivityCancelRequested(5) 10:ActivityCancelRequested(6)"
        " 11:SubOrchestrationCancelRequested(7)"
    )
    bench.turn(bench.done(3, "given"))
    assert bench.output == '[1,"given",null,null]'
    assert "SessionClosed" not in bench.trace


@pytest.mark.parametrize("retries", [True, False])
def test_a_losing_branch_that_swallows_its_end_is_let_go(retries: bool) -> None:
    """RT-4.56."""

    async def stubborn(ctx: Ctx) -> str:
        while True:
            try:
                return await ctx.schedule_activity("a")
            except BaseException:
                if not retries:
                    await ctx.schedule_timer(SECOND)

    async def code(ctx: Ctx) -> object:
        winner, _ = await ctx.select(stubborn(ctx), ctx.schedule_wait("w"))
        return [winner, await ctx.schedule_activity("b")]

    bench = started(code)
    bench.turn(bench.raised("w"))
    assert bench.trace.endswith("4:ExternalEvent 5:ActivityScheduled 6:ActivityCancelRequested(3)") or (
        bench.trace.count("ActivityScheduled") == 2 and "Timer" not in bench.trace
    )
    bench.turn(bench.done(5, "b"))
    assert bench.output == '[1,"b"]'


def test_combinators_of_branches_nest() -> None:
    async def pair(ctx: Ctx, name: str) -> object:
        return await ctx.join(two_steps(ctx, name), ctx.schedule_activity(name))

    async def code(ctx: Ctx) -> object:
        inner = ctx.select(pair(ctx, "a"), pair(ctx, "b"))
        return await ctx.join(inner, ctx.select(two_steps(ctx, "c"), ctx.schedule_wait("w")))

    bench = started(code)
    scheduled = {item.name: item.id for item in bench.last.worker_items}
    assert sorted(scheduled) == ["a", "a1", "b", "b1", "c1"]
    bench.turn(bench.done(scheduled["b1"], "1"), bench.done(scheduled["b"], "b"), bench.raised("w", "event"))
    (last,) = [item for item in bench.last.worker_items if item.name == "b2"]
    bench.turn(bench.done(last.id, "2"))
    assert bench.output == '[[1,["12","b"]],[1,"event"]]'
    assert bench.trace.count("ActivityCancelRequested") == 3


# --- what a branch raises -----------------------------------------------------------------------------------


def test_an_activity_error_is_a_result_and_another_exception_is_none() -> None:
    """RT-4.68: as of a failed future; a mistake of the code must not be taken for a result."""

    async def fails(ctx: Ctx) -> None:
        await ctx.schedule_activity("a")

    async def raises(ctx: Ctx) -> None:
        raise KeyError("mistaken")

    async def code(ctx: Ctx) -> object:
        (error,) = await ctx.join(fails(ctx))
        assert isinstance(error, ActivityError)
        winner, other = await ctx.select(fails(ctx))
        try:
            await ctx.join(raises(ctx), ctx.schedule_activity("b"))
        except KeyError as mistake:
            return [str(error), winner, str(other), str(mistake)]
        return "swallowed"

    bench = started(code)
    bench.turn(bench.broke(2, "one"))
    bench.turn(bench.broke(4, "two"))
    assert bench.last.outcome == "Continue", "a join is complete when all are"
    bench.turn(bench.done(6))
    assert '"one"' in bench.output and '"two"' in bench.output and "mistaken" in bench.output


def test_a_select_won_by_a_mistake_raises_it_and_drops_the_others() -> None:
    async def raises(ctx: Ctx) -> None:
        await ctx.schedule_timer(SECOND)
        raise KeyError("mistaken")

    async def code(ctx: Ctx) -> object:
        await ctx.select(ctx.schedule_activity("loses"), raises(ctx))
        return ""

    bench = started(code)
    bench.turn(bench.fired(3))
    assert bench.trace.endswith("5:ActivityCancelRequested(2) 6:Failed")
    assert bench.output == "KeyError: 'mistaken'"


# --- misuse -------------------------------------------------------------------------------------------------


async def same_twice(ctx: Ctx) -> None:
    branch = two_steps(ctx, "a")
    await ctx.join(branch, branch)


async def same_again(ctx: Ctx) -> None:
    branch = two_steps(ctx, "a")
    await ctx.join(ctx.join(branch), ctx.select(branch))


async def ended(ctx: Ctx) -> None:
    branch = sets(ctx)
    await branch
    await ctx.join(branch)


async def sets(ctx: Ctx) -> None:
    ctx.set_kv_value("k", "v")


async def foreign(ctx: Ctx) -> None:
    await ctx.join(rests())


async def sleeps(ctx: Ctx) -> None:
    await ctx.select(asyncio.sleep(1), ctx.schedule_activity("a"))


async def rests() -> None:
    await asyncio.sleep(0)


async def a_function(ctx: Ctx) -> None:
    await ctx.join(sets)  # type: ignore[arg-type]


async def beside_a_text(ctx: Ctx) -> None:
    await ctx.select(two_steps(ctx, "a"), "text")  # type: ignore[arg-type]


MISUSED = {
    same_twice: "that of two_steps is given twice",
    same_again: "that of two_steps has begun already",
    ended: "that of sets has begun already",
    foreign: "awaited None at asyncio.sleep(0)",
    sleeps: "sleep",
    a_function: "scheduling calls return, not function",
    beside_a_text: "scheduling calls return, not str",
}


@pytest.mark.parametrize("code", MISUSED, ids=lambda code: code.__name__)
@pytest.mark.parametrize("swallowed", [True, False])
@pytest.mark.filterwarnings("error")
def test_what_is_no_branch_is_refused(code: Code, swallowed: bool) -> None:
    """RT-4.70."""

    async def swallows(ctx: Ctx) -> object:
        try:
            return await code(ctx)
        except BaseException:
            if swallowed:
                return "as if nothing had been"
            raise

    bench = started(swallows)
    assert bench.trace == "1:Started 2:Failed"
    assert MISUSED[code] in bench.output


def test_a_session_that_is_refused_in_a_branch_ends_the_turn() -> None:
    """SS-16.5."""

    async def refused(ctx: Ctx) -> str:
        return await ctx.schedule_activity_on_session("a", "", "never opened")

    async def code(ctx: Ctx) -> Any:
        return await ctx.join(two_steps(ctx, "a"), refused(ctx))

    bench = started(code)
    assert bench.last.outcome == "Failed"
    assert "'never opened' which is not open" in bench.output
