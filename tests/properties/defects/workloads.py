"""Small scenarios that show what a defect does, each as plain as its defect allows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from holdfast.core.registry import Registry
from holdfast.sim.faults import FaultBudget
from holdfast.sim.scenario import Scenario, scenario
from holdfast.sim.world import World

MINUTE = {"session_lock_duration": timedelta(seconds=60)}
SLOW_ITEMS = {**MINUTE, "worker_lock_timeout": timedelta(seconds=100)}


def talk() -> Registry:
    registry = Registry()

    @registry.orchestration("talk")
    async def talk(ctx: Any, input: str) -> None:
        session = ctx.open_session_with_id("s")
        await ctx.join(*[ctx.schedule_activity_on_session("say", str(n), session) for n in range(3)])
        await ctx.schedule_activity_on_session("say", "bye", session)
        if input != "unclosed":
            ctx.close_session(session)
            await ctx.schedule_activity("say", "alone")

    @registry.orchestration("chapters")
    async def chapters(ctx: Any, input: str) -> None:
        session = ctx.open_session_with_id("s") if input == "1" else "s"
        await ctx.schedule_activity_on_session("say", "hello", session)
        if input != "111":
            await ctx.continue_as_new(input + "1")

    @registry.orchestration("wait")
    async def wait(ctx: Any, input: str) -> None:
        await ctx.schedule_activity_on_session("last", input, ctx.open_session())

    @registry.orchestration("steps")
    async def steps(ctx: Any, input: str) -> None:
        session = ctx.open_session()
        for _ in range(4):
            await ctx.schedule_activity_on_session("last", input, session)

    @registry.orchestration("leave")
    async def leave(ctx: Any, input: str) -> None:
        session = ctx.open_session()
        unfinished = [
            ctx.schedule_activity_on_session("last", input, session),
            ctx.schedule_activity_on_session("last", "1", session),
        ]
        await ctx.schedule_activity("last", "1")
        ctx.close_session(session)
        await ctx.schedule_timer(timedelta(seconds=70))
        del unfinished

    @registry.orchestration("insist")
    async def insist(ctx: Any, input: str) -> None:
        session = ctx.open_session()
        ctx.close_session(session)
        await ctx.schedule_activity("say", "hello")
        ctx.schedule_activity("say", "hello again")
        await ctx.schedule_activity_on_session("say", "too late", session)

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return f"said {input}"

    @registry.activity("last")
    async def last(ctx: Any, input: str) -> None:
        await asyncio.sleep(float(input))

    return registry


def _two(world: World) -> None:
    world.worker("a", talk)
    world.worker("b", talk)


@scenario(covers=["1.1"], workers=2, options=MINUTE, register=False)
async def conversation(world: World) -> None:
    """Two workers, one session, three activities at once and one more."""
    _two(world)
    await world.client.start_orchestration("i", "talk")
    await world.finished("i")


@scenario(covers=["1.1"], workers=2, options=MINUTE, register=False)
async def unclosed(world: World) -> None:
    """An orchestration ends with its session open."""
    _two(world)
    await world.client.start_orchestration("i", "talk", "unclosed")
    await world.finished("i")


@scenario(covers=["1.1"], workers=2, faults=FaultBudget(crash=1), options=MINUTE, register=False)
async def owner_crashes(world: World) -> None:
    """A worker crashes."""
    _two(world)
    await world.client.start_orchestration("i", "talk")
    await world.finished("i")


@scenario(covers=["1.1"], workers=2, options=MINUTE, register=False)
async def continued(world: World) -> None:
    """A session is carried over two executions."""
    _two(world)
    await world.client.start_orchestration("i", "chapters", "1")
    await world.finished("i")


@scenario(covers=["1.1"], workers=2, options=MINUTE, register=False)
async def handed_over(world: World) -> None:
    """The owner of a session is shut down while an activity of it runs; another takes over."""
    workers = [world.worker(name, talk) for name in ("a", "b")]
    await world.client.start_orchestration("i", "wait", "20")
    await world.sleep(1)
    owner = next(one for one in workers if one.worker_id == world.sessions()[0].worker_id)
    await owner.shutdown(5)
    await world.finished("i")


@scenario(
    covers=["1.1"],
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=20)},
    register=False,
)
async def long_activity(world: World) -> None:
    """An activity takes longer than the idle timeout and than the lease."""
    world.worker("a", talk)
    await world.client.start_orchestration("i", "wait", "100")
    await world.finished("i")


@scenario(covers=["1.1"], faults=FaultBudget(stall=2), options=MINUTE, register=False)
async def stalled(world: World) -> None:
    """A worker stalls, and nobody else is there."""
    world.worker("a", talk)
    await world.client.start_orchestration("i", "talk")
    await world.finished("i")


@scenario(covers=["1.1"], workers=2, faults=FaultBudget(duplicate=3), options=MINUTE, register=False)
async def repeated(world: World) -> None:
    """Completions arrive twice, the second time while the next activity runs."""
    _two(world)
    await world.client.start_orchestration("i", "steps", "40")
    await world.finished("i")


@scenario(covers=["1.1"], faults=FaultBudget(refused=2), options=SLOW_ITEMS, register=False)
async def refused(world: World) -> None:
    """Renewals of a session fail for a moment while its activity runs."""
    world.worker("a", talk)
    await world.client.start_orchestration("i", "wait", "100")
    await world.finished("i")


@scenario(
    covers=["1.1"],
    workers=2,
    options=SLOW_ITEMS,
    register=False,
)
async def closed_under_way(world: World) -> None:
    """A session is closed while one activity runs; on the item lock alone that shows late."""
    _two(world)
    await world.client.start_orchestration("i", "leave", "90")
    await world.client.start_orchestration("j", "leave", "1")
    await world.finished("i")
    await world.finished("j")


@scenario(covers=["1.1"], options={**MINUTE, "max_sessions_per_worker": 1}, register=False)
async def crowded(world: World) -> None:
    """Two sessions and room for one."""
    world.worker("a", talk)
    for name in ("i", "j"):
        await world.client.start_orchestration(name, "talk")
    for name in ("i", "j"):
        await world.finished(name)


@scenario(covers=["1.1"], options=MINUTE, register=False)
async def after_the_close(world: World) -> None:
    """An activity is scheduled on a session that is closed."""
    world.worker("a", talk)
    await world.client.start_orchestration("i", "insist")
    await world.finished("i")


WORKLOADS: dict[str, Scenario] = {
    one.name: one
    for one in (
        conversation,
        unclosed,
        owner_crashes,
        continued,
        handed_over,
        long_activity,
        stalled,
        repeated,
        refused,
        closed_under_way,
        crowded,
        after_the_close,
    )
}
