"""Matrix section 6: migration by graceful shutdown."""

from __future__ import annotations

import asyncio

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.contract.observe import HandlerStarted
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    observations,
    output,
    running,
    sole,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    deliveries,
    first_delivery,
    owner_and_other,
    work_of,
)
from holdfast.properties.matrix.parts.told import session_starts, signals, told
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World


async def _four_at_once(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    items = [ctx.schedule_activity_on_session("work", "40", session) for _ in range(4)]
    await ctx.join(*beside)
    answers = await ctx.join(*items)
    ctx.close_session(session)
    return encoded(answers)


@scenario(
    covers=["6.1", "SS-9.11", "SS-12.8"],
    workers=2,
    situations=["session.released_shutdown", "session.claimed_after_release"],
    level="multi-runtime",
    options=MINUTE,
)
async def graceful_shutdown_releases_locks_immediately(world: World) -> None:
    """Shutdown makes sessions claimable at that instant."""
    workers = two_workers(world, _four_at_once)
    await start(world, _four_at_once, "i")
    await first_delivery(world)
    leaving, staying = owner_and_other(world, workers)
    await world.sleep(5 * world.draw("seconds before the shutdown / 5", 8))
    before = len(world.commits)
    await leaving.shutdown(20)
    returned_ms = world.provider_now_ms
    await world.until(lambda: bool(deliveries(world.commits[before:], "s", process=staying.name)))
    frozen_ms = world.provider_now_ms
    status = await world.finished("i", check=False)
    with world.oracle("6.1"):
        released = sole(calls(world.commits[before:], "release_session_lock"))
        assert released.process == leaving.name and released.took_effect, released
        taken = deliveries(world.commits[released.position :], "s")[0]
        assert taken.process == staying.name, taken
        assert released.provider_ms == taken.provider_ms == frozen_ms == returned_ms, (released, taken)
        assert {entry.owner for entry in observations(status)} == {staying.worker_id}, status


@scenario(
    covers=["6.2", "SS-9.9", "SS-9.10", "SS-7.20"],
    workers=2,
    situations=["handler.signalled_shutdown", "handler.discarded", "item.same_attempt_again"],
    level="multi-runtime",
    options=MINUTE,
)
async def graceful_shutdown_inflight_activities_cancelled(world: World) -> None:
    """An activity running at shutdown is cancelled and its item offered again."""
    cancelled: list[tuple[str, int]] = []
    linger_s = 2 * world.draw("seconds a handler takes to stop / 2", 4)

    async def talk(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session_with_id("s")
        beside = [ctx.schedule_activity("note", "") for _ in range(3)]
        said = await ctx.schedule_activity_on_session("think", "", session)
        await ctx.join(*beside)
        return said

    async def note(ctx: ActivityContext, input: str) -> None:
        return None

    def stubborn(process: Process) -> Registry:
        async def think(ctx: ActivityContext, input: str) -> str:
            if process.name == first.name:
                await ctx.cancelled()
                cancelled.append((process.name, ctx.attempt_count))
                await asyncio.sleep(linger_s)
            return f"the value of {process.name}"

        return running(talk, note=note, think=think)()

    first = world.worker("a", stubborn)
    await start(world, talk, "i")
    await world.until(lambda: bool(session_starts(world)))
    second = world.worker("b", stubborn)
    await world.sleep(5 * world.draw("seconds before the shutdown / 5", 8))
    await first.shutdown(20)
    status = await world.finished("i", check=False)
    with world.oracle("6.2"):
        assert cancelled == [(first.name, 1)], cancelled
        assert [one.event.cause for one in signals(world)] == ["shutdown"], signals(world)
        handed = deliveries(world.commits, "s")
        assert handed[0].process == first.name and handed[-1].process == second.name, handed
        assert {one.process for one in handed[:-1]} == {first.name}, handed  # a fetch under way may get it
        works = [work_of(one) for one in handed]
        assert all(work.item == works[0].item and work.attempt_count == 1 for work in works), works
        begun = [(one.process, one.event.attempt) for one in told(world, HandlerStarted, session="s")]
        assert begun == [(first.name, 1), (second.name, 1)], begun
        assert output(status) == f"the value of {second.name}", status
        written = [*await world.history("i"), *(commit.arguments for commit in world.commits)]
        assert not [one for one in written if f"the value of {first.name}" in repr(one)]
