"""Matrix section 6: migration by graceful shutdown."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.observe import HandlerSignalled, HandlerStarted
from holdfast.properties.matrix.parts.conversations import MINUTE, encoded, observations, running, start
from holdfast.properties.matrix.parts.deliveries import delivered, deliveries, of_session, owner_of
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
    workers = [world.worker(name, running(_four_at_once)) for name in ("a", "b")]
    await start(world, _four_at_once, "i")
    await world.commit(lambda commit: of_session(commit, "s"))
    leaving = owner_of(world, workers, "i", "s")
    staying = next(worker for worker in workers if worker is not leaving)
    await world.sleep(5 * world.draw("seconds before the shutdown / 5", 8))
    before = len(world.commits)
    await leaving.shutdown(20)
    returned_ms = world.provider_now_ms
    await world.until(lambda: any(of_session(one, "s") for one in _by(world, staying.name, before)))
    frozen_ms = world.provider_now_ms
    status = await world.finished("i")
    with world.oracle("6.1"):
        released = [commit for commit in world.commits[before:] if commit.operation == "release_session_lock"]
        assert [commit.process for commit in released] == [leaving.name], released
        assert released[0].took_effect and released[0].provider_ms == returned_ms, released
        taken = deliveries(world.commits[released[0].position :], "s")[0]
        assert taken.process == staying.name, taken
        assert taken.provider_ms == frozen_ms == returned_ms, (taken, returned_ms)
        assert {entry.owner for entry in observations(status)} == {staying.worker_id}, status


def _by(world: World, process: str, start: int) -> list[Any]:
    return [commit for commit in world.commits[start:] if commit.process == process]


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

    def stubborn(process: Process) -> Registry:
        registry = Registry()

        @registry.orchestration("talk")
        async def talk(ctx: OrchestrationContext, input: str) -> str:
            session = ctx.open_session_with_id("s")
            beside = [ctx.schedule_activity("note", "") for _ in range(3)]
            said = await ctx.schedule_activity_on_session("think", "", session)
            await ctx.join(*beside)
            return said

        @registry.activity("note")
        async def note(ctx: ActivityContext, input: str) -> None:
            return None

        @registry.activity("think")
        async def think(ctx: ActivityContext, input: str) -> str:
            if process.name == first.name:
                await ctx.cancelled()
                cancelled.append((process.name, ctx.attempt_count))
                await asyncio.sleep(linger_s)
            return f"the value of {process.name}"

        return registry

    first = world.worker("a", stubborn)
    await world.client.start_orchestration("i", "talk")
    await world.until(lambda: bool(_starts(world)))
    second = world.worker("b", stubborn)
    await world.sleep(5 * world.draw("seconds before the shutdown / 5", 8))
    await first.shutdown(20)
    status = await world.finished("i")
    with world.oracle("6.2"):
        assert cancelled == [(first.name, 1)], cancelled
        signals = [one.event for one in world.locals if isinstance(one.event, HandlerSignalled)]
        assert [signal.cause for signal in signals] == ["shutdown"], signals
        handed = deliveries(world.commits, "s")
        assert handed[0].process == first.name and handed[-1].process == second.name, handed
        assert {one.process for one in handed[:-1]} == {first.name}, handed  # a fetch under way may get it
        works = [work for one in handed if (work := delivered(one)) is not None]
        assert all(work.item == works[0].item and work.attempt_count == 1 for work in works), works
        starts = [(local.process, local.event.attempt) for local in _starts(world)]
        assert starts == [(first.name, 1), (second.name, 1)], starts
        assert isinstance(status, Completed) and status.output == f"the value of {second.name}", status
        written = [*await world.history("i"), *(commit.arguments for commit in world.commits)]
        assert not [one for one in written if f"the value of {first.name}" in repr(one)]


def _starts(world: World) -> list[Any]:
    return [
        local
        for local in world.locals
        if isinstance(local.event, HandlerStarted) and local.event.session_id == "s"
    ]
